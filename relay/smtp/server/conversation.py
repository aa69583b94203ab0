"""Whose turn it is: commands are read until one has to wait, replies leave in order.

Nothing is read behind a command that waits, so a conversation has at most one thing under way, and
all replies that are ready when the input is read leave in one write (RFC 2920 3.2).
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Final, Protocol

from relay.reply import TABLE
from relay.smtp.server.commands import BadCommand
from relay.smtp.server.lines import Input

if TYPE_CHECKING:
    from collections.abc import Callable

    from relay.reply import AnyReply, Reply
    from relay.smtp.server.rules import Rules

_logger = logging.getLogger(__name__)


class Wire(Protocol):
    """The connection under a conversation: `client.Client`."""

    peer: str
    tls: bool
    loopback: bool
    closing: bool
    """Whether nothing more will be read."""

    def write(self, octets: bytes) -> None:
        """Send replies."""

    def close(self) -> None:
        """Close once everything written has been sent."""

    def caught_up(self) -> None:
        """Read on after a wait."""

    def start_tls(self, done: Callable[[], None]) -> None:
        """Begin the handshake; `done` is called when the connection is encrypted."""

    def pause(self) -> None:
        """Read no more: the upstream is slower than the client."""

    def resume(self) -> None:
        """Go on reading."""


class Conversation:
    """Input, output and waits of one client; what commands mean is a subclass's business.

    While `busy` is set, something is waited for and nothing more is read, until `_go_on`.
    """

    __slots__ = (
        "_bad",
        "_draining",
        "_expects_content",
        "_out",
        "_rules",
        "_running",
        "_wire",
        "busy",
        "input",
    )

    def __init__(self, rules: Rules, wire: Wire) -> None:
        """`rules` are what all sessions share."""
        self.busy = False
        self.input = Input()
        self._rules = rules
        self._wire = wire
        self._out: list[bytes] = []
        self._bad = 0
        self._draining = self._running = self._expects_content = False

    def carry_out(self, line: bytes) -> None:
        """Carry out one command line, without its CRLF; may raise BadCommand."""
        raise NotImplementedError

    def take_content(self) -> None:
        """Read content, which comes next as `_expects_content` says."""
        raise NotImplementedError

    def end(self) -> None:
        """End what is under way: no more will come of it."""
        raise NotImplementedError

    @property
    def in_transaction(self) -> bool:
        """Whether something would be cut short if the conversation ended now."""
        raise NotImplementedError

    def receive(self, octets: bytes) -> None:
        """Take what the client sent."""
        self.input.feed(octets)
        if not self.busy:
            self._run()

    def drain(self) -> None:
        """Say goodbye now if nothing is under way, else when it has ended."""
        self._draining = True
        if not self.in_transaction:
            self.hang_up(TABLE["DRAINING"])

    def hang_up(self, reply: Reply) -> None:
        """Say `reply` as the last word."""
        self._say(reply)
        self._flush()
        self.end()
        self._wire.close()

    def _run(self) -> None:
        """Work through the input until it is read or something has to be waited for."""
        self._running = True
        read = self.input
        try:
            while read.left and not self.busy and not self._wire.closing:
                if self._expects_content:
                    self.take_content()
                    continue
                try:
                    line = read.line()
                    if line is None:
                        break
                    self.carry_out(line)
                except BadCommand as bad:
                    self._mistake(bad.reply)
        except Exception:
            _logger.exception("A session failed")
            self.hang_up(TABLE["OUR_FAULT"])
        finally:
            self._running = False
        if not self.busy:
            self._flush()

    def _mistake(self, reply: Reply) -> None:
        """Answer a bad command; hang up after too many of them."""
        if not self._count_mistake():
            self._say(reply)

    def _count_mistake(self) -> bool:
        """Count a bad command or password; hang up, and return true, after too many of them."""
        self._bad += 1
        if self._bad < self._rules.bounds.bad_commands:
            return False
        self.hang_up(TABLE["TOO_MANY_BAD_COMMANDS"])
        return True

    def _go_on(self) -> None:
        """Take up reading after `busy`, unless there was no wait and `_run` is still at it."""
        self.busy = False
        if self._running:
            return
        if self._draining and not self.in_transaction:
            self.hang_up(TABLE["DRAINING"])
            return
        if self.input.left:
            self._run()
        else:
            self._flush()
        if not self.busy:
            self._wire.caught_up()

    def _say(self, reply: AnyReply) -> None:
        self._out.append(reply.wire)

    def _flush(self) -> None:
        out = self._out
        if out:
            self._wire.write(out[0] if len(out) == _ONE else b"".join(out))
            out.clear()


_ONE: Final = 1
