"""Look-ups of mail routes: a bounded number at a time, fair between those who wait for them.

Each caller asks for a group of domains. Those that are pending, in all groups together, are within
one budget; a group over it waits until others have ended. Groups take turns, one domain at a time.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Collection, Coroutine
from typing import Final, NamedTuple

from validators.dns.mail_route import MailRoute, Unknown

CLOSED: Final = Unknown("the resolver is closed")
_SHARE: Final = 4
"""A group may have so many look-ups for each place that is free, of the workers and of the budget.
A lone group thus gets four fifths of both, and something is left for a newcomer."""
_MARGIN: Final = 0.1
"""Seconds after its deadline at which a group ends. Its look-ups under way end at the deadline."""


class Limits(NamedTuple):
    """What is bounded."""

    workers: int
    """Look-ups under way at once."""
    pending: int
    """Domains that are looked up, or whose turn comes, in all groups together."""
    timeout: float
    """Seconds for a look-up, and for a group that is pending as a whole from the start."""
    hold: float | None
    """Seconds for a group that has to wait for the budget. None: no group has a time limit, and
    the `timeout` of a look-up begins when it is under way."""


class State(NamedTuple):
    """How many look-ups there are."""

    running: int
    queued: int
    """Pending, and their turn has not come."""
    held: int
    """Over the budget."""


class _Group:
    """Domains that one caller waits for."""

    __slots__ = ("admitted", "deadline", "done", "found", "left", "running", "waiting")

    def __init__(self, domains: Collection[str], done: asyncio.Future[None]) -> None:
        self.waiting = deque(domains)
        """Not under way. The first `admitted` of them count towards the budget."""
        self.admitted = 0
        self.running = 0
        """Look-ups under way that this group began."""
        self.left = len(domains)
        self.found: dict[str, MailRoute] = {}
        self.done = done
        self.deadline: float | None = None
        """By the clock of the event loop."""

    def take(self, domain: str, route: MailRoute) -> None:
        """Take a result."""
        self.found[domain] = route
        self.left -= 1
        if not self.left and not self.done.done():
            self.done.set_result(None)


class Lookups:
    """Mail routes that are looked up, and the groups that wait for them."""

    def __init__(
        self,
        look_up: Callable[[str, float | None], Coroutine[object, object, MailRoute]],
        known: Callable[[str], MailRoute | None],
        joined: Callable[[], None],
        limits: Limits,
    ) -> None:
        """`look_up` gets a domain and its deadline by the event loop's clock, and raises nothing.

        `known` returns a route that another group's look-up has found; `joined` is called when a
        look-up under way is shared.
        """
        self._look_up = look_up
        self._known = known
        self._joined = joined
        self._limits = limits
        self._running: dict[str, list[_Group]] = {}
        self._tasks: set[asyncio.Task[MailRoute]] = set()
        self._pending = 0
        self._ready: deque[_Group] = deque()
        """Groups with domains whose turn comes."""
        self._held: deque[_Group] = deque()
        """Groups with domains over the budget."""
        self._expired: deque[_Group] = deque()
        self._closed = False

    async def routes(self, domains: Collection[str]) -> dict[str, MailRoute]:
        """Return the mail routes of these domains, of which there is at least one."""
        if self._closed:
            return dict.fromkeys(domains, CLOSED)
        loop = asyncio.get_running_loop()
        group = _Group(domains, loop.create_future())
        self._admit(group, loop.time())
        self._go_on()
        timer = None
        if group.deadline is not None and group.waiting:
            timer = loop.call_at(group.deadline + _MARGIN, self._expire, group)
        try:
            await group.done
        finally:
            if timer is not None:
                timer.cancel()
            self._forget(group)
        return group.found

    @property
    def state(self) -> State:
        """Return how many look-ups there are."""
        held = sum(len(group.waiting) - group.admitted for group in self._held)
        return State(len(self._running), self._pending - len(self._running), held)

    async def aclose(self) -> None:
        """End all look-ups. Groups that wait get CLOSED, as later ones do."""
        self._closed = True
        for group in {*self._ready, *self._held}:
            self._conclude(group, CLOSED, CLOSED)
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _admit(self, group: _Group, now: float) -> None:
        """Let a group that begins be pending as far as the budget goes, and set its deadline."""
        limits = self._limits
        share = max(0, limits.pending - self._pending)
        if limits.hold is not None:
            share = -(-share * _SHARE // (_SHARE + 1))
        group.admitted = min(len(group.waiting), share)
        self._pending += group.admitted
        whole = group.admitted == len(group.waiting)
        if limits.hold is not None:
            group.deadline = now + (limits.timeout if whole else limits.hold)
        if group.admitted:
            self._ready.append(group)
        if not whole:
            self._held.append(group)

    def _release(self, number: int) -> None:
        """Give back a part of the budget: to the groups over it, one domain each in turn."""
        self._pending -= number
        now = asyncio.get_running_loop().time()
        while (
            group := self._next(self._held, self._limits.pending - self._pending, now)
        ) is not None:
            if not group.admitted:
                self._ready.append(group)
            group.admitted += 1
            self._pending += 1
            if group.admitted < len(group.waiting):
                self._held.append(group)

    def _go_on(self) -> None:
        """Begin look-ups while workers are free."""
        now = asyncio.get_running_loop().time()
        while not self._closed:
            group = self._next(self._ready, self._limits.workers - len(self._running), now)
            if group is None:
                break
            domain = group.waiting.popleft()
            group.admitted -= 1
            if group.admitted:
                self._ready.append(group)
            known = self._known(domain)
            if known is not None:
                group.take(domain, known)
            elif domain in self._running:
                self._joined()
                self._running[domain].append(group)
            else:
                self._begin(domain, group, now)
                continue
            self._release(1)

    def _next(self, queue: deque[_Group], free: int, now: float) -> _Group | None:
        """Take the next group of `queue` that may have one of the `free` places, or None."""
        for _ in range(len(queue) if free > 0 else 0):
            group = queue.popleft()
            own = group.running + (group.admitted if queue is self._held else 0)
            if group.deadline is None or (own < _SHARE * free and now < group.deadline):
                return group
            queue.append(group)
        return None

    def _begin(self, domain: str, group: _Group, now: float) -> None:
        deadline = None
        if group.deadline is not None:
            deadline = min(now + self._limits.timeout, group.deadline)
        group.running += 1
        self._running[domain] = [group]
        task = asyncio.get_running_loop().create_task(self._look_up(domain, deadline))
        self._tasks.add(task)
        task.add_done_callback(lambda task: self._ended(domain, group, task))

    def _ended(self, domain: str, group: _Group, task: asyncio.Task[MailRoute]) -> None:
        """Hand the result of a look-up to the groups that wait for it."""
        self._tasks.discard(task)
        route = CLOSED if task.cancelled() else task.result()
        for waiting in self._running.pop(domain):
            waiting.take(domain, route)
        group.running -= 1
        self._release(1)
        self._go_on()

    def _expire(self, group: _Group) -> None:
        """End the wait of a group whose time is over.

        If many end at the same time, they do so one in each turn of the event loop. Their findings
        and replies are then not all in memory at once, and other sessions have turns in between.
        """
        self._expired.append(group)
        if len(self._expired) == 1:
            self._expire_next()

    def _expire_next(self) -> None:
        group = self._expired[0]
        late = Unknown(f"no answer within {self._limits.timeout:g} s")
        self._conclude(group, late, Unknown("too many look-ups are pending"))
        asyncio.get_running_loop().call_soon(self._expired_one)

    def _expired_one(self) -> None:
        self._expired.popleft()
        if self._expired:
            self._expire_next()

    def _conclude(self, group: _Group, admitted: MailRoute, held: MailRoute) -> None:
        """Give a group the results of what is not under way: admitted, or still over the budget."""
        number = group.admitted
        self._forget(group)
        for place, domain in enumerate(group.waiting):
            group.take(domain, admitted if place < number else held)

    def _forget(self, group: _Group) -> None:
        """Look up nothing more for a group."""
        for queue in (self._ready, self._held):
            if group in queue:
                queue.remove(group)
        number, group.admitted = group.admitted, 0
        self._release(number)
