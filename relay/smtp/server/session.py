"""One SMTP session: what each command means (RFC 5321, 2920, 3030, 3207, 4954). No sockets.

RCPTs that arrived together, and the DATA behind them, are one group: judged together, asked of the
upstream in one write, answered in one write.

    NEW --EHLO--> READY --MAIL--> MAIL --DATA, content--> READY
                                  MAIL --BDAT--> CHUNKS --BDAT LAST--> READY
    A transaction of which nothing more can come lets a new MAIL begin without RSET.
"""

from __future__ import annotations

import enum
import logging
from typing import TYPE_CHECKING, Final

from relay import reply as replies
from relay.reply import TABLE
from relay.smtp.server import commands
from relay.smtp.server.auth import Dialogue
from relay.smtp.server.commands import BadCommand
from relay.smtp.server.content import ChunkScanner, DataScanner
from relay.smtp.server.conversation import Conversation, Wire
from relay.smtp.server.greeting import Greeting
from relay.smtp.server.reception import Reception
from relay.smtp.transaction import Transaction
from validators.verdict import Accept

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from relay.reply import AnyReply
    from relay.smtp.server.commands import Mail, Rcpt
    from relay.smtp.server.rules import Rules
    from validators.pipeline import Judgement

_logger = logging.getLogger(__name__)


class State(enum.Enum):
    """Where a session stands between two commands."""

    NEW = enum.auto()
    READY = enum.auto()
    MAIL = enum.auto()
    CHUNKS = enum.auto()


ALLOWED: Final[dict[bytes, tuple[State, ...]]] = {
    b"MAIL": (State.READY,),
    b"RCPT": (State.MAIL,),
    b"DATA": (State.MAIL,),
    b"STARTTLS": (State.NEW, State.READY),
    b"AUTH": (State.READY,),
}
"""The states in which a command makes sense (RFC 5321 4.1.4); the others always do."""


