r"""A raw SMTP client: it sends the bytes it is given and reads whole replies.

Tests read as transcripts. `Client.run` takes a script of lines:

    C: text     a command, sent with CRLF; consecutive C: lines leave in one write
    X: text     exactly these bytes without CRLF, in the same write as adjacent C: and X: lines
    S: 250 ...  one reply; `...` at the end matches any text
    S: 250-...  one line of a multi-line reply, for tests that check each line
    S: EOF      the server has closed the connection

Backslash escapes (`\r`, `\n`, `\0`, `\x80`) work in C: and X: lines.
A pattern with a space after its code is compared with the last line of a multi-line reply.
"""

import socket
import ssl
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Self

from tests.support.closing import Closing
from tests.support.eventually import eventually

MESSAGE = b"Subject: hello\r\n\r\nOne line.\r\n"
SENDER = "news@app.example"
RECIPIENT = "ann@example.com"

_TIMEOUT = 20.0  # seconds after which a read fails
_REPLY_LINES = 200  # far more than any reply has
_CODE_END = 3


@dataclass(frozen=True, slots=True)
class Reply:
    """One SMTP reply: its lines without CRLF, each with its code."""

    lines: tuple[str, ...]

    @property
    def code(self) -> int:
        """The three digits."""
        return int(self.lines[-1][:_CODE_END])

    @property
    def text(self) -> str:
        """The last line, without the code."""
        return self.lines[-1][_CODE_END + 1 :]

    @property
    def enhanced(self) -> str:
        """The enhanced status code (RFC 3463), or an empty string."""
        word = self.text.split(" ", 1)[0]
        return word if word.count(".") == 2 and word.replace(".", "").isdigit() else ""

    def __str__(self) -> str:
        return " / ".join(self.lines)


