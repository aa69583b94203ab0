"""The HTTP server over real sockets: its responses, and its limits on clients."""

import asyncio
import base64
import hashlib
import json
import re
import socket
import struct
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from types import SimpleNamespace
from typing import Any

import aiohttp
import pytest

from relay.app.listeners import ListenError, Listeners
from relay.app.validation_metrics import dns_section
from relay.http import HttpServer, Page
from relay.observe.mail_metrics import messages_section, recipients_section
from relay.observe.metrics import Registry, counter
from relay.observe.section import Row, Section, Share, Text, note, troubles
from relay.settings.endpoints import Endpoint
from relay.smtp.upstream.metrics import section as upstream_section
from relay.stores.metrics import section as store_section

ANY = Endpoint("127.0.0.1", 0)


def upstream(name: str, *, not_before: float = 0, **connections: int) -> Any:  # noqa: ANN401
    numbers = {"idle": 0, "busy": 0, "connecting": 0, "most": 20, **connections}
    limited = numbers["most"] < 20
    return SimpleNamespace(name=name, not_before=not_before, limited=limited, **numbers)


def store(entries: dict[str, int], trouble: str | None = None) -> Any:  # noqa: ANN401
    return SimpleNamespace(counts=lambda: entries, healthy=lambda: trouble)


ACCEPTING = Text("accepting", "good")
PAGE = Page(
    title="spring",
    state=ACCEPTING,
    version="1.2.3",
    uptime=93784.0,
    sections=(
        recipients_section(
            {("accept", "none"): 184221, ("reject", "suppressed"): 9120, ("defer", "mx"): 1},
            {"role_account": 13},
        ),
        messages_section({"relayed": 184223, "refused": 12}, sessions=12),
        upstream_section(
            [
                (upstream("smtp.example.net:587", idle=14, busy=6, connecting=1), "smtp+starttls"),
                (upstream("192.0.2.1:25", not_before=41.2), "smtp"),
            ],
            now=0.0,
        ),
        dns_section(SimpleNamespace(hits=190233, misses=1203, shared=44)),
        store_section(store({"hard_bounce": 10233}), "sqlite:///var/lib/presend/presend.db"),
    ),
)


class Started(HttpServer):
    """A server that listens on a free port of the loopback address."""

    def __init__(self, **settings: Any) -> None:  # noqa: ANN401
        settings = {"readiness": list, "page": lambda: PAGE, **settings}
        super().__init__(settings.pop("registry", Registry("spring")), **settings)
        self.listeners = Listeners()

    async def listen(self) -> None:
        """Start, and open the listener."""
        await self.start()
        await self.listeners.open([ANY], self.connection, "PRESEND_HTTP_LISTEN")

    @property
    def addresses(self) -> list[Endpoint]:
        """The addresses on which the server listens."""
        return self.listeners.addresses

    async def stop(self) -> None:
        """Close the listener and the connections."""
        self.listeners.close()
        await super().stop()


Start = Callable[..., Awaitable[Started]]


@pytest.fixture
async def start() -> AsyncIterator[Start]:
    """Start a server on a free port of the loopback address; stopped after the test."""
    started: list[Started] = []

    async def make(**settings: Any) -> Started:  # noqa: ANN401
        http = Started(**settings)
        started.append(http)
        await http.listen()
        return http

    yield make
    for http in started:
        await http.stop()


async def ask(
    http: Started, path: str, method: str = "GET", **headers: str
) -> tuple[int, dict[str, str], str]:
    async with (
        aiohttp.ClientSession() as session,
        session.request(method, f"http://{http.addresses[0]}{path}", headers=headers) as response,
    ):
        return response.status, dict(response.headers), await response.text()


async def connect(http: Started) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    return await asyncio.open_connection(*http.addresses[0])


async def close(writer: asyncio.StreamWriter) -> None:
    writer.close()
    await writer.wait_closed()


async def test_livez(start: Start) -> None:
    status, _, body = await ask(await start(readiness=lambda: ["draining"]), "/livez")
    assert (status, body) == (200, "ok\n")


@pytest.mark.parametrize(
    ("reasons", "status"), [([], 200), (["draining", 'no "upstream" answers'], 503)]
)
async def test_readyz(start: Start, reasons: list[str], status: int) -> None:
    answer = await ask(await start(readiness=lambda: reasons), "/readyz")
    assert answer[0] == status
    assert answer[1]["Content-Type"].startswith("application/json")
    assert json.loads(answer[2]) == {"ready": not reasons, "reasons": reasons}


