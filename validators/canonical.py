"""Which spellings of an address reach the same mailbox, by the provider's own rules."""

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import resources
from typing import Final


@dataclass(frozen=True, slots=True)
class Rule:
    """One provider's way of reading a local part; data/canonical_forms.toml says what it means."""

    mailbox: str | None = None
    tag: str = ""
    replaced: tuple[tuple[str, str], ...] = ()

    def fold(self, local: str) -> str:
        """Return the name of the mailbox for a lower-case local part.

        A local part that would not be valid any more (`+x`, `a.+x`) is returned as it is.
        """
        name = local.partition(self.tag)[0] if self.tag else local
        for old, new in self.replaced:
            name = name.replace(old, new)
        return name if name and name[-1] != "." else local


def _read() -> Mapping[str, Rule]:
    """Return the rules by A-label domain, from the data file."""
    file = resources.files("validators.data").joinpath("canonical_forms.toml")
    found: dict[str, Rule] = {}
    for provider in tomllib.loads(file.read_text("utf-8")).values():
        replaced = [(character, "") for character in provider.get("ignored", "")]
        replaced += [(old, new) for old, new in provider.get("same", ())]
        rule = Rule(provider.get("mailbox"), provider.get("tag", ""), tuple(replaced))
        found |= dict.fromkeys(provider["domains"], rule)
    return found


RULES: Final = _read()
"""The rules by A-label domain."""