class Client(Closing):
    """One SMTP connection over a blocking socket with a bound on every read."""

    def __init__(
        self, port: int, *, host: str = "127.0.0.1", source: str = "", timeout: float = _TIMEOUT
    ) -> None:
        origin = (source, 0) if source else None
        self.sock = socket.create_connection((host, port), timeout, origin)
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.transcript: list[str] = []
        self._buffer = bytearray()

    @classmethod
    def greeted(cls, port: int, *, timeout: float = _TIMEOUT) -> Self:
        """Connect, read the banner and send EHLO."""
        client = cls(port, timeout=timeout)
        try:
            client.greet()
        except BaseException:
            client.close()
            raise
        return client

    def greet(self) -> None:
        """Read the banner and send EHLO. Raises AssertionError if either fails."""
        for reply in (self.reply(), self.cmd("EHLO app.example")):
            if not str(reply).startswith(("220", "250")):
                message = f"not greeted: {reply} after {self.transcript}"
                raise AssertionError(message)

    def send(self, data: bytes) -> None:
        """Send these bytes."""
        self.sock.sendall(data)

    def reply(self) -> Reply:
        """Read one whole reply. Raises ConnectionError at the end of the stream."""
        lines: list[str] = []
        while len(lines) < _REPLY_LINES:
            line = self._line()
            lines.append(line)
            self.transcript.append(f"S: {line}")
            if line[_CODE_END : _CODE_END + 1] != "-":
                break
        return Reply(tuple(lines))

    def cmd(self, line: str) -> Reply:
        """Send one command and read its reply."""
        self.transcript.append(f"C: {line}")
        self.send(line.encode("utf-8", "surrogateescape") + b"\r\n")
        return self.reply()

    def pipeline(self, *lines: str) -> list[Reply]:
        """Send these commands in one write and read one reply for each."""
        self.transcript.extend(f"C: {line}" for line in lines)
        self.send("".join(f"{line}\r\n" for line in lines).encode("utf-8", "surrogateescape"))
        return [self.reply() for _ in lines]

    def body(self, message: bytes) -> Reply:
        """Send a message, dot-stuffed and ended, and read the final reply."""
        self.send(stuffed(message))
        return self.reply()

    def transact(
        self,
        message: bytes = MESSAGE,
        *,
        sender: str = SENDER,
        to: Sequence[str] = (RECIPIENT,),
    ) -> Reply:
        """Run one transaction, step by step; return the first refusal or the final reply."""
        for line in (f"MAIL FROM:<{sender}>", *(f"RCPT TO:<{it}>" for it in to), "DATA"):
            reply = self.cmd(line)
            if reply.code >= 400:
                return reply
        return self.body(message)

    def transact_until_accepted(self, message: bytes = MESSAGE) -> None:
        """Repeat a transaction until it is accepted; any refusal other than 451 is an error."""

        def accepted() -> bool:
            reply = self.transact(message)
            if reply.code not in {250, 451}:
                raise AssertionError(reply)
            return reply.code == 250 or self.cmd("RSET").code != 250

        eventually(accepted, "a transaction that is accepted")

    def starttls(self, context: ssl.SSLContext, hostname: str = "localhost") -> None:
        """Send STARTTLS and start TLS. Raises AssertionError if it is refused."""
        reply = self.cmd("STARTTLS")
        if reply.code != 220:
            message = f"STARTTLS refused: {reply}"
            raise AssertionError(message)
        self.sock = context.wrap_socket(self.sock, server_hostname=hostname)

    def at_end(self) -> bool:
        """Wait until the server closes; return False if it sends data instead."""
        try:
            return not self._buffer and not self.sock.recv(1)
        except ConnectionError:
            return True

    def run(self, script: str) -> None:
        """Run a script (see the module docstring). Raises AssertionError with the transcript."""
        outgoing = bytearray()
        pending: list[str] = []  # lines of a multi-line reply that the script has yet to match
        for kind, text in [*_script(script), ("X", "")]:
            if kind != "S":
                if pending:
                    self._fail(f"the line {pending[0]!r} in the script")
                if text:
                    self.transcript.append(f"{kind}: {text}")
                outgoing += _unescape(text) + (b"\r\n" if kind == "C" else b"")
                continue
            if outgoing:
                self.send(bytes(outgoing))
                outgoing.clear()
            if text == "EOF":
                if not self.at_end():
                    self._fail("the server to close")
            else:
                pending = self._expect(text, pending)
        if outgoing:
            self.send(bytes(outgoing))

    def _expect(self, pattern: str, pending: list[str]) -> list[str]:
        """Match one S: line; return the lines of the reply that are not matched yet."""
        if not pending:
            lines = list(self.reply().lines)
            pending = lines if pattern[_CODE_END : _CODE_END + 1] == "-" else lines[-1:]
        if not _matches(pattern, pending[0]):
            self._fail(pattern)
        return pending[1:]

    def close(self) -> None:
        """Close without QUIT."""
        self.sock.close()

    def _fail(self, wanted: str) -> None:
        said = "\n".join(self.transcript)
        message = f"wanted {wanted!r} at the end of:\n{said}"
        raise AssertionError(message)

    def _line(self) -> str:
        while (end := self._buffer.find(b"\n")) < 0:
            chunk = self.sock.recv(65536)
            if not chunk:
                said = "\n".join(self.transcript)
                message = f"closed by the server after:\n{said}"
                raise ConnectionError(message)
            self._buffer += chunk
        line = bytes(self._buffer[: end + 1])
        del self._buffer[: end + 1]
        if not line.endswith(b"\r\n"):
            message = f"a reply line without CRLF: {line!r}"
            raise AssertionError(message)
        return line[:-2].decode("utf-8", "surrogateescape")


def stuffed(message: bytes) -> bytes:
    """Return the message as sent after DATA: dot-stuffed, ended by CRLF.CRLF (RFC 5321 4.5.2)."""
    body = b"\r\n" + message
    if not body.endswith(b"\r\n"):
        body += b"\r\n"
    return body.replace(b"\r\n.", b"\r\n..")[2:] + b".\r\n"


def envelope(recipients: Iterable[str] = (RECIPIENT,), *, sender: str = SENDER) -> list[str]:
    """Return the commands MAIL, RCPT..., DATA for a pipelined group."""
    return [f"MAIL FROM:<{sender}>", *(f"RCPT TO:<{it}>" for it in recipients), "DATA"]


def _script(script: str) -> list[tuple[str, str]]:
    lines: list[tuple[str, str]] = []
    for raw in script.splitlines():
        line = raw.strip()
        if not line or line.startswith("#"):
            continue
        kind, _, text = line.partition(":")
        if kind not in {"C", "S", "X"}:
            message = f"not a script line: {raw!r}"
            raise ValueError(message)
        lines.append((kind, text.removeprefix(" ")))
    return lines


def _unescape(text: str) -> bytes:
    if "\\" not in text:
        return text.encode()
    return text.encode("latin-1", "backslashreplace").decode("unicode_escape").encode("latin-1")


def _matches(pattern: str, line: str) -> bool:
    start, wild, end = pattern.partition("...")
    if not wild:
        return pattern == line
    rest = line[len(start) :]
    return line.startswith(start) and all(
        word in rest for word in (it.strip() for it in end.split("...")) if word
    )
