"""Look-ups of mail routes: the budget, the turns of the groups, and their ends."""

import asyncio

import pytest

from validators.dns.lookups import CLOSED, Limits, Lookups, State
from validators.dns.mail_route import Hosts, MailRoute, Unknown

ROUTE = Hosts(("mx.example",))
LATE = Unknown("no answer within 5 s")
MANY = Unknown("too many look-ups are pending")


class Dns:
    """Look-ups that last until the test ends them, on the loop's clock, which the test advances."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.joined = 0
        self.found: dict[str, MailRoute] = {}
        self._ends: dict[str, asyncio.Future[None]] = {}

    async def look_up(self, domain: str, deadline: float | None) -> MailRoute:
        """Wait for `answer`, or for the deadline."""
        self.asked.append(domain)
        self._ends[domain] = asyncio.get_running_loop().create_future()
        try:
            async with asyncio.timeout_at(deadline):
                await self._ends[domain]
        except TimeoutError:
            return LATE
        self.found[domain] = ROUTE
        return ROUTE

    def lookups(self, *, workers: int = 8, pending: int = 100, hold: float | None = 9.0) -> Lookups:
        """Return the look-ups under test."""
        return Lookups(self.look_up, self.found.get, self.join, Limits(workers, pending, 5.0, hold))

    def join(self) -> None:
        """Count a shared look-up."""
        self.joined += 1

    async def answer(self, *domains: str) -> None:
        """End these look-ups, and let all others go on as far as they get."""
        for domain in domains:
            self._ends[domain].set_result(None)
        await settle()


@pytest.fixture
async def clock(monkeypatch: pytest.MonkeyPatch) -> "Clock":
    made = Clock(asyncio.get_running_loop())
    monkeypatch.setattr(made.loop, "time", made)
    return made


class Clock:
    """The clock of the event loop, which the test sets forward."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop
        self._time = loop.time
        self._ahead = 0.0

    def __call__(self) -> float:
        """Return the time."""
        return self._time() + self._ahead

    async def advance(self, seconds: float) -> None:
        """Set the clock forward, and let everything that is due happen."""
        self._ahead += seconds
        await settle()


async def settle() -> None:
    for _ in range(50):
        await asyncio.sleep(0)


def asking(lookups: Lookups, *domains: str) -> "asyncio.Task[dict[str, MailRoute]]":
    return asyncio.ensure_future(lookups.routes(domains))


def names(prefix: str, number: int) -> list[str]:
    return [f"{prefix}{n}.example" for n in range(number)]


async def test_a_single_look_up_does_not_wait_behind_a_thousand() -> None:
    """The large group is first, and its look-ups take for ever."""
    dns = Dns()
    lookups = dns.lookups(workers=10)
    large = asking(lookups, *names("large", 1000))
    await settle()
    small = asking(lookups, "small.example")
    await settle()
    assert dns.asked[-1] == "small.example"
    await dns.answer("small.example")
    assert await small == {"small.example": ROUTE}
    assert not large.done()
    await lookups.aclose()


async def test_groups_take_turns_within_the_budget_and_over_it() -> None:
    """A group over the budget is given a domain for each that ends, in turn with others."""
    dns = Dns()
    lookups = dns.lookups(workers=1, pending=5)
    first = asking(lookups, *names("a", 6))
    await settle()
    second = asking(lookups, *names("b", 3))
    await settle()
    assert lookups.state == State(running=1, queued=4, held=4)
    while not (first.done() and second.done()):
        await dns.answer(dns.asked[-1])
        assert lookups.state.running + lookups.state.queued <= 5
    assert set(dns.asked) == {*names("a", 6), *names("b", 3)}
    assert dns.asked.index("b0.example") < 6
    assert lookups.state == State(0, 0, 0)


async def test_workers_are_all_used_by_many_groups_and_not_quite_by_one() -> None:
    dns = Dns()
    lookups = dns.lookups(workers=10)
    tasks = [asking(lookups, *names("a", 50))]
    await settle()
    assert lookups.state.running == 8
    tasks += [asking(lookups, *names(f"g{n}-", 2)) for n in range(10)]
    await settle()
    assert lookups.state.running == 10
    await lookups.aclose()
    for task in tasks:
        assert set((await task).values()) == {CLOSED}


