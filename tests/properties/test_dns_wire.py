"""The DNS parser agrees with dnspython, and any octets give a result or its own error."""

import contextlib
import ipaddress
from typing import Any

import dns.flags
import dns.message
import dns.name
import dns.rcode
import dns.rdatatype
import dns.rrset
from hypothesis import example, given
from hypothesis import strategies as st

from validators.dns.wire import (
    Alias,
    Failed,
    Found,
    Missing,
    Mx,
    Truncated,
    Type,
    WireError,
    answer,
    question,
)

NAMES = st.lists(st.text("abcXYZ019-_", min_size=1, max_size=10), min_size=1, max_size=4).map(
    lambda labels: ".".join([*labels, "test"])
)
KINDS = st.sampled_from([Type.A, Type.AAAA, Type.MX, Type.TXT, Type.NS, Type.PTR])
TTLS = st.integers(0, 2**31 - 1)
IPV4 = st.ip_addresses(v=4).map(str)
IPV6 = st.ip_addresses(v=6).map(str)


def record(name: str, ttl: int, kind: str, *data: str) -> dns.rrset.RRset:
    return dns.rrset.from_text(f"{name}.", ttl, "IN", kind, *data)


@given(NAMES, KINDS, st.integers(0, 65535))
def test_dnspython_reads_our_question(name: str, kind: Type, identity: int) -> None:
    message = dns.message.from_wire(question(name.lower(), kind, identity))
    assert message.id == identity
    assert message.flags == dns.flags.RD
    assert (message.edns, message.payload) == (0, 1232)
    assert message.question[0].to_text() == f"{name.lower()}. IN {kind.name}"


STRINGS = st.lists(st.binary(max_size=255), min_size=1, max_size=4)
DATA = {
    Type.A: IPV4,
    Type.AAAA: IPV6,
    Type.MX: st.builds("{} {}.".format, st.integers(0, 65535), NAMES),
    Type.NS: NAMES.map("{}.".format),
    Type.PTR: NAMES.map("{}.".format),
    Type.TXT: STRINGS.map(
        lambda strings: " ".join(
            '"' + "".join(f"\\{octet:03}" for octet in string) + '"' for string in strings
        )
    ),
}


def value(data: Any) -> Mx | bytes | str:  # noqa: ANN401 dnspython has a class for each type
    """Return the value that the parser should give for a record of dnspython."""
    match data.rdtype:
        case dns.rdatatype.A | dns.rdatatype.AAAA:
            return ipaddress.ip_address(data.address).packed
        case dns.rdatatype.MX:
            return Mx(data.preference, _plain(data.exchange))
        case dns.rdatatype.TXT:
            return b"".join(data.strings)
    return _plain(data.target)


def _plain(name: dns.name.Name) -> str:
    return name.to_text(omit_final_dot=True).lower()


@given(st.data(), NAMES, KINDS, TTLS)
def test_both_read_the_same_records(data: st.DataObject, name: str, kind: Type, ttl: int) -> None:
    asked = question(name.lower(), kind, 7)
    records = data.draw(st.lists(DATA[kind], min_size=1, max_size=20))
    reply = dns.message.make_response(dns.message.from_wire(asked))
    reply.answer.append(record(name, ttl, kind.name, *records))
    octets = reply.to_wire()
    said = answer(octets, asked)
    (theirs,) = dns.message.from_wire(octets).answer
    assert isinstance(said, Found)
    assert (set(said.values), said.ttl) == ({value(each) for each in theirs}, theirs.ttl)


@given(NAMES, st.lists(st.tuples(st.integers(0, 65535), NAMES), min_size=1, max_size=20), TTLS)
def test_mail_exchangers_behind_aliases(
    name: str, exchangers: list[tuple[int, str]], ttl: int
) -> None:
    asked = question("start.test", Type.MX, 7)
    reply = dns.message.make_response(dns.message.from_wire(asked))
    reply.answer.append(record("start.test", 600, "CNAME", f"x.{name}."))
    data = [f"{preference} {host}." for preference, host in exchangers]
    reply.answer.append(record(f"x.{name}", ttl, "MX", *data))
    said = answer(reply.to_wire(), asked)
    assert isinstance(said, Found)
    assert set(said.values) == {Mx(preference, host.lower()) for preference, host in exchangers}
    assert said.ttl == min(600, ttl)


@given(name=NAMES, ttl=TTLS, minimum=TTLS, exists=st.booleans())
def test_absence(name: str, ttl: int, minimum: int, *, exists: bool) -> None:
    asked = question(name.lower(), Type.AAAA, 7)
    reply = dns.message.make_response(dns.message.from_wire(asked))
    reply.set_rcode(dns.rcode.NOERROR if exists else dns.rcode.NXDOMAIN)
    reply.authority.append(record("test", ttl, "SOA", f"ns.test. mail.test. 1 2 3 4 {minimum}"))
    assert answer(reply.to_wire(), asked) == Missing(exists, min(ttl, minimum))


@given(st.binary(max_size=600))
@example(b"")
@example(b"\x00\x07\x81\x80" + b"\xff" * 8)
def test_any_octets_give_an_answer_or_a_wire_error(octets: bytes) -> None:
    for kind in DATA:
        asked = question("a.test", kind, 7)
        for reply in (octets, asked[:2] + b"\x81\x80" + octets, _reply_with(octets, asked)):
            with contextlib.suppress(WireError):
                said = answer(reply, asked)
                assert isinstance(said, (Found, Missing, Failed, Truncated, Alias))


@given(st.data(), KINDS)
def test_a_reply_with_one_octet_changed_does_no_harm(data: st.DataObject, kind: Type) -> None:
    asked = question("a.test", kind, 7)
    reply = dns.message.make_response(dns.message.from_wire(asked))
    records = data.draw(st.lists(DATA[kind], min_size=1, max_size=3))
    reply.answer.append(record("a.test", 60, kind.name, *records))
    octets = bytearray(reply.to_wire())
    octets[data.draw(st.integers(0, len(octets) - 1))] = data.draw(st.integers(0, 255))
    with contextlib.suppress(WireError):
        answer(bytes(octets), asked)


def _reply_with(octets: bytes, asked: bytes) -> bytes:
    """Return a reply to `asked` with `octets` in place of one record."""
    end = len(asked) - 11
    return asked[:2] + b"\x81\x80\x00\x01\x00\x01\x00\x00\x00\x00" + asked[12:end] + octets
