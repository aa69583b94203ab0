"""The HTTP server, on aiohttp: four pages, GET and HEAD only, everything bounded."""

import asyncio
import logging
import os
from collections.abc import Awaitable, Callable, Sequence
from typing import Final

from aiohttp import web

from relay.http.page import POLICY, render
from relay.http.status import Status
from relay.observe.metrics import Metrics, process_figures
from relay.settings.endpoints import Endpoint

_logger = logging.getLogger(__name__)
_protocol_logger = logging.getLogger(f"{__name__}.protocol")
_protocol_logger.setLevel(logging.CRITICAL)  # whoever sends nonsense shall not fill our log

CONNECTIONS: Final = 100
"""Open at once; one more gets 503 and is closed."""
IDLE: Final = 75.0
"""Seconds without a complete request; longer than Prometheus's usual scrape interval."""
SEND: Final = 10.0
"""Seconds a client may take to read a response."""
LINE: Final = 4096
"""Octets of the request line, and of each header."""
HEADERS: Final = 64
"""Headers of a request."""

RESPONSE_HEADERS: Final = {
    "Server": "presend",
    "Content-Security-Policy": POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
}

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class ListenError(Exception):
    """An address cannot be listened on; the message names it and says why."""


class HttpServer:
    """Serves /metrics, /livez, /readyz and the status page at /.

    Arguments: where to listen; the metrics; what returns the reasons for not being ready (none:
    ready); what returns the state to show. The two callbacks must not block.
    """

    def __init__(
        self,
        endpoints: Sequence[Endpoint],
        *,
        metrics: Metrics,
        readiness: Callable[[], Sequence[str]],
        status: Callable[[], Status],
        connections: int = CONNECTIONS,
        idle: float = IDLE,
    ) -> None:
        self._endpoints = endpoints
        self._metrics = metrics
        self._readiness = readiness
        self._status = status
        self._connections = connections
        self._servers: list[asyncio.Server] = []
        self._read = asyncio.Event()
        application = web.Application(middlewares=[_guard])
        application.on_response_prepare.append(_add_headers)
        application.router.add_get("/", self._page)
        application.router.add_get("/metrics", self._metrics_page)
        application.router.add_get("/livez", self._livez)
        application.router.add_get("/readyz", self._readyz)
        self._runner = web.AppRunner(
            application,
            access_log=None,
            logger=_protocol_logger,
            keepalive_timeout=idle,
            lingering_time=0,
            max_line_size=LINE,
            max_field_size=LINE,
            max_headers=HEADERS,
            shutdown_timeout=1.0,
        )

    @property
    def addresses(self) -> list[Endpoint]:
        """Where it listens, with the ports the system picked."""
        return [
            Endpoint(*socket.getsockname()[:2])
            for server in self._servers
            for socket in server.sockets
        ]

    async def start(self) -> None:
        """Listen on every endpoint.

        Raises:
            ListenError: one of them cannot be had; then none is listened on.
        """
        await self._runner.setup()
        for endpoint in self._endpoints:
            for host in endpoint.addresses:
                try:
                    await self._listen(host, endpoint.port)
                except OSError as error:
                    await self.stop()
                    where = Endpoint(host, endpoint.port)
                    raise ListenError(f"cannot listen on {where}: {_reason(error)}") from error

    async def metrics_read(self) -> None:
        """Wait until the metrics as they are now have been read once."""
        self._read.clear()
        await self._read.wait()

    async def stop(self) -> None:
        """Stop listening and close every connection, after the response under way."""
        for server in self._servers:
            server.close()
        self._servers.clear()
        await self._runner.cleanup()

    async def _listen(self, host: str, port: int) -> None:
        loop = asyncio.get_running_loop()
        self._servers.append(await loop.create_server(self._connected, host, port))

    def _connected(self) -> asyncio.Protocol:
        server = self._runner.server
        if server is None or len(server.connections) >= self._connections:
            return _Busy()
        return server()

    async def _page(self, _: web.Request) -> web.Response:
        return web.Response(text=render(self._status()), content_type="text/html")

    async def _metrics_page(self, request: web.Request) -> web.Response:
        # /proc lists every open descriptor: too slow for the loop when there are thousands.
        figures = await asyncio.to_thread(process_figures)
        body, content_type = self._metrics.render(request.headers.get("Accept", ""), figures)
        self._read.set()
        return web.Response(body=body, headers={"Content-Type": content_type})

    async def _livez(self, _: web.Request) -> web.Response:
        return web.Response(text="ok\n")

    async def _readyz(self, _: web.Request) -> web.Response:
        reasons = list(self._readiness())
        return web.json_response(
            {"ready": not reasons, "reasons": reasons}, status=503 if reasons else 200
        )


_BUSY: Final = b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"


class _Busy(asyncio.Protocol):
    """One connection too many."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        if isinstance(transport, asyncio.WriteTransport):
            transport.write(_BUSY)
            transport.close()


@web.middleware
async def _guard(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Answer, within bounds, whatever the handler does."""
    try:
        response = await handler(request)
    except web.HTTPException:
        raise
    except Exception:
        _logger.exception("%s failed", request.path)
        response = web.Response(status=500, text="internal error, see the log\n")
    try:
        async with asyncio.timeout(SEND):
            await response.prepare(request)
            await response.write_eof()
    except TimeoutError:
        if request.transport is not None:
            request.transport.abort()
    return response


async def _add_headers(_: web.Request, response: web.StreamResponse) -> None:
    response.headers.update(RESPONSE_HEADERS)


def _reason(error: OSError) -> str:
    """Return why, without the address, which each event loop words differently."""
    if error.errno is not None and error.errno > 0:
        return os.strerror(error.errno)
    return error.strerror or str(error)
