"""Writes DNS queries and reads their replies (RFC 1035 4), for the record types presend asks for.

docs/decisions/dns-on-the-wire.md says why this is not left to a library. The property tests
compare it with dnspython.
"""

import struct
from enum import IntEnum
from typing import Final, NamedTuple, TypeAlias

PAYLOAD: Final = 1232
"""Largest UDP payload accepted, in octets (RFC 6891): it avoids fragments (DNS flag day 2020)."""
NAME_LIMIT: Final = 255
ALIAS_LIMIT: Final = 16
"""Most CNAMEs followed, in one reply and from query to query."""

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
    """Record types (RFC 1035 3.2.2, RFC 3596). CNAME and SOA are read, but not asked for."""

    A = 1
    NS = 2
    CNAME = 5
    SOA = 6
    PTR = 12
    MX = 15
    TXT = 16
    AAAA = 28


class Mx(NamedTuple):
    """One MX record. The host of a null MX (RFC 7505) is the empty name."""

    preference: int
    host: str


class Found(NamedTuple):
    """The records of the type that was asked for.

    A and AAAA: packed addresses of 4 or 16 octets. TXT: octets, with the character-strings of a
    record joined (as RFC 7208 3.3). MX: `Mx`. NS and PTR: names, lower case, without final dot.
    """

    values: tuple[Mx | bytes | str, ...]
    ttl: float
    """Seconds: the least TTL of the records and of the aliases that lead to them."""


class Missing(NamedTuple):
    """The server knows that there are no such records."""

    exists: bool
    """True if the name has other records (NODATA), False if it does not exist (NXDOMAIN)."""
    ttl: float
    """Seconds (RFC 2308 5); 0 if the reply holds no SOA record."""


class Failed(NamedTuple):
    """There is no answer; `detail` is the response code, or the reason in words."""

    detail: str


class Truncated(NamedTuple):
    """The reply does not fit into a datagram: the query has to be repeated over TCP."""


class Alias(NamedTuple):
    """The name is an alias, and the reply does not resolve its target: ask for that."""

    target: str


Answer: TypeAlias = Found | Missing | Failed
Reply: TypeAlias = Answer | Alias | Truncated


class WireError(Exception):
    """The octets are not a reply to this query: malformed, forged, or late."""


def question(name: str, kind: Type, identity: int) -> bytes:
    """Return a query for an absolute name in A-labels. ValueError if it is no name to ask for."""
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
    """Read the reply to the query `asked`. WireError if it is not a reply to that query."""
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
        # a server that cannot parse the query may leave the question out of its reply
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
    """Position of the first octet of the data."""
    end: int
    """Position after the last octet of the data."""


def _read(octets: bytes, start: int, rcode: int, answers: int, authorities: int) -> Answer | Alias:
    """Follow the aliases from the name that was asked for to the records, if there are any."""
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
    """Read a negative answer from the authority section (RFC 2308)."""
    records, _ = _records(octets, start, authorities)
    kinds = {record.kind: record for record in records}
    soa = kinds.get(Type.SOA)
    if soa is not None:
        (minimum,) = struct.unpack_from("!I", octets, soa.end - 4)
        return Missing(rcode == _NOERROR, min(ttl, soa.ttl, minimum))
    if rcode == _NOERROR and Type.NS in kinds:
        # a referral (RFC 2308 2.2): the server is not recursive, or not for this client
        return Failed("a referral in place of an answer")
    return Missing(rcode == _NOERROR, 0)


def _records(octets: bytes, position: int, count: int) -> tuple[list[_Record], int]:
    """Read `count` records of a section; returns them and the position after the section."""
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


def _value(octets: bytes, record: _Record) -> Mx | bytes | str:
    """Return the data of a record of the type that was asked for."""
    if record.kind == Type.MX:
        (preference,) = struct.unpack_from("!H", octets, record.start)
        return Mx(preference, _name(octets, record.start + 2)[0])
    if record.kind in {Type.NS, Type.PTR}:
        return _name(octets, record.start)[0]
    data = octets[record.start : record.end]
    if record.kind == Type.TXT:
        return _character_strings(data)
    if len(data) != (4 if record.kind == Type.A else 16):
        raise WireError
    return data


def _character_strings(data: bytes) -> bytes:
    """Return the character-strings of a TXT record, joined (RFC 1035 3.3.14)."""
    parts = []
    position = 0
    while position < len(data):
        end = position + 1 + data[position]
        parts.append(data[position + 1 : end])
        position = end
    if position != len(data) or not parts:
        raise WireError
    return b"".join(parts)


def _name(octets: bytes, position: int) -> tuple[str, int]:
    """Return the name at `position`, lower case, without final dot, and the position after it.

    Octets that do not occur in host names are escaped as in master files (RFC 1035 5.1): a dot
    inside a label must not look like the end of a label.
    """
    labels = []
    size = 0
    after = None
    while length := octets[position]:
        if length >= _POINTER:
            target = (length & ~_POINTER) << 8 | octets[position + 1]
            after = position + 2 if after is None else after
            # RFC 1035 4.1.4 allows only pointers to a prior position, so every chain of them ends
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
