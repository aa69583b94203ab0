"""Parsing of what people write about an entry: address, scope, reason, source and time.

Every parser returns a value, or raises ValueError with a sentence that says what is allowed.
"""

import re
from datetime import UTC, datetime
from typing import Final

from validators.suppression import Kind, SuppressionReason, normalize

_HEX: Final = re.compile(r"[0-9A-Fa-f]+\Z")
_DIGESTS: Final = {64: Kind.SHA256, 32: Kind.MD5}
_SCOPE: Final = re.compile(r"[A-Za-z0-9._-]{1,63}\Z")
SOURCE_LIMIT: Final = 200
_DURATION: Final = re.compile(r"([0-9]{1,6})([hdwy])\Z")
_SECONDS: Final = {"h": 3600, "d": 86_400, "w": 604_800, "y": 31_536_000}
_EPOCH: Final = re.compile(r"[0-9]{1,12}(\.[0-9]{1,9})?\Z")
_LAST_MOMENT: Final = 253_402_300_799
"""Unix seconds at the end of the year 9999, the last that a date can name."""


def parse_entry(text: str) -> tuple[Kind, str]:
    """Parse an entry; returns its kind and its value in normal form.

    64 or 32 hexadecimal digits are a digest, a text with an `@` inside is an address, and any
    other text is a domain.
    """
    text = text.strip()
    if "@" in text[1:]:
        return Kind.ADDRESS, normalize(Kind.ADDRESS, text)
    digest = _DIGESTS.get(len(text))
    if digest is not None and _HEX.match(text):
        return digest, normalize(digest, text)
    return Kind.DOMAIN, normalize(Kind.DOMAIN, text.removeprefix("@"))


def parse_scope(text: str) -> str:
    """Check a campaign's id, or `all`."""
    if not _SCOPE.match(text):
        raise ValueError(
            f"{text!r} is no campaign: 'all' or 1 to 63 letters, digits, dots, hyphens and "
            "underscores"
        )
    return text


def parse_reason(text: str) -> SuppressionReason:
    """Parse the reason of an entry."""
    try:
        return SuppressionReason(text)
    except ValueError:
        raise ValueError(f"{text!r} is no reason: {', '.join(SuppressionReason)}") from None


def parse_source(text: str) -> str:
    """Check the source of an entry, which is printable text of up to SOURCE_LIMIT characters."""
    if len(text) > SOURCE_LIMIT or not text.isprintable():
        raise ValueError(f"a source is up to {SOURCE_LIMIT} printable characters")
    return text


def parse_time(text: str, now: float) -> float:
    """Parse a time: ISO date or time (UTC unless it says otherwise), Unix seconds, or a span.

    A span, such as `12h`, `90d`, `2w` or `1y` (365 days), is added to `now`. Returns whole Unix
    seconds.
    """
    span = _DURATION.match(text)
    if span:
        moment = now + int(span[1]) * _SECONDS[span[2]]
    elif _EPOCH.match(text):
        moment = float(text)
    else:
        try:
            parsed = datetime.fromisoformat(text)
            moment = (parsed if parsed.tzinfo else parsed.replace(tzinfo=UTC)).timestamp()
        except (ValueError, OverflowError):
            raise ValueError(
                f"{text!r} is no time: a date such as 2030-01-31, or a span such as 90d"
            ) from None
    if not 0 <= moment <= _LAST_MOMENT:
        raise ValueError(f"{text!r} is out of range: from 1970 to 9999")
    return float(int(moment))


def format_time(moment: float) -> str:
    """Format Unix seconds as an ISO time in UTC, in whole seconds, as `parse_time` reads it."""
    return datetime.fromtimestamp(int(moment), UTC).isoformat().replace("+00:00", "Z")
