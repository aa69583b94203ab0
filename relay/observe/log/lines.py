"""The formats of a log line: JSON, and `key=value` for people.

Both escape everything but printable ASCII, so that no field can start a new line or move a
terminal's cursor.
"""

import re
import time
from collections.abc import Callable, Sequence
from json.encoder import encode_basestring_ascii
from typing import Final, Literal, TypeAlias

Format: TypeAlias = Literal["json", "text"]
Render: TypeAlias = Callable[[str, Sequence[object]], str]
"""Returns a line, given a time stamp and the quoted values of the fields."""

_PLAIN: Final = re.compile(r"[!#-<>-\[\]-~]+")
"""Printable ASCII without space, quote, equals sign and backslash."""


class Lines:
    """Formats log lines of one campaign in one format."""

    __slots__ = ("_campaign", "_date", "_json", "_milliseconds", "_second", "_stamp", "quote")

    def __init__(self, form: Format, campaign: str) -> None:
        self._json = form == "json"
        self._campaign = campaign
        self._milliseconds = self._second = -1
        self._date = self._stamp = ""
        self.quote: Callable[[str], str] = encode_basestring_ascii if self._json else _quote_text
        """Quotes a string as a value of this format."""

    def quote_list(self, values: Sequence[str]) -> str:
        """Quote a list of strings as one value."""
        if not values:
            return "[]" if self._json else ""
        if self._json:
            return f"[{','.join(map(self.quote, values))}]"
        return self.quote(",".join(values))

    def stamp(self, seconds: float) -> str:
        """Return seconds since the epoch as RFC 3339 in UTC, to the millisecond."""
        milliseconds = int(seconds * 1000)
        if milliseconds != self._milliseconds:
            self._milliseconds = milliseconds
            second, rest = divmod(milliseconds, 1000)
            if second != self._second:
                self._second = second
                self._date = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(second))
            self._stamp = f"{self._date}.{rest:03d}Z"
        return self._stamp

    def shape(self, level: str, event: str, names: Sequence[str]) -> Render:
        """Return a function that formats lines of one kind, whose fields are `names`."""
        head, end = self.head(level, event, names), self.tail(())(())
        return lambda stamp, values: head(stamp, values) + end

    def head(self, level: str, event: str, names: Sequence[str]) -> Render:
        """Return a function that formats the beginning of a line, up to the last of `names`."""
        campaign = self.quote(self._campaign)
        if self._json:
            start = f'"level":"{level}","event":"{event}","campaign":{campaign}'.replace("%", "%%")
            template = f'{{"ts":"%s",{start}{_json_fields(names)}'
            return lambda stamp, values: template % (stamp, *values)
        start = f"{level} {event} campaign={campaign}"
        return lambda stamp, values: f"{stamp} {start}{_text_fields(names, values)}"

    def tail(self, names: Sequence[str]) -> Callable[[Sequence[object]], str]:
        """Return a function that formats the end of a line, from the first of `names` on."""
        if self._json:
            template = f"{_json_fields(names)}}}\n"
            return lambda values: template % tuple(values)
        return lambda values: f"{_text_fields(names, values)}\n"


def _json_fields(names: Sequence[str]) -> str:
    return "".join(f',"{name}":%s' for name in names)


def _text_fields(names: Sequence[str], values: Sequence[object]) -> str:
    """Format the fields that are not empty."""
    return "".join(f" {name}={value}" for name, value in zip(names, values, strict=True) if value)


def _quote_text(value: str) -> str:
    """Return a plain word or an empty value unchanged; escape any other value as JSON does."""
    return value if not value or _PLAIN.fullmatch(value) else encode_basestring_ascii(value)
