"""What is being found out: one task for all who wait for the same."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar

V = TypeVar("V")


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
