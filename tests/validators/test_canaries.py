"""Canaries: a resolver that refuses every name, or knows every name, is not believed."""

import asyncio
import logging
from collections import Counter

import dns.message
import dns.rcode
import dns.rdatatype
import pytest

from tests.support.dns import scripted
from tests.support.dns_shapes import GOOD, NXDOMAIN, SHAPES, SOA, reply
from validators.dns import Hosts, MailRoute, NoDomain, NoHost, Resolver, Unknown, Unroutable
from validators.dns.canaries import JUMP, PROOF, WINDOW

CANARIES = ("canary.example", "canary.test")


class Server:
    """A name server that tells the truth, or lies in some way, as the test says."""

    def __init__(self) -> None:
        self.lie = ""
        self.asked: Counter[str] = Counter()

    def __call__(self, query: dns.message.Message, tcp: bool) -> bytes | None:  # noqa: FBT001
        """Answer a query."""
        name = query.question[0].name.to_text().lower().removesuffix(".")
        kind = query.question[0].rdtype
        self.asked[name] += 1
        if self.lie == "address":
            records = [f"@ 60 A {'192.31.196.2'}"] if kind == dns.rdatatype.A else []
            return reply(query, *records, authority=(SOA.replace("example.", ".", 1),)).to_wire()
        if self.lie == "loopback" and kind == dns.rdatatype.A:
            return reply(query, "@ 60 A 127.0.0.1").to_wire()
        if self.lie and self.lie in SHAPES:
            return SHAPES[self.lie].build(query, tcp)
        if name == "mx.good.example" and kind == dns.rdatatype.A:
            return reply(query, "@ 60 A 192.31.196.1").to_wire()
        if name in CANARIES or name.startswith("good"):
            return reply(query, f"@ {GOOD}").to_wire()
        soa = SOA.replace("example.", ".", 1)
        return reply(query, authority=(soa,), rcode=NXDOMAIN).to_wire()

    def tests(self) -> int:
        """Return how often the canaries were asked for."""
        return self.asked[CANARIES[0]]


