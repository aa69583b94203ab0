"""Both sides of the mail path, put together from settings: sessions' rules, upstream pools, TLS."""

from __future__ import annotations

import secrets
import ssl
import time
from typing import TYPE_CHECKING

from relay.app.errors import StartError
from relay.smtp.server.auth import Credentials
from relay.smtp.server.rules import Bounds, Rules
from relay.smtp.server.trace import Trace
from relay.smtp.upstream.connect import Connector, tls_context
from relay.smtp.upstream.connection import Timeouts
from relay.smtp.upstream.pool import Pool, PoolLimits, PoolObserver, Upstreams

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from relay.settings import ServeSettings
    from relay.settings.endpoints import Upstream
    from relay.smtp.server.doorman import Doorman
    from relay.smtp.server.rules import JudgeSender
    from relay.smtp.transaction import Services
    from relay.smtp.write_buffer import Outbox


def pools(
    settings: ServeSettings,
    upstreams: Sequence[Upstream],
    observer: PoolObserver,
    clock: Callable[[], float],
    outbox: Outbox,
) -> Upstreams:
    """Return a pool for each upstream, in order; connections are opened when they are needed."""
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
    found = []
    for upstream in upstreams:
        connector = Connector(
            upstream,
            helo=settings.hostname,
            context=context,
            timeout=times.connect,
            timeouts=Timeouts(times.command, times.body, times.final),
            clock=clock,
            outbox=outbox,
        )
        found.append(Pool(connector, limits, observer, clock))
    return Upstreams(found, clock)


def rules(
    settings: ServeSettings,
    services: Services,
    doorman: Doorman,
    judge_sender: JudgeSender,
    outbox: Outbox,
) -> Rules:
    """Return what all sessions share."""
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
        judge_sender=judge_sender,
        doorman=doorman,
        trace=Trace(settings.hostname, time.time),
        outbox=outbox,
        clock=services.clock,
        id_prefix=secrets.token_hex(4),
        tls=_server_context(settings),
        tls_required=settings.tls.required,
        credentials=credentials,
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