async def test_metrics(start: Start) -> None:
    registry = Registry("spring")
    things = registry.counter(counter("presend_things_total", "Things"))
    status, headers, body = await ask(await start(registry=registry, flush=things.add), "/metrics")
    assert status == 200
    assert headers["Content-Type"] == "text/plain; version=0.0.4; charset=utf-8"
    assert "presend_things_total 1.0" in body  # the count is up to date
    assert "process_resident_memory_bytes" in body


async def test_metrics_as_openmetrics(start: Start) -> None:
    accept = "application/openmetrics-text;version=1.0.0;q=0.5,text/plain;version=0.0.4;q=0.4"
    status, headers, body = await ask(await start(), "/metrics", Accept=accept)
    assert status == 200
    assert headers["Content-Type"].startswith("application/openmetrics-text; version=1.0.0")
    assert body.endswith("# EOF\n")


async def test_page_shows_the_status(start: Start) -> None:
    status, headers, body = await ask(await start(), "/")
    assert status == 200
    assert headers["Content-Type"] == "text/html; charset=utf-8"
    text = re.sub(r"\s+", " ", re.sub(r"<style>.*?</style>|<[^>]*>", " ", body, flags=re.DOTALL))
    for shown in (
        "spring accepting",
        "Recipients: 193,342",
        "accept 184,221 95.3%",
        "reject suppressed 9,120 4.7%",
        "defer mx 1 &lt;0.1%",
        "Observed only (shadow mode) role_account 13",
        "Messages: 184,235 relayed 184,223 refused 12 SMTP sessions open: 12",
        "smtp.example.net:587 smtp+starttls ready 6 busy, 14 idle, 1 connecting",
        "192.0.2.1:25 smtp backing off, 41 s left 0 busy, 0 idle, 0 connecting",
        "Mail routes asked for: 191,480 from the cache 190,233 looked up 1,203",
        "Suppressions: 10,233 hard_bounce 10,233",
        "sqlite:///var/lib/presend/presend.db working",
        "presend 1.2.3, up 1 d 2 h",
    ):
        assert shown in text, shown


async def test_page_says_why_mail_is_not_taken(start: Start) -> None:
    sections = (
        troubles(["the store does not answer"]),
        recipients_section({}, {}),
        messages_section({}, 0),
        store_section(store({}, "disk I/O error"), "memory:"),
    )
    shown = Page("spring", Text("not ready", "bad"), "1", 0.0, sections)
    _, _, body = await ask(await start(page=lambda: shown), "/")
    assert "<title>spring: not ready - presend</title>" in body
    for text in (
        "the store does not answer",
        "No recipient yet.",
        "No message yet.",
        "The list is empty.",
        "disk I/O error",
        "up 0 s",
    ):
        assert text in body, text


async def test_events_are_flushed_before_the_page_is_read(start: Start) -> None:
    titles: list[str] = []
    http = await start(
        flush=lambda: titles.append("fresh"),
        page=lambda: Page(titles[-1], ACCEPTING, "1", 0.0, ()),
    )
    assert "<title>fresh: " in (await ask(http, "/"))[2]


async def test_page_escapes_every_value(start: Start) -> None:
    evil = "<script>alert(1)</script>&\"'"
    text = Text(evil, below=evil)
    inner = Section(evil, rows=(Row(text, (text, text)),), notes=(note(evil),))
    section = Section(evil, rows=inner.rows, notes=inner.notes, inner=(inner,), wide=True)
    shown = Page(evil, Text(evil), evil, 0.0, (section,))
    _, _, body = await ask(await start(page=lambda: shown), "/")
    assert "<script" not in body
    assert body.count("&lt;script&gt;alert(1)&lt;/script&gt;&amp;&#34;&#39;") == 21


async def test_bar_of_shares_adds_up_to_the_whole_width(start: Start) -> None:
    section = Section("Shares", bar=(Share("good", 1), Share("wait", 0), Share("bad", 3)))
    shown = Page("spring", ACCEPTING, "1", 0.0, (section,))
    _, _, body = await ask(await start(page=lambda: shown), "/")
    assert re.findall(r'<rect class="(\w+)" x="([\d.]+)" width="([\d.]+)"', body) == [
        ("good", "0.00", "25.00"),
        ("wait", "25.00", "0.00"),
        ("bad", "25.00", "75.00"),
    ]


async def test_page_needs_nothing_from_outside_and_no_script(start: Start) -> None:
    _, headers, body = await ask(await start(), "/")
    style = re.search(r"<style>(.*?)</style>", body, re.DOTALL)
    assert style is not None
    digest = base64.b64encode(hashlib.sha256(style[1].encode()).digest()).decode()
    policy = headers["Content-Security-Policy"]
    assert policy.startswith(f"default-src 'none'; style-src 'sha256-{digest}'; ")
    assert not re.search(
        r"\b(src|srcset|style|on\w+)=|<(link|script|img|iframe)|@import|url\(", body
    )
    assert set(re.findall(r'href="([^"]*)"', body)) == {"/metrics", "/readyz"}


