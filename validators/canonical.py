"""Canonical forms: the spellings of an address that reach one mailbox, by provider."""

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import resources
from typing import Final


@dataclass(frozen=True, slots=True)
class Rule:
    """How a provider reads a local part; data/canonical_forms.toml explains the fields."""

    mailbox: str | None = None
    tag: str = ""
    replaced: tuple[tuple[str, str], ...] = ()

    def fold(self, local: str) -> str:
        """Return the canonical form of a lower-case local part.

        A local part whose canonical form would not be valid (`+x`, `a.+x`) is returned unchanged.
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
