"""DNS messages as octets (RFC 1035 4): the one question we ask, and the answers that matter.

dnspython builds a whole object tree for each reply, at several hundred microseconds; a mail route
needs five record types, read here in about thirty. dnspython is the oracle of the property tests.
"""

import struct
from enum import IntEnum
from typing import Final, NamedTuple, TypeAlias

PAYLOAD: Final = 1232
"""Octets of UDP payload we take (EDNS, RFC 6891): no fragments, as of DNS flag day 2020."""
NAME_LIMIT: Final = 255
ALIAS_LIMIT: Final = 16
"""CNAMEs followed in one answer."""

_HEADER: Final = struct.Struct("!HHHHHH")
_RECORD: Final = struct.Struct("!HHIH")
_OPT: Final = struct.pack("!BHHIH", 0, 41, PAYLOAD, 0, 0)
_RESPONSE, _TRUNCATED, _RECURSION = 0x8000, 0x0200, 0x0100
_NOERROR, _NXDOMAIN = 0, 3
_RCODES: Final = {1: "FORMERR", 2: "SERVFAIL", 4: "NOTIMP", 5: "REFUSED"}
_INTERNET: Final = 1
_POINTER: Final = 0xC0
_PLAIN: Final = frozenset(b"abcdefghijklmnopqrstuvwxyz0123456789-_")
_PLAIN_DOTTED: Final = _PLAIN | frozenset(b".")


class Type(IntEnum):
    """The record types that matter (RFC 1035 3.2.2, RFC 3596)."""

    A = 1
    NS = 2
    CNAME = 5
    SOA = 6
    MX = 15
    AAAA = 28


class Mx(NamedTuple):
    """One MX record; the null MX (RFC 7505) has the empty name."""

    preference: int
    host: str


class Found(NamedTuple):
    """Records of the type asked for: `Mx`, or packed addresses (4 or 16 octets)."""

    values: tuple[Mx | bytes, ...]
    ttl: float
    """Seconds: the least of the records and of the aliases that led to them."""


class Missing(NamedTuple):
    """There are none, and the server is sure of it."""

    exists: bool
    """The name is there (NODATA); False: it is not (NXDOMAIN)."""
    ttl: float
    """Seconds, by RFC 2308 5; 0 if the server did not say."""


class Failed(NamedTuple):
    """The server has no answer; `detail` is its response code, or what was wrong with it."""

    detail: str


class Truncated(NamedTuple):
    """The answer does not fit: ask again over TCP."""


class Alias(NamedTuple):
    """The name stands for another one, on which the server says nothing yet: ask for that."""

    target: str


Answer: TypeAlias = Found | Missing | Failed
Reply: TypeAlias = Answer | Alias | Truncated


class WireError(Exception):
    """These octets are no reply to this question: garbage, forged, or late."""


def question(name: str, kind: Type, identity: int) -> bytes:
    """Return the query for an absolute name in A-labels; ValueError if it cannot be asked."""
    octets = bytearray(_HEADER.pack(identity, _RECURSION, 1, 0, 0, 1))
    for label in name.encode("ascii").split(b"."):
        if not 0 < len(label) < 64 or not _PLAIN.issuperset(label):  # noqa: PLR2004 RFC 1035 2.3.4
            raise ValueError(name)
        octets.append(len(label))
        octets += label
    octets += struct.pack("!BHH", 0, kind, _INTERNET)
    if len(octets) - _HEADER.size - 4 > NAME_LIMIT:
        raise ValueError(name)
    return bytes(octets) + _OPT


def answer(octets: bytes, asked: bytes) -> Reply:
    """Return what a reply says to the query `asked`; WireError if it is not a reply to it."""
    try:
        return _answer(octets, asked)
    except (IndexError, struct.error) as error:
        raise WireError from error


def _answer(octets: bytes, asked: bytes) -> Reply:
    _, flags, questions, answers, authorities, _ = _HEADER.unpack_from(octets)
    if octets[:2] != asked[:2] or not flags & _RESPONSE:
        raise WireError
    rcode = flags & 0xF
    end = len(asked) - len(_OPT)
    same = questions == 1 and octets[12:end].lower() == asked[12:end].lower()
    if rcode not in {_NOERROR, _NXDOMAIN}:
        # a server that does not understand may leave the question out
        if questions and not same:
            raise WireError
        return Failed(_RCODES.get(rcode, f"RCODE {rcode}"))
    if not same:
        raise WireError
    if flags & _TRUNCATED:
        return Truncated()
    return _read(octets, end, rcode, answers, authorities)


