"""`presend serve`: the mail path, from the SMTP listeners to the upstream pools."""

from __future__ import annotations

import asyncio
import ssl
import sys
from functools import partial
from typing import TYPE_CHECKING

from relay.app import demonstration
from relay.app.errors import StartError
from relay.app.listeners import Listeners
from relay.app.process import GOODBYE, Process, run
from relay.app.validation import recipient_pipeline, resolver, sender_pipeline
from relay.app.validation_metrics import ValidationMetrics, dns_section
from relay.guard.gate import Gate
from relay.observe.mail_metrics import MailMetrics, messages_section, recipients_section
from relay.settings import dev_directory
from relay.settings.endpoints import Upstream
from relay.smtp.server.metrics import ServerMetrics
from relay.smtp.server.server import Server, Spawn
from relay.smtp.sink import Sink
from relay.smtp.transaction import Backend
from relay.smtp.upstream.connect import Connector, tls_context
from relay.smtp.upstream.metrics import UpstreamMetrics
from relay.smtp.upstream.metrics import section as upstream_section
from relay.smtp.upstream.pool import Failover, Pool
from relay.smtp.write_buffer import WriteBuffer
from relay.stores.required import RequiredEntries
from validators.suppression import StoreUnavailable

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from relay.observe.events import Events
    from relay.observe.section import Section
    from relay.settings import ServeSettings
    from relay.settings.endpoints import Endpoint
    from validators.dns.mail_route import MailRoute
    from validators.pipeline import Pipeline


def serve(settings: ServeSettings, *, dev: bool = False) -> int:
    """Run `presend serve` until SIGTERM or SIGINT; return the exit code.

    Raises StartError with a sentence for the operator when it cannot start.
    """
    return run(settings, partial(_development if dev else _serve, settings))


async def _serve(settings: ServeSettings, process: Process) -> None:
    relay = Relay(process, settings, settings.upstream)
    await process.run(relay.listen, relay.drain)


async def _development(settings: ServeSettings, process: Process) -> None:
    """Serve with an embedded upstream and a demonstration zone; introduce them on stderr."""
    maildir = dev_directory() / "maildir"
    sink = Sink(maildir)
    port = await sink.start()
    process.resources.push_async_callback(sink.stop)
    upstream = Upstream("smtp", None, "127.0.0.1", port)
    relay = Relay(process, settings, [upstream], demonstration.ZONE)

    async def listen() -> Mapping[str, Sequence[Endpoint]]:
        addresses = await relay.listen()
        smtp, http = str(addresses["smtp"][0]), str(process.http_addresses[0])
        sys.stderr.write(demonstration.introduction(smtp, http, str(maildir)))
        return addresses

    await process.run(listen, relay.drain)


