"""The suppression list: its keys, and the check that looks them up."""

import hashlib
from collections.abc import Awaitable, Sequence

import pytest

from tests.validators.addresses import EVERYTHING, valid
from validators.address import Address
from validators.checks.suppression import SuppressionCheck
from validators.suppression import (
    ALL,
    Kind,
    Suppression,
    SuppressionReason,
    key,
    keys_for,
    normalize,
)
from validators.verdict import CLEAR, Finding, Reason

NOW = 1_000_000.0


def digest(kind: Kind, text: str) -> str:
    return hashlib.new(kind, text.encode(), usedforsecurity=False).hexdigest()


def entry(kind: Kind, value: str, expires: float | None = None) -> Suppression:
    return Suppression(kind, value, ALL, SuppressionReason.TRAP, "test", NOW, expires)


DIGESTS = {Kind.SHA256, Kind.MD5}


def test_a_key_has_sixteen_octets_and_depends_on_the_kind() -> None:
    values = {kind: digest(kind, "x") if kind in DIGESTS else "example.com" for kind in Kind}
    keys = {key(kind, value) for kind, value in values.items()}
    assert {len(each) for each in keys} == {16}
    assert len(keys) == len(Kind)


@pytest.mark.parametrize(
    ("kind", "text", "value"),
    [
        (Kind.ADDRESS, " J.Ohn+x@GoogleMail.com ", "john@gmail.com"),
        (Kind.ADDRESS, '"john smith"@Example.com', '"john smith"@example.com'),
        (Kind.DOMAIN, "B\u00fccher.example", "xn--bcher-kva.example"),
        (Kind.MD5, "D41D8CD98F00B204E9800998ECF8427E", "d41d8cd98f00b204e9800998ecf8427e"),
        (Kind.SHA256, "AB" * 32, "ab" * 32),
    ],
)
def test_an_entry_has_one_value(kind: Kind, text: str, value: str) -> None:
    assert normalize(kind, text) == value
    assert normalize(kind, value) == value


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        (Kind.ADDRESS, "example.com"),
        (Kind.DOMAIN, "john@example.com"),
        (Kind.MD5, "d41d8cd98f00b204e9800998ecf8427"),
        (Kind.SHA256, "zz" * 32),
        (Kind.SHA256, "d41d8cd98f00b204e9800998ecf8427e"),
    ],
)
def test_what_is_no_entry_of_a_kind(kind: Kind, text: str) -> None:
    with pytest.raises(ValueError, match=r".\.$"):
        normalize(kind, text)


@pytest.mark.parametrize(
    ("suppressed", "address"),
    [
        ("john@gmail.com", "J.O.H.N+news@googlemail.com"),
        ("J.ohn@gmail.com", "john@gmail.com"),
        ("ann@xn--bcher-kva.example", "Ann@b\u00fccher.example"),
        ("Jose\u0301@example.com", "JOS\u00c9@example.com"),
    ],
)
def test_an_address_is_found_by_its_canonical_form(suppressed: str, address: str) -> None:
    assert key(Kind.ADDRESS, normalize(Kind.ADDRESS, suppressed)) in keys_for(valid(address))


def test_a_domain_is_found_itself_and_not_from_below() -> None:
    sought = key(Kind.DOMAIN, normalize(Kind.DOMAIN, "B\u00fccher.example"))
    assert sought in keys_for(valid("ann@xn--bcher-kva.example"))
    assert sought not in keys_for(valid("ann@sub.b\u00fccher.example"))


@pytest.mark.parametrize("kind", [Kind.SHA256, Kind.MD5])
@pytest.mark.parametrize(
    ("hashed", "address"),
    [
        ("j.ohn+x@gmail.com", "J.Ohn+x@Gmail.com"),  # as it was written
        ("john@gmail.com", "J.Ohn+x@Gmail.com"),  # the mailbox
        ("ann@xn--bcher-kva.example", "Ann@B\u00fccher.example"),
        ("ann@b\u00fccher.example", "Ann@B\u00fccher.example"),
    ],
)
def test_a_digest_is_of_the_lower_cased_address(kind: Kind, hashed: str, address: str) -> None:
    assert key(kind, digest(kind, hashed)) in keys_for(valid(address))


def test_an_address_is_not_found_by_another_one() -> None:
    keys = set(keys_for(valid("ann@example.com")))
    assert keys.isdisjoint(keys_for(valid("bob@example.org")))
    assert len(keys) == 4
    assert len(set(keys_for(valid("A.nn@gmail.com")))) == 6


@pytest.mark.parametrize("kind", Kind)
def test_only_the_keys_that_are_wanted_are_made(kind: Kind) -> None:
    address = valid("ann@example.com")
    (only,) = keys_for(address, {kind})
    assert only in keys_for(address)
    assert keys_for(address, ()) == []


def test_an_unusual_address_has_keys_too() -> None:
    for text in ('"a b"@example.com', "ann@[192.0.2.1]", "\u00e9@example.com"):
        assert len(keys_for(valid(text, EVERYTHING))) >= 4


class Listed:
    """A list with fixed entries, by local part."""

    def __init__(self, entries: dict[str, Suppression], *, waits: bool = False) -> None:
        self.lookups = 0
        self._entries = entries
        self._waits = waits

    def find(
        self, group: Sequence[Address]
    ) -> Sequence[Suppression | None] | Awaitable[Sequence[Suppression | None]]:
        """Look up the group."""
        self.lookups += 1
        found = [self._entries.get(address.local) for address in group]
        return self._later(found) if self._waits else found

    async def _later(self, found: Sequence[Suppression | None]) -> Sequence[Suppression | None]:
        return found


GROUP = [valid(f"{local}@example.com") for local in ("ann", "bob", "eve")]


@pytest.mark.parametrize("waits", [False, True])
async def test_a_group_is_one_lookup(*, waits: bool) -> None:
    listed = Listed({"bob": entry(Kind.ADDRESS, "bob@example.com")}, waits=waits)
    facts = SuppressionCheck(listed, lambda: NOW).examine(GROUP)
    if isinstance(facts, Awaitable):
        facts = await facts
    assert facts == [None, Finding(Reason.SUPPRESSED, "trap"), None]
    assert listed.lookups == 1


def test_nobody_is_suppressed() -> None:
    assert SuppressionCheck(Listed({})).examine(GROUP) is CLEAR


def test_an_entry_that_has_expired_suppresses_nobody() -> None:
    listed = Listed(
        {
            "ann": entry(Kind.ADDRESS, "ann@example.com", NOW - 1),
            "bob": entry(Kind.ADDRESS, "bob@example.com", NOW + 1),
            "eve": entry(Kind.ADDRESS, "eve@example.com", NOW),
        }
    )
    facts = SuppressionCheck(listed, lambda: NOW).examine(GROUP)
    assert facts == [None, Finding(Reason.SUPPRESSED, "trap"), None]


def test_a_lookup_that_lost_count_is_not_taken_for_a_clear_list() -> None:
    class Short:
        def find(self, _: Sequence[Address]) -> list[Suppression | None]:
            """Return fewer results than there are recipients."""
            return [None]

    assert SuppressionCheck(Short()).examine(GROUP) is not CLEAR
