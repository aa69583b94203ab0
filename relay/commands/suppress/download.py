"""Lists from HTTP servers: a response that is read like a file, bounded in size and time.

A thread of its own waits for the server, so that every wait has a bound, that for the name look-up
and for a server that sends an octet now and then included. Nothing is written to a disk: an init
container may have none.
"""

import base64
import contextlib
import http.client
import queue
import ssl
import threading
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable
from types import TracebackType
from typing import Final, NamedTuple, Self, TypeVar

from relay import VERSION
from relay.commands.tables import CHUNK
from relay.settings.endpoints import is_loopback

_Value = TypeVar("_Value")


class Limits(NamedTuple):
    """Bounds of a download, in seconds and octets."""

    stall: float = 10.0
    """Longest wait for the next octets, or for the first ones with all that precedes them."""
    total: float = 600.0
    """Longest time of all waits for one response; the time of the import does not count."""
    size: int = 2**32
    """Most octets of a response, and of what it unpacks to."""
    pause: float = 1.0
    """Pause before the second attempt; each further one is twice as long."""
    retry: float = 30.0
    """Time after the beginning of the first attempt in which others begin."""


LIMITS: Final = Limits()
_PASSING: Final = frozenset({408, 425, 429, 500, 502, 503, 504})
"""Status codes of a fault that may pass (RFC 9110 15.5, 15.6; RFC 8470; RFC 6585)."""
_OK: Final = 200
_QUEUED: Final = 8
"""Most pieces that are received before they are read."""
_LONGEST_REASON: Final = 200  # characters


class DownloadError(Exception):
    """There is no response, or only a part of it. The message holds nothing of the URL."""

    def __init__(self, text: str, *, passing: bool = False) -> None:
        """`passing` faults are worth another attempt."""
        super().__init__(text)
        self.passing = passing


def repeated(attempt: Callable[[], _Value], limits: Limits, say: Callable[[str], None]) -> _Value:
    """Return what `attempt` returns, and repeat it with growing pauses while faults may pass.

    Raises DownloadError.
    """
    started, pause = time.monotonic(), limits.pause
    while True:
        try:
            return attempt()
        except DownloadError as error:
            if not error.passing or time.monotonic() - started + pause > limits.retry:
                raise
            say(f"{error}; the next attempt follows in {pause:g} s")
        time.sleep(pause)
        pause *= 2


