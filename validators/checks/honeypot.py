"""Recipients whose local part names a trap or is against harvesters (data/honeypot_words.toml)."""

import tomllib
from collections.abc import Sequence
from importlib import resources
from typing import ClassVar, Final, NamedTuple

from validators.address import Address
from validators.checks import Inputs
from validators.verdict import CLEAR, Finding, Findings, Reason

_SEPARATORS: Final = str.maketrans("", "", ".-_+")


class Words(NamedTuple):
    """The words of the data file."""

    traps: tuple[str, ...]
    hints: tuple[str, ...]
    parts: tuple[str, ...]


def _read() -> Words:
    file = resources.files("validators.data").joinpath("honeypot_words.toml")
    data = tomllib.loads(file.read_text("utf-8"))
    return Words(tuple(data["traps"]), tuple(data["hints"]), tuple(data["parts"]))


WORDS: Final = _read()


class HoneypotCheck:
    """States HONEYPOT_LOCAL or HONEYPOT_HINT; the detail is the word.

    A person's mailbox may be called `spam@` as well: such names are left to the role check.
    """

    name = "honeypot"
    unknown: ClassVar[Reason | None] = None

    def examine(self, group: Sequence[Address]) -> Findings:
        """Return a finding for each local part that contains a word."""
        parts = WORDS.parts
        for address in group:
            mailbox = address.canonical
            for part in parts:
                if part in mailbox:
                    found = [_finding(each.local) for each in group]
                    return found if any(found) else CLEAR
        return CLEAR


def _finding(local: str) -> Finding | None:
    """Return the finding for a local part."""
    text = local.lower().translate(_SEPARATORS)
    for word in WORDS.traps:
        if word in text:
            return Finding(Reason.HONEYPOT_LOCAL, word)
    for word in WORDS.hints:
        if word in text:
            return Finding(Reason.HONEYPOT_HINT, word)
    return None


def build(_: Inputs) -> HoneypotCheck:
    """Return the check."""
    return HoneypotCheck()
