"""Helpers that build addresses and entries, and look up what a store finds."""

import hashlib

from relay.stores import BlockingStore
from validators.address import Address, parse
from validators.suppression import ALL, Kind, Suppression, SuppressionReason, normalize

CREATED = 1_700_000_000.0


def address(text: str) -> Address:
    """The address of a recipient."""
    found = parse(text)
    assert isinstance(found, Address)
    return found


def entry(
    value: str,
    kind: Kind = Kind.ADDRESS,
    *,
    scope: str = ALL,
    reason: SuppressionReason = SuppressionReason.MANUAL,
    source: str = "test",
    expires: float | None = None,
) -> Suppression:
    """An entry in normalised form."""
    return Suppression(kind, normalize(kind, value), scope, reason, source, CREATED, expires)


def sha256(text: str) -> str:
    """The SHA-256 digest of an address, as hashed lists contain it."""
    return hashlib.sha256(text.encode()).hexdigest()


def md5(text: str) -> str:
    """The MD5 digest of an address, as hashed lists contain it."""
    return hashlib.md5(text.encode(), usedforsecurity=False).hexdigest()


def found(store: BlockingStore, *texts: str) -> list[str | None]:
    """The values of the entries that apply to each address."""
    group = [address(text) for text in texts]
    return [None if entry is None else entry.value for entry in store.find(group)]
