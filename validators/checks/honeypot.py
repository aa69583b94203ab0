"""Recipients whose local part names a trap or is against harvesters (data/honeypot_words.toml)."""

import re
import tomllib
from collections.abc import Iterable, Sequence
from importlib import resources
from typing import ClassVar, Final, NamedTuple

from validators.address import Address
from validators.checks import Inputs
from validators.verdict import CLEAR, Finding, Findings, Reason


class Words(NamedTuple):
    """The words of the data file; a pattern matches any of its words."""

    traps: re.Pattern[str]
    hints: re.Pattern[str]
    parts: tuple[str, ...]


def _read() -> Words:
    file = resources.files("validators.data").joinpath("honeypot_words.toml")
    data = tomllib.loads(file.read_text("utf-8"))
    return Words(_pattern(data["traps"]), _pattern(data["hints"]), tuple(data["parts"]))


def _pattern(words: Iterable[str]) -> re.Pattern[str]:
    """Return a pattern for words. It leaves out names: `honey.potter`, `stefano.spampinato`.

    Written in one, a word may follow other letters (`annnospam`), unless it begins with a name.
    Written with separators, it has to begin where letters begin: `stefano.spam` has no `no.spam`.
    """
    forms = []
    for word in words:
        parts = word.split("-")
        if parts[0] != "honey":
            forms.append("".join(parts))
        forms.append(rf"(?<![^\W\d_]){'[._-]?'.join(parts)}")
    return re.compile(rf"(?:{'|'.join(forms)})(?=s?(?![^\W\d_]))")


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
    text = local.lower()
    for reason, pattern in (
        (Reason.HONEYPOT_LOCAL, WORDS.traps),
        (Reason.HONEYPOT_HINT, WORDS.hints),
    ):
        found = pattern.search(text)
        if found is not None:
            return Finding(reason, re.sub(r"[._-]", "", found[0]))
    return None


def build(_: Inputs) -> HoneypotCheck:
    """Return the check."""
    return HoneypotCheck()