class Session(Conversation):
    """What one client has said so far, and what that leads to."""

    __slots__ = (
        "_chunks",
        "_dialogue",
        "_greeting",
        "_reception",
        "_state",
        "_tx",
        "_utf8",
    )

    def __init__(self, rules: Rules, wire: Wire) -> None:
        """`rules` are what all sessions share."""
        super().__init__(rules, wire)
        self._state = State.NEW
        self._greeting = Greeting(rules, wire)
        self._tx: Transaction | None = None
        self._utf8 = False
        self._chunks: ChunkScanner | None = None
        self._reception: Reception | None = None
        self._dialogue: Dialogue | None = None

    @property
    def in_transaction(self) -> bool:
        """Whether something would be cut short if the session ended now."""
        return self._tx is not None or not self.listening

    def receive(self, octets: bytes) -> None:
        """Take what the client sent."""
        if self._dialogue is not None:
            self._dialogue.feed(octets)
            return
        self.input.feed(octets)
        if not self.busy:
            self._run()

    @property
    def listening(self) -> bool:
        """Whether it is the client's turn to speak."""
        return not self.busy or self._dialogue is not None

    def lost(self) -> None:
        """End everything: the client is gone."""
        self.end()
        if self._dialogue is not None:
            self._dialogue.hang_up()

    def end(self) -> None:
        """End the transaction: RSET, EHLO, QUIT, or the client is gone."""
        tx, self._tx = self._tx, None
        self._chunks = self._reception = None
        self._expects_content = False
        if self._state is not State.NEW:
            self._state = State.READY
        if tx is not None:
            tx.abandon()

    def carry_out(self, line: bytes) -> None:
        """Carry out one command."""
        verb, _, rest = line.partition(b" ")
        handler = _HANDLERS.get(verb)
        if handler is None:
            verb = verb.upper()
            handler = _HANDLERS.get(verb)
            if handler is None:
                raise BadCommand(TABLE["BAD_COMMAND"])
        allowed = ALLOWED.get(verb)
        if allowed is not None and self._state not in allowed and not self._begins_anew(verb):
            raise BadCommand(TABLE["BAD_SEQUENCE"])
        handler(self, rest)

    def _begins_anew(self, verb: bytes) -> bool:
        """Whether this MAIL may follow a transaction of which nothing can come, without RSET."""
        if verb == b"MAIL" and self._tx is not None and self._tx.futile:
            self.end()
            return True
        return False

    # Commands: each takes what follows its verb, and may raise BadCommand

    def _ehlo(self, rest: bytes) -> None:
        reply = self._greeting.ehlo(rest)
        self._greeted(reply)

    def _helo(self, rest: bytes) -> None:
        reply = self._greeting.helo(rest)
        self._greeted(reply)

    def _greeted(self, reply: bytes) -> None:
        self.end()  # RFC 5321 4.1.4
        self._state = State.READY
        self._out.append(reply)

    def _mail(self, rest: bytes) -> None:
        rules = self._rules
        self._greeting.check_mail()
        mail = commands.parse_mail(rest)
        if self._draining:
            self.hang_up(TABLE["DRAINING"])
        elif mail.size > rules.bounds.message_size:
            self._say(TABLE["TOO_LARGE"])
        elif not mail.path.isascii() and not mail.smtputf8:
            self._say(TABLE["BAD_SENDER"].because("needs SMTPUTF8"))
        elif not mail.path:
            self._begin(mail, ())  # the null sender (RFC 5321 4.5.5)
        else:
            judged = rules.judge_sender([mail.path])
            if isinstance(judged, list):
                self._begin(mail, judged)
            else:
                self.busy = True
                rules.services.spawn(self._judge_sender(mail, judged))

    async def _judge_sender(self, mail: Mail, judged: Awaitable[list[Judgement]]) -> None:
        try:
            judgements = await judged
            if not self._wire.closing:
                self._begin(mail, judgements)
        except Exception:
            _logger.exception("Judging a sender failed")
            self._say(TABLE["OUR_FAULT"])
        self._go_on()

    def _begin(self, mail: Mail, judged: Sequence[Judgement]) -> None:
        message_id = self._rules.next_id()
        for judgement in judged:
            if not isinstance(judgement.verdict, Accept):
                self._say(replies.for_sender(judgement.verdict, message_id))
                return
        self._utf8 = mail.smtputf8
        self._tx = Transaction(mail, message_id, self._rules.services, self._wire)
        self._state = State.MAIL
        self._say(TABLE["SENDER_OK"])

    def _rcpt(self, rest: bytes) -> None:
        group = [commands.parse_rcpt(rest, utf8=self._utf8)]
        read = self.input
        # what arrived with it, up to the first that is not good
        while read.next_is(b"RCPT "):
            mark = read.mark()
            try:
                line = read.line()
                assert line is not None  # noqa: S101 - `next_is` saw its end
                group.append(commands.parse_rcpt(line[5:], utf8=self._utf8))
            except BadCommand:
                read.back(mark)
                break
        data = read.next_is(b"DATA\r\n")
        if data:
            read.line()
        self._ask(group, data=data)

    def _data(self, rest: bytes) -> None:
        if rest:
            raise BadCommand(TABLE["BAD_ARGUMENT"])
        if not self._transaction.tried:
            raise BadCommand(TABLE["BAD_SEQUENCE"])
        self._ask((), data=True)

    def _ask(self, group: Sequence[Rcpt], *, data: bool) -> None:
        self.busy = True
        answer = self._data_answered if data else self._rcpts_answered
        self._transaction.recipients(group, answer, data=data)

    def _rcpts_answered(self, answers: Sequence[AnyReply], _ready: bool) -> None:  # noqa: FBT001
        self._out += [reply.wire for reply in answers]
        self._go_on()

    def _data_answered(self, answers: Sequence[AnyReply], ready: bool) -> None:  # noqa: FBT001
        self._out += [reply.wire for reply in answers]
        if ready:
            self._expect(DataScanner(self._rules.bounds.message_size))
        elif self.input.left:
            # Content sent ahead of a 354 that did not come would be read as commands.
            self.hang_up(TABLE["BAD_SEQUENCE"].because("DATA ends a group (RFC 2920)"))
        self._go_on()

    def _bdat(self, rest: bytes) -> None:
        octets, last = commands.parse_bdat(rest)
        if self._chunks is not None:
            self._chunks.expect(octets, last=last)
            self._expects_content = True
            self.take_content()
            return
        chunks = ChunkScanner(self._rules.bounds.message_size)

        def answered(answers: Sequence[AnyReply], ready: bool) -> None:  # noqa: FBT001
            self._chunks = chunks
            if ready:
                chunks.expect(octets, last=last)
                self._expect(chunks)
            else:
                self._read_over(chunks, octets, answers[-1])
            self.busy = False
            self.take_content()
            if not self.busy:
                self._go_on()

        if self._tx is not None and self._tx.tried:
            self.busy = True
            self._tx.recipients((), answered, data=True)
        else:
            self._read_over(chunks, octets, TABLE["BAD_SEQUENCE"])
            self.take_content()

    def _read_over(self, chunks: ChunkScanner, octets: int, reply: AnyReply) -> None:
        """Read a chunk that nobody wants, and answer at its end (RFC 3030 2)."""
        chunks.fault = reply
        chunks.expect(octets, last=True)
        self._reception = Reception(self._tx, chunks, b"", self._rules.bounds.message_size)
        self._expects_content = True

    def _rset(self, _rest: bytes) -> None:
        self.end()
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
        self.hang_up(TABLE["BYE"])

    def _starttls(self, rest: bytes) -> None:
        self._greeting.check_starttls(rest)
        self.busy = True
        self._say(TABLE["STARTTLS_READY"])
        self._flush()
        self._wire.start_tls(self._encrypted)

    def _encrypted(self) -> None:
        self.input.clear()
        self.end()
        self._state = State.NEW
        self._greeting.forget()
        self._go_on()

    def _auth(self, rest: bytes) -> None:
        self._greeting.check_auth(rest)
        credentials = self._rules.credentials
        assert credentials is not None  # noqa: S101 - `check_auth` saw to it
        self.busy = True
        self._flush()
        self._dialogue = dialogue = Dialogue(credentials, self._wire.write)
        dialogue.feed(self.input.take())
        self._rules.services.spawn(self._authenticate(dialogue, rest.decode().strip()))

    async def _authenticate(self, dialogue: Dialogue, argument: str) -> None:
        try:
            self._greeting.authenticated = await dialogue.authenticate(argument)
        except Exception:
            _logger.exception("An AUTH dialogue failed")
            self._say(TABLE["OUR_FAULT"])
        self._dialogue = None
        if not self._greeting.authenticated:
            self._count_mistake()
        self._go_on()

    # Content

    def _expect(self, scanner: DataScanner | ChunkScanner) -> None:
        tx = self._transaction
        head = self._greeting.received(tx.id, utf8=self._utf8)
        self._reception = Reception(tx, scanner, head, self._rules.bounds.message_size)
        self._expects_content = True

    def take_content(self) -> None:
        """Pass on what has arrived, up to the end of the message or of the chunk."""
        reception = self._reception
        assert reception is not None  # noqa: S101 - content is expected
        rest = reception.feed(self.input.take())
        if rest is None:
            if reception.endless:
                self.hang_up(TABLE["TOO_LARGE"])
            return
        self.input.feed(rest)
        fault = reception.fault
        if not reception.last:
            self._say(fault or TABLE["CHUNK_OK"])
            self._state = State.CHUNKS
            self._expects_content = False
        elif fault is not None:
            self._say(fault)
            self.end()
        else:
            self.busy = True
            reception.end(self._sent)

    def _sent(self, reply: AnyReply) -> None:
        self._bad = 0
        self._say(reply)
        self.end()
        self._go_on()

    @property
    def _transaction(self) -> Transaction:
        assert self._tx is not None  # noqa: S101 - the state says that there is one
        return self._tx


_VERBS: Final = b"EHLO HELO MAIL RCPT DATA BDAT RSET NOOP VRFY EXPN HELP QUIT STARTTLS AUTH".split()
_HANDLERS: Final[dict[bytes, Callable[[Session, bytes], None]]] = {
    verb: getattr(Session, f"_{verb.decode().lower()}") for verb in _VERBS
}
