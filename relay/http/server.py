"""The HTTP server, on aiohttp: four pages, GET and HEAD only."""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Final, cast

from aiohttp import hdrs, web

from relay.http.connections import LIMITS, Connection, Connections, Limits
from relay.http.page import POLICY, Page, render
from relay.observe.metrics import Registry, process_figures

_logger = logging.getLogger(__name__)

OPENMETRICS: Final = "application/openmetrics-text"
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
    the page are rendered, so that they are up to date; a clock in seconds. None of the callables
    may block.
    """

    def __init__(
        self,
        registry: Registry,
        *,
        readiness: Callable[[], Sequence[str]],
        page: Callable[[], Page],
        flush: Callable[[], None] = lambda: None,
        clock: Callable[[], float] = time.monotonic,
        limits: Limits = LIMITS,
    ) -> None:
        self._registry = registry
        self._readiness = readiness
        self._page = page
        self._flush = flush
        self._clock = clock
        self._connections = Connections(limits)
        self._rendering = asyncio.Lock()
        self._waiting: dict[str, asyncio.Task[tuple[bytes, str]]] = {}
        self.last_read: float | None = None
        """When /metrics was sent last, by the clock; None if it never was."""
        self._read = asyncio.Event()
        application = web.Application(middlewares=[_guard])
        application.on_response_prepare.append(_add_headers)
        application.router.add_get("/", self._status_page)
        application.router.add_get("/metrics", self._metrics_page)
        application.router.add_get("/livez", self._livez)
        application.router.add_get("/readyz", self._readyz)
        self._runner = web.AppRunner(application, shutdown_timeout=1.0)

    async def start(self) -> None:
        """Prepare to serve connections."""
        await self._runner.setup()

    def connection(self) -> asyncio.Protocol:
        """Return the protocol of a new connection."""
        server = self._runner.server
        if server is None:
            message = "the server has not been started"
            raise RuntimeError(message)
        return Connection(server, self._connections)

    async def metrics_read(self) -> None:
        """Wait until a client has been sent /metrics once more."""
        self._read.clear()
        await self._read.wait()

    async def stop(self) -> None:
        """Close every connection, after the response under way."""
        await self._runner.cleanup()

    async def _shared(
        self, kind: str, render: Callable[[], Awaitable[tuple[bytes, str]]]
    ) -> web.Response:
        """Render a document once for all requests that arrive before its rendering begins.

        `render` returns the document and its content type. One document is rendered at a time, so
        that requests without number delay a probe by no more than one rendering.
        """

        async def begin() -> tuple[bytes, str]:
            async with self._rendering:
                del self._waiting[kind]
                return await render()

        waiting = self._waiting.get(kind)
        if waiting is None:
            waiting = self._waiting[kind] = asyncio.create_task(begin())
        body, content_type = await asyncio.shield(waiting)
        return web.Response(body=body, headers={"Content-Type": content_type})

    async def _status_page(self, _: web.Request) -> web.Response:
        async def page() -> tuple[bytes, str]:
            self._flush()
            # In a thread: the first rendering imports Jinja2, which takes too long for the loop.
            html = await asyncio.to_thread(render, self._page())
            return html.encode(), "text/html; charset=utf-8"

        return await self._shared("page", page)

    async def _metrics_page(self, request: web.Request) -> web.Response:
        accept = request.headers.get("Accept", "")
        form = OPENMETRICS if OPENMETRICS in accept else ""

        async def metrics() -> tuple[bytes, str]:
            # /proc lists every open descriptor: too slow for the loop when there are thousands.
            figures = await asyncio.to_thread(process_figures)
            self._flush()
            return self._registry.render(form, figures)

        response = await self._shared(f"metrics {form}", metrics)
        if request.method == hdrs.METH_GET and request.transport is not None:  # not gone meanwhile
            self.last_read = self._clock()
            self._read.set()
        return response

    async def _livez(self, _: web.Request) -> web.Response:
        return web.Response(text="ok\n")

    async def _readyz(self, _: web.Request) -> web.Response:
        reasons = list(self._readiness())
        return web.json_response(
            {"ready": not reasons, "reasons": reasons}, status=503 if reasons else 200
        )


@web.middleware
async def _guard(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Set the deadlines of a request, and answer 500 when the handler raises."""
    connection = cast("Connection", request.protocol)
    connection.handle()
    await asyncio.sleep(0)  # other connections have their turn between two pipelined requests
    try:
        return await handler(request)
    except web.HTTPException:
        raise
    except Exception:
        _logger.exception("%s failed", request.path)
        return web.Response(status=500, text="internal error, see the log\n")
    finally:
        connection.respond()


async def _add_headers(_: web.Request, response: web.StreamResponse) -> None:
    response.headers.update(RESPONSE_HEADERS)
