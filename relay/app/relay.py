"""The running relay: every part, built from settings, started, and drained. Knows everyone."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import importlib.metadata
import logging
import time
from typing import TYPE_CHECKING, Final

from relay.app.mail import pools, rules
from relay.app.validation import recipient_pipeline, resolver, sender_pipeline
from relay.http.server import HttpServer
from relay.http.status import Status, UpstreamStatus
from relay.observe.events import Fanout, UpstreamFault, UpstreamReply
from relay.observe.log import EventLog, LineWriter, install
from relay.observe.metrics import Metrics
from relay.settings.clients import AllowList
from relay.smtp.server.doorman import Doorman
from relay.smtp.server.listener import Listener
from relay.smtp.transaction import Services
from relay.smtp.write_buffer import Outbox
from relay.stores import open_store
from validators.providers import PROVIDERS
from validators.suppression import StoreUnavailable

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Mapping, Sequence

    from relay.app.tasks import Tasks
    from relay.settings import Settings
    from relay.settings.endpoints import Upstream
    from relay.smtp.upstream.connect import HandshakeError
    from validators.dns.mail_route import MailRoute

_logger = logging.getLogger(__name__)

VERSION: Final = importlib.metadata.version("presend")
_FLUSH: Final = 0.1  # seconds between two writes of the event log
_TICK: Final = 0.25  # seconds between two looks at deadlines and at the store
_LAST_SCRAPE: Final = 15.0  # seconds for Prometheus to learn that transactions were cut short
_GOODBYE: Final = 2.0  # seconds for QUIT at the upstream, and for the last log lines


class _Handshakes:
    """What the pools tell, as metrics and events."""

    def __init__(self, metrics: Metrics, events: Fanout) -> None:
        self._metrics = metrics
        self._events = events

    def handshake(self, upstream: str, error: HandshakeError | None) -> None:
        self._metrics.handshake(ok=error is None)
        if error is None:
            return
        self._events.emit(
            UpstreamFault(error.stage, upstream, error.text, certificate=error.certificate)
        )
        if error.code:
            self._events.emit(UpstreamReply(error.stage, error.code, "other"))

    def reused(self) -> None:
        self._metrics.reused()

    def waited(self, seconds: float) -> None:
        self._metrics.pool_waited(seconds)


class Relay:
    """Everything `presend serve` runs, built from settings."""

    def __init__(
        self,
        settings: Settings,
        upstreams: Sequence[Upstream],
        spawn: Callable[[Coroutine[object, object, None]], asyncio.Task[None]],
        known: Mapping[str, MailRoute],
    ) -> None:
        """Build all parts, and open the store. Raises StoreError and StartError."""
        self.settings = settings
        self.clock = clock = time.monotonic
        self._started = clock()
        self._upstream_settings = upstreams
        self.draining = False
        self.store = open_store(settings.store, campaign=settings.campaign_id)
        self.metrics = metrics = Metrics(settings.campaign_id, providers=PROVIDERS, version=VERSION)
        self.writer = LineWriter()
        log = settings.log
        install(
            self.writer,
            campaign=settings.campaign_id,
            level=log.level,
            form=log.format,
            masked=log.mask,
        )
        self.event_log = EventLog(
            self.writer,
            campaign=settings.campaign_id,
            level=log.level,
            form=log.format,
            masked=log.mask,
        )
        events = Fanout([metrics, self.event_log])
        self.outbox = Outbox(asyncio.get_running_loop().call_soon)
        self.resolver = resolver(settings, known, metrics.dns_looked_up)
        self.pools = pools(settings, upstreams, _Handshakes(metrics, events), clock, self.outbox)
        services = Services(
            judge=recipient_pipeline(settings, self.store, self.resolver, self._check_failed),
            connections=self.pools,
            waited=metrics.reply_waited,
            events=events,
            provider=self.resolver.provider,
            spawn=spawn,
            clock=clock,
            most_recipients=settings.limits.recipients,
        )
        self.doorman = Doorman(
            AllowList(settings.allow_clients).permits,
            settings.limits.connections,
            metrics.session_refused,
        )
        self.listener = Listener(
            settings.listen,
            rules(
                settings,
                services,
                self.doorman,
                sender_pipeline(settings, self.store, self.resolver).judge,
                self.outbox,
            ),
        )
        self.http = HttpServer(
            settings.http_listen, metrics=metrics, readiness=self.troubles, status=self.status
        )
        self._watch()

    def _watch(self) -> None:
        pools = self.pools.pools
        self.metrics.watch(
            sessions=lambda: len(self.doorman.inside),
            pool=lambda: {
                "idle": sum(pool.idle for pool in pools),
                "busy": sum(pool.busy for pool in pools),
                "connecting": sum(pool.connecting for pool in pools),
            },
            pool_limit=lambda: self.settings.pool.connections * len(pools),
            suppression_entries=self._suppressions,
            dns=lambda: self.resolver.stats,
            log_dropped=lambda: self.event_log.dropped,
        )

    def _check_failed(self, check: str, error: Exception) -> None:
        if isinstance(error, StoreUnavailable):
            self.metrics.store_failed()
        else:
            self.metrics.check_failed(check)

    def _suppressions(self) -> dict[str, int]:
        return {str(reason): entries for reason, entries in self.store.counts().items()}

    def troubles(self) -> list[str]:
        """Return why no new mail should come here; an upstream that is down is not among it.

        Mail for it is answered 451, and the application keeps it; a pod taken out of its Service
        for that would only hide the fault.
        """
        reasons = ["draining"] if self.draining else []
        trouble = self.store.healthy()
        if trouble is not None:
            reasons.append(f"store: {trouble}")
        return reasons

    def status(self) -> Status:
        """Return what the status page shows."""
        stats, now = self.resolver.stats, self.clock()
        return Status(
            campaign=self.settings.campaign_id,
            version=VERSION,
            uptime=now - self._started,
            draining=self.draining,
            reasons=self.troubles(),
            sessions=len(self.doorman.inside),
            messages=self.metrics.messages(),
            verdicts=self.metrics.verdicts(),
            observed=self.metrics.observed(),
            upstreams=[
                UpstreamStatus(
                    address=pool.name,
                    scheme=upstream.scheme,
                    backoff=max(0.0, pool.not_before - now),
                    idle=pool.idle,
                    busy=pool.busy,
                    connecting=pool.connecting,
                )
                for pool, upstream in zip(self.pools.pools, self._upstream_settings, strict=True)
            ],
            dns_hits=stats.hits,
            dns_misses=stats.misses,
            dns_shared=stats.shared,
            suppressions=self._suppressions(),
            store=self.settings.store,
            store_trouble=self.store.healthy(),
        )

    async def start(self, tasks: Tasks) -> None:
        """Listen, and let time pass. Raises ListenError and HttpListenError."""
        await self.http.start()
        await self.listener.start()
        tasks.every(_FLUSH, self.event_log.flush)
        tasks.every(_TICK, self._tick)
        gc.collect()
        gc.freeze()  # what lives as long as the process need not be looked at again

    def _tick(self) -> None:
        now = self.clock()
        self.store.refresh()
        self.pools.tick(now)
        self.listener.tick(now)

    async def stop(self) -> None:
        """Let transactions in flight finish, then close everything in order."""
        self.draining = True
        _logger.info("Draining: transactions have %g s to finish", self.settings.grace)
        cut = await self.listener.drain(self.settings.grace)
        for _ in range(cut):
            self.metrics.drain_cut()
        await self.pools.close(_GOODBYE)
        if cut:
            _logger.warning("Cut %d transactions short: PRESEND_GRACE was too short for them", cut)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_LAST_SCRAPE):
                    await self.http.metrics_read()
        await self.http.stop()
        await self.close()

    async def close(self) -> None:
        """Let go of everything; for a start that failed half-way, too."""
        await self.listener.close()
        await self.http.stop()
        await self.resolver.aclose()
        self.store.close()
        self.event_log.flush()
        self.writer.drain(_GOODBYE)
