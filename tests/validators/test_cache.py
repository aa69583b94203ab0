"""The DNS cache and its limits, and single-flight look-ups."""

import asyncio

import pytest

from validators.dns.cache import TtlCache
from validators.dns.singleflight import ClosedError, SingleFlight


def test_a_value_is_held_until_its_time_is_over() -> None:
    now = [0.0]
    cache: TtlCache[str, str] = TtlCache(2, lambda: now[0])
    cache.put("a", "x", 10)
    now[0] = 9.9
    assert cache.get("a") == "x"
    now[0] = 10
    assert cache.get("a") is None
    assert cache.peek("a") == ("x", 10)


def test_the_oldest_goes_first_and_what_was_renewed_is_not_the_oldest() -> None:
    cache: TtlCache[str, int] = TtlCache(3, lambda: 0.0)
    for n, name in enumerate("abcad"):
        cache.put(name, n, 1)
    assert [cache.get(name) for name in "abcd"] == [3, None, 2, 4]
    assert len(cache) == 3


def test_a_million_names_take_no_more_room_than_the_limit() -> None:
    cache: TtlCache[str, None] = TtlCache(100, lambda: 0.0)
    for n in range(1_000_000):
        cache.put(str(n), None, 1)
    assert len(cache) == 100


async def test_a_look_up_that_fails_fails_for_all_callers_and_may_be_repeated() -> None:
    begun = []

    async def look_up(name: str) -> str:
        begun.append(name)
        await asyncio.sleep(0)
        if len(begun) == 1:
            raise RuntimeError(name)
        return name

    lookups = SingleFlight(look_up)
    first = await asyncio.gather(lookups.do("a"), lookups.do("a"), return_exceptions=True)
    assert [type(it) for it in first] == [RuntimeError, RuntimeError]
    assert await lookups.do("a") == "a"
    assert begun == ["a", "a"]
    assert "a" not in lookups


async def test_a_caller_that_is_cancelled_while_closing_is_cancelled() -> None:
    started = asyncio.Event()

    async def look_up(_: str) -> None:
        started.set()
        await asyncio.Event().wait()

    lookups = SingleFlight(look_up)
    cancelled, other = (asyncio.ensure_future(lookups.do("a")) for _ in range(2))
    await started.wait()
    cancelled.cancel()
    await lookups.aclose()
    assert [type(it) for it in await asyncio.gather(cancelled, other, return_exceptions=True)] == [
        asyncio.CancelledError,
        ClosedError,
    ]
    with pytest.raises(ClosedError):
        await lookups.do("a")
