"""Replies of every shape: which are believed, and which leave the mail route unknown."""

import asyncio
import time
from collections.abc import Awaitable, Iterator

import dns.message
import pytest

from tests.support import dns_shapes
from tests.support.dns import scripted
from tests.support.dns_shapes import SHAPES
from validators.checks.mx import MxCheck
from validators.dns import Hosts, NoDomain, Resolver, Unknown
from validators.dns.transport import Server
from validators.dns.wire import Found, OtherCase, Type, WireError, answer, question, vary
from validators.pipeline import Pipeline
from validators.policy import Policy
from validators.verdict import Action, Reason


@pytest.fixture(scope="module")
def shapes() -> Iterator[Server]:
    with scripted(dns_shapes.script) as address:
        yield address


async def reason_at(resolver: Resolver, domain: str) -> Reason | None:
    """Return the reason that the MX check states for a recipient at a domain."""
    policy = Policy({Reason.IMPLICIT_MX: Action.OFF})
    judging = Pipeline([MxCheck()], policy, resolver=resolver).judge([f"ann@{domain}"])
    (judged,) = await judging if isinstance(judging, Awaitable) else judging
    return judged.findings[0][0].reason if judged.findings else None


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("canaries", [(), ("canary.example",)])
async def test_a_reply_of_each_shape(shapes: Server, shape: str, canaries: tuple[str, ...]) -> None:
    resolver = Resolver([shapes], timeout=1, canaries=canaries)
    expected = SHAPES[shape].vouched if canaries else SHAPES[shape].reason
    assert await reason_at(resolver, f"{shape}.example") == expected
    assert not resolver.canary_fault
    await resolver.aclose()


@pytest.mark.parametrize(
    ("shape", "kind"),
    [
        ("nxdomain-bare", "nxdomain"),
        ("nodata-bare", "nodata"),
        ("other-owner", "implausible"),
        ("nxdomain-with-records", "implausible"),
    ],
)
async def test_doubtful_replies_are_counted(shapes: Server, shape: str, kind: str) -> None:
    resolver = Resolver([shapes])
    await resolver.mail_route(f"{shape}.example")
    assert {kind for kind, number in resolver.doubtful.items() if number} == {kind}
    await resolver.aclose()


@pytest.mark.parametrize(
    ("first", "second", "route"),
    [
        ("nxdomain-bare", "good", Hosts(("mx.good.example",))),
        ("nodata-bare", "good", Hosts(("mx.good.example",))),
        ("other-owner", "good", Hosts(("mx.good.example",))),
        ("nxdomain-bare", "nxdomain", NoDomain()),
        ("nxdomain-bare", "nodata-bare", Unknown("contradictory replies for MX of x.example")),
        (
            "nxdomain-bare",
            "servfail",
            Unknown("NXDOMAIN without an SOA record for MX of x.example"),
        ),
    ],
)
async def test_the_next_server_is_asked_about_a_doubtful_reply(
    first: str, second: str, route: object
) -> None:
    def acting(shape: str) -> "dns_shapes.Builder":
        def script(query: dns.message.Message, tcp: bool) -> bytes | None:  # noqa: FBT001
            name = query.question[0].name.to_text().lower()
            if name == "x.example.":
                return SHAPES[shape].build(query, tcp)
            return dns_shapes.script(query, tcp)

        return script

    with scripted(acting(first)) as one, scripted(acting(second)) as other:
        resolver = Resolver([one, other])
        assert await resolver.mail_route("x.example") == route
        await resolver.aclose()


async def test_an_address_shows_that_a_domain_takes_mail_even_if_mx_is_in_doubt() -> None:
    """Resolvers such as dnsmasq leave the SOA record out of negative answers from their cache."""

    def script(query: dns.message.Message, _: bool) -> bytes:  # noqa: FBT001
        records = ["@ 60 A 192.31.196.1"] if query.question[0].rdtype == 1 else []
        return dns_shapes.reply(query, *records).to_wire()

    with scripted(script) as server:
        resolver = Resolver([server])
        assert await resolver.mail_route("x.example") == Hosts(("x.example",), implicit=True)
        await resolver.aclose()


async def test_names_are_asked_for_in_mixed_case_until_a_server_does_not_keep_it() -> None:
    asked: list[str] = []

    def folding(query: dns.message.Message, tcp: bool) -> bytes | None:  # noqa: FBT001
        asked.append(query.question[0].name.to_text())
        return SHAPES["lower-case"].build(query, tcp)

    name = "a-name-with-many-letters.example"
    with scripted(folding) as server:
        resolver = Resolver([server], timeout=5)
        await asyncio.wait_for(resolver.mail_route(name), 5)
        await resolver.mail_route("b" * 40 + ".example")
        await resolver.aclose()
    assert {it.lower() for it in asked[:2]} == {f"{name}."}
    assert asked[0] != asked[0].lower()
    assert all(it == it.lower() for it in asked[1:])
    assert not any(it != it.lower() for it in asked if it.startswith("b"))


def test_a_reply_in_another_case_is_not_taken_for_the_answer() -> None:
    """A forger who does not see the query has to guess 2**n cases of n letters too."""
    plain = question("abcdefgh.example", Type.MX, 7)
    asked = vary(plain, 7, -1)
    genuine = SHAPES["good"].build(dns.message.from_wire(asked), False)  # noqa: FBT003
    forged = SHAPES["good"].build(dns.message.from_wire(plain), False)  # noqa: FBT003
    assert genuine
    assert forged
    assert asked[12:30] == plain[12:30].upper()
    assert isinstance(answer(genuine, asked), Found)
    assert answer(forged, asked) == OtherCase()
    assert isinstance(answer(forged, plain), Found)


def test_a_message_made_of_pointers_costs_no_more_than_another() -> None:
    asked = question("pointer-bomb.example", Type.MX, 7)
    query = dns.message.from_wire(asked)
    bomb = dns_shapes._bomb(query, True)  # noqa: FBT003
    assert bomb
    assert len(bomb) > 60_000
    number = 1000
    usual = dns_shapes._raw(number, b"\xc0\x0c\0\x0f\0\1\0\0\0\x3c\0\x04\0\x0a\xc0\x0c" * number)
    octets = usual(query, True)  # noqa: FBT003
    assert octets
    started = time.process_time()
    assert isinstance(answer(octets, asked), Found)
    between = time.process_time()
    with pytest.raises(WireError):
        answer(bomb, asked)
    assert time.process_time() - between < 5 * (between - started)
