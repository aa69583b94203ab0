"""Writes DNS queries and reads their replies (RFC 1035 4), for the record types presend asks for.

docs/decisions/dns-on-the-wire.md says why this is not left to a library. The property tests
compare it with dnspython. docs/decisions/doubtful-dns.md lists the replies that are not believed.
"""

import struct
from enum import IntEnum
from typing import Final, NamedTuple, TypeAlias

PAYLOAD: Final = 1232
"""Largest UDP payload accepted, in octets (RFC 6891): it avoids fragments (DNS flag day 2020)."""
NAME_LIMIT: Final = 255
ALIAS_LIMIT: Final = 16
"""Most CNAMEs followed, in one reply and from query to query."""
RECORD_LIMIT: Final = 1000
"""Most records in a section. No mail host needs more, and each costs time in the event loop."""
POINTER_LIMIT: Final = 16
"""Most compression pointers in a name. Servers write one; a reply made of long chains of pointers
would block the event loop for seconds."""

_HEADER: Final = struct.Struct("!HHHHHH")
_RECORD: Final = struct.Struct("!HHIH")
_OPT: Final = struct.pack("!BHHIH", 0, 41, PAYLOAD, 0, 0)
_RESPONSE, _OPCODE, _TRUNCATED, _RECURSION = 0x8000, 0x7800, 0x0200, 0x0100
_NOERROR, _FORMERR, _NXDOMAIN, _NOTIMP = 0, 1, 3, 4
_ADDITIONAL: Final = 10
"""Position of the number of additional records in a message."""
_QUESTION_TAIL: Final = 4
"""Octets of type and class behind the name in a question."""
_SHORTEST_SOA: Final = 22
"""Octets of an SOA record with two names of the root (RFC 1035 3.3.13)."""
_LETTERS: Final = bytes(0x20 if bytes([octet]).isalpha() else 0 for octet in range(256))
"""Translates an octet to the bit that distinguishes the cases of an ASCII letter, or to 0."""
_RCODES: Final = {1: "FORMERR", 2: "SERVFAIL", 4: "NOTIMP", 5: "REFUSED"}
_INTERNET: Final = 1
_POINTER: Final = 0xC0
_BESIDE_ANSWERS: Final = frozenset({39, 46})
"""DNAME and RRSIG, which may stand beside the aliases in an answer (RFC 6672 3.1, RFC 4035 3.1)."""
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
    doubtful: bool = False
    """True if the reply holds no SOA record: a middlebox may have made it up."""


class Failed(NamedTuple):
    """There is no answer; `detail` is the response code, or the reason in words."""

    detail: str


class Truncated(NamedTuple):
    """The reply does not fit into a datagram: the query has to be repeated over TCP."""


class Implausible(NamedTuple):
    """The reply contradicts itself or does not belong to the question; `detail` says how."""

    detail: str


class OtherCase(NamedTuple):
    """The server did not keep the case of the letters in the question: ask in lower case."""


class NoEdns(NamedTuple):
    """The server may not know EDNS (RFC 6891 7): ask without it. `detail` is the response code."""

    detail: str


class Alias(NamedTuple):
    """The name is an alias, and the reply does not resolve its target: ask for that."""

    target: str


Answer: TypeAlias = Found | Missing | Failed
Said: TypeAlias = Answer | Alias | Implausible
Reply: TypeAlias = Said | Truncated | OtherCase | NoEdns


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


def vary(query: bytes, identity: int, bits: int) -> bytes:
    """Return a query with another ID, and with letters of its name in upper case where `bits` are.

    A server copies the question into its reply, so a forger has to guess the cases too
    (draft-vixie-dnsext-dns0x20).
    """
    end = len(query) - len(_OPT) - _QUESTION_TAIL
    name = query[_HEADER.size : end]
    letters = int.from_bytes(name.translate(_LETTERS), "big")
    varied = int.from_bytes(name, "big") ^ letters & bits
    head = identity.to_bytes(2, "big") + query[2 : _HEADER.size]
    return head + varied.to_bytes(len(name), "big") + query[end:]


def without_edns(query: bytes) -> bytes:
    """Return a query without its OPT record."""
    return query[:_ADDITIONAL] + bytes(2) + query[_HEADER.size : -len(_OPT)]


def answer(octets: bytes, asked: bytes) -> Reply:
    """Read the reply to the query `asked`. WireError if it is not a reply to that query."""
    try:
        return _answer(octets, asked)
    except (IndexError, struct.error) as error:
        raise WireError from error


