"""Our reading of DNS messages and dnspython's never disagree; no octets do any harm."""

import contextlib

import dns.flags
import dns.message
import dns.rcode
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
KINDS = st.sampled_from([Type.A, Type.AAAA, Type.MX])
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


@given(NAMES, TTLS, st.lists(IPV4, min_size=1, max_size=30, unique=True))
def test_addresses(name: str, ttl: int, addresses: list[str]) -> None:
    asked = question(name.lower(), Type.A, 7)
    reply = dns.message.make_response(dns.message.from_wire(asked))
    reply.answer.append(record(name, ttl, "A", *addresses))
    said = answer(reply.to_wire(), asked)
    packed = [bytes(map(int, each.split("."))) for each in addresses]
    assert isinstance(said, Found)
    assert (set(said.values), said.ttl) == (set(packed), ttl)


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
    asked = question("a.test", Type.MX, 7)
    for reply in (octets, asked[:2] + b"\x81\x80" + octets, _reply_with(octets)):
        with contextlib.suppress(WireError):
            said = answer(reply, asked)
            assert isinstance(said, (Found, Missing, Failed, Truncated, Alias))


@given(st.data())
def test_a_reply_with_one_octet_changed_does_no_harm(data: st.DataObject) -> None:
    asked = question("a.test", Type.MX, 7)
    reply = dns.message.make_response(dns.message.from_wire(asked))
    reply.answer.append(record("a.test", 60, "MX", "10 mx.a.test.", "20 mx.b.test."))
    octets = bytearray(reply.to_wire())
    octets[data.draw(st.integers(0, len(octets) - 1))] = data.draw(st.integers(0, 255))
    with contextlib.suppress(WireError):
        answer(bytes(octets), asked)


def _reply_with(octets: bytes) -> bytes:
    """A reply to a.test MX with `octets` where one answer should be."""
    asked = question("a.test", Type.MX, 7)
    end = len(asked) - 11
    return asked[:2] + b"\x81\x80\x00\x01\x00\x01\x00\x00\x00\x00" + asked[12:end] + octets
