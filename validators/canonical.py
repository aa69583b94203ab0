"""Which spellings of an address reach the same mailbox, by the provider's own rules."""

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from importlib import resources


@dataclass(frozen=True, slots=True)
class Rule:
    """One provider's way of reading a local part; the data file says what the fields mean."""

    mailbox: str | None = None
    tag: str = ""
    letters: Mapping[int, str | None] = field(default_factory=dict)

    def fold(self, local: str) -> str:
        """Return the name of the mailbox for a lower-case local part.

        A local part that would not be valid any more (`+x`, `a.+x`) is returned as it is.
        """
        name = local.partition(self.tag)[0] if self.tag else local
        if self.letters:
            name = name.translate(self.letters)
        return name if name and name[-1] != "." else local


@cache
def rules() -> Mapping[str, Rule]:
    """Return the rules by A-label domain, from the data file."""
    text = resources.files("validators.data").joinpath("canonical_forms.toml").read_text("utf-8")
    found: dict[str, Rule] = {}
    for provider in tomllib.loads(text).values():
        letters = dict.fromkeys(map(ord, provider.get("ignored", "")))
        letters |= {ord(pair[0]): pair[1] for pair in provider.get("same", ())}
        rule = Rule(provider.get("mailbox"), provider.get("tag", ""), letters)
        found |= dict.fromkeys(provider["domains"], rule)
    return found
