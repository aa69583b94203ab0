"""Role accounts: addresses of a function and not of a person (RFC 2142, data/role_names.toml)."""

import tomllib
from collections.abc import Collection, Mapping, Sequence
from importlib import resources
from itertools import product
from typing import ClassVar, Final, NamedTuple

from validators.address import Address, parse
from validators.checks import Inputs
from validators.lists import Lists
from validators.verdict import CLEAR, Finding, Findings, Reason

SEPARATORS: Final = ("-", "", "_", ".")
"""Separators between the words of a name; the data file writes the first one."""


class Names(NamedTuple):
    """The role names by spelling, and the prefixes and suffixes of mailing list addresses."""

    spellings: Mapping[str, str]
    prefixes: tuple[str, ...]
    suffixes: tuple[str, ...]


def _read() -> Names:
    """Read the data file; a name of several words gets a spelling for each separator."""
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
    """States ROLE_ACCOUNT for a local part that is the name of a role; the detail is the name."""

    name = "role"
    unknown: ClassVar[Reason | None] = None

    def __init__(self, allow: Collection[str] = (), lists: Lists | None = None) -> None:
        """`allow` lists names and addresses that are no roles. ValueError if one is neither.

        So does the list `role_allow`, which may change.
        """
        self._allowed = frozenset(self._allowance(entry) for entry in allow)
        self._lists = lists or Lists()
        self._listed: frozenset[str] = frozenset()
        """The list as it was when it was last needed, and below in the form for comparison."""
        self._more: frozenset[str] = frozenset()

    def examine(self, group: Sequence[Address]) -> Findings:
        """Return a finding for each role account.

        The canonical local part is compared, without a `+tag` whatever the provider: mail to
        `abuse+shop@` is read by whoever reads `abuse@`.
        """
        spellings = NAMES.spellings
        roles: dict[int, Finding] = {}
        for place, address in enumerate(group):
            local = address.canonical.rpartition("@")[0] or address.canonical
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
        listed = self._lists.current.role_allow
        if listed is not self._listed:
            self._listed = listed
            self._more = frozenset(map(self._allowance, listed))
        names = (role, f"{role}@{address.domain}")
        if self._allowed.isdisjoint(names) and self._more.isdisjoint(names):
            roles[place] = Finding(Reason.ROLE_ACCOUNT, role)

    def _allowance(self, entry: str) -> str:
        """Return the form in which an entry of the allow list is compared."""
        name, at, domain = entry.strip().lower().rpartition("@")
        if at:
            address = parse(f"{name}@{domain}")
            if isinstance(address, Finding):
                raise ValueError(f"{entry}: {address.detail}")
            return f"{NAMES.spellings.get(name, name)}@{address.domain}"
        return NAMES.spellings.get(domain, domain)


def build(inputs: Inputs) -> RoleCheck:
    """Return the check. ValueError if the allow list is not valid."""
    return RoleCheck(inputs.role_allow, inputs.lists)