def _answer(octets: bytes, asked: bytes) -> Reply:
    _, flags, questions, answers, authorities, _ = _HEADER.unpack_from(octets)
    if octets[:2] != asked[:2] or not flags & _RESPONSE or flags & _OPCODE:
        raise WireError
    rcode = flags & 0xF
    edns = asked[_ADDITIONAL + 1]
    end = len(asked) - (len(_OPT) if edns else 0)
    sent, back = asked[_HEADER.size : end], octets[_HEADER.size : end]
    same = questions == 1 and back.lower() == sent.lower()
    if rcode not in {_NOERROR, _NXDOMAIN}:
        # a server that cannot parse the query may leave the question out of its reply
        if questions and not same:
            raise WireError
        code = _RCODES.get(rcode, f"RCODE {rcode}")
        return NoEdns(code) if edns and rcode in {_FORMERR, _NOTIMP} else Failed(code)
    if not same:
        raise WireError
    if back != sent and sent != sent.lower():
        return OtherCase()
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


def _read(octets: bytes, start: int, rcode: int, answers: int, authorities: int) -> Said:
    """Follow the aliases from the name that was asked for to the records, if there are any."""
    asked, position = _name(octets, _HEADER.size)
    owner = asked
    wanted, _ = struct.unpack_from("!HH", octets, position)
    records, position = _records(octets, start, answers)
    followed = {asked}
    ttl = float("inf")
    for _ in range(ALIAS_LIMIT):
        found = [record for record in records if record.kind == wanted and record.owner == owner]
        if found:
            if rcode == _NXDOMAIN:
                return Implausible("records of a name that does not exist")
            ttl = min(ttl, *(record.ttl for record in found))
            # RFC 2181 5: a set has no duplicates
            return Found(tuple(dict.fromkeys(_value(octets, record) for record in found)), ttl)
        alias = next((r for r in records if r.kind == Type.CNAME and r.owner == owner), None)
        if alias is None:
            break
        ttl = min(ttl, alias.ttl)
        owner, _ = _name(octets, alias.start)
        followed.add(owner)
    else:
        return Failed("chain of aliases without end")
    if any(not _is_alias(record, followed) for record in records):
        return Implausible("an answer with other records than those asked for")
    absence = _absence(octets, position, rcode, authorities, _End(owner, ttl))
    sound = isinstance(absence, Failed) or (isinstance(absence, Missing) and not absence.doubtful)
    return Alias(owner) if owner != asked and rcode == _NOERROR and not sound else absence


class _End(NamedTuple):
    """The name at the end of a chain of aliases, and the least TTL of the aliases."""

    owner: str
    ttl: float


def _is_alias(record: _Record, followed: set[str]) -> bool:
    """Return whether a record belongs to the chain of aliases from the name that was asked for."""
    if record.kind == Type.CNAME:
        return record.owner in followed
    return record.kind in _BESIDE_ANSWERS


def _absence(
    octets: bytes, start: int, rcode: int, authorities: int, end: _End
) -> Missing | Failed | Implausible:
    """Read a negative answer from the authority section (RFC 2308 2)."""
    records, _ = _records(octets, start, authorities)
    kinds = {record.kind: record for record in records}
    exists = rcode == _NOERROR
    soa = kinds.get(Type.SOA)
    if soa is not None:
        if soa.owner and not f".{end.owner}".endswith(f".{soa.owner}"):
            return Implausible("an SOA record of another zone")
        if soa.end - soa.start < _SHORTEST_SOA:
            raise WireError
        (minimum,) = struct.unpack_from("!I", octets, soa.end - 4)
        return Missing(exists, min(end.ttl, soa.ttl, minimum))
    if exists and Type.NS in kinds:
        # a referral (RFC 2308 2.2): the server is not recursive, or not for this client
        return Failed("a referral in place of an answer")
    return Missing(exists, 0, doubtful=True)


def _records(octets: bytes, position: int, count: int) -> tuple[list[_Record], int]:
    """Read `count` records of a section; returns them and the position after the section."""
    if count > RECORD_LIMIT:
        raise WireError
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
    size = pointers = 0
    after = None
    while length := octets[position]:
        if length >= _POINTER:
            target = (length & ~_POINTER) << 8 | octets[position + 1]
            after = position + 2 if after is None else after
            # RFC 1035 4.1.4 allows only pointers to a prior position, so every chain of them ends
            pointers += 1
            if target >= position or pointers > POINTER_LIMIT:
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
