"""One SMTP session: what each command means (RFC 5321, 2920, 3030, 3207, 4954). No sockets.

RCPTs that arrived together, and the DATA behind them, are one group: judged together, sent to the
upstream in one write, answered in one write.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine, Sequence
from typing import TYPE_CHECKING, Final

from relay import reply as replies
from relay.reply import TABLE, AnyReply, Reply, UpstreamReply
from relay.smtp.envelope import Mail, Rcpt
from relay.smtp.server.auth import Client
from relay.smtp.server.commands import LONGEST, BadCommand, parse_bdat, parse_group, parse_mail
from relay.smtp.server.content import ChunkScanner, Content, DataScanner, read_over
from relay.smtp.server.sender import Decision, decide
from relay.smtp.server.states import COMMANDS, JUNK, NEXT, RECEIVING, WAITING, Event, State
from relay.smtp.transaction import Answers, Transaction

if TYPE_CHECKING:
    from relay.smtp.server.connection import Connection
    from relay.smtp.server.server import Server

_logger = logging.getLogger(__name__)


class Session:
    """What one client has said so far, and what that leads to."""

    def __init__(self, server: Server, connection: Connection) -> None:
        """`server` is what all sessions share."""
        self._server = server
        self._connection = connection
        self._state = State.NEW
        self.waiting = False
        """The client has to wait: it is not its turn to send."""
        self.receiving = False
        """The octets to come are content."""
        self._client = Client(server, connection)
        self._tx: Transaction | None = None
        self._utf8 = False
        self._content: Content | None = None
        self._chunk: tuple[int, bool] | None = None
        self._data_asked = self._sender_refused = False
        self._bad_commands = self._junk_commands = 0

    # Called by the connection

    @property
    def in_transaction(self) -> bool:
        """Whether something would be cut short if the session ended now."""
        return self._tx is not None or (self.waiting and self._state is not State.AUTH_HELD)

    def close(self) -> None:
        """End everything: the client is gone, or about to be."""
        self._drop_transaction()
        self._state = State.CLOSED
        self.waiting = self.receiving = False

    def secured(self) -> None:
        """Start again under TLS: nothing said in clear counts any more (RFC 3207 4.2)."""
        self._connection.input.clear()
        self._drop_transaction()
        self._client.forget()
        self._move(Event.SECURED)
        self._connection.go_on()

    def replied(self, upstream_replies: list[UpstreamReply], fault: str | None) -> None:
        """Take the upstream's replies to the commands or to the content of the transaction."""
        step = self._transaction.replied(upstream_replies, fault)
        if step is not None:
            self._take(step)
        if self._connection.flow.causes:  # a lost upstream never says that it reads again
            self._connection.resume_content()

    def upstream_paused(self, unsent: int) -> None:
        """Stop reading content."""
        self._connection.pause_content(unsent)

    def upstream_resumed(self) -> None:
        """Read content again."""
        self._connection.resume_content()

    def upstream_crashed(self) -> None:
        """Answer what waits with 451."""
        if self._tx is not None:
            self._answer(self._tx.crash())

    # Commands: each handler takes what follows its verb, and may raise BadCommand

    def line(self, line: bytes) -> None:
        """Carry out one command, or take a response of AUTH; raises BadCommand."""
        if self._state is State.AUTH:
            self._continue_auth(self._client.respond(line))
            return
        verb, _, rest = line.partition(b" ")
        found = _HANDLERS.get(verb) or _HANDLERS.get(verb.upper())
        if found is None:
            raise BadCommand(TABLE["BAD_COMMAND"])
        handler, event, junk = found
        if junk and self._count_junk():
            return
        if event is None or (self._state, event) in NEXT or self._out_of_sequence(event):
            handler(self, rest)

    def _out_of_sequence(self, event: Event) -> bool:
        """Whether a command may be carried out even so; raises BadCommand, or answers, if not."""
        if event is Event.MAIL and self._tx is not None and self._tx.futile:
            self._end_transaction()  # a transaction that can come to nothing needs no RSET
            return True
        if event is not Event.ASKED or not self._sender_refused:
            raise BadCommand(TABLE["BAD_SEQUENCE"])
        # What was pipelined behind a MAIL that is refused is not at fault (RFC 2920 3.1).
        if not self._count_junk():
            self._say(TABLE["BAD_SEQUENCE"])
        return False

    def mistake(self, reply: Reply) -> None:
        """Answer a bad line; hang up after too many of them."""
        if self._state is State.AUTH:
            self._continue_auth(reply)
        elif not self._count_mistake():
            self._say(reply)

    def _count_mistake(self) -> bool:
        """Count a bad command or password; hang up, and return true, after too many of them."""
        self._bad_commands += 1
        if self._bad_commands < self._server.limits.bad_commands:
            return False
        self._connection.hang_up(TABLE["TOO_MANY_BAD_COMMANDS"])
        return True

    def _count_junk(self) -> bool:
        """Count a command that carries no message; above the limit it counts as a bad one."""
        self._junk_commands += 1
        return self._junk_commands > self._server.limits.junk_commands and self._count_mistake()

    def _say(self, reply: AnyReply) -> None:
        self._connection.say(reply.wire)

    def _move(self, event: Event) -> None:
        self._state = state = NEXT[self._state, event]
        self.waiting = state in WAITING
        self.receiving = state in RECEIVING

    def _ehlo(self, rest: bytes) -> None:
        self._greet(rest, self._server.ehlo(self._connection), esmtp=True)

    def _helo(self, rest: bytes) -> None:
        self._greet(rest, replies.ehlo(self._server.hostname, ()), esmtp=False)

    def _greet(self, argument: bytes, answer: bytes, *, esmtp: bool) -> None:
        self._client.greet(argument, esmtp=esmtp)
        self._drop_transaction()  # RFC 5321 4.1.4
        self._move(Event.GREETED)
        self._connection.say(answer)

    def _mail(self, rest: bytes) -> None:
        server = self._server
        self._sender_refused = True
        self._client.check_mail()
        mail = parse_mail(rest)
        if self._connection.draining:
            self._connection.hang_up(TABLE["DRAINING"])
            return
        self._move(Event.MAIL)
        decision = decide(server, mail, message_id := server.next_id())
        if isinstance(decision, Coroutine):
            server.spawn(self._wait_to_begin(mail, message_id, decision))
        else:
            self._begin(mail, message_id, decision)

    async def _wait_to_begin(
        self, mail: Mail, message_id: str, deciding: Coroutine[object, object, Decision]
    ) -> None:
        try:
            refusal = await deciding
        except Exception:
            _logger.exception("Judging a sender failed")
            refusal = TABLE["OUR_FAULT"]
        if self._state is State.SENDER:
            self._begin(mail, message_id, refusal)
        self._connection.go_on()

    def _begin(self, mail: Mail, message_id: str, refusal: Decision) -> None:
        if refusal is not None:
            self._say(refusal)
            self._move(Event.REFUSED)
            return
        self._utf8 = mail.smtputf8
        self._sender_refused = False
        self._connection.pace.begin()
        self._tx = Transaction(mail, message_id, self._server.backend, self)
        self._say(TABLE["SENDER_OK"])
        self._move(Event.ACCEPTED)

    def _rcpt(self, rest: bytes) -> None:
        most = self._server.turns.largest_group
        group, data = parse_group(rest, self._connection.input, utf8=self._utf8, most=most)
        self._ask(group, data=data)

    def _data(self, rest: bytes) -> None:
        if rest:
            raise BadCommand(TABLE["BAD_ARGUMENT"])
        if not self._transaction.tried:
            raise BadCommand(TABLE["BAD_SEQUENCE"])
        self._ask((), data=True)

    def _ask(self, group: Sequence[Rcpt], *, data: bool) -> None:
        self._data_asked = data
        self._junk_commands = 0
        self._move(Event.ASKED)
        step = self._transaction.ask(group, data=data)
        if step is not None:
            self._take(step)

    def _take(self, step: Answers | Coroutine[object, object, Answers | None]) -> None:
        """Answer now, or when the transaction has what it waits for."""
        if isinstance(step, Answers):
            self._answer(step)
        else:
            self._server.spawn(self._wait(self._transaction, step))

    async def _wait(self, tx: Transaction, step: Coroutine[object, object, Answers | None]) -> None:
        try:
            answers = await step
        except Exception:
            _logger.exception("A transaction failed")
            answers = tx.crash()
        if answers is not None and tx is self._tx:
            self._answer(answers)

    def _answer(self, answers: Answers) -> None:
        """Send the replies to a group, or the final reply, and go on."""
        if self._state is State.GROUP and self._chunk is not None:
            self._first_chunk(*self._chunk, answers)
        elif self._state is State.GROUP:
            if answers.content_may_follow:
                self._begin_content(DataScanner(self._server.limits.message_size))
                self._move(Event.BEGUN)
            else:
                self._move(Event.ANSWERED)
            for reply in answers.replies:
                self._connection.say(reply.wire)
            refused = self._data_asked and not answers.content_may_follow
            if refused and self._connection.input.left:
                # Content sent ahead of a 354 that did not come would be read as commands.
                fault = TABLE["BAD_SEQUENCE"].because("DATA ends a group (RFC 2920)")
                self._connection.hang_up(fault)
        elif self._state is State.FINAL:
            self._bad_commands = 0
            self._say(answers.replies[0])
            self._end_transaction()
        self._connection.go_on()

    def _begin_content(self, scanner: DataScanner | ChunkScanner) -> Content:
        tx = self._transaction
        self._content = Content(scanner, tx, self._client.received(tx.id, utf8=self._utf8))
        return self._content

    def _bdat(self, rest: bytes) -> None:
        octets, last = parse_bdat(rest)
        if self._state is State.CHUNKS and self._content is not None:
            self._receive_chunk(self._content, octets, last=last)
        elif self._tx is not None and self._tx.tried:
            self._chunk = (octets, last)
            self._ask((), data=True)
        elif not (self._count_junk() if self._sender_refused else self._count_mistake()):
            self._read_over(octets, TABLE["BAD_SEQUENCE"])

    def _first_chunk(self, octets: int, last: bool, answers: Answers) -> None:  # noqa: FBT001
        """Receive the chunk whose BDAT opened the content, or read it over."""
        self._chunk = None
        if answers.content_may_follow:
            content = self._begin_content(ChunkScanner(self._server.limits.message_size))
            self._receive_chunk(content, octets, last=last)
        else:
            self._read_over(octets, answers.replies[-1])

    def _read_over(self, octets: int, reply: AnyReply) -> None:
        """Read a chunk that leads to nothing, and answer at its end (RFC 3030 2)."""
        self._drop_transaction()
        self._content = read_over(self._server.limits.message_size, reply)
        self._receive_chunk(self._content, octets, last=True)

    def _receive_chunk(self, content: Content, octets: int, *, last: bool) -> None:
        content.expect(octets, last=last)
        self._move(Event.CHUNK)
        self.content(self._connection.input.take())

    def content(self, octets: bytes) -> None:
        """Pass content on, up to the end of the message or of the chunk."""
        content = self._content
        assert content is not None  # noqa: S101 - the state says that content is received
        end = content.feed(octets)
        if end is None:
            if content.scanner.exhausted:
                self._connection.hang_up(TABLE["TOO_LARGE"])
            return
        self._connection.input.feed(end.rest)
        if not end.last:
            self._say(end.fault or TABLE["CHUNK_OK"])
            self._move(Event.CHUNK_ENDED)
        elif end.fault is not None:
            self._say(end.fault)
            self._end_transaction()
        else:
            self._move(Event.SENT)
            final = self._transaction.end(end.tail)
            if final is not None:
                self._answer(final)

    def _rset(self, _rest: bytes) -> None:
        self._end_transaction()
        self._say(TABLE["OK"])

    def _noop(self, _rest: bytes) -> None:
        self._say(TABLE["OK"])

    def _vrfy(self, rest: bytes) -> None:
        if not rest.strip():
            raise BadCommand(TABLE["BAD_ARGUMENT"])
        self._say(TABLE["CANNOT_VERIFY"])

    def _help(self, _rest: bytes) -> None:
        self._say(TABLE["HELP"])

    def _expn(self, _rest: bytes) -> None:
        raise BadCommand(TABLE["NOT_IMPLEMENTED"])

    def _quit(self, _rest: bytes) -> None:
        self._connection.hang_up(TABLE["BYE"])

    def _starttls(self, rest: bytes) -> None:
        self._client.check_starttls(rest)
        self._move(Event.STARTTLS)
        self._say(TABLE["STARTTLS_READY"])
        self._connection.flush()
        self._connection.start_tls()

    def _auth(self, rest: bytes) -> None:
        wait = self._client.check_auth(rest)
        if wait is None:
            self._connection.hang_up(TABLE["TOO_MANY_LOGINS"])
            return
        self._move(Event.AUTH)
        if wait:
            self._server.spawn(self._hold_auth(wait, rest))
        else:
            self._begin_auth(rest)

    async def _hold_auth(self, wait: float, rest: bytes) -> None:
        await asyncio.sleep(wait)
        if self._state is State.AUTH_HELD:
            self._begin_auth(rest)

    def _begin_auth(self, rest: bytes) -> None:
        self._move(Event.AUTH_BEGUN)
        self._connection.input.longest = LONGEST  # RFC 4954 4
        self._continue_auth(self._client.begin_auth(rest))
        self._connection.go_on()

    def _continue_auth(self, said: bytes | Reply) -> None:
        """Send the next challenge, or the last reply."""
        if isinstance(said, bytes):
            self._connection.say(said)
            return
        self._connection.input.longest = 0
        self._move(Event.AUTH_ENDED)
        self._say(said)
        self._client.note_attempt(said)
        if not self._client.authenticated:
            self._count_mistake()

    def _drop_transaction(self) -> None:
        """Abandon the transaction, if one is open."""
        tx, self._tx = self._tx, None
        self._content = self._chunk = None
        if tx is not None:
            tx.abandon()

    def _end_transaction(self) -> None:
        self._drop_transaction()
        self._move(Event.ENDED)

    @property
    def _transaction(self) -> Transaction:
        assert self._tx is not None  # noqa: S101 - the state says that there is one
        return self._tx


_HANDLERS: Final[dict[bytes, tuple[Callable[[Session, bytes], None], Event | None, bool]]] = {
    verb: (getattr(Session, f"_{verb.decode().lower()}"), event, verb in JUNK)
    for verb, event in COMMANDS.items()
}