class Relay:
    """The parts of `presend serve`, built on a process.

    `known` are mail routes that need no DNS. Raises StartError.
    """

    def __init__(
        self,
        process: Process,
        settings: ServeSettings,
        upstreams: Sequence[Upstream],
        known: Mapping[str, MailRoute] | None = None,
    ) -> None:
        self.process = process
        self.settings = settings
        registry, clock = process.registry, process.clock
        self.mail_metrics = MailMetrics(registry)
        process.events.add_sink(self.mail_metrics)
        self._upstream_metrics = UpstreamMetrics(registry)
        self._server_metrics = ServerMetrics(registry)
        self._validation_metrics = ValidationMetrics(registry)
        self._listeners = Listeners()
        self.write_buffer = WriteBuffer(asyncio.get_running_loop().call_soon)
        self.resolver = resolver(settings, known or {}, self._validation_metrics.dns_looked_up)
        process.resources.push_async_callback(self.resolver.aclose)
        self.suppressions = RequiredEntries(process.store, settings.suppressions.required)
        self.pools = _pools(
            settings,
            upstreams,
            metrics=self._upstream_metrics,
            events=process.events,
            clock=clock,
            write_buffer=self.write_buffer,
        )
        self._schemes = [upstream.scheme for upstream in upstreams]
        self.server = _server(
            settings,
            backend=self._backend(),
            sender_pipeline=sender_pipeline(settings, self.suppressions, self.resolver),
            metrics=self._server_metrics,
            write_buffer=self.write_buffer,
            spawn=process.tasks.spawn,
        )
        self._attach()

    def _backend(self) -> Backend:
        process, settings = self.process, self.settings
        return Backend(
            campaign=settings.campaign_id,
            pipeline=recipient_pipeline(
                settings, self.suppressions, self.resolver, self._check_failed
            ),
            gate=Gate(),
            pools=self.pools,
            events=process.events,
            clock=process.clock,
            most_recipients=settings.limits.recipients,
        )

    def _attach(self) -> None:
        """Give the process what it reads and calls."""
        process, pools = self.process, self.pools.pools
        self._upstream_metrics.watch_pools(pools, self.settings.pool.connections * len(pools))
        self._server_metrics.watch_sessions(lambda: self.server.connections)
        self._validation_metrics.watch_dns(self.resolver.stats)
        self._validation_metrics.watch_resolver(self.resolver)
        self.suppressions.register(process.registry)
        process.readiness.append(self.suppressions.troubles)
        process.ticks += [self.pools.tick, self.server.tick, lambda _: self.suppressions.refresh()]
        process.sections += [
            self._recipients,
            self._messages,
            self._upstreams,
            lambda: dns_section(self.resolver.stats, self.resolver.canary_fault),
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
        return messages_section(self.mail_metrics.messages(), len(self.server.connections))

    def _upstreams(self) -> Section:
        pools = zip(self.pools.pools, self._schemes, strict=True)
        return upstream_section(list(pools), self.process.clock())

    async def listen(self) -> Mapping[str, Sequence[Endpoint]]:
        """Open the SMTP listeners and return their addresses. Raises ListenError."""
        self.process.resources.callback(self._listeners.close)
        await self._listeners.open(self.settings.listen, self.server.connected, "PRESEND_LISTEN")
        return {"smtp": self._listeners.addresses}

    async def drain(self) -> int:
        """Let transactions finish while the grace period lasts, then close the pools.

        Return the number of transactions that were cut short.
        """
        self._listeners.close()
        self.server.drain()
        await self.process.wait(self.server.emptied(), self.settings.grace)
        cut = self.server.cut()
        for _ in range(cut):
            self._server_metrics.drain_cut()
        await self.pools.close(GOODBYE)
        return cut


def _pools(
    settings: ServeSettings,
    upstreams: Sequence[Upstream],
    *,
    metrics: UpstreamMetrics,
    events: Events,
    clock: Callable[[], float],
    write_buffer: WriteBuffer,
) -> Failover:
    """Return the pools of all upstreams, in failover order; no connection is opened yet."""
    context = _upstream_context(settings)
    found = []
    for upstream in upstreams:
        connector = Connector(
            upstream,
            helo=settings.hostname,
            context=context,
            timeouts=settings.upstream_timeouts,
            clock=clock,
            write_buffer=write_buffer,
        )
        found.append(Pool(connector, settings.pool, metrics=metrics, events=events, clock=clock))
    return Failover(found, metrics=metrics, events=events, clock=clock)


def _server(
    settings: ServeSettings,
    *,
    backend: Backend,
    sender_pipeline: Pipeline,
    metrics: ServerMetrics,
    write_buffer: WriteBuffer,
    spawn: Spawn,
) -> Server:
    """Return the SMTP server, which does not listen yet.

    Raises:
        StartError: the certificate or the key of the listener cannot be loaded.
    """
    return Server(
        hostname=settings.hostname,
        limits=settings.limits,
        backend=backend,
        sender_pipeline=sender_pipeline,
        access=settings.access,
        metrics=metrics,
        write_buffer=write_buffer,
        spawn=spawn,
        tls=_server_context(settings),
    )


def _server_context(settings: ServeSettings) -> ssl.SSLContext | None:
    tls = settings.tls
    if tls.cert_file is None or tls.key_file is None:
        return None
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    try:
        context.load_cert_chain(tls.cert_file, tls.key_file)
    except (OSError, ssl.SSLError) as error:
        message = (
            f"PRESEND_TLS__CERT_FILE={tls.cert_file}: not a usable certificate and key ({error})"
        )
        raise StartError(message) from error
    return context


def _upstream_context(settings: ServeSettings) -> ssl.SSLContext:
    tls = settings.upstream_tls
    ca_file = str(tls.ca_file) if tls.ca_file is not None else None
    try:
        return tls_context(ca_file, verify=tls.verify)
    except (OSError, ssl.SSLError) as error:
        message = f"PRESEND_UPSTREAM_TLS__CA_FILE={ca_file}: no certificates to be read ({error})"
        raise StartError(message) from error
