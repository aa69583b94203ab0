"""What the resolver remembers, and what it is finding out."""

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar

V = TypeVar("V")


class TtlCache(Generic[V]):
    """Values by name, each until its time is over; the oldest go first when it is full."""

    __slots__ = ("_clock", "_entries", "_size")

    def __init__(self, size: int, clock: Callable[[], float]) -> None:
        """Hold `size` values at most; `clock` gives seconds."""
        self._size = size
        self._clock = clock
        self._entries: OrderedDict[str, tuple[V, float]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._entries)

    def get(self, name: str) -> V | None:
        """Return the value, or None if there is none or its time is over."""
        entry = self._entries.get(name)
        if entry is None or entry[1] <= self._clock():
            return None
        return entry[0]

    def peek(self, name: str) -> V | None:
        """Return the value even if its time is over."""
        entry = self._entries.get(name)
        return None if entry is None else entry[0]

    def put(self, name: str, value: V, ttl: float) -> None:
        """Hold a value for `ttl` seconds."""
        self._entries[name] = (value, self._clock() + ttl)
        self._entries.move_to_end(name)
        if len(self._entries) > self._size:
            self._entries.popitem(last=False)


class ClosedError(Exception):
    """Nothing is found out any more."""


class SingleFlight(Generic[V]):
    """One task for all who wait for the same name at the same time.

    The tasks belong to this object: a waiter that is cancelled does not take its flight with it.
    """

    __slots__ = ("_closed", "_flights", "_fly")

    def __init__(self, fly: Callable[[str], Awaitable[V]]) -> None:
        """Find values out by `fly`, which should have a limit in time and not raise."""
        self._fly = fly
        self._flights: dict[str, asyncio.Task[V]] = {}
        self._closed = False

    def __contains__(self, name: str) -> bool:
        return name in self._flights

    def start(self, name: str) -> asyncio.Task[V]:
        """Return the flight for a name, a new one if there is none; ClosedError after aclose."""
        flight = self._flights.get(name)
        if flight is None:
            if self._closed:
                raise ClosedError
            flight = asyncio.get_running_loop().create_task(self._fly_for(name))
            flight.add_done_callback(lambda _: self._flights.pop(name))
            self._flights[name] = flight
        return flight

    async def wait(self, name: str) -> V:
        """Return what the flight for a name finds; ClosedError if it was ended by aclose."""
        flight = self.start(name)
        try:
            return await asyncio.shield(flight)
        except asyncio.CancelledError:
            waiter = asyncio.current_task()
            if flight.cancelled() and not (waiter and waiter.cancelling()):
                raise ClosedError from None
            raise

    async def aclose(self) -> None:
        """Cancel every flight, wait for their end, and start no more."""
        self._closed = True
        flights = list(self._flights.values())
        for flight in flights:
            flight.cancel()
        await asyncio.gather(*flights, return_exceptions=True)

    async def _fly_for(self, name: str) -> V:
        return await self._fly(name)
