"""Canaries: domains that are known to exist, by which a resolver is found to lie.

A captive portal, a broken split DNS or a sandbox answers NXDOMAIN, or its own address, for every
name. Its replies look sound, so they are compared with what is known.
docs/decisions/doubtful-dns.md has the reasons for the numbers.
"""

import asyncio
import logging
import secrets
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from enum import Enum, auto
from typing import Final

from validators.dns.mail_route import Hosts, MailRoute, NoDomain, NoHost, Unknown, Unroutable

logger: Final = logging.getLogger(__name__)

PROOF: Final = 60.0
"""Seconds for which the result of a test holds."""
WINDOW: Final = 32
"""Look-ups among which the refusals are counted."""
JUMP: Final = 12
"""So many refusals more than at the last test lead to the next one."""
RETRY: Final = 5.0
"""Seconds between tests while a canary fails."""


class Trust(Enum):
    """What the canaries say about the resolver."""

    PROVEN = auto()
    """A canary has a mail host, and none is refused."""
    UNPROVEN = auto()
    """There are no canaries, or they have no answer."""
    FAILING = auto()
    """A canary is refused, or a name that does not exist has an address."""


class Canaries:
    """Tests the resolver when it begins to refuse domains; until it passes while it fails."""

    def __init__(
        self,
        domains: Sequence[str],
        find: Callable[[str], Awaitable[MailRoute]],
        *,
        on_failure: Callable[[], None],
        clock: Callable[[], float],
        retry: float = RETRY,
    ) -> None:
        """Without any `domains`, the resolver stays UNPROVEN.

        Args:
            domains: the canaries.
            find: looks up a mail route past all caches; Unknown if there is no answer in time.
            on_failure: called when the canaries begin to fail.
            clock: returns seconds.
            retry: seconds between tests while a canary fails.

        """
        self.fault = ""
        """What is wrong while the canaries fail: a sentence for the operator. Otherwise empty."""
        self.failed = ""
        """The latest fault, also after it has ended."""
        self._domains = tuple(domains)
        self._find = find
        self._on_failure = on_failure
        self._clock = clock
        self._retry = retry
        self._proven = False
        self._tested = float("-inf")
        self._refused: deque[bool] = deque(maxlen=WINDOW)
        self._usual = 0
        self._test: asyncio.Task[None] | None = None
        self._watch: asyncio.Task[None] | None = None

    def note(self, *, refused: bool) -> None:
        """Count a domain that was looked up."""
        self._refused.append(refused)
        self._usual = min(self._usual, sum(self._refused))

    async def trust(self) -> Trust:
        """Return whether a refusal may be believed; tests the resolver if that is due."""
        if self._domains and not self.fault and self._due():
            if self._test is None:
                self._test = asyncio.create_task(self._run())
            await asyncio.shield(self._test)
        if self.fault:
            return Trust.FAILING
        return Trust.PROVEN if self._proven else Trust.UNPROVEN

    async def aclose(self) -> None:
        """End the tests."""
        tasks = [task for task in (self._test, self._watch) if task is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _due(self) -> bool:
        return (
            self._test is not None
            or self._clock() - self._tested >= PROOF
            or sum(self._refused) >= self._usual + JUMP
        )

    async def _run(self) -> None:
        """Look up the canaries, and a name that must not exist, and draw the conclusion."""
        try:
            nonsense = _nonsense(self._domains[0])
            names = (*self._domains, nonsense)
            routes = await asyncio.gather(*(self._find(name) for name in names))
        finally:
            self._test = None
        self._tested = self._clock()
        self._usual = sum(self._refused)
        known = routes[:-1]
        faults = [_fault(*each) for each in zip(self._domains, known, strict=True)]
        if isinstance(routes[-1], Hosts | Unroutable):
            faults.append(f"{nonsense}, which does not exist, has an address")
        fault = next(filter(None, faults), "")
        proven = any(isinstance(route, Hosts) for route in known)
        if fault:
            self._begin(fault)
        elif proven:
            self._end()
        self._proven = proven and not fault

    def _begin(self, fault: str) -> None:
        if not self.fault:
            logger.warning("DNS is not believed: %s. It refuses no recipient", fault)
            self._watch = asyncio.create_task(self._until_it_passes())
            self._on_failure()
        self.fault = self.failed = fault

    def _end(self) -> None:
        if self.fault:
            logger.warning("DNS is believed again: the canaries have mail hosts")
        self.fault = ""

    async def _until_it_passes(self) -> None:
        while self.fault:
            await asyncio.sleep(self._retry)
            await self._run()


def _nonsense(canary: str) -> str:
    """Return a name that does not exist, under the same top-level domain as a canary."""
    return f"presend-{secrets.token_hex(12)}.{canary.rpartition('.')[2]}"


def _fault(domain: str, route: MailRoute) -> str:
    """Return what is wrong with the route of a canary, or nothing."""
    match route:
        case Hosts() | Unknown():
            return ""
        case NoDomain():
            return f"{domain} is said not to exist"
        case NoHost(detail) | Unroutable(detail):
            return f"{domain} is said to have no mail host ({detail})"
        case _:
            return f"{domain} is said to take no mail"
