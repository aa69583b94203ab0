"""The HTTP server, on aiohttp: four pages, GET and HEAD only, with a limit on every resource."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from typing import Final

from aiohttp import web

from relay.http.page import POLICY, Page, render
from relay.observe.metrics import Registry, process_figures

_logger = logging.getLogger(__name__)
_protocol_logger = logging.getLogger(f"{__name__}.protocol")
_protocol_logger.setLevel(logging.CRITICAL)  # a malformed request must not fill the log

CONNECTIONS: Final = 100
"""Connections open at once; a further one is answered 503 and closed."""
IDLE: Final = 75.0
"""Seconds a connection may be without a complete request; Prometheus scrapes more often."""
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


class HttpServer:
    """Serves /metrics, /livez, /readyz and the status page at /.

    It does not listen itself: pass `connection` to whatever opens the listeners.

    Arguments: the metrics; a callable that returns the reasons for not being ready, none when
    ready; one that returns the contents of the status page; one that is called before metrics or
    the page are rendered, so that they are up to date. None of the callables may block.
    """

    def __init__(
        self,
        registry: Registry,
        *,
        readiness: Callable[[], Sequence[str]],
        page: Callable[[], Page],
        flush: Callable[[], None] = lambda: None,
        connections: int = CONNECTIONS,
        idle: float = IDLE,
    ) -> None:
        self._registry = registry
        self._readiness = readiness
        self._page = page
        self._flush = flush
        self._connections = connections
        self._read = asyncio.Event()
        application = web.Application(middlewares=[_guard])
        application.on_response_prepare.append(_add_headers)
        application.router.add_get("/", self._status_page)
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

    async def start(self) -> None:
        """Prepare to serve connections."""
        await self._runner.setup()

    def connection(self) -> asyncio.Protocol:
        """Return the protocol of a new connection."""
        server = self._runner.server
        if server is None or len(server.connections) >= self._connections:
            return _Busy()
        return server()

    async def metrics_read(self) -> None:
        """Wait until /metrics is requested once more."""
        self._read.clear()
        await self._read.wait()

    async def stop(self) -> None:
        """Close every connection, after the response under way."""
        await self._runner.cleanup()

    async def _status_page(self, _: web.Request) -> web.Response:
        self._flush()
        # In a thread: the first rendering imports Jinja2, which takes too long for the loop.
        html = await asyncio.to_thread(render, self._page())
        return web.Response(text=html, content_type="text/html")

    async def _metrics_page(self, request: web.Request) -> web.Response:
        # /proc lists every open descriptor: too slow for the loop when there are thousands.
        figures = await asyncio.to_thread(process_figures)
        self._flush()
        body, content_type = self._registry.render(request.headers.get("Accept", ""), figures)
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
    """A connection above the limit: answers 503 and closes."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        if isinstance(transport, asyncio.WriteTransport):
            transport.write(_BUSY)
            transport.close()


@web.middleware
async def _guard(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Answer 500 when the handler raises, and cut a client that does not read the response."""
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
