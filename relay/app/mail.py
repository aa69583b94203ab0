"""Builds both sides of the mail path from the settings: the upstream pools and the SMTP server."""

from __future__ import annotations

import ssl
from typing import TYPE_CHECKING

from relay.app.errors import StartError
from relay.settings.clients import AllowList
from relay.smtp.server.auth import Credentials
from relay.smtp.server.server import Server, Spawn
from relay.smtp.upstream.connect import Connector, tls_context
from relay.smtp.upstream.pool import Failover, Pool

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from relay.observe.events import Events
    from relay.settings import ServeSettings
    from relay.settings.endpoints import Upstream
    from relay.smtp.server.metrics import ServerMetrics
    from relay.smtp.transaction import Backend
    from relay.smtp.upstream.metrics import UpstreamMetrics
    from relay.smtp.write_buffer import WriteBuffer
    from validators.pipeline import Pipeline


def pools(
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


def server(
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
    auth = settings.auth
    credentials = None
    if auth.username is not None and auth.password is not None:
        credentials = Credentials(auth.username, auth.password.get_secret_value())
    return Server(
        hostname=settings.hostname,
        limits=settings.limits,
        backend=backend,
        sender_pipeline=sender_pipeline,
        permits=AllowList(settings.allow_clients).permits,
        metrics=metrics,
        write_buffer=write_buffer,
        spawn=spawn,
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
