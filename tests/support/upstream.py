"""An upstream with fault injection: a strict SMTP server that records all it receives.

It runs in the process of the test, with one thread per connection. It keeps the transcript of each
session, and each message byte for byte after dot-unstuffing.
A local part that begins with a code selects the reply: RCPT TO:<550-gone@...> is answered 550.
"""

import contextlib
import socket
import ssl
import threading
from collections.abc import Callable

from tests.support.closing import Closing
from tests.support.upstream_session import Received, Session, Settings, Shared

CREDENTIALS = ("campaign", "s3cr3t-of-the-upstream")
_WAIT = 20.0  # seconds after which a wait fails


class Upstream(Closing):
    """The server, on a free port. As a context manager it is closed at the end."""

    def __init__(
        self,
        *,
        tls: ssl.SSLContext | None = None,
        implicit_tls: bool = False,
        credentials: tuple[str, str] | None = None,
        receive_buffer: int = 0,
    ) -> None:
        self.sessions: list[Session] = []
        self.port = 0
        self._shared = Shared(tls, implicit_tls, credentials)
        self._shared.gate.set()
        self._receive_buffer = receive_buffer
        self._listener: socket.socket | None = None
        self.listen()

    @property
    def settings(self) -> Settings:
        """The behaviour, which tests may change; `reset` restores the defaults."""
        return self._shared.settings

    @property
    def tls(self) -> ssl.SSLContext | None:
        """The TLS context for STARTTLS or implicit TLS."""
        return self._shared.tls

    @tls.setter
    def tls(self, context: ssl.SSLContext) -> None:
        self._shared.tls = context

    @property
    def received(self) -> list[Received]:
        """Every message received to its end, whether answered 250 or not, oldest first."""
        with self._shared.changed:
            return list(self._shared.received)

    @property
    def accepted(self) -> list[Received]:
        """The messages answered 250, oldest first."""
        return [message for message in self.received if message.accepted]

    @property
    def commands(self) -> list[str]:
        """Every command line of every session, in order within a session."""
        with self._shared.changed:
            return [line for session in self.sessions for line in session.commands]

    @property
    def gate(self) -> threading.Event:
        """An event; while it is clear, the replies to the final dot are held back."""
        return self._shared.gate

    def url(self, *, user: str = "", scheme: str = "") -> str:
        """The value for PRESEND_UPSTREAM."""
        shared = self._shared
        if not scheme:
            scheme = "smtps" if shared.implicit_tls else "smtp+starttls" if shared.tls else "smtp"
        if not user and shared.credentials:
            user = shared.credentials[0]
        return f"{scheme}://{user}{'@' if user else ''}127.0.0.1:{self.port}"

    def listen(self) -> None:
        """Accept connections; after `refuse`, on the same port as before."""
        listener = self._bound()
        listener.listen(256)
        self.port = listener.getsockname()[1]
        threading.Thread(target=self._accept, args=(listener,), daemon=True).start()

    def refuse(self) -> None:
        """Refuse connections from now on, and close those that are open."""
        self._bound()  # bound but not listening: keeps the port, and connections are refused
        self.drop()

    def drop(self, *, reset: bool = False) -> None:
        """Close every open connection, with FIN or RST."""
        for session in self._snapshot():
            session.drop(reset=reset)

    def reset(self) -> None:
        """Delete all records, close every connection, and restore the default settings."""
        self._shared.settings = Settings()
        self._shared.gate.set()
        self.drop()
        with self._shared.changed:
            self.sessions.clear()
            self._shared.received.clear()

    def interject(self, data: bytes, *, close: bool = True) -> None:
        """Send these bytes unsolicited on every open connection, then close it."""
        for session in self._snapshot():
            session.interject(data, close=close)

    def wait(self, predicate: Callable[[], bool], *, timeout: float = _WAIT) -> None:
        """Wait until the predicate is true. Raises AssertionError with the transcript."""
        with self._shared.changed:
            if not self._shared.changed.wait_for(predicate, timeout):
                message = f"it never came to be; the upstream saw:\n{self.transcript()}"
                raise AssertionError(message)

    def transcript(self) -> str:
        """Return the transcripts of all sessions, for the message of a failing test."""
        return "\n\n".join("\n".join(session.transcript) for session in self._snapshot())

    def open_sessions(self) -> int:
        """The number of connections open now."""
        return sum(not session.ended for session in self._snapshot())

    def close(self) -> None:
        """Stop listening and close every connection."""
        self._drop_listener()
        self._shared.gate.set()
        self.drop()

    def _snapshot(self) -> list[Session]:
        with self._shared.changed:
            return list(self.sessions)

    def _bound(self) -> socket.socket:
        self._drop_listener()
        bound = socket.socket()
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if self._receive_buffer:
            bound.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, self._receive_buffer)
        bound.bind(("127.0.0.1", self.port))
        self._listener = bound
        return bound

    def _drop_listener(self) -> None:
        if self._listener is not None:
            with contextlib.suppress(OSError):
                self._listener.shutdown(socket.SHUT_RDWR)  # wakes the thread that waits in accept
            self._listener.close()
            self._listener = None

    def _accept(self, listener: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while True:
                connection, _ = listener.accept()
                session = Session(self._shared, connection)
                with self._shared.changed:
                    self.sessions.append(session)
                    self._shared.changed.notify_all()
                threading.Thread(target=session.run, daemon=True).start()
