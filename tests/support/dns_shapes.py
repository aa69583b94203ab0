"""Every shape of reply that a name server, a middlebox or a forger may send, and what it is worth.

The first label of a domain under example names the shape of all replies about it. The table is that
of docs/decisions/doubtful-dns.md.
"""

import struct
from collections.abc import Callable
from typing import Final, NamedTuple

import dns.flags
import dns.message
import dns.opcode
import dns.rcode
import dns.rdataclass
import dns.rdatatype
import dns.rrset

from validators.verdict import Reason

Builder = Callable[[dns.message.Message, bool], bytes | None]

SOA = "example. 60 SOA ns.example. mail.example. 1 2 3 4 60"
GOOD = "60 MX 10 mx.good.example."
NXDOMAIN = dns.rcode.NXDOMAIN


class Shape(NamedTuple):
    """A shape of reply; `reason` is what a recipient is answered for, None if it is accepted."""

    build: Builder
    reason: Reason | None
    vouched: Reason | None
    """The same if canaries show that the server knows domains that exist."""


def record(text: str) -> dns.rrset.RRset:
    """Return the record of a line `name ttl type data`."""
    name, ttl, kind, data = text.split(" ", 3)
    return dns.rrset.from_text(name, int(ttl), "IN", kind, data)


def reply(
    query: dns.message.Message,
    *answers: str,
    authority: tuple[str, ...] = (),
    rcode: dns.rcode.Rcode = dns.rcode.NOERROR,
) -> dns.message.Message:
    """Return a reply. In a record, `@` is the name that was asked for."""
    made = dns.message.make_response(query, recursion_available=True)
    made.set_rcode(rcode)
    name = query.question[0].name.to_text()
    made.answer = [record(line.replace("@", name)) for line in answers]
    made.authority = [record(line.replace("@", name)) for line in authority]
    return made


def _plain(
    *answers: str,
    authority: tuple[str, ...] = (),
    rcode: dns.rcode.Rcode = dns.rcode.NOERROR,
) -> Builder:
    return lambda query, _: reply(query, *answers, authority=authority, rcode=rcode).to_wire()


def _truncated(over_tcp: Builder) -> Builder:
    """Truncate the reply over UDP, and build that over TCP."""

    def build(query: dns.message.Message, tcp: bool) -> bytes | None:  # noqa: FBT001
        if tcp:
            return over_tcp(query, tcp)
        made = reply(query)
        made.flags |= dns.flags.TC
        return made.to_wire()

    return build


def _other_question(query: dns.message.Message, _: bool) -> bytes:  # noqa: FBT001
    made = reply(query, f"other.example. {GOOD}")
    made.question = dns.message.make_query("other.example.", "MX").question
    return made.to_wire()


def _other_opcode(query: dns.message.Message, _: bool) -> bytes:  # noqa: FBT001
    made = reply(query, f"@ {GOOD}")
    made.set_opcode(dns.opcode.NOTIFY)
    return made.to_wire()


def _other_class(query: dns.message.Message, _: bool) -> bytes:  # noqa: FBT001
    made = reply(query, f"@ {GOOD}", authority=(SOA,))
    made.answer[0].rdclass = dns.rdataclass.CH
    return made.to_wire()


def _lower_case(query: dns.message.Message, _: bool) -> bytes:  # noqa: FBT001
    octets = reply(query, f"@ {GOOD}").to_wire()
    end = 12 + len(query.question[0].name.to_wire())  # type: ignore[arg-type]
    return octets[:12] + octets[12:end].lower() + octets[end:]


def _without_edns(rcode: dns.rcode.Rcode) -> Builder:
    """Refuse EDNS, and answer a query without it."""
    return lambda query, _: (
        reply(query, rcode=rcode) if query.edns >= 0 else reply(query, f"@ {GOOD}")
    ).to_wire()