class Clock:
    """A clock in seconds, which the test advances."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        """Return the time."""
        return self.now


class Case:
    """A resolver with canaries, the server it asks, and its clock."""

    def __init__(self, address: tuple[str, int], server: Server, retry: float) -> None:
        self.server = server
        self.clock = Clock()
        self.resolver = Resolver(
            [address], timeout=5, canaries=CANARIES, clock=self.clock, retry=retry
        )
        self._number = 0

    async def routes(self, number: int, prefix: str = "gone") -> list[MailRoute]:
        """Look up new domains, one after the other."""
        found = []
        for _ in range(number):
            self._number += 1
            found.append(await self.resolver.mail_route(f"{prefix}{self._number}.example"))
        return found


@pytest.fixture
def retry() -> float:
    return 1000.0


@pytest.fixture
async def case(retry: float):  # type: ignore[no-untyped-def] # noqa: ANN201 a generator
    server = Server()
    with scripted(server) as address:
        made = Case(address, server, retry)
        yield made
        await made.resolver.aclose()


async def test_the_good_path_asks_no_canary(case: Case) -> None:
    assert set(await case.routes(50, "good")) == {Hosts(("mx.good.example",))}
    assert case.server.tests() == 0


async def test_the_first_refusal_asks_them_and_is_believed(case: Case) -> None:
    assert await case.routes(20) == [NoDomain()] * 20
    assert case.server.tests() == 2  # at the first refusal, and when so many look like a jump


@pytest.mark.parametrize(
    "lie", ["nxdomain", "nxdomain-bare", "nodata", "nodata-bare", "address", "loopback"]
)
async def test_a_resolver_that_lies_from_the_start_refuses_nobody(
    case: Case, lie: str, caplog: pytest.LogCaptureFixture
) -> None:
    case.server.lie = lie
    domains = ["gmail.example", "other.example", *CANARIES]
    routes = await case.resolver.mail_routes(domains)
    assert {type(route) for route in routes.values()} == {Unknown}, routes
    await case.routes(3)
    assert case.resolver.canary_fault
    begun = [record for record in caplog.records if "is not believed" in record.getMessage()]
    assert len(begun) == 1
    assert begun[0].levelno == logging.WARNING


@pytest.mark.parametrize("lie", ["nxdomain", "nodata", "loopback"])
async def test_a_resolver_that_begins_to_lie_is_found_out_by_the_jump(case: Case, lie: str) -> None:
    await case.routes(WINDOW, "good")
    assert await case.routes(2) == [NoDomain()] * 2
    case.server.lie = lie
    routes = await case.routes(WINDOW)
    wrong = [route for route in routes if not isinstance(route, Unknown)]
    assert {type(route) for route in wrong} <= {NoDomain, NoHost, Unroutable}
    assert len(wrong) <= JUMP
    assert isinstance(routes[-1], Unknown)
    # what was believed before is forgotten
    assert case.resolver.cached("gone35.example") is None
    assert case.resolver.cached("good1.example") == Hosts(("mx.good.example",))


async def test_a_list_that_is_bad_all_the_time_is_no_jump(case: Case) -> None:
    await case.routes(WINDOW * 5)
    assert case.server.tests() <= 4


async def test_a_proof_holds_for_a_minute(case: Case) -> None:
    await case.routes(1)
    case.server.lie = "nxdomain"
    assert await case.routes(1) == [NoDomain()]
    case.clock.now += PROOF
    assert isinstance((await case.routes(1))[0], Unknown)


async def test_a_name_that_does_not_exist_must_have_no_address(case: Case) -> None:
    """The canaries are right, but every other name has an address: that of a portal."""
    truth = case.server.__call__

    def portal(query: dns.message.Message, tcp: bool) -> bytes | None:  # noqa: FBT001
        name = query.question[0].name.to_text().lower().removesuffix(".")
        if name in CANARIES or name == "mx.good.example":
            return truth(query, tcp)
        records = ["@ 60 A 192.31.196.2"] if query.question[0].rdtype == dns.rdatatype.A else []
        return reply(query, *records, authority=(SOA,)).to_wire()

    with scripted(portal) as address:
        resolver = Resolver([address], canaries=CANARIES)
        route = await resolver.mail_route("somebody.example")
        assert isinstance(route, Unknown)
        assert "has an address" in route.detail
        await resolver.aclose()


@pytest.mark.parametrize("shape", ["servfail", "refused", "silence"])
async def test_canaries_without_an_answer_say_nothing(shape: str) -> None:
    """A closed network: its resolver knows its own names, and refuses those of others."""

    def closed(query: dns.message.Message, tcp: bool) -> bytes | None:  # noqa: FBT001
        name = query.question[0].name.to_text().lower().removesuffix(".")
        if name.endswith("corp.example"):
            return SHAPES["nxdomain"].build(query, tcp)
        return SHAPES[shape].build(query, tcp)

    with scripted(closed) as address:
        resolver = Resolver([address], canaries=("gmail.example",), timeout=2)
        assert await resolver.mail_route("gone.corp.example") == NoDomain()
        assert not resolver.canary_fault
        await resolver.aclose()


@pytest.mark.parametrize("retry", [0.01])
async def test_it_is_believed_again_when_the_canaries_pass(
    case: Case, caplog: pytest.LogCaptureFixture
) -> None:
    case.server.lie = "nxdomain"
    assert isinstance((await case.routes(1))[0], Unknown)
    case.server.lie = ""
    async with asyncio.timeout(30):
        while case.resolver.canary_fault:  # noqa: ASYNC110 its end is not announced
            await asyncio.sleep(0.01)
    assert await case.routes(1) == [NoDomain()]
    assert case.resolver.last_canary_fault
    said = [record.getMessage() for record in caplog.records]
    assert [text for text in said if "believed" in text] == [
        "DNS is not believed: canary.example is said not to exist. It refuses no recipient",
        "DNS is believed again: the canaries have mail hosts",
    ]


async def test_one_test_serves_all_who_wait_for_it(case: Case) -> None:
    domains = [f"gone{number}.example" for number in range(50)]
    assert set((await case.resolver.mail_routes(domains)).values()) == {NoDomain()}
    assert case.server.tests() == 1


async def test_a_domain_literal_needs_no_dns(case: Case) -> None:
    assert isinstance(await case.resolver.mail_route("[10.0.0.1]"), Unroutable)
    assert case.server.tests() == 0
