"""What is remembered, for how long, and how much of it."""

import asyncio

import pytest

from validators.dns.cache import TtlCache
from validators.dns.singleflight import ClosedError, SingleFlight


def test_a_value_is_held_until_its_time_is_over() -> None:
    now = [0.0]
    cache: TtlCache[str] = TtlCache(2, lambda: now[0])
    cache.put("a", "x", 10)
    now[0] = 9.9
    assert cache.get("a") == "x"
    now[0] = 10
    assert cache.get("a") is None
    assert cache.peek("a") == "x"


def test_the_oldest_goes_first_and_what_was_renewed_is_not_the_oldest() -> None:
    cache: TtlCache[int] = TtlCache(3, lambda: 0.0)
    for n, name in enumerate("abcad"):
        cache.put(name, n, 1)
    assert [cache.get(name) for name in "abcd"] == [3, None, 2, 4]
    assert len(cache) == 3


def test_a_million_names_take_no_more_room_than_the_limit() -> None:
    cache: TtlCache[None] = TtlCache(100, lambda: 0.0)
    for n in range(1_000_000):
        cache.put(str(n), None, 1)
    assert len(cache) == 100


async def test_a_flight_that_fails_fails_all_who_wait_and_may_be_flown_again() -> None:
    flown = []

    async def fly(name: str) -> str:
        flown.append(name)
        await asyncio.sleep(0)
        if len(flown) == 1:
            raise RuntimeError(name)
        return name

    flights = SingleFlight(fly)
    first = await asyncio.gather(flights.wait("a"), flights.wait("a"), return_exceptions=True)
    assert [type(it) for it in first] == [RuntimeError, RuntimeError]
    assert await flights.wait("a") == "a"
    assert flown == ["a", "a"]
    assert "a" not in flights


async def test_a_waiter_that_is_cancelled_while_closing_is_cancelled() -> None:
    started = asyncio.Event()

    async def fly(_: str) -> None:
        started.set()
        await asyncio.Event().wait()

    flights = SingleFlight(fly)
    cancelled, other = (asyncio.ensure_future(flights.wait("a")) for _ in range(2))
    await started.wait()
    cancelled.cancel()
    await flights.aclose()
    assert [type(it) for it in await asyncio.gather(cancelled, other, return_exceptions=True)] == [
        asyncio.CancelledError,
        ClosedError,
    ]
    with pytest.raises(ClosedError):
        await flights.wait("a")
