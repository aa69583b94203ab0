"""A TCP proxy that records SMTP sessions, and what the recording of a session says.

The recording is read after the session: replies are assigned to commands in order (RFC 2920 3.1),
so content is recognised by the 354 before it. What follows STARTTLS is not readable.
"""

import contextlib
import itertools
import re
import socket
import threading
from dataclasses import dataclass, field

from tests.support.closing import Closing

_CHUNK = 65536
_END = re.compile(rb"(?:^|\r\n)\.\r\n")
_REPLY = re.compile(rb"(?:\d{3}-[^\n]*\n)*\d{3}(?: [^\n]*)?\r?\n")
_WAIT = 20.0  # seconds after which a wait fails


@dataclass(slots=True)
class Session:
    """One recorded connection: the chunks of both directions in order; `True` is the client's."""

    chunks: list[tuple[bool, bytes]] = field(default_factory=list)
    ended: bool = False


@dataclass(slots=True)
class Reading:
    """What a session consists of, after it was read."""

    commands: list[tuple[str, str]] = field(default_factory=list)  # command, reply
    contents: list[bytes] = field(default_factory=list)  # each without dot-stuffing
    chunked: bool = False  # BDAT was used
    pipelined: bool = False  # several commands were sent before the first of them was answered
    secured: bool = False  # STARTTLS succeeded

    def sent(self, verb: str) -> list[str]:
        """Return the commands with this verb."""
        return [line for line, _ in self.commands if line.upper().startswith(verb)]


class Recorder(Closing):
    """The proxy, on a free port. `target` is the port it connects to, and may be changed."""

    def __init__(self, target: int = 0) -> None:
        self.target = target
        self.sessions: list[Session] = []
        self._changed = threading.Condition()
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=64)
        self.port: int = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def reset(self) -> None:
        """Forget the sessions so far."""
        with self._changed:
            self.sessions.clear()

    def wait_until_ended(self, count: int = 1, *, timeout: float = _WAIT) -> bool:
        """Wait until at least `count` sessions were opened and all have ended."""

        def ended() -> bool:
            return len(self.sessions) >= count and all(each.ended for each in self.sessions)

        with self._changed:
            return self._changed.wait_for(ended, timeout)

    def readings(self) -> list[Reading]:
        """Return what the sessions so far consist of."""
        with self._changed:
            return [read(list(session.chunks)) for session in self.sessions]

    def close(self) -> None:
        """Stop listening."""
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)  # wakes the thread that waits in accept
        self._listener.close()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                threading.Thread(target=self._run, args=(client,), daemon=True).start()

    def _run(self, client: socket.socket) -> None:
        session = Session()
        with self._changed:
            self.sessions.append(session)
        try:
            with client, socket.create_connection(("127.0.0.1", self.target)) as server:
                for end in (client, server):
                    end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                copied = (session, client, server)
                upward = threading.Thread(target=self._copy, args=copied, daemon=True)
                upward.start()
                self._copy(session, server, client, from_client=False)
                upward.join()
        except OSError:
            pass
        finally:
            with self._changed:
                session.ended = True
                self._changed.notify_all()

    def _copy(
        self,
        session: Session,
        source: socket.socket,
        to: socket.socket,
        *,
        from_client: bool = True,
    ) -> None:
        with contextlib.suppress(OSError):
            while chunk := source.recv(_CHUNK):
                with self._changed:
                    session.chunks.append((from_client, chunk))
                    self._changed.notify_all()
                to.sendall(chunk)
        with contextlib.suppress(OSError):
            to.shutdown(socket.SHUT_WR)


def read(chunks: list[tuple[bool, bytes]]) -> Reading:
    """Divide a session into commands with their replies, and contents."""
    from_server = b"".join(chunk for from_client, chunk in chunks if not from_client)
    replies = [match[0].decode("latin-1").rstrip() for match in _REPLY.finditer(from_server)]
    found = Reading()
    reader = _Reader(b"".join(chunk for from_client, chunk in chunks if from_client), replies)
    ends = reader.run(found)
    found.pipelined = _most_between_turns(chunks, ends) > 1
    return found


class _Reader:
    """Reads what a client sent, with the replies of the server at hand."""

    def __init__(self, sent: bytes, replies: list[str]) -> None:
        self._rest = sent
        self._at = 0
        self._replies = iter(replies)
        next(self._replies, "")  # the greeting

    def run(self, found: Reading) -> list[int]:
        """Fill `found`; return the position of the end of each command."""
        ends = []
        while (line := self._line()) is not None:
            ends.append(self._at)
            reply = next(self._replies, "")
            found.commands.append((line, reply))
            verb = line.partition(" ")[0].upper()
            if verb == "STARTTLS" and reply.startswith("220"):
                found.secured = True
                break
            if verb == "DATA" and reply.startswith("354"):
                found.contents.append(self._dotted())
                found.commands.append((".", next(self._replies, "")))
            elif verb == "BDAT":
                self._chunk(line, found)
            while verb == "AUTH" and reply.startswith("334"):
                self._line()
                reply = next(self._replies, "")
        return ends

    def _line(self) -> str | None:
        line, end, rest = self._rest.partition(b"\r\n")
        if not end:
            return None
        self._at += len(self._rest) - len(rest)
        self._rest = rest
        return line.decode("utf-8", "surrogateescape")

    def _dotted(self) -> bytes:
        end = _END.search(self._rest)
        position = end.end() if end else len(self._rest)
        content, self._rest = self._rest[:position], self._rest[position:]
        self._at += position
        if end:
            content = content[: -len(b".\r\n")]
        return re.sub(rb"(^|\r\n)\.", rb"\1", content)

    def _chunk(self, line: str, found: Reading) -> None:
        words = line.split()
        size = int(words[1])
        if not found.chunked or found.commands[-2][0].upper().split()[-1] == "LAST":
            found.contents.append(b"")
        found.chunked = True
        found.contents[-1] += self._rest[:size]
        self._rest = self._rest[size:]
        self._at += size


def _most_between_turns(chunks: list[tuple[bool, bytes]], ends: list[int]) -> int:
    """Return the most commands that were sent without a chunk of the server between them."""
    turns, sent = [0], 0
    for from_client, chunk in chunks:
        if from_client:
            sent += len(chunk)
        elif sent != turns[-1]:
            turns.append(sent)
    turns.append(sent)
    pairs = itertools.pairwise(turns)
    return max((sum(low < end <= high for end in ends) for low, high in pairs), default=0)
