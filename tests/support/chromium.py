"""A headless Chromium that shows a page, by the Chrome DevTools Protocol.

async with browser(tmp_path) as chromium:
    await chromium.show(path, width=390, dark=True)
    wide = await chromium.evaluate("document.documentElement.scrollWidth")
"""

import asyncio
import base64
import contextlib
import itertools
import os
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp

from tests.support import need

_HEIGHT = 900
_LIMIT = 60.0


class Chromium:
    """One page of a browser."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        """Take the connection to the page."""
        self.requests: list[str] = []
        """The URLs of all requests of the page."""
        self._socket = socket
        self._numbers = itertools.count(1)

    async def call(self, method: str, **parameters: object) -> dict[str, Any]:
        """Call a method of the protocol; return its result."""
        number = next(self._numbers)
        await self._socket.send_json({"id": number, "method": method, "params": parameters})
        while True:
            message = await self._receive()
            if message.get("id") == number:
                assert "error" not in message, message
                result: dict[str, Any] = message["result"]
                return result

    async def show(self, path: Path, *, width: int, dark: bool = False, media: str = "") -> None:
        """Load a file and wait until it is shown."""
        await self.call(
            "Emulation.setDeviceMetricsOverride",
            width=width, height=_HEIGHT, deviceScaleFactor=1, mobile=width < _HEIGHT,
        )  # fmt: skip
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        await self.call("Emulation.setEmulatedMedia", media=media, features=[scheme])
        await self.call("Page.enable")
        await self.call("Network.enable")
        await self.call("Page.navigate", url=path.as_uri())
        while (await self._receive()).get("method") != "Page.loadEventFired":
            pass

    async def evaluate(self, expression: str) -> Any:  # noqa: ANN401 - what the script returns
        """Return the value of an expression in JavaScript."""
        found = await self.call("Runtime.evaluate", expression=expression, returnByValue=True)
        assert "exceptionDetails" not in found, found
        return found["result"].get("value")

    async def picture(self) -> bytes:
        """Return a picture of the whole page, as PNG."""
        shot = await self.call("Page.captureScreenshot", captureBeyondViewport=True)
        return base64.b64decode(shot["data"])

    async def _receive(self) -> dict[str, Any]:
        message: dict[str, Any] = await self._socket.receive_json(timeout=_LIMIT)
        if message.get("method") == "Network.requestWillBeSent":
            self.requests.append(message["params"]["request"]["url"])
        return message


@contextlib.asynccontextmanager
async def browser(folder: Path) -> AsyncIterator[Chromium]:
    """Run a browser with its files in a folder."""
    process = await asyncio.create_subprocess_exec(
        need.program("chromium"),
        "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage",
        "--no-first-run", "--disable-extensions", "--disable-background-networking",
        "--remote-debugging-port=0", f"--user-data-dir={folder}", "about:blank",
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.PIPE,
        env={**os.environ, "HOME": str(folder)},
    )  # fmt: skip
    try:
        assert process.stderr is not None
        async with asyncio.timeout(_LIMIT):
            line = b""
            while b"DevTools listening on ws://" not in line:
                line = await process.stderr.readline()
                assert line, "Chromium ended"
        host = line.decode().partition("ws://")[2].partition("/")[0]
        drain = asyncio.create_task(_drain(process.stderr))
        async with aiohttp.ClientSession() as session:
            async with session.get(f"http://{host}/json/list") as response:
                pages = [page for page in await response.json() if page["type"] == "page"]
            url = pages[0]["webSocketDebuggerUrl"]
            async with session.ws_connect(url, max_msg_size=0) as socket:
                yield Chromium(socket)
        drain.cancel()
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.terminate()
        await process.wait()


async def _drain(stream: asyncio.StreamReader) -> None:
    while await stream.read(65_536):
        pass
