"""What people write about an entry (address, scope, reason, time), parsed and written back.

Every parser returns a value or raises ValueError with a sentence that says what is allowed.
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
"""The end of the year 9999, the last that a date can name."""


def parse_entry(text: str) -> tuple[Kind, str]:
    """Tell kind and value of an entry as people write it; ValueError says what is wrong.

    64 or 32 hexadecimal digits are a digest, `@` inside makes an address, all else is a domain.
    """
    text = text.strip()
    if "@" in text[1:]:
        return Kind.ADDRESS, normalize(Kind.ADDRESS, text)
    digest = _DIGESTS.get(len(text))
    if digest is not None and _HEX.match(text):
        return digest, normalize(digest, text)
    return Kind.DOMAIN, normalize(Kind.DOMAIN, text.removeprefix("@"))


def parse_scope(text: str) -> str:
    """Check a campaign's id, or `all`; ValueError says what is allowed."""
    if not _SCOPE.match(text):
        raise ValueError(
            f"{text!r} is no campaign: 'all' or 1 to 63 letters, digits, dots, hyphens and "
            "underscores"
        )
    return text


def parse_reason(text: str) -> SuppressionReason:
    """Parse a reason; ValueError says what is allowed."""
    try:
        return SuppressionReason(text)
    except ValueError:
        raise ValueError(f"{text!r} is no reason: {', '.join(SuppressionReason)}") from None


def parse_source(text: str) -> str:
    """Check where an entry came from: printable text; ValueError says what is allowed."""
    if len(text) > SOURCE_LIMIT or not text.isprintable():
        raise ValueError(f"a source is up to {SOURCE_LIMIT} printable characters")
    return text


def parse_time(text: str, now: float) -> float:
    """Parse a moment: ISO date or time (UTC unless told), Unix seconds, or a span from `now`.

    Spans: `12h`, `90d`, `2w`, `1y` (365 days). Returns whole Unix seconds; ValueError says more.
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


def write_time(moment: float) -> str:
    """Write Unix seconds as ISO time in UTC, whole seconds: `parse_time` takes it back."""
    return datetime.fromtimestamp(int(moment), UTC).isoformat().replace("+00:00", "Z")