class Download:
    """The body of a response, as a file that is read. A context manager.

    Redirects are not followed: the URL may hold a password, and the settings say which servers are
    trusted. Certificates are checked by the system's authorities.
    """

    def __init__(self, url: str, limits: Limits = LIMITS) -> None:
        """Begin to request `url`, which `sources.load` has approved."""
        self._limits = limits
        self._left = limits.total
        self._pieces: queue.Queue[bytes | DownloadError] = queue.Queue(_QUEUED)
        self._closed = threading.Event()
        # A daemon: a thread that hangs in a name look-up must not keep the command from ending.
        threading.Thread(target=self._run, args=(url,), daemon=True).start()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._closed.set()

    def read(self, _size: int, /) -> bytes:
        """Return the next octets, at most CHUNK; none at the end. Raises DownloadError."""
        since = time.monotonic()
        try:
            piece = self._pieces.get(timeout=max(0.0, min(self._limits.stall, self._left)))
        except queue.Empty:
            piece = self._stalled()
        self._left -= time.monotonic() - since
        if isinstance(piece, DownloadError):
            raise piece
        return piece

    def _stalled(self) -> DownloadError:
        if self._left < self._limits.stall:
            return DownloadError(f"not received in {self._limits.total:g} s")
        return DownloadError(f"the server sent nothing for {self._limits.stall:g} s", passing=True)

    def _run(self, url: str) -> None:
        """Put the pieces of the body into the queue, and at the end an empty one or the fault."""
        try:
            self._receive(url)
            self._put(b"")
        except DownloadError as error:
            self._put(error)
        except urllib.error.HTTPError as error:
            with error:
                self._put(_refusal(error))
        except urllib.error.URLError as error:
            self._put(self._failure(error.reason))
        except Exception as error:  # noqa: BLE001 - nobody else sees the exceptions of a thread
            self._put(self._failure(error))

    def _receive(self, url: str) -> None:
        direct = is_loopback(urllib.parse.urlsplit(url).hostname or "")
        with _opener(direct=direct).open(_request(url), timeout=self._limits.stall) as response:
            if response.status != _OK:
                raise DownloadError(f"the server answered {response.status}")
            length = response.headers.get("Content-Length", "")
            expected = int(length) if length.isdecimal() and not response.chunked else None
            if expected is not None and expected > self._limits.size:
                raise self._too_large()
            self._receive_body(response, expected)

    def _receive_body(self, response: http.client.HTTPResponse, expected: int | None) -> None:
        received = 0
        while expected is None or received < expected:
            piece = response.read1(CHUNK if expected is None else min(CHUNK, expected - received))
            if not piece:
                break
            received += len(piece)
            if received > self._limits.size:
                raise self._too_large()
            if not self._put(piece):
                return
        if expected is not None and received < expected:
            text = f"the connection ended after {received:,} of {expected:,} octets"
            raise DownloadError(text, passing=True)

    def _put(self, piece: bytes | DownloadError) -> bool:
        """Wait until there is room in the queue; False if nobody reads it any more."""
        while not self._closed.is_set():
            with contextlib.suppress(queue.Full):
                self._pieces.put(piece, timeout=1.0)
                return True
        return False

    def _too_large(self) -> DownloadError:
        return DownloadError(f"larger than {self._limits.size:,} octets")

    def _failure(self, cause: object) -> DownloadError:
        """Return the error for an exception of the library, or its text."""
        if isinstance(cause, TimeoutError):
            return self._stalled()
        if isinstance(cause, ssl.SSLCertVerificationError):
            return DownloadError(f"the certificate was refused: {cause.verify_message}")
        if isinstance(cause, OSError | str):
            text = getattr(cause, "strerror", None) or str(cause)
            plain = "".join(c if c.isprintable() else "?" for c in text)
            return DownloadError(plain[:_LONGEST_REASON], passing=True)
        # The text of any other may quote what the server sent, or the URL.
        return DownloadError(f"no valid HTTP ({type(cause).__name__})", passing=True)


def _opener(*, direct: bool) -> urllib.request.OpenerDirector:
    """Return what opens URLs: as `build_opener`, but without FTP, files and redirects.

    `direct` uses no proxy: what goes to this machine must not leave it.
    """
    opener = urllib.request.OpenerDirector()
    for handler in (
        urllib.request.ProxyHandler({} if direct else None),
        urllib.request.HTTPHandler(),
        urllib.request.HTTPSHandler(context=ssl.create_default_context()),
        urllib.request.HTTPErrorProcessor(),
        urllib.request.HTTPDefaultErrorHandler(),
    ):
        opener.add_handler(handler)
    return opener


def _request(url: str) -> urllib.request.Request:
    """Return a request whose URL has no user and no password: they are in a header."""
    parts = urllib.parse.urlsplit(url)
    account, at, host = parts.netloc.rpartition("@")
    bare = parts._replace(netloc=host, fragment="").geturl()
    request = urllib.request.Request(bare, headers={"User-Agent": f"presend/{VERSION}"})  # noqa: S310 - http and https only
    if at:
        user, _, password = account.partition(":")
        pair = f"{urllib.parse.unquote(user)}:{urllib.parse.unquote(password)}"
        encoded = base64.b64encode(pair.encode()).decode()
        request.add_unredirected_header("Authorization", f"Basic {encoded}")
    return request


def _refusal(error: urllib.error.HTTPError) -> DownloadError:
    said = f"the server answered {error.code}"
    if error.code in range(300, 400):
        host = ""
        with contextlib.suppress(ValueError):
            host = urllib.parse.urlsplit(error.headers.get("Location", "")).hostname or ""
        target = f" to {host}" if host.isprintable() and host else ""
        return DownloadError(f"{said}, a redirect{target}, which is not followed")
    return DownloadError(said, passing=error.code in _PASSING)
