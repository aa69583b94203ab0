"""An upstream that runs a script: a function that is given each connection, in a thread."""

import contextlib
import socket
import threading
from collections.abc import Callable

from tests.support.closing import Closing

GREETING = b"220 upstream.example ESMTP\r\n"
OFFER = b"250-upstream.example\r\n250-PIPELINING\r\n250 ENHANCEDSTATUSCODES\r\n"
_LONGEST = 10.0  # seconds that a script waits for octets


class Line:
    """One connection; `number` counts them from 0."""

    def __init__(self, sock: socket.socket, number: int) -> None:
        self.sock = sock
        self.number = number
        self._buffer = b""

    def send(self, octets: bytes) -> None:
        """Send octets, as one segment where they fit into one."""
        self.sock.sendall(octets)

    def until(self, mark: bytes) -> bytes:
        """Read up to `mark` and return what came. Raises ConnectionError at the end."""
        while mark not in self._buffer:
            octets = self.sock.recv(65536)
            if not octets:
                raise ConnectionError
            self._buffer += octets
        found, mark, self._buffer = self._buffer.partition(mark)
        return found + mark

    def greet(self) -> None:
        """Greet and answer EHLO."""
        self.send(GREETING)
        self.until(b"EHLO relay.example\r\n")
        self.send(OFFER)

    def ended(self) -> bool:
        """Wait until the other side has closed; false if it does not."""
        try:
            while self.sock.recv(65536):
                pass
        except TimeoutError:
            return False
        except OSError:
            pass
        return True


class Scripted(Closing):
    """The server, on a free port. As a context manager it is closed at the end."""

    def __init__(self, script: Callable[[Line], None]) -> None:
        self._script = script
        self.connections = 0
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=256)
        self.port: int = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def url(self) -> str:
        """The value for PRESEND_UPSTREAM."""
        return f"smtp://127.0.0.1:{self.port}"

    def close(self) -> None:
        """Stop listening."""
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                sock, _ = self._listener.accept()
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                sock.settimeout(_LONGEST)
                line = Line(sock, self.connections)
                self.connections += 1
                threading.Thread(target=self._run, args=(line,), daemon=True).start()

    def _run(self, line: Line) -> None:
        with line.sock, contextlib.suppress(OSError):
            self._script(line)
