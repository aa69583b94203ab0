"""The address in a cell of a list, as people and their programs write it."""

import re
from typing import Final, NamedTuple

_INVISIBLE: Final = dict.fromkeys(map(ord, "\u00ad\u200b\u200c\u200d\u200e\u200f\u2060\ufeff"))
"""Soft hyphen, zero-width spaces and joiners, and direction marks: they come with copied text."""
_UNUSUAL: Final = re.compile(r"[^A-Za-z0-9.@_+\-\n]")
"""What most addresses do not contain, in several cells joined by line ends."""
_NAMED: Final = re.compile(r"[^<>]*<\s*([^<>\s]+)\s*>[\s;,]*")
_MAILTO: Final = re.compile(r"mailto:\s*([^?\s]+)(\?.*)?", re.IGNORECASE | re.DOTALL)
_AROUND: Final = " \t\r\n;,"
_QUOTES: Final = ('""', "''", "\u201c\u201d", "\u2018\u2019", "``")


class Cell(NamedTuple):
    """What a cell holds."""

    address: str
    note: str
    """What was left out, for people; empty if the cell holds the address alone."""


def unusual(cells: list[str]) -> bool:
    """Return whether any of these cells may hold more than an address: quick, for many at once."""
    return _UNUSUAL.search("\n".join(cells)) is not None


def clean(text: str) -> Cell:
    """Return the address in a cell without what people and programs write around it.

    That is white space (also no-break spaces and invisible characters), a name before angle
    brackets, `mailto:` with its parameters, quotes around the whole, and a stray `;` or `,` at
    either end. Nothing inside the address is changed. Text that is no address afterwards is
    returned without white space around it.
    """
    plain = text.strip()
    found = plain.translate(_INVISIBLE).strip()
    before = None
    while found != before:  # one may be inside another: "mailto:<ann@example.com>;"
        before = found
        found = _unwrapped(found.strip(_AROUND).strip())
    if found == plain:
        return Cell(plain, "")
    if "@" not in found:
        return Cell(found, f"read as {found!r}") if found else Cell("", "")
    return Cell(found, f"read from {plain!r}")


def _unwrapped(text: str) -> str:
    """Remove one pair of quotes or brackets, or the scheme."""
    if match := _MAILTO.fullmatch(text):
        return match[1]
    if match := _NAMED.fullmatch(text):
        return match[1]
    for pair in _QUOTES:
        if len(text) > 1 and text[0] == pair[0] and text[-1] == pair[1]:
            return text[1:-1]
    if text.count('"') == 1 or text.count("'") == 1:  # one that a program has lost the other of
        return text.strip("\"'")
    return text
