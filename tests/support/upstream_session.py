"""One session of the fault-injection upstream: strict SMTP on a blocking socket, in a thread."""

import base64
import binascii
import contextlib
import re
import socket
import ssl
import struct
import threading
from collections.abc import Callable
from dataclasses import dataclass, field

from tests.support.faults import Fault, Kind, Plan, Stage, healthy

EXTENSIONS = (
    "PIPELINING",
    "SIZE 104857600",
    "8BITMIME",
    "SMTPUTF8",
    "DSN",
    "ENHANCEDSTATUSCODES",
)
_STRICT_END = re.compile(rb"\r\n\.\r\n")
_LAX_END = re.compile(rb"(?:\r\n|\r|\n)\.(?:\r\n|\r|\n)")
_LONGEST_END = 5
_CHUNK = 65536
_OBEYED = re.compile(r"([245]\d\d)-")


@dataclass(slots=True)
class Received:
    """A message received to its end. `accepted` is true if the upstream answered 250."""

    sender: str
    parameters: tuple[str, ...]
    recipients: tuple[tuple[str, tuple[str, ...]], ...]  # accepted ones: address, parameters
    body: bytes  # after dot-unstuffing
    accepted: bool = False

    @property
    def addresses(self) -> list[str]:
        """The accepted recipients' addresses."""
        return [address for address, _ in self.recipients]


@dataclass(slots=True)
class Settings:
    """The behaviour of the upstream."""

    plan: Plan = healthy
    extensions: tuple[str, ...] = EXTENSIONS
    lax: bool = False  # ends a message at \n.\n, \r.\r and the like, as vulnerable servers do
    mechanisms: str = "PLAIN LOGIN"
    eager: bool = False  # answers 354 even if no recipient was accepted (RFC 2920 3.1)
    replies: dict[str, bytes] = field(default_factory=dict)  # RCPT address -> wire reply


@dataclass(slots=True)
class Shared:
    """The state that all sessions of one upstream share."""

    tls: ssl.SSLContext | None = None
    implicit_tls: bool = False
    credentials: tuple[str, str] | None = None
    settings: Settings = field(default_factory=Settings)
    received: list[Received] = field(default_factory=list)
    changed: threading.Condition = field(default_factory=threading.Condition)
    gate: threading.Event = field(default_factory=threading.Event)  # clear: hold final replies


class GoneError(Exception):
    """The session was ended by either side."""