def _raw(count: int, body: bytes) -> Builder:
    """Return a reply that announces `count` answers; `body` is what follows the question."""

    def build(query: dns.message.Message, _: bool) -> bytes:  # noqa: FBT001
        made = dns.message.make_response(query)
        made.use_edns(False)  # noqa: FBT003
        octets = made.to_wire()
        return octets[:6] + struct.pack("!HHH", count, 0, 0) + octets[12:] + body

    return build


def _bomb(query: dns.message.Message, tcp: bool) -> bytes | None:  # noqa: FBT001
    """Fill a message with names that are chains of thousands of compression pointers."""
    start = 12 + len(query.question[0].name.to_wire()) + 4  # type: ignore[arg-type]
    pointers = 8000 - start // 2
    chain = b"".join(
        struct.pack("!H", 0xC000 | (12 if n == 0 else start + 10 + 2 * n)) for n in range(pointers)
    )
    # a TXT record that holds the chain, and MX records whose owners are the end of the chain
    holder = b"\xc0\x0c" + struct.pack("!HHIH", 16, 1, 60, len(chain)) + chain
    last = struct.pack("!H", 0xC000 | (start + 10 + 2 * (pointers - 1)))
    owned = last + struct.pack("!HHIH", 15, 1, 60, 4) + b"\0\x0a" + last
    number = (64_000 - len(holder)) // len(owned)
    return _raw(number + 1, holder + owned * number)(query, tcp)


