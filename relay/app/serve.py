"""`presend serve`: the mail path, from the SMTP listeners to the upstream pools."""

from __future__ import annotations

import asyncio
import sys
from typing import TYPE_CHECKING

from relay.app import demonstration
from relay.app.listeners import Listeners
from relay.app.mail import pools, rules
from relay.app.process import GOODBYE, Process, run
from relay.app.validation import recipient_pipeline, resolver, sender_pipeline
from relay.app.validation_metrics import ValidationMetrics, dns_section
from relay.observe.events import Events, ReplyReceived, UpstreamFault
from relay.observe.mail_metrics import MailMetrics, messages_section, recipients_section
from relay.settings import dev_directory
from relay.settings.clients import AllowList
from relay.settings.endpoints import Upstream
from relay.smtp.server.doorman import Doorman
from relay.smtp.server.listener import Listener
from relay.smtp.server.metrics import ServerMetrics
from relay.smtp.sink import Sink
from relay.smtp.transaction import Services
from relay.smtp.upstream.metrics import UpstreamMetrics
from relay.smtp.upstream.metrics import section as upstream_section
from relay.smtp.write_buffer import Outbox
from validators.suppression import StoreUnavailable

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from relay.observe.section import Section
    from relay.settings import Settings
    from relay.settings.endpoints import Endpoint
    from relay.smtp.upstream.connect import HandshakeError
    from validators.dns.mail_route import MailRoute


def serve(settings: Settings, *, dev: bool = False) -> int:
    """Run `presend serve` until SIGTERM or SIGINT; return the exit code.

    Raises StartError with a sentence for the operator when it cannot start.
    """
    return run(settings, _development if dev else _serve)


async def _serve(process: Process) -> None:
    relay = Relay(process, process.settings.upstream)
    await process.run(relay.listen, relay.drain)


async def _development(process: Process) -> None:
    """Serve with an embedded upstream and a demonstration zone; introduce them on stderr."""
    maildir = dev_directory() / "maildir"
    sink = Sink(maildir)
    port = await sink.start()
    process.resources.push_async_callback(sink.stop)
    upstream = Upstream("smtp", None, "127.0.0.1", port)
    relay = Relay(process, [upstream], demonstration.ZONE)

    async def listen() -> Mapping[str, Sequence[Endpoint]]:
        addresses = await relay.listen()
        smtp, http = str(addresses["smtp"][0]), str(process.http_addresses[0])
        sys.stderr.write(demonstration.introduction(smtp, http, str(maildir)))
        return addresses

    await process.run(listen, relay.drain)


class _PoolObserver:
    """Counts what the pools report, and emits events for handshakes that failed."""

    def __init__(self, metrics: UpstreamMetrics, events: Events) -> None:
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
            self._events.emit(ReplyReceived(error.stage, error.code, "other"))

    def reused(self) -> None:
        self._metrics.reused()

    def waited(self, seconds: float) -> None:
        self._metrics.pool_waited(seconds)


class Relay:
    """The parts of `presend serve`, built from the settings of a process.

    `known` are mail routes that need no DNS. Raises StartError.
    """

    def __init__(
        self,
        process: Process,
        upstreams: Sequence[Upstream],
        known: Mapping[str, MailRoute] | None = None,
    ) -> None:
        self.process = process
        self.settings = settings = process.settings
        registry, clock = process.registry, process.clock
        self.mail_metrics = MailMetrics(registry)
        process.events.add_sink(self.mail_metrics)
        self._upstream_metrics = UpstreamMetrics(registry)
        self._server_metrics = ServerMetrics(registry)
        self._validation_metrics = ValidationMetrics(registry)
        self._listeners = Listeners()
        self.outbox = Outbox(asyncio.get_running_loop().call_soon)
        self.resolver = resolver(settings, known or {}, self._validation_metrics.dns_looked_up)
        process.resources.push_async_callback(self.resolver.aclose)
        observer = _PoolObserver(self._upstream_metrics, process.events)
        self.pools = pools(settings, upstreams, observer, clock, self.outbox)
        self._schemes = [upstream.scheme for upstream in upstreams]
        self.doorman = Doorman(
            AllowList(settings.allow_clients).permits,
            settings.limits.connections,
            self._server_metrics.session_refused,
        )
        self.listener = Listener(
            rules(
                settings,
                self._services(),
                self.doorman,
                sender_pipeline(settings, self.resolver).judge,
                self.outbox,
            )
        )
        self._attach()

    def _services(self) -> Services:
        process, settings = self.process, self.settings
        return Services(
            judge=recipient_pipeline(settings, process.store, self.resolver, self._check_failed),
            connections=self.pools,
            waited=self._upstream_metrics.reply_waited,
            events=process.events,
            provider=self.resolver.provider,
            spawn=process.tasks.spawn,
            clock=process.clock,
            most_recipients=settings.limits.recipients,
        )

    def _attach(self) -> None:
        """Give the process what it reads and calls."""
        process, pools = self.process, self.pools.pools
        self._upstream_metrics.watch_pools(pools, self.settings.pool.connections * len(pools))
        self._server_metrics.watch_sessions(lambda: self.doorman.inside)
        self._validation_metrics.watch_dns(self.resolver.stats)
        process.ticks += [self.pools.tick, self.listener.tick]
        process.sections += [
            self._recipients,
            self._messages,
            self._upstreams,
            lambda: dns_section(self.resolver.stats),
        ]
        # An upstream that is down is no reason against readiness: its mail is answered 451, and the
        # application keeps it. Taking the pod out of its Service would only hide the fault.

    def _check_failed(self, check: str, error: Exception) -> None:
        if isinstance(error, StoreUnavailable):
            self.process.store_metrics.store_failed()
        else:
            self._validation_metrics.check_failed(check)

    def _recipients(self) -> Section:
        return recipients_section(self.mail_metrics.verdicts(), self.mail_metrics.observed())

    def _messages(self) -> Section:
        return messages_section(self.mail_metrics.messages(), len(self.doorman.inside))

    def _upstreams(self) -> Section:
        pools = zip(self.pools.pools, self._schemes, strict=True)
        return upstream_section(list(pools), self.process.clock())

    async def listen(self) -> Mapping[str, Sequence[Endpoint]]:
        """Open the SMTP listeners and return their addresses. Raises ListenError."""
        self.process.resources.callback(self._listeners.close)
        await self._listeners.open(self.settings.listen, self.listener.connection, "PRESEND_LISTEN")
        return {"smtp": self._listeners.addresses}

    async def drain(self) -> int:
        """Let transactions finish within the grace period, then close the pools.

        Return the number of transactions that were cut short.
        """
        self._listeners.close()
        cut = await self.listener.drain(self.settings.grace)
        for _ in range(cut):
            self._server_metrics.drain_cut()
        await self.pools.close(GOODBYE)
        return cut