class Session:
    """The server's side of one connection."""

    def __init__(self, shared: Shared, sock: socket.socket) -> None:
        self.commands: list[str] = []
        self.transcript: list[str] = []
        self.turns = 0  # how often the server wrote its replies and waited for the client
        self.longest_batch = 0  # the most commands received before the first of them was answered
        self.ended = False
        self.in_body = False
        self._shared = shared
        self._sock = sock
        self._buffer = bytearray()
        self._out = bytearray()
        self._batch = 0
        self._trickle = self._resetting = False
        self._over = threading.Event()
        self._verbs: dict[str, Callable[[str], None]] = {
            "EHLO": self._ehlo,
            "HELO": self._ehlo,
            "STARTTLS": self._starttls,
            "AUTH": self._auth,
            "MAIL": self._mail,
            "RCPT": self._rcpt,
            "DATA": self._data,
            "RSET": self._rset,
            "NOOP": lambda _line: self._say(b"250 2.0.0 OK\r\n"),
            "QUIT": self._quit,
        }
        self._sender: str | None = None
        self._parameters: tuple[str, ...] = ()
        self._recipients: list[tuple[str, tuple[str, ...]]] = []

    def run(self) -> None:
        """Serve until either side ends it."""
        try:
            self._sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._step(Stage.CONNECT, b"")
            if self._shared.implicit_tls:
                self._wrap()
            self._step(Stage.BANNER, b"220 upstream.example ESMTP\r\n")
            while True:
                line = self._line()
                self.commands.append(line)
                self.transcript.append(f"C: {line}")
                verb = self._verbs.get(line.split(" ", 1)[0].upper())
                if verb is None:
                    self._say(b"502 5.5.1 What?\r\n")
                else:
                    verb(line)
        except (GoneError, OSError, ValueError):  # ValueError: a closed ssl socket
            pass
        finally:
            if not self._resetting:
                self.drop()
            # Only this thread closes the socket. If another did during an OpenSSL read or write of
            # this thread, that operation could affect a new connection with the same file number.
            self._sock.close()
            with self._shared.changed:
                self.ended = True
                self._shared.changed.notify_all()

    def drop(self, *, reset: bool = False) -> None:
        """End the session, from any thread, with FIN or RST."""
        self._over.set()
        with contextlib.suppress(OSError):
            if reset:
                self._resetting = True
                linger = struct.pack("ii", 1, 0)
                self._sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
            # Wakes the session's thread. Shuts down the TCP socket, because shutting down TLS would
            # first send close_notify.
            socket.socket.shutdown(self._sock, socket.SHUT_RD if reset else socket.SHUT_RDWR)

    def interject(self, data: bytes, *, close: bool) -> None:
        """Send unsolicited bytes; then close the connection if `close` is true."""
        with contextlib.suppress(OSError):
            self._sock.sendall(data)
        if close:
            self.drop()

    # Stages

    def _step(self, stage: Stage, usual: bytes) -> bytes:
        """Send the usual reply, or act on the fault of this stage; return the reply sent."""
        fault = self._shared.settings.plan(stage)
        if fault is None:
            self._say(usual)
            return usual
        self.transcript.append(f"!: {stage} {fault}")
        if fault.kind is Kind.TRICKLE:
            self._trickle = True
            self._say(usual)
            return usual
        if fault.kind is Kind.REPLY:
            self._say(fault.reply)
            if fault.reply.startswith(b"421"):
                self._flush()
                raise GoneError
            return fault.reply
        self._misbehave(stage, fault)
        raise GoneError

    def _misbehave(self, stage: Stage, fault: Fault) -> None:
        self._flush()
        if fault.kind is Kind.RESET:
            self.drop(reset=True)
        elif fault.kind is Kind.GARBAGE:
            if stage is Stage.HANDSHAKE:
                self._sock.recv(_CHUNK)  # the ClientHello: the garbage shall not answer STARTTLS
            # Longer than one TLS record, so that a TLS client does not wait for more.
            self._sock.sendall(b"\x00\xff\xfe this is no reply\r\n250\x80\r\n\r\n" * 1000)
            self._drain()
        elif fault.kind is Kind.ENDLESS:
            with contextlib.suppress(OSError):
                for _ in range(64):
                    self._sock.sendall(b"250-" + b"x" * _CHUNK)
            self._drain()
        elif fault.kind is Kind.STALL and stage is Stage.BODY:
            self._over.wait()  # does not read: the sender must notice that writes do not progress
        elif fault.kind is Kind.STALL:
            self._drain()

    def _drain(self) -> None:
        while self._sock.recv(_CHUNK):
            pass

    def _ehlo(self, line: str) -> None:
        offered = list(self._shared.settings.extensions)
        secure = isinstance(self._sock, ssl.SSLSocket)
        if self._shared.tls is not None and not secure:
            offered.append("STARTTLS")
        if self._shared.credentials is not None:
            offered.append(f"AUTH {self._shared.settings.mechanisms}")
        lines = ["upstream.example", *(offered if line.upper().startswith("EHLO") else ())]
        last = len(lines) - 1
        usual = "".join(f"250{'-' if i < last else ' '}{it}\r\n" for i, it in enumerate(lines))
        self._step(Stage.EHLO, usual.encode())

    def _starttls(self, _line: str) -> None:
        if self._step(Stage.STARTTLS, b"220 2.0.0 Go ahead\r\n")[:3] == b"220":
            self._flush()
            self._buffer.clear()
            self._wrap()

    def _wrap(self) -> None:
        self._step(Stage.HANDSHAKE, b"")
        if self._shared.tls is None:
            message = "no TLS context"
            raise RuntimeError(message)
        self._sock = self._shared.tls.wrap_socket(self._sock, server_side=True)
        if self._over.is_set():  # dropped during the handshake
            raise GoneError

    def _auth(self, line: str) -> None:
        _, mechanism, *initial = line.split(" ")
        try:
            if mechanism.upper() == "PLAIN":
                blob = initial[0] if initial else self._ask("")
                _, user, password = base64.b64decode(blob).decode().split("\0")
            else:
                user = base64.b64decode(initial[0] if initial else self._ask("User")).decode()
                password = base64.b64decode(self._ask("Password")).decode()
        except (binascii.Error, ValueError):
            self._say(b"501 5.5.2 Not base64\r\n")
            return
        good = (user, password) == self._shared.credentials
        self._step(Stage.AUTH, b"235 2.7.0 OK\r\n" if good else b"535 5.7.8 Wrong\r\n")

    def _ask(self, prompt: str) -> str:
        self._say(b"334 " + base64.b64encode(prompt.encode()) + b"\r\n")
        return self._line()

    def _mail(self, line: str) -> None:
        if self._sender is not None:
            self._say(b"503 5.5.1 Nested MAIL\r\n")
            return
        reply = self._step(Stage.MAIL, b"250 2.1.0 Sender OK\r\n")
        if reply.startswith(b"250"):
            self._sender, self._parameters = _path(line)

    def _rcpt(self, line: str) -> None:
        if self._sender is None:
            self._say(b"503 5.5.1 MAIL first\r\n")
            return
        address, parameters = _path(line)
        usual = b"250 2.1.5 Recipient OK\r\n"
        obeyed = _OBEYED.match(address)
        if obeyed is not None:
            code = obeyed[1]
            usual = f"{code} {code[0]}.1.1 <{address}> as you wish\r\n".encode()
        reply = self._step(Stage.RCPT, self._shared.settings.replies.get(address, usual))
        if reply.startswith(b"421"):
            self._flush()
            raise GoneError
        if reply.startswith(b"250"):
            self._recipients.append((address, parameters))

    def _data(self, _line: str) -> None:
        if not self._recipients and not self._shared.settings.eager:
            self._say(b"554 5.5.1 No valid recipients\r\n")
            return
        if not self._step(Stage.DATA, b"354 Go ahead\r\n").startswith(b"354"):
            return
        self.in_body = True
        body = self._body()
        self.in_body = False
        if not self._recipients:
            self._clear()
            self._say(b"554 5.5.1 No valid recipients\r\n")
            return
        message = Received(
            self._sender or "", self._parameters, tuple(self._recipients), body, accepted=False
        )
        self._clear()
        with self._shared.changed:
            self._shared.received.append(message)
            self._shared.changed.notify_all()
        self._shared.gate.wait()
        reply = self._step(Stage.FINAL, b"250 2.0.0 Queued as 4711\r\n")
        if reply.startswith(b"250"):
            with self._shared.changed:
                message.accepted = True
                self._shared.changed.notify_all()

    def _body(self) -> bytes:
        end = _LAX_END if self._shared.settings.lax else _STRICT_END
        self._buffer[:0] = b"\r\n"  # the line before the body ended with CRLF
        start = 0
        if len(self._buffer) == len(b"\r\n"):
            self._recv()
        if self._shared.settings.plan is not healthy:
            self._step(Stage.BODY, b"")
            self._flush()
        while (match := end.search(self._buffer, start)) is None:
            start = max(0, len(self._buffer) - _LONGEST_END)
            self._recv()
        body = bytes(self._buffer[: match.start()]) + b"\r\n"
        del self._buffer[: match.end()]
        self.transcript.append(f"C: ({len(body)} octets)")
        return body.replace(b"\r\n.", b"\r\n")[2:]

    def _rset(self, _line: str) -> None:
        self._clear()
        self._step(Stage.RSET, b"250 2.0.0 OK\r\n")

    def _quit(self, _line: str) -> None:
        self._step(Stage.QUIT, b"221 2.0.0 Bye\r\n")
        self._flush()
        raise GoneError

    def _clear(self) -> None:
        self._sender = None
        self._parameters = ()
        self._recipients = []

    # Bytes

    def _say(self, reply: bytes) -> None:
        if reply:
            self.transcript.extend(
                f"S: {line}" for line in reply.decode("utf-8", "replace").splitlines()
            )
        self._out += reply

    def _flush(self) -> None:
        if not self._out:
            return
        data = bytes(self._out)
        self._out.clear()
        if self._trickle:
            self._trickle = False
            for octet in data:
                self._sock.sendall(bytes((octet,)))
        else:
            self._sock.sendall(data)

    def _recv(self) -> None:
        if self._out:
            self.turns += 1
        self._flush()
        with self._shared.changed:
            self._shared.changed.notify_all()
        chunk = self._sock.recv(_CHUNK)
        if not chunk:
            raise GoneError
        self._buffer += chunk

    def _line(self) -> str:
        self._batch += 1
        while (end := self._buffer.find(b"\r\n")) < 0:
            self._batch = 1
            self._recv()
        line = bytes(self._buffer[:end]).decode("utf-8", "surrogateescape")
        del self._buffer[: end + 2]
        self.longest_batch = max(self.longest_batch, self._batch)
        return line


def _path(line: str) -> tuple[str, tuple[str, ...]]:
    """Return the address and the parameters of a MAIL or RCPT command."""
    path, _, rest = line.partition(":")[2].partition(">")
    return path.strip().removeprefix("<"), tuple(rest.split())
