"""The resolver: its caches, its single-flight look-ups, and its limits."""

import asyncio

import pytest

from tests.support.dns import held, silent
from validators.dns import Hosts, MailRoute, NoDomain, NullMx, Resolver, Stats, Unknown
from validators.dns.transport import Nameservers, Server
from validators.dns.wire import Answer, Failed, Found, Missing, Mx, Type


class Clock:
    """A clock in seconds, which the test advances."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        """Return the time."""
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


async def test_hits_and_misses_are_counted(resolver: Resolver) -> None:
    assert resolver.cached("good.test") is None
    await resolver.mail_route("good.test")
    await resolver.mail_route("good.test")
    assert resolver.cached("good.test") == Hosts(("mx.good.test",))
    assert resolver.stats == Stats(hits=2, misses=1, shared=0)


@pytest.mark.parametrize(
    ("domain", "seconds"),
    [
        ("good.test", 300),  # the MX
        ("short.test", 20),  # the TTL of the host's address is lower
        ("zero.test", 5),  # min_ttl
        ("long.test", 3600),  # max_ttl
        ("null.test", 300),
        ("nowhere.test", 120),  # RFC 2308: the SOA's minimum
        ("nothing.test", 120),
        ("private.test", 120),  # the negative answer for AAAA
        ("broken.test", 5),  # unknown_ttl
    ],
)
async def test_an_answer_holds_for_its_ttl(
    server: Server,
    clock: Clock,
    domain: str,
    seconds: int,
) -> None:
    resolver = Resolver([server], clock=clock)
    await resolver.mail_route(domain)
    clock.now += seconds - 0.001
    assert resolver.cached(domain) is not None
    clock.now += 0.002
    assert resolver.cached(domain) is None
    await resolver.mail_route(domain)
    assert resolver.stats.misses == 2


async def test_a_negative_answer_has_its_own_limit(server: Server, clock: Clock) -> None:
    resolver = Resolver([server], clock=clock, negative_ttl=30)
    for domain in ("nowhere.test", "private.test"):
        await resolver.mail_route(domain)
    await resolver.mail_route("good.test")
    clock.now += 31
    assert resolver.cached("nowhere.test") is None
    assert resolver.cached("private.test") is None
    assert resolver.cached("good.test") is not None


async def test_a_mail_host_is_looked_up_once_for_all_its_domains() -> None:
    async with held() as server:
        resolver = Resolver([server.address])
        task = asyncio.ensure_future(resolver.mail_routes(["a.test", "b.test"]))
        await server.answer("a.test. 60 MX 10 mx.test.")
        await server.answer("b.test. 60 MX 10 mx.test.")
        await server.answer("mx.test. 60 A 192.31.196.1")
        assert set((await task).values()) == {Hosts(("mx.test",))}
        assert sorted(server.asked) == ["a.test. IN MX", "b.test. IN MX", "mx.test. IN A"]
        await resolver.aclose()


async def test_aaaa_is_asked_only_where_a_leaves_it_open(server: Server) -> None:
    asked: list[str] = []

    class Counted(Nameservers):
        async def ask(self, name: str, kind: Type) -> Answer:
            """Count the question."""
            asked.append(f"{kind.name} {name}")
            return await super().ask(name, kind)

    resolver = Resolver([server])
    resolver._nameservers = Counted([server], max_queries=8)
    for domain in ("good.test", "gone.test", "v6.test"):
        await resolver.mail_route(domain)
    assert asked == [
        "MX good.test",
        "A mx.good.test",
        "MX gone.test",
        "A mx.gone.test",  # NXDOMAIN holds for every type (RFC 8020)
        "A other.gone.test",
        "AAAA other.gone.test",
        "MX v6.test",
        "A mx.v6.test",
        "AAAA mx.v6.test",
    ]
    await resolver.aclose()


async def test_one_look_up_serves_all_callers_and_outlives_a_cancelled_one() -> None:
    seconds: list[float] = []
    async with held() as server:
        resolver = Resolver([server.address], on_lookup=seconds.append)
        first, *others = (asyncio.ensure_future(resolver.mail_route("a.test")) for _ in range(5))
        question = await server.questions.get()
        first.cancel()
        with pytest.raises(asyncio.CancelledError):
            await first
        server.questions.put_nowait(question)
        await server.answer("a.test. 60 MX 0 .")
        assert await asyncio.gather(*others) == [NullMx()] * 4
        assert server.asked == ["a.test. IN MX"]
        assert resolver.stats == Stats(hits=0, misses=1, shared=4)
        assert len(seconds) == 1
        await resolver.aclose()


async def test_a_silent_server_makes_the_route_unknown_within_the_limit() -> None:
    with silent() as address:
        resolver = Resolver([address], timeout=0.05)
        assert await resolver.mail_route("a.test") == Unknown("no answer within 0.05 s")
        assert resolver.cached("a.test") is not None
        await resolver.aclose()


async def test_the_wait_for_a_free_query_counts_towards_the_limit() -> None:
    with silent() as address:
        resolver = Resolver([address], timeout=0.05, max_queries=1)
        async with asyncio.timeout(5):
            routes = await resolver.mail_routes([f"d{n}.test" for n in range(20)])
        assert set(routes.values()) == {Unknown("no answer within 0.05 s")}
        await resolver.aclose()


async def test_a_patient_resolver_gives_each_lookup_its_own_time(clock: Clock) -> None:
    with silent() as address:
        resolver = Resolver([address], timeout=0.02, max_queries=2, patient=True, clock=clock)
        started = asyncio.get_running_loop().time()
        routes = await resolver.mail_routes([f"d{n}.test" for n in range(6)])
        assert set(routes.values()) == {Unknown("no answer within 0.02 s")}
        assert asyncio.get_running_loop().time() - started >= 0.06
        clock.now += 299
        assert resolver.cached("d0.test") is not None
        await resolver.aclose()


async def test_a_patient_resolver_answers_more_than_fits_in_the_limit(server: Server) -> None:
    resolver = Resolver([server], timeout=5, max_queries=1, patient=True)
    routes = await resolver.mail_routes([f"d{n}.test" for n in range(100)])
    assert set(routes.values()) == {NoDomain()}
    await resolver.aclose()


async def test_closing_leaves_no_look_up_and_nobody_waiting() -> None:
    async with held() as server:
        resolver = Resolver([server.address])
        waiting = [asyncio.ensure_future(resolver.mail_route("a.test")) for _ in range(2)]
        await server.questions.get()
        await resolver.aclose()
        closed = Unknown("the resolver is closed")
        assert await asyncio.gather(*waiting) == [closed, closed]
        assert await resolver.mail_route("b.test") == closed
        assert asyncio.all_tasks() == {asyncio.current_task()}


async def test_memory_stays_flat(server: Server) -> None:
    resolver = Resolver([server], cache_size=10)
    await resolver.mail_routes([f"d{n}.test" for n in range(50)])
    held_still = [n for n in range(50) if resolver.cached(f"d{n}.test") is not None]
    assert len(held_still) == 10
    await resolver.aclose()


async def test_known_answers_are_asked_first_and_never_looked_up() -> None:
    known: dict[str, MailRoute] = {
        "demo.example": NoDomain(),
        "good.example": Hosts(("mx.google.com",)),
    }
    resolver = Resolver([], known=known)
    assert resolver.cached("demo.example") == NoDomain()
    assert await resolver.mail_route("demo.example") == NoDomain()
    assert resolver.provider("good.example") == "google"
    assert await resolver.mail_route("a.test") == Unknown(
        "no name server is configured",
    )
    assert resolver.stats == Stats(hits=2, misses=1, shared=0)


async def test_the_provider_is_known_from_the_route(resolver: Resolver) -> None:
    assert resolver.provider("good.test") == "other"
    await resolver.mail_routes(["good.test", "null.test"])
    assert resolver.provider("good.test") == "other"
    assert resolver.provider("null.test") == "other"


def test_without_resolv_conf_the_machine_itself_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    import dns.resolver

    from validators.dns.resolver import _system_servers

    def unconfigured() -> None:
        raise dns.resolver.NoResolverConfiguration

    monkeypatch.setattr(dns.resolver, "Resolver", unconfigured)
    assert _system_servers() == [("127.0.0.1", 53)]


def test_the_system_is_asked_by_default() -> None:
    assert Resolver().stats == Stats()


@pytest.mark.parametrize(
    ("name", "kind", "answer"),
    [
        ("good.test", Type.MX, Found((Mx(10, "mx.good.test"),), 300)),
        ("mx.good.test", Type.A, Found((b"\xc0\x1f\xc4\x01",), 300)),
        ("nothing.test", Type.TXT, Found((b"no mail here",), 300)),
        ("test", Type.NS, Found(("ns.invalid",), 300)),
        ("1.196.31.192.in-addr.arpa", Type.PTR, Found(("mx.good.test",), 300)),
        ("good.test", Type.TXT, Missing(exists=True, ttl=120)),
        ("nowhere.test", Type.AAAA, Missing(exists=False, ttl=120)),
        ("broken.test", Type.TXT, Failed("SERVFAIL for TXT of broken.test")),
        ("a..b", Type.TXT, Failed("a..b cannot be asked for")),
    ],
)
async def test_ask(resolver: Resolver, name: str, kind: Type, answer: Answer) -> None:
    assert await resolver.ask(name, kind) == answer


async def test_answers_are_cached_by_name_and_type_for_what_is_left_of_their_ttl(
    clock: Clock,
) -> None:
    async with held() as server:
        resolver = Resolver([server.address], clock=clock)
        task = asyncio.ensure_future(resolver.ask("a.test", Type.TXT))
        await server.answer('a.test. 60 TXT "x"')
        assert await task == Found((b"x",), 60)
        clock.now += 20
        assert await resolver.ask("a.test", Type.TXT) == Found((b"x",), 40)
        task = asyncio.ensure_future(resolver.ask("a.test", Type.NS))
        await server.answer("a.test. 60 NS ns.test.")
        assert await task == Found(("ns.test",), 60)
        clock.now += 40
        task = asyncio.ensure_future(resolver.ask("a.test", Type.TXT))
        await server.answer('a.test. 60 TXT "y"')
        assert await task == Found((b"y",), 60)
        await resolver.aclose()


async def test_a_negative_answer_is_cached_by_rfc_2308(server: Server, clock: Clock) -> None:
    resolver = Resolver([server], clock=clock, negative_ttl=30)
    assert await resolver.ask("nowhere.test", Type.TXT) == Missing(exists=False, ttl=30)
    clock.now += 29
    assert await resolver.ask("nowhere.test", Type.TXT) == Missing(exists=False, ttl=1)
    await resolver.aclose()


async def test_one_look_up_serves_all_who_ask_the_same() -> None:
    async with held() as server:
        resolver = Resolver([server.address])
        first, *others = (asyncio.ensure_future(resolver.ask("a.test", Type.TXT)) for _ in range(4))
        question = await server.questions.get()
        first.cancel()
        with pytest.raises(asyncio.CancelledError):
            await first
        server.questions.put_nowait(question)
        await server.answer('a.test. 60 TXT "x"')
        assert {type(it) for it in await asyncio.gather(*others)} == {Found}
        assert server.asked == ["a.test. IN TXT"]
        await resolver.aclose()


async def test_a_question_has_the_same_limits_as_a_route() -> None:
    with silent() as address:
        resolver = Resolver([address], timeout=0.05, max_queries=1)
        async with asyncio.timeout(5):
            answers = await asyncio.gather(
                *(resolver.ask(f"d{n}.test", Type.TXT) for n in range(20))
            )
        assert set(answers) == {Failed("no answer within 0.05 s")}
        await resolver.aclose()
        assert await resolver.ask("x.test", Type.TXT) == Failed("the resolver is closed")


async def test_the_cache_of_answers_is_bounded_and_holds_no_huge_answer(server: Server) -> None:
    resolver = Resolver([server], cache_size=10)
    for n in range(20):
        await resolver.ask(f"d{n}.test", Type.TXT)
    assert len(resolver._answers) == 10
    assert isinstance(await resolver.ask("huge.test", Type.TXT), Found)
    assert resolver._answers.peek(("huge.test", Type.TXT)) is None
    await resolver.aclose()