class _Record(NamedTuple):
    owner: str
    kind: int
    ttl: int
    start: int
    """Where the data begins, and `end` where it ends."""
    end: int


def _read(octets: bytes, start: int, rcode: int, answers: int, authorities: int) -> Answer | Alias:
    """Follow the aliases from the name asked for to its records, or to their absence."""
    asked, position = _name(octets, _HEADER.size)
    owner = asked
    wanted, _ = struct.unpack_from("!HH", octets, position)
    records, position = _records(octets, start, answers)
    ttl = float("inf")
    for _ in range(ALIAS_LIMIT):
        found = [record for record in records if record.kind == wanted and record.owner == owner]
        if found:
            ttl = min(ttl, *(record.ttl for record in found))
            return Found(tuple(_value(octets, record) for record in found), ttl)
        alias = next((r for r in records if r.kind == Type.CNAME and r.owner == owner), None)
        if alias is None:
            break
        ttl = min(ttl, alias.ttl)
        owner, _ = _name(octets, alias.start)
    else:
        return Failed("chain of aliases without end")
    absence = _absence(octets, position, rcode, authorities, ttl)
    if owner != asked and absence == Missing(exists=True, ttl=0):
        return Alias(owner)
    return absence


def _absence(octets: bytes, start: int, rcode: int, authorities: int, ttl: float) -> Answer:
    """Read what the authority section says of a name or type that is not there (RFC 2308)."""
    records, _ = _records(octets, start, authorities)
    kinds = {record.kind: record for record in records}
    soa = kinds.get(Type.SOA)
    if soa is not None:
        (minimum,) = struct.unpack_from("!I", octets, soa.end - 4)
        return Missing(rcode == _NOERROR, min(ttl, soa.ttl, minimum))
    if rcode == _NOERROR and Type.NS in kinds:
        # a referral (RFC 2308 2.2): this server does not resolve for us
        return Failed("a referral in place of an answer")
    return Missing(rcode == _NOERROR, 0)


def _records(octets: bytes, position: int, count: int) -> tuple[list[_Record], int]:
    """Read the fixed parts of `count` records; returns them and where the next section begins."""
    records = []
    for _ in range(count):
        owner, position = _name(octets, position)
        kind, category, ttl, length = _RECORD.unpack_from(octets, position)
        position += _RECORD.size
        if position + length > len(octets):
            raise WireError
        if category == _INTERNET:
            # RFC 2181 8: a TTL with the top bit set counts as 0
            ttl = ttl if ttl < 1 << 31 else 0
            records.append(_Record(owner, kind, ttl, position, position + length))
        position += length
    return records, position


def _value(octets: bytes, record: _Record) -> Mx | bytes:
    """Return the data of a record that was asked for."""
    if record.kind == Type.MX:
        (preference,) = struct.unpack_from("!H", octets, record.start)
        return Mx(preference, _name(octets, record.start + 2)[0])
    packed = octets[record.start : record.end]
    if len(packed) != (4 if record.kind == Type.A else 16):
        raise WireError
    return packed


def _name(octets: bytes, position: int) -> tuple[str, int]:
    """Return the name at `position`, lower case, without the final dot, and where it ends.

    Octets that no host name has are escaped as in master files (RFC 1035 5.1), so that no label
    can pass for two.
    """
    labels = []
    size = 0
    after = None
    while length := octets[position]:
        if length >= _POINTER:
            target = (length & ~_POINTER) << 8 | octets[position + 1]
            after = position + 2 if after is None else after
            # RFC 1035 4.1.4: to a prior occurrence; so every chain of pointers ends
            if target >= position:
                raise WireError
            position = target
            continue
        size += length + 1
        if length > 63 or size >= NAME_LIMIT:  # noqa: PLR2004 RFC 1035 2.3.4
            raise WireError
        label = octets[position + 1 : position + 1 + length].lower()
        if len(label) < length:
            raise WireError
        labels.append(label)
        position += length + 1
    return _text(labels), position + 1 if after is None else after


def _text(labels: list[bytes]) -> str:
    name = b".".join(labels)
    if _PLAIN_DOTTED.issuperset(name) and name.count(b".") == max(len(labels) - 1, 0):
        return name.decode("ascii")
    return ".".join(
        "".join(chr(octet) if octet in _PLAIN else f"\\{octet:03}" for octet in label)
        for label in labels
    )
