"""The composition root: builds every part, runs them, and drains them. Knows everyone."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import importlib.metadata
import logging
import resource
import secrets
import signal
import ssl
import sys
import time
from typing import TYPE_CHECKING, Final, NamedTuple

import uvloop

from relay import dev as demonstration
from relay.clients import AllowList
from relay.config import dev_directory
from relay.endpoints import Upstream
from relay.events import Fanout, UpstreamFault, UpstreamReply
from relay.http.server import HttpServer
from relay.http.server import ListenError as HttpListenError
from relay.http.status import Status, UpstreamStatus
from relay.logs import EventLog, LineWriter, install
from relay.logs.lines import Lines
from relay.metrics import Metrics
from relay.smtp.auth import Credentials
from relay.smtp.connect import Connector, HandshakeError, tls_context
from relay.smtp.listener import Listener, ListenError
from relay.smtp.pool import Pool, PoolLimits, Upstreams
from relay.smtp.rules import Bounds, Doorman, Rules
from relay.smtp.sink import Sink
from relay.smtp.trace import Trace
from relay.smtp.transaction import Services
from relay.smtp.upstream import Timeouts
from relay.stores import StoreError, open_store
from relay.tasks import Tasks
from validators.address import SyntaxOptions
from validators.checks.mx import MxCheck
from validators.checks.role import RoleCheck
from validators.checks.suppression import StoreUnavailable, SuppressionCheck
from validators.checks.syntax import Syntax
from validators.dns import Resolver
from validators.pipeline import Pipeline
from validators.policy import Policy
from validators.providers import PROVIDERS
from validators.verdict import Action, Reason

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Coroutine, Mapping, Sequence

    from relay.settings import Settings
    from relay.stores import Store
    from validators.dns import MailRoute
    from validators.pipeline import Check

_logger = logging.getLogger(__name__)

VERSION: Final = importlib.metadata.version("presend")
_FLUSH: Final = 0.1  # seconds between two writes of the event log
_TICK: Final = 0.25  # seconds between two looks at deadlines and at the store
_GOODBYE: Final = 2.0  # seconds for QUIT at the upstream, and for the last log lines


class StartError(Exception):
    """The relay cannot start; the message is for the person who can change that."""


class Validation(NamedTuple):
    """The validators, put together from settings."""

    pipeline: Pipeline
    resolver: Resolver


@contextlib.asynccontextmanager
async def validation(settings: Settings, *, dns: bool = True) -> AsyncIterator[Validation]:
    """The validators alone, with the store they read: for `presend check`.

    Without `dns`, mail routes are not looked up. Raises StoreError.
    """
    store = open_store(settings.store, campaign=settings.campaign_id)
    resolver = _resolver(settings, {}, None)
    try:
        yield Validation(_pipeline(settings, store, resolver if dns else None), resolver)
    finally:
        await resolver.aclose()
        store.close()


def _resolver(
    settings: Settings,
    known: Mapping[str, MailRoute],
    looked_up: Callable[[float], None] | None,
) -> Resolver:
    servers = [(server.host, server.port) for server in settings.dns_servers]
    try:
        return Resolver(
            servers or None,
            timeout=settings.dns.timeout,
            max_queries=settings.dns.queries,
            cache_size=settings.dns.cache,
            known=known,
            on_lookup=looked_up,
        )
    except ValueError as error:
        message = f"PRESEND_DNS_SERVERS: {error}"
        raise StartError(message) from error


def _pipeline(
    settings: Settings,
    store: Store,
    resolver: Resolver | None,
    on_failure: Callable[[str, Exception], None] | None = None,
) -> Pipeline:
    actions = dict(settings.policy)
    if settings.on_store_failure == "accept":
        actions.setdefault(Reason.STORE_UNAVAILABLE, Action.OBSERVE)
    checks: list[Check] = [RoleCheck(settings.role.allow), SuppressionCheck(store)]
    if resolver is not None:
        checks.append(MxCheck(resolver, settings.trusted_domains))
    return Pipeline(Syntax(_syntax(settings)), checks, Policy(actions), on_failure)


def _sender_pipeline(settings: Settings, resolver: Resolver) -> Pipeline:
    """Senders are refused for syntax and for a null MX (RFC 7505 4.2), and for nothing else."""
    judged = {Reason.SYNTAX, Reason.NULL_MX}
    policy = {reason: Action.REJECT if reason in judged else Action.OFF for reason in Reason}
    options = SyntaxOptions(
        allow_quoted_local=True, allow_domain_literal=settings.syntax.allow_domain_literal
    )
    checks: list[Check] = [MxCheck(resolver, settings.trusted_domains)]
    return Pipeline(Syntax(options), checks, Policy(policy))


def _syntax(settings: Settings) -> SyntaxOptions:
    return SyntaxOptions(
        allow_quoted_local=settings.syntax.allow_quoted_local,
        allow_domain_literal=settings.syntax.allow_domain_literal,
    )


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
        spawn: Callable[[Coroutine[object, object, None]], object],
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
        self.resolver = _resolver(settings, known, metrics.dns_looked_up)
        self.pools = self._pools(events)
        services = Services(
            judge=_pipeline(settings, self.store, self.resolver, self._check_failed),
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
        self.listener = Listener(settings.listen, self._rules(services))
        self.http = HttpServer(
            settings.http_listen, metrics=metrics, readiness=self.troubles, status=self.status
        )
        self._watch()

    def _pools(self, events: Fanout) -> Upstreams:
        settings, clock = self.settings, self.clock
        times = settings.upstream_timeouts
        limits = PoolLimits(
            connections=settings.pool.connections,
            idle=settings.pool.idle,
            messages=settings.pool.messages,
            age=settings.pool.age,
            wait=settings.pool.wait,
            backoff=settings.pool.backoff,
        )
        context = _upstream_context(settings)
        observer = _Handshakes(self.metrics, events)
        pools = []
        for upstream in self._upstream_settings:
            connector = Connector(
                upstream,
                helo=settings.hostname,
                context=context,
                timeout=times.connect,
                timeouts=Timeouts(times.command, times.body, times.final),
                clock=clock,
            )
            pools.append(Pool(connector, limits, observer, clock))
        return Upstreams(pools, clock)

    def _rules(self, services: Services) -> Rules:
        settings = self.settings
        limits, auth = settings.limits, settings.auth
        credentials = None
        if auth.username is not None and auth.password is not None:
            credentials = Credentials(auth.username, auth.password.get_secret_value())
        return Rules(
            hostname=settings.hostname,
            bounds=Bounds(
                connections=limits.connections,
                message_size=limits.message_size,
                recipients=limits.recipients,
                idle=limits.idle,
                bad_commands=limits.bad_commands,
            ),
            services=services,
            judge_sender=_sender_pipeline(settings, self.resolver).judge,
            doorman=self.doorman,
            trace=Trace(settings.hostname, time.time),
            clock=self.clock,
            id_prefix=secrets.token_hex(4),
            tls=_server_context(settings),
            tls_required=settings.tls.required,
            credentials=credentials,
        )

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
        await self.listener.drain(self.settings.grace, self.metrics.drain_cut)
        await self.pools.close(_GOODBYE)
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


def _server_context(settings: Settings) -> ssl.SSLContext | None:
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


def _upstream_context(settings: Settings) -> ssl.SSLContext:
    tls = settings.upstream_tls
    ca_file = str(tls.ca_file) if tls.ca_file is not None else None
    try:
        return tls_context(ca_file, verify=tls.verify)
    except (OSError, ssl.SSLError) as error:
        message = f"PRESEND_UPSTREAM_TLS__CA_FILE={ca_file}: no certificates to be read ({error})"
        raise StartError(message) from error


async def _serve(settings: Settings, *, dev: bool) -> None:
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopping.set)
    async with contextlib.AsyncExitStack() as stack:
        upstreams: Sequence[Upstream] = settings.upstream
        known: Mapping[str, MailRoute] = {}
        if dev:
            sink = Sink(dev_directory() / "maildir")
            upstreams = [Upstream("smtp", None, "127.0.0.1", await sink.start())]
            known = demonstration.ZONE
            stack.push_async_callback(sink.stop)
        tasks = await stack.enter_async_context(Tasks())
        relay = Relay(settings, upstreams, tasks.spawn, known)
        try:
            await relay.start(tasks)
        except BaseException:
            await relay.close()
            raise
        _announce(relay, settings, dev=dev)
        await stopping.wait()
        await relay.stop()


def _announce(relay: Relay, settings: Settings, *, dev: bool) -> None:
    smtp = [str(address) for address in relay.listener.addresses]
    http = [str(address) for address in relay.http.addresses]
    if dev:
        maildir = str(dev_directory() / "maildir")
        sys.stderr.write(demonstration.introduction(smtp[0], http[0], maildir))
    lines = Lines(settings.log.format, settings.campaign_id)
    listening = lines.shape("info", "listening", ("smtp", "http", "version"))
    values = (lines.quote_list(smtp), lines.quote_list(http), lines.quote(VERSION))
    relay.writer.write(listening(lines.stamp(time.time()), values).encode())


def _raise_file_limit() -> None:
    """Allow as many sockets as the hard limit gives: a session and its upstream need one each."""
    _soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with contextlib.suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def serve(settings: Settings, *, dev: bool = False) -> int:
    """Run `presend serve` until SIGTERM or SIGINT; return the exit code.

    Raises StartError with a sentence for the operator when it cannot start.
    """
    _raise_file_limit()
    try:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(_serve(settings, dev=dev))
    except (StoreError, ListenError, HttpListenError) as error:
        raise StartError(str(error)) from error
    return 0