async def test_a_group_ends_at_its_limit_and_says_what_it_waited_for(clock: Clock) -> None:
    dns = Dns()
    lookups = dns.lookups(workers=2, pending=10)
    within = asking(lookups, *names("a", 5))
    await settle()
    over = asking(lookups, *names("b", 20))
    await clock.advance(4)
    assert not within.done()
    await clock.advance(1.2)
    assert set((await within).values()) == {LATE}
    assert not over.done()
    await clock.advance(4)
    assert set((await over).values()) == {LATE, MANY}
    assert list((await over).values()).count(MANY) == 10
    await settle()
    assert lookups.state == State(0, 0, 0)


async def test_groups_that_end_at_the_same_time_do_so_one_in_a_turn(clock: Clock) -> None:
    dns = Dns()
    lookups = dns.lookups(workers=1, pending=1)
    tasks = [asking(lookups, *names(f"g{n}-", 2)) for n in range(20)]
    await clock.advance(0)
    clock._ahead += 10
    finished: list[asyncio.Task[dict[str, MailRoute]]] = []
    while len(finished) < 20:
        await asyncio.sleep(0)
        now = [task for task in tasks if task.done() and task not in finished]
        assert len(now) <= 2  # one by its limit, and perhaps one by its last look-up
        finished += now
    await lookups.aclose()


async def test_a_group_without_a_limit_waits_until_its_turn(clock: Clock) -> None:
    dns = Dns()
    lookups = dns.lookups(workers=1, pending=2, hold=None)
    task = asking(lookups, *names("a", 5))
    await settle()
    for number in range(5):
        await clock.advance(100)
        await dns.answer(f"a{number}.example")
    assert set((await task).values()) == {ROUTE}


async def test_a_look_up_is_shared_by_groups_and_outlives_them() -> None:
    dns = Dns()
    lookups = dns.lookups()
    first, second = asking(lookups, "a.example"), asking(lookups, "a.example", "b.example")
    await settle()
    assert (dns.asked, dns.joined) == (["a.example", "b.example"], 1)
    first.cancel()
    await settle()
    await dns.answer("a.example", "b.example")
    assert await second == {"a.example": ROUTE, "b.example": ROUTE}
    assert lookups.state == State(0, 0, 0)


async def test_a_domain_that_was_found_meanwhile_is_not_looked_up_again() -> None:
    dns = Dns()
    lookups = dns.lookups(workers=1)
    first, second = asking(lookups, "a.example"), asking(lookups, "b.example", "a.example")
    await settle()
    await dns.answer("a.example")
    await dns.answer("b.example")
    assert await first == {"a.example": ROUTE}
    assert await second == {"a.example": ROUTE, "b.example": ROUTE}
    assert dns.asked == ["a.example", "b.example"]


async def test_a_cancelled_group_gives_its_part_of_the_budget_back() -> None:
    dns = Dns()
    lookups = dns.lookups(workers=1, pending=3)
    gone = asking(lookups, *names("a", 10))
    await settle()
    stays = asking(lookups, *names("b", 2))
    await settle()
    gone.cancel()
    await settle()
    assert lookups.state == State(running=1, queued=2, held=0)
    await dns.answer("a0.example")
    await dns.answer("b0.example")
    await dns.answer("b1.example")
    assert set(await stays) == {"b0.example", "b1.example"}
    assert dns.asked == ["a0.example", "b0.example", "b1.example"]


async def test_nothing_is_looked_up_after_closing() -> None:
    dns = Dns()
    lookups = dns.lookups(workers=1, pending=1)
    tasks = [asking(lookups, *names(f"g{n}-", 3)) for n in range(3)]
    await settle()
    await lookups.aclose()
    for task in tasks:
        assert set((await task).values()) == {CLOSED}
    assert await lookups.routes(["x.example"]) == {"x.example": CLOSED}
    assert len(dns.asked) == 1
