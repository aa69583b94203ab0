"""One SMTP session: what each command means (RFC 5321, 2920, 3030, 3207, 4954). No sockets.

RCPTs that arrived together, and the DATA behind them, are one group: judged together, sent to the
upstream in one write, answered in one write.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from typing import TYPE_CHECKING, Final

from relay import reply as replies
from relay.guard.gate import Admission, Admitted, NotNow, Wait, admitted
from relay.reply import TABLE, AnyReply, Reply, UpstreamReply
from relay.smtp.envelope import Mail, Rcpt
from relay.smtp.server import commands
from relay.smtp.server.auth import Client
from relay.smtp.server.commands import BadCommand
from relay.smtp.server.content import ChunkScanner, Content, DataScanner
from relay.smtp.server.states import COMMANDS, NEXT, RECEIVING, WAITING, Event, State
from relay.smtp.transaction import Answers, Transaction
from validators.pipeline import Judgement
from validators.verdict import Accept

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
        self._data_asked = self._held_back = False
        self._bad_commands = 0

    # Called by the connection

    @property
    def in_transaction(self) -> bool:
        """Whether something would be cut short if the session ended now."""
        return self._tx is not None or self.waiting

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

    # Called by the upstream connection

    def replied(self, upstream_replies: list[UpstreamReply], fault: str | None) -> None:
        """Take the upstream's replies to the commands or to the content of the transaction."""
        step = self._transaction.replied(upstream_replies, fault)
        if step is not None:
            self._take(step)
        if self._held_back:  # an upstream that is lost or dropped never says that it reads again
            self.upstream_resumed()

    def upstream_paused(self) -> None:
        """Stop reading content."""
        self._held_back = True
        self._connection.pause_content()

    def upstream_resumed(self) -> None:
        """Read content again."""
        self._held_back = False
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
        handler, event = found
        if event is not None and (self._state, event) not in NEXT and not self._begins_anew(event):
            raise BadCommand(TABLE["BAD_SEQUENCE"])
        handler(self, rest)

    def _begins_anew(self, event: Event) -> bool:
        """Whether this MAIL may follow, without RSET, a transaction that can come to nothing."""
        if event is Event.MAIL and self._tx is not None and self._tx.futile:
            self._end_transaction()
            return True
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

    def _say(self, reply: AnyReply) -> None:
        self._connection.say(reply.wire)

    def _move(self, event: Event) -> None:
        self._state = state = NEXT[self._state, event]
        self.waiting = state in WAITING
        self.receiving = state in RECEIVING

    def _ehlo(self, rest: bytes) -> None:
        self._greet(rest, esmtp=True)
        self._connection.say(self._server.ehlo(self._connection))

    def _helo(self, rest: bytes) -> None:
        self._greet(rest, esmtp=False)
        self._connection.say(replies.ehlo(self._server.hostname, ()))

    def _greet(self, argument: bytes, *, esmtp: bool) -> None:
        self._client.greet(argument, esmtp=esmtp)
        self._drop_transaction()  # RFC 5321 4.1.4
        self._move(Event.GREETED)

    def _mail(self, rest: bytes) -> None:
        server = self._server
        self._client.check_mail()
        mail = commands.parse_mail(rest)
        if self._connection.draining:
            self._connection.hang_up(TABLE["DRAINING"])
        elif mail.size > server.limits.message_size:
            self._say(TABLE["TOO_LARGE"])
        elif not mail.path.isascii() and not mail.smtputf8:
            self._say(TABLE["BAD_SENDER"].because("needs SMTPUTF8"))
        else:
            self._move(Event.MAIL)
            # the null sender is no address to judge (RFC 5321 4.5.5)
            judged = server.sender_pipeline.judge([mail.path]) if mail.path else []
            admission = self._admit()
            if isinstance(judged, list) and not isinstance(admission, Wait):
                self._begin(mail, judged, admission)
            else:
                server.spawn(self._wait_to_begin(mail, judged, admission))

    def _admit(self) -> Admission:
        backend = self._server.backend
        return backend.gate.admit_message(backend.campaign, backend.segment)

    async def _wait_to_begin(
        self,
        mail: Mail,
        judged: list[Judgement] | Awaitable[list[Judgement]],
        admission: Admission,
    ) -> None:
        try:
            judgements = judged if isinstance(judged, list) else await judged
            decided = await admitted(self._admit, admission)
            if self._state is State.SENDER:
                self._begin(mail, judgements, decided)
        except Exception:
            _logger.exception("Judging a sender failed")
            if self._state is State.SENDER:
                self._say(TABLE["OUR_FAULT"])
                self._move(Event.REFUSED)
        self._connection.go_on()

    def _begin(self, mail: Mail, judged: Sequence[Judgement], admission: Admitted | NotNow) -> None:
        message_id = self._server.next_id()
        for judgement in judged:
            if not isinstance(judgement.verdict, Accept):
                self._say(replies.for_sender(judgement.verdict, message_id))
                self._move(Event.REFUSED)
                return
        if isinstance(admission, NotNow):
            self._say(TABLE["LIMITED"].because(admission.text))
            self._move(Event.REFUSED)
            return
        self._utf8 = mail.smtputf8
        self._tx = Transaction(mail, message_id, self._server.backend, self)
        self._say(TABLE["SENDER_OK"])
        self._move(Event.ACCEPTED)

    def _rcpt(self, rest: bytes) -> None:
        group, data = commands.parse_group(rest, self._connection.input, utf8=self._utf8)
        self._ask(group, data=data)

    def _data(self, rest: bytes) -> None:
        if rest:
            raise BadCommand(TABLE["BAD_ARGUMENT"])
        if not self._transaction.tried:
            raise BadCommand(TABLE["BAD_SEQUENCE"])
        self._ask((), data=True)

    def _ask(self, group: Sequence[Rcpt], *, data: bool) -> None:
        self._data_asked = data
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
        answers: Answers | None
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
                self._connection.hang_up(
                    TABLE["BAD_SEQUENCE"].because("DATA ends a group (RFC 2920)")
                )
        elif self._state is State.FINAL:
            self._bad_commands = 0
            self._say(answers.replies[0])
            self._end_transaction()
        self._connection.go_on()

    # Content

    def _begin_content(self, scanner: DataScanner | ChunkScanner) -> None:
        tx = self._transaction
        self._content = Content(scanner, tx, self._client.received(tx.id, utf8=self._utf8))

    def _bdat(self, rest: bytes) -> None:
        octets, last = commands.parse_bdat(rest)
        if self._state is State.CHUNKS and self._content is not None:
            self._receive_chunk(self._content, octets, last=last)
        elif self._tx is not None and self._tx.tried:
            self._chunk = (octets, last)
            self._ask((), data=True)
        else:
            self._read_over(octets, TABLE["BAD_SEQUENCE"])

    def _first_chunk(self, octets: int, last: bool, answers: Answers) -> None:  # noqa: FBT001
        """Receive the chunk whose BDAT opened the content, or read it over."""
        self._chunk = None
        if answers.content_may_follow:
            self._begin_content(ChunkScanner(self._server.limits.message_size))
            self._receive_chunk(self._content, octets, last=last)
        else:
            self._read_over(octets, answers.replies[-1])

    def _read_over(self, octets: int, reply: AnyReply) -> None:
        """Read a chunk that leads to nothing, and answer at its end (RFC 3030 2)."""
        scanner = ChunkScanner(self._server.limits.message_size)
        scanner.fault = reply
        self._content = Content(scanner, self._tx, b"")
        self._receive_chunk(self._content, octets, last=True)

    def _receive_chunk(self, content: Content | None, octets: int, *, last: bool) -> None:
        assert content is not None  # noqa: S101
        assert isinstance(content.scanner, ChunkScanner)  # noqa: S101
        content.scanner.expect(octets, last=last)
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
        said = self._client.begin_auth(rest)
        self._move(Event.AUTH)
        self._connection.input.longest = commands.LONGEST  # RFC 4954 4
        self._continue_auth(said)

    def _continue_auth(self, said: bytes | Reply) -> None:
        """Send the next challenge, or the last reply."""
        if isinstance(said, bytes):
            self._connection.say(said)
            return
        self._connection.input.longest = 0
        self._move(Event.AUTH_ENDED)
        self._say(said)
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


_HANDLERS: Final[dict[bytes, tuple[Callable[[Session, bytes], None], Event | None]]] = {
    verb: (getattr(Session, f"_{verb.decode().lower()}"), event) for verb, event in COMMANDS.items()
}
