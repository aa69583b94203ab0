"""A section of the status page, as values. Each part builds its own; `relay.http` renders them."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final, Literal, NamedTuple, TypeAlias

Tone: TypeAlias = Literal["", "good", "wait", "bad", "soft"]
"""Colour of a text: none, success, waiting, failure, or subdued."""

VERDICT_TONES: Final[Mapping[str, Tone]] = {"accept": "good", "defer": "wait", "reject": "bad"}


class Text(NamedTuple):
    """A text on the page. It is escaped when it is rendered."""

    text: str
    tone: Tone = ""
    below: str = ""
    """A second, subdued line."""
    number: bool = False
    """Whether it is aligned right, as numbers are."""


class Row(NamedTuple):
    """A row of a table: its heading, then its cells."""

    heading: Text
    cells: tuple[Text, ...]


class Share(NamedTuple):
    """A part of a bar of shares. The amounts of a bar are relative to each other."""

    tone: Tone
    amount: float


@dataclass(frozen=True, slots=True)
class Section:
    """A box of the status page: title, bar of shares, table, notes, inner sections, in this order.

    Each note is one line, made of texts that may differ in tone. `wide` makes the box as wide as
    the page. An inner section is shown in the same box under its own title.
    """

    title: str
    rows: tuple[Row, ...] = ()
    bar: tuple[Share, ...] = ()
    notes: tuple[tuple[Text, ...], ...] = ()
    inner: tuple["Section", ...] = ()
    tone: Tone = ""
    """Tone of the title."""
    wide: bool = False


def number(count: int) -> Text:
    """Return a cell that shows a count, with thousands separated."""
    return Text(f"{count:,}", number=True)


def counts(numbers: Mapping[str, int]) -> tuple[Row, ...]:
    """Return a row with its count for each name."""
    return tuple(Row(Text(name), (number(count),)) for name, count in numbers.items())


def note(text: str, tone: Tone = "soft") -> tuple[Text, ...]:
    """Return a note that is one text."""
    return (Text(text, tone),)


def troubles(reasons: Iterable[str]) -> Section:
    """Return the section that says why the process is not ready."""
    return Section("Not ready", notes=tuple(note(r, "") for r in reasons), tone="bad", wide=True)