@pytest.mark.parametrize("path", ["/", "/livez", "/nowhere"])
async def test_headers_of_every_response(start: Start, path: str) -> None:
    _, headers, _ = await ask(await start(), path)
    assert headers["Server"] == "presend"
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["Cache-Control"] == "no-store"
    assert "default-src 'none'" in headers["Content-Security-Policy"]


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("HEAD", "/", 200),
        ("HEAD", "/metrics", 200),
        ("HEAD", "/readyz", 200),
        ("POST", "/", 405),
        ("PUT", "/metrics", 405),
        ("DELETE", "/livez", 405),
        ("GET", "/nowhere", 404),
        ("GET", "/livez/", 404),
        ("GET", "/../etc/passwd", 404),
    ],
)
async def test_methods_and_paths(start: Start, method: str, path: str, status: int) -> None:
    found, _, body = await ask(await start(), path, method)
    assert found == status
    assert method != "HEAD" or body == ""


async def test_fault_of_our_own_is_logged_and_not_shown(
    start: Start, caplog: pytest.LogCaptureFixture
) -> None:
    def broken() -> Page:
        raise ValueError("secret")

    status, _, body = await ask(await start(page=broken), "/")
    assert (status, body) == (500, "internal error, see the log\n")
    assert "secret" in caplog.text


async def test_nonsense_is_refused_and_fills_no_log(
    start: Start, caplog: pytest.LogCaptureFixture
) -> None:
    http = await start()
    for nonsense in (
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\nBroken\r\n\r\n",
        b"GET /" + b"a" * 5000 + b" HTTP/1.1\r\n\r\n",
        b"GET / HTTP/1.1\r\nLong: " + b"a" * 5000 + b"\r\n\r\n",
        b"GET / HTTP/1.1\r\n" + b"".join(b"A%d: b\r\n" % i for i in range(100)) + b"\r\n",
    ):
        reader, writer = await connect(http)
        writer.write(nonsense)
        assert (await reader.readline()).startswith(b"HTTP/1.0 400 "), nonsense[:30]
        assert b"Traceback" not in await reader.read()
        await close(writer)
    assert not caplog.records


async def test_stop_closes_what_is_open(start: Start) -> None:
    http = await start()
    reader, writer = await connect(http)
    writer.write(b"GET /livez HTTP/1.1\r\nHost: x\r\n\r\n")
    await reader.readuntil(b"ok\n")
    address = http.addresses[0]
    await http.stop()
    assert await reader.read() == b""
    await close(writer)
    with pytest.raises(OSError, match=r"refused|Connect call failed"):
        await asyncio.open_connection(*address)


async def test_address_in_use(start: Start) -> None:
    http = await start()
    with pytest.raises(ListenError, match="Address already in use"):
        await Listeners().open(http.addresses, http.connection, "PRESEND_HTTP_LISTEN")


async def test_requests_that_wait_share_one_rendering(start: Start) -> None:
    """Requests without number cost one rendering at a time, and a probe does not wait for it."""
    rendered: list[str] = []

    def page() -> Page:
        rendered.append("")
        return PAGE

    http = await start(page=page)
    async with http._rendering:
        asked = [asyncio.create_task(ask(http, "/")) for _ in range(20)]
        assert (await ask(http, "/livez"))[0] == 200
    assert {(await each)[0] for each in asked} == {200}
    assert len(rendered) < 10


def test_jinja_is_not_imported_before_the_page_is_viewed() -> None:
    code = "import sys, relay.app; sys.exit('jinja2' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


async def test_metrics_count_as_read_only_if_a_client_was_sent_them(start: Start) -> None:
    http = await start()
    read = asyncio.create_task(http.metrics_read())
    assert (await ask(http, "/metrics", "HEAD"))[0] == 200
    rendering = http._rendering
    await rendering.acquire()
    _, writer = await connect(http)
    writer.write(b"GET /metrics HTTP/1.1\r\nHost: relay\r\n\r\n")
    await writer.drain()
    while not http._waiting:  # noqa: ASYNC110 - nothing tells that the request is there
        await asyncio.sleep(0)
    sock = writer.get_extra_info("socket")
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))  # resets
    writer.transport.abort()
    await ask(http, "/livez")
    rendering.release()
    assert (await ask(http, "/"))[0] == 200
    assert http.last_read is None
    assert not read.done()
    assert (await ask(http, "/metrics"))[0] == 200
    await read
    assert http.last_read is not None
