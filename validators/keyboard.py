"""Typing errors of one key: whether a slip on the keyboard turns one name into another."""

from typing import Final

_ROWS: Final = ("1234567890", "qwertyuiop", "asdfghjkl", "zxcvbnm")
"""The rows of a keyboard. On QWERTZ and AZERTY, most keys have the same ones beside them."""
NEIGHBOURS: Final = {
    key: frozenset(
        other
        for far, line in enumerate(_ROWS)
        for at, other in enumerate(line)
        # the rows are staggered: below a key are the one at its place and the one to the left
        if (far == row and abs(at - place) == 1)
        or (far == row + 1 and at in {place - 1, place})
        or (far == row - 1 and at in {place, place + 1})
    )
    for row, keys in enumerate(_ROWS)
    for place, key in enumerate(keys)
}
"""The keys beside each key."""


def one_slip(typed: str, meant: str) -> bool:
    """Return whether one slip explains `typed`, a word at a distance of one edit from `meant`.

    Slips are a letter missing, doubled or exchanged with the next, and a key beside the right one,
    in its place or as well.
    """
    place = 0
    while place < min(len(typed), len(meant)) and typed[place] == meant[place]:
        place += 1
    if len(typed) < len(meant):
        return True
    key = typed[place : place + 1]
    beside = meant[max(0, place - 1) : place + 1]
    if len(typed) > len(meant):
        return any(key == each or key in NEIGHBOURS.get(each, ()) for each in beside)
    right = meant[place : place + 1]
    exchanged = typed[place : place + 2] == meant[place : place + 2][::-1]
    return exchanged or key in NEIGHBOURS.get(right, ())
