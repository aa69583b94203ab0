"""The suppression list: its entries, their keys, and the interface for look-ups."""

import enum
from collections.abc import Awaitable, Collection, Sequence
from functools import lru_cache
from hashlib import blake2b, md5, sha256
from typing import Final, NamedTuple, Protocol

from validators.address import Address, SyntaxOptions, parse, parse_domain
from validators.verdict import Finding

ALL: Final = "all"
"""The scope of an entry that holds for every campaign; any other scope is a campaign's id."""


class Kind(enum.StrEnum):
    """The kind of value of an entry."""

    ADDRESS = "address"
    """The canonical form of an address (`Address.canonical`)."""
    DOMAIN = "domain"
    """An A-label domain, lower case, without its subdomains."""
    SHA256 = "sha256"
    """The hex digest, lower case, of a lower-cased address, as in lists that are exchanged."""
    MD5 = "md5"
    """The same with MD5."""


class SuppressionReason(enum.StrEnum):
    """Why an entry is on the list."""

    HARD_BOUNCE = "hard_bounce"
    COMPLAINT = "complaint"
    UNSUBSCRIBE = "unsubscribe"
    TRAP = "trap"
    MANUAL = "manual"
    IMPORT = "import"


class Suppression(NamedTuple):
    """One entry. `created` and `expires` are Unix times in seconds; None means no expiry."""

    kind: Kind
    value: str
    scope: str
    reason: SuppressionReason
    source: str
    created: float
    expires: float | None = None


class StoreUnavailable(Exception):  # noqa: N818 a state of the store, named as the field names it
    """The store gave no answer. The recipient is deferred, never refused."""


class SuppressionLookup(Protocol):
    """A suppression list seen by one campaign: the entries of scope ALL and its own."""

    def find(
        self,
        group: Sequence[Address],
    ) -> Sequence[Suppression | None] | Awaitable[Sequence[Suppression | None]]:
        """Return the entry in force for each address, in order, or None.

        One round trip at most for the whole group. Raises StoreUnavailable.
        """


EVERY_KIND: Final = frozenset(Kind)
_LENIENT = SyntaxOptions(allow_quoted_local=True, allow_domain_literal=True, postmaster=True)
_HEX_DIGITS: Final = {Kind.SHA256: 64, Kind.MD5: 32}


def normalize(kind: Kind, text: str) -> str:
    """Return the value under which an entry is stored.

    `text` is an address, a domain or a hex digest as people write it. Raises ValueError, with a
    sentence for the user, if it is not valid.
    """
    text = text.strip()
    if kind is Kind.ADDRESS:
        address = parse(text, _LENIENT)
        if isinstance(address, Finding):
            raise ValueError(address.detail)
        return address.canonical
    if kind is Kind.DOMAIN:
        return parse_domain(text)
    return _digest(kind, text.lower())


def key(kind: Kind, value: str) -> bytes:
    """Return the 16 octets that are the key of an entry in every store.

    `value` is one that `normalize` returned. A digest is its own key, cut to 16 octets; with 128
    bits, keys of different kinds do not collide in practice.
    """
    if kind is Kind.ADDRESS:
        return blake2b(b"address:" + value.encode(), digest_size=16).digest()
    if kind is Kind.DOMAIN:
        return _domain_key(value)
    return bytes.fromhex(value)[:16]


@lru_cache(maxsize=16_384)
def _domain_key(domain: str) -> bytes:
    return blake2b(b"domain:" + domain.encode(), digest_size=16).digest()


def keys_for(address: Address, kinds: Collection[Kind] = EVERY_KIND) -> list[bytes]:
    """Return the keys of all entries of `kinds` that would hold for `address`.

    A store passes the kinds of which it has entries, which saves the digests of the others.
    """
    keys = []
    if Kind.ADDRESS in kinds:
        keys.append(key(Kind.ADDRESS, address.canonical))
    if Kind.DOMAIN in kinds:
        keys.append(_domain_key(address.domain))
    if Kind.SHA256 in kinds or Kind.MD5 in kinds:
        for spelling in {address.canonical, address.text.lower()}:
            octets = spelling.encode()
            if Kind.SHA256 in kinds:
                keys.append(sha256(octets).digest()[:16])
            if Kind.MD5 in kinds:
                keys.append(md5(octets, usedforsecurity=False).digest())
    return keys


def _digest(kind: Kind, text: str) -> str:
    """Return a hex digest. ValueError if it is not one of this kind."""
    if len(text) != _HEX_DIGITS[kind] or not set(text) <= set("0123456789abcdef"):
        message = f"A {kind} entry is {_HEX_DIGITS[kind]} hexadecimal digits."
        raise ValueError(message)
    return text