_UNKNOWN: Final = Reason.DNS_UNAVAILABLE
SHAPES: Final = {
    # replies that are believed
    "good": Shape(_plain(f"@ {GOOD}"), None, None),
    "duplicates": Shape(_plain(*[f"@ {GOOD}"] * 3), None, None),
    "zero-ttl": Shape(_plain(f"@ {GOOD.replace('60', '0')}"), None, None),
    "nxdomain": Shape(_plain(authority=(SOA,), rcode=NXDOMAIN), Reason.NO_DOMAIN, Reason.NO_DOMAIN),
    "nodata": Shape(_plain(authority=(SOA,)), Reason.NO_MAIL_HOST, Reason.NO_MAIL_HOST),
    "nodata-own-soa": Shape(
        _plain(authority=(SOA.replace("example.", "@", 1),)),
        Reason.NO_MAIL_HOST,
        Reason.NO_MAIL_HOST,
    ),
    "alias-to-nothing": Shape(
        _plain("@ 60 CNAME gone.example.", authority=(SOA,), rcode=NXDOMAIN),
        Reason.NO_DOMAIN,
        Reason.NO_DOMAIN,
    ),
    "alias-without-target": Shape(_plain("@ 60 CNAME good.example."), None, None),
    "lower-case": Shape(_lower_case, None, None),
    "formerr-to-edns": Shape(_without_edns(dns.rcode.FORMERR), None, None),
    "notimp-to-edns": Shape(_without_edns(dns.rcode.NOTIMP), None, None),
    "truncated": Shape(_truncated(_plain(f"@ {GOOD}")), None, None),
    # negative replies without an SOA record
    "nxdomain-bare": Shape(_plain(rcode=NXDOMAIN), _UNKNOWN, Reason.NO_DOMAIN),
    "nxdomain-ns": Shape(
        _plain(authority=("example. 60 NS ns.example.",), rcode=NXDOMAIN),
        _UNKNOWN,
        Reason.NO_DOMAIN,
    ),
    "nodata-bare": Shape(_plain(), _UNKNOWN, _UNKNOWN),
    # replies that contradict themselves or belong to something else
    "other-owner": Shape(_plain(f"other.example. {GOOD}"), _UNKNOWN, _UNKNOWN),
    "other-owner-soa": Shape(
        _plain(f"other.example. {GOOD}", authority=(SOA,)), _UNKNOWN, _UNKNOWN
    ),
    "other-type": Shape(_plain("@ 60 PTR x.example."), _UNKNOWN, _UNKNOWN),
    "other-soa": Shape(
        _plain(authority=(SOA.replace("example.", "other.", 1),)), _UNKNOWN, _UNKNOWN
    ),
    "nxdomain-other-soa": Shape(
        _plain(authority=(SOA.replace("example.", "ample.", 1),), rcode=NXDOMAIN),
        _UNKNOWN,
        _UNKNOWN,
    ),
    "nxdomain-with-records": Shape(
        _plain(f"@ {GOOD}", authority=(SOA,), rcode=NXDOMAIN), _UNKNOWN, _UNKNOWN
    ),
    "truncated-other-type": Shape(_truncated(_plain("@ 60 TXT x")), _UNKNOWN, _UNKNOWN),
    "truncated-other-owner": Shape(
        _truncated(_plain(f"other.example. {GOOD}")), _UNKNOWN, _UNKNOWN
    ),
    "truncated-bare": Shape(_truncated(_plain()), _UNKNOWN, _UNKNOWN),
    "truncated-closed": Shape(_truncated(lambda _query, _tcp: None), _UNKNOWN, _UNKNOWN),
    "truncated-empty": Shape(_truncated(lambda _query, _tcp: b""), _UNKNOWN, _UNKNOWN),
    "truncated-twice": Shape(
        _truncated(lambda query, _: _truncated(_plain())(query, False)),  # noqa: FBT003
        _UNKNOWN,
        _UNKNOWN,
    ),
    "alias-circle": Shape(
        _plain("@ 60 CNAME a.example.", "a.example. 60 CNAME @"), _UNKNOWN, _UNKNOWN
    ),
    "alias-to-itself": Shape(_plain("@ 60 CNAME @"), _UNKNOWN, _UNKNOWN),
    # no answers
    "referral": Shape(_plain(authority=("example. 60 NS ns.example.",)), _UNKNOWN, _UNKNOWN),
    "servfail": Shape(_plain(rcode=dns.rcode.SERVFAIL), _UNKNOWN, _UNKNOWN),
    "refused": Shape(_plain(rcode=dns.rcode.REFUSED), _UNKNOWN, _UNKNOWN),
    "formerr": Shape(_plain(rcode=dns.rcode.FORMERR), _UNKNOWN, _UNKNOWN),
    "notimp": Shape(_plain(rcode=dns.rcode.NOTIMP), _UNKNOWN, _UNKNOWN),
    # no replies to the question: ignored over UDP, where a forger may have sent them
    "silence": Shape(lambda _query, _tcp: None, _UNKNOWN, _UNKNOWN),
    "other-question": Shape(_other_question, _UNKNOWN, _UNKNOWN),
    "other-opcode": Shape(_other_opcode, _UNKNOWN, _UNKNOWN),
    "pointer-loop": Shape(_raw(1, b"\xc0\x40"), _UNKNOWN, _UNKNOWN),
    "records-missing": Shape(_raw(9, b""), _UNKNOWN, _UNKNOWN),
    "too-many-records": Shape(
        _truncated(_raw(4000, b"\xc0\x0c\0\x0f\0\1\0\0\0\x3c\0\x04\0\x0a\xc0\x0c" * 4000)),
        _UNKNOWN,
        _UNKNOWN,
    ),
    "pointer-bomb": Shape(_truncated(_bomb), _UNKNOWN, _UNKNOWN),
}


def script(query: dns.message.Message, tcp: bool) -> bytes | None:  # noqa: FBT001
    """Answer for `<shape>.example`; mx.good.example has an address, canary.example takes mail."""
    name = query.question[0].name.to_text().lower()
    label = name.partition(".")[0]
    if name == "mx.good.example." and query.question[0].rdtype == dns.rdatatype.A:
        return reply(query, "@ 60 A 192.31.196.1").to_wire()
    if name == "canary.example.":
        return reply(query, f"@ {GOOD}").to_wire()
    if label in SHAPES:
        return SHAPES[label].build(query, tcp)
    return reply(query, authority=(SOA,), rcode=NXDOMAIN).to_wire()
