"""The shell of a long-running command: what `serve`, `feedback` and `controller` have in common.

A Process owns the store, the log, events, metrics, HTTP, tasks and signals. A command builds its
own parts on it:

* it registers their metrics in `registry`, and adds event sinks to `events`;
* it appends to `sections` functions that return sections of the status page, to `readiness`
  functions that return reasons for not being ready, and to `ticks` functions that are called
  every TICK seconds with the time of `clock`;
* it appends to `reloads` functions that read files again, called on SIGHUP;
* it pushes on `resources` what has to be closed at the end;
* it awaits `run`, with a coroutine that opens its listeners and one that drains its work.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import importlib.metadata
import itertools
import logging
import platform
import resource
import signal
import time
from typing import TYPE_CHECKING, Final, Self

import uvloop

from relay.app.errors import StartError
from relay.app.listeners import ListenError, Listeners
from relay.app.tasks import Tasks
from relay.http import HttpServer, Page
from relay.observe.events import Events
from relay.observe.log import EventLog, Lines, LineWriter, dropped_lines, install
from relay.observe.metrics import Registry, gauge
from relay.observe.section import Section, Text, troubles
from relay.stores import StoreError, open_store
from relay.stores.metrics import StoreMetrics
from relay.stores.metrics import section as store_section

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
    from types import TracebackType

    from relay.settings.common import ProcessSettings
    from relay.settings.endpoints import Endpoint

_logger = logging.getLogger(__name__)

VERSION: Final = importlib.metadata.version("presend")
BUILD_INFO: Final = gauge(
    "presend_build_info",
    "Always 1; the versions of presend and of Python are its labels",
    {"version": (VERSION,), "python": (platform.python_version(),)},
)

FLUSH: Final = 0.1
"""Seconds between two flushes of the event buffer."""
TICK: Final = 0.25
"""Seconds between two calls of the ticks, which check deadlines and the store."""
GOODBYE: Final = 2.0
"""Seconds at the end for QUIT at the upstream, and for the last log lines."""


class Process:
    """The parts that every long-running command needs, opened, run and closed in order.

    An asynchronous context manager: leaving it closes everything. Entering raises StoreError when
    the store cannot be opened.
    """

    def __init__(
        self, settings: ProcessSettings, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.settings = settings
        self.clock = clock
        self._stopping = asyncio.Event()
        self._at_once = False
        self._wait: asyncio.Timeout | None = None
        self.draining = False
        self.tasks = Tasks()
        self.resources = contextlib.AsyncExitStack()
        self.sections: list[Callable[[], Section]] = []
        self.readiness: list[Callable[[], Iterable[str]]] = []
        self.ticks: list[Callable[[float], None]] = []
        self.reloads: list[Callable[[], None]] = []
        self.registry = Registry(settings.campaign_id)
        self.events = Events()
        self._started = self.clock()
        self._open_log()
        build = (VERSION, platform.python_version())
        self.registry.read(BUILD_INFO, lambda: {build: 1})
        self._http_listeners = Listeners()
        self._http = HttpServer(
            self.registry,
            readiness=self.troubles,
            page=self.page,
            flush=self.events.flush,
            clock=self.clock,
        )

    def _open_log(self) -> None:
        log, campaign = self.settings.log, self.settings.campaign_id
        level, form, masked = log.level, log.format, log.mask
        self.writer = LineWriter(report=dropped_lines(form, campaign))
        install(self.writer, campaign=campaign, level=level, form=form, masked=masked)
        event_log = EventLog(self.writer, campaign=campaign, level=level, form=form, masked=masked)
        event_log.register(self.registry)
        self.events.add_sink(event_log)

    async def __aenter__(self) -> Self:
        """Open the store. Raises StoreError."""
        self.store = open_store(self.settings.store, campaign=self.settings.campaign_id)
        self.store_metrics = StoreMetrics(self.registry, self.store)
        await self.resources.enter_async_context(self.tasks)
        self.resources.push_async_callback(asyncio.to_thread, self.writer.drain, GOODBYE)
        self.resources.callback(self.events.flush)
        self.resources.callback(self.store.close)
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Close everything, the parts of the command first."""
        await self.resources.__aexit__(kind, error, traceback)

    async def run(
        self,
        listen: Callable[[], Awaitable[Mapping[str, Sequence[Endpoint]]]],
        drain: Callable[[], Awaitable[int]],
    ) -> None:
        """Serve until `stop` is called, then drain.

        `listen` opens the listeners of the command and returns their addresses by name, for the
        log line `listening`. `drain` accepts no more work, uses `wait` to let the work under way
        finish, and returns how many transactions were cut short. Raises ListenError, also from
        `listen`.
        """
        await self._http.start()
        self.resources.push_async_callback(self._http.stop)
        self.resources.callback(self._http_listeners.close)
        await self._http_listeners.open(
            self.settings.http_listen, self._http.connection, "PRESEND_HTTP_LISTEN"
        )
        addresses = await listen()
        self.tasks.every(FLUSH, self.events.flush)
        self.tasks.every(TICK, self._tick)
        gc.collect()
        gc.freeze()  # the garbage collector need not traverse what lives as long as the process
        self._log_listening({**addresses, "http": self.http_addresses})
        await self._stopping.wait()
        self.draining = True
        _logger.info("Draining: transactions have %g s to finish", self.settings.grace)
        cut = await drain()
        if cut:
            cause = (
                "at a second signal" if self._at_once else "PRESEND_GRACE was too short for them"
            )
            _logger.warning("Cut %d transactions short: %s", cut, cause)
        await self._last_scrape()

    async def _last_scrape(self) -> None:
        """Let Prometheus read the final figures, if it reads them at all.

        It does if it has read them a short time ago, or may not have come to it yet, since the
        process is younger than a scrape interval. The relay of a short Job is.
        """
        longest = self.settings.last_scrape
        read = self._http.last_read
        since = self.clock() - (self._started - longest if read is None else read)
        if since < longest * 2:
            _logger.info("Waiting for one more scrape, %g s at most", longest)
            await self.wait(self._http.metrics_read(), longest)

    def stop(self) -> None:
        """Begin to drain; called again, end every wait of the drain at once."""
        if self._stopping.is_set():
            self._at_once = True
            if self._wait is not None and not self._wait.expired():
                self._wait.reschedule(asyncio.get_running_loop().time())
        self._stopping.set()

    def reload(self) -> None:
        """Read files again that may have changed."""
        _logger.info("Reading the lists again")
        for reload in self.reloads:
            reload()

    async def wait(self, work: Awaitable[None], seconds: float) -> None:
        """Wait for `work` for so many seconds at most, and only until `stop` is called again."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(0 if self._at_once else seconds) as self._wait:
                await work
        self._wait = None

    @property
    def http_addresses(self) -> list[Endpoint]:
        """The addresses of the HTTP listeners."""
        return self._http_listeners.addresses

    def troubles(self) -> list[str]:
        """Return the reasons for not being ready: draining, the store, and those of the parts."""
        reasons = ["draining"] if self.draining else []
        trouble = self.store.healthy()
        if trouble is not None:
            reasons.append(f"store: {trouble}")
        return [*reasons, *itertools.chain.from_iterable(read() for read in self.readiness)]

    def page(self) -> Page:
        """Return the contents of the status page: the sections of the parts, and of the store."""
        reasons = self.troubles()
        state = Text("not ready", "bad") if reasons else Text("accepting", "good")
        if self.draining:
            state = Text("draining", "wait")
        sections = [troubles(reasons)] if reasons else []
        sections += [section() for section in self.sections]
        sections.append(store_section(self.store, self.settings.store))
        uptime = self.clock() - self._started
        return Page(self.settings.campaign_id, state, VERSION, uptime, sections)

    def _tick(self) -> None:
        now = self.clock()
        self.store.refresh()
        for tick in self.ticks:
            tick(now)

    def _log_listening(self, addresses: Mapping[str, Sequence[Endpoint]]) -> None:
        lines = Lines(self.settings.log.format, self.settings.campaign_id)
        line = lines.shape("info", "listening", (*addresses, "version"))
        values = [lines.quote_list([*map(str, each)]) for each in addresses.values()]
        text = line(lines.stamp(time.time()), (*values, lines.quote(VERSION)))
        self.writer.write(text.encode())


def run(settings: ProcessSettings, command: Callable[[Process], Awaitable[None]]) -> int:
    """Run a long-running command until SIGTERM or SIGINT, and return the exit code.

    A second signal ends the drain at once. A SIGINT that was ignored at the start stays ignored.

    `command` builds its parts on the Process it is given and awaits `Process.run`. Raises
    StartError, with a sentence for the operator, when the process cannot start.
    """
    _raise_file_limit()
    try:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(_run(settings, command))
    except (StoreError, ListenError) as error:
        raise StartError(str(error)) from error
    return 0


async def _run(settings: ProcessSettings, command: Callable[[Process], Awaitable[None]]) -> None:
    process = Process(settings)
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGTERM, process.stop)
    # A shell without job control starts background jobs with SIGINT ignored: Ctrl-C is for others.
    if signal.getsignal(signal.SIGINT) is not signal.SIG_IGN:
        loop.add_signal_handler(signal.SIGINT, process.stop)
    loop.add_signal_handler(signal.SIGHUP, process.reload)
    async with process:
        await command(process)


def _raise_file_limit() -> None:
    """Raise the limit of open files to the hard limit: a session and its upstream need one each."""
    _soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with contextlib.suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
