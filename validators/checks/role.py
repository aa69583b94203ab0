"""Is this the address of a role rather than of a person? RFC 2142 and data/role_names.toml."""

import tomllib
from collections.abc import Collection, Mapping, Sequence
from importlib import resources
from itertools import product
from typing import Final, NamedTuple

from validators.address import Address, parse
from validators.verdict import CLEAR, Facts, Finding, Reason

SEPARATORS: Final = ("-", "", "_", ".")
"""What stands between the words of a name, the first as the data file writes it."""


class Names(NamedTuple):
    """The role names: every spelling with the name it stands for, and affixes of list addresses."""

    spellings: Mapping[str, str]
    prefixes: tuple[str, ...]
    suffixes: tuple[str, ...]


def _read() -> Names:
    """Return the names from the data file, with every way to write those of several words."""
    file = resources.files("validators.data").joinpath("role_names.toml")
    data = tomllib.loads(file.read_text("utf-8"))
    spellings: dict[str, str] = {}
    for section in data["names"].values():
        for name in section["names"]:
            words = name.split("-")
            for separators in product(SEPARATORS, repeat=len(words) - 1):
                parts = (part for pair in zip(separators, words[1:], strict=True) for part in pair)
                spellings["".join((words[0], *parts))] = name
    lists = data["lists"]
    return Names(spellings, tuple(lists["prefixes"]), tuple(lists["suffixes"]))


NAMES: Final = _read()


class RoleCheck:
    """States that the local part is a role's name, with the name as the detail."""

    name = "role"

    def __init__(self, allow: Collection[str] = ()) -> None:
        """Pass over the names and the addresses in `allow`; ValueError if one is neither."""
        self._allowed = frozenset(self._allowance(entry) for entry in allow)

    def examine(self, group: Sequence[Address]) -> Facts:
        """Return who is a role account.

        What counts is the name of the mailbox, as its provider reads it, without any `+tag`:
        nobody reads `abuse+shop@` but who reads `abuse@`.
        """
        spellings = NAMES.spellings
        roles: dict[int, Finding] = {}
        for place, address in enumerate(group):
            local = address.canonical.rpartition("@")[0]
            if "+" in local:
                local = local.partition("+")[0]
            if local in spellings:
                self._note(roles, place, address, spellings[local])
            elif "-" in local and self._is_list_address(local):
                self._note(roles, place, address, local)
        return [roles.get(place) for place in range(len(group))] if roles else CLEAR

    def _is_list_address(self, local: str) -> bool:
        return local.endswith(NAMES.suffixes) or local.startswith(NAMES.prefixes)

    def _note(self, roles: dict[int, Finding], place: int, address: Address, role: str) -> None:
        if self._allowed.isdisjoint((role, f"{role}@{address.domain}")):
            roles[place] = Finding(Reason.ROLE_ACCOUNT, role)

    def _allowance(self, entry: str) -> str:
        """Return an entry of the allow list as it is compared."""
        name, at, domain = entry.strip().lower().rpartition("@")
        if at:
            address = parse(f"{name}@{domain}")
            if isinstance(address, Finding):
                raise ValueError(f"{entry}: {address.detail}")
            return f"{NAMES.spellings.get(name, name)}@{address.domain}"
        return NAMES.spellings.get(domain, domain)
