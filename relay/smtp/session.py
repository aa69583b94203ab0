"""One SMTP session: commands in, replies out, no sockets (RFC 5321, 2920, 3030, 4954).

Commands are read until one has to wait; then nothing more is read until that one is answered, so
replies leave in order. RCPTs that arrived together, and the DATA behind them, are one group:
judged together, asked of the upstream in one write, answered in one write.
"""

from __future__ import annotations

import enum
import logging
from typing import TYPE_CHECKING, ClassVar, Final, Protocol

from relay import reply as replies
from relay.reply import TABLE
from relay.smtp import commands
from relay.smtp.auth import Dialogue
from relay.smtp.commands import BadCommand
from relay.smtp.content import ChunkScanner, DataScanner
from relay.smtp.lines import Input
from relay.smtp.trace import helo_name, protocol
from relay.smtp.transaction import Transaction
from validators.verdict import Accept

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from relay.reply import Reply
    from relay.smtp.commands import Mail, Rcpt
    from relay.smtp.delivery import AnyReply
    from relay.smtp.rules import Rules
    from validators.pipeline import Judgement

_logger = logging.getLogger(__name__)


class State(enum.Enum):
    """Where a session stands between two commands."""

    NEW = enum.auto()
    READY = enum.auto()
    MAIL = enum.auto()
    CHUNKS = enum.auto()


ALLOWED: Final[dict[bytes, frozenset[State]]] = {
    b"MAIL": frozenset({State.READY}),
    b"RCPT": frozenset({State.MAIL}),
    b"DATA": frozenset({State.MAIL}),
    b"BDAT": frozenset({State.MAIL, State.CHUNKS}),
    b"STARTTLS": frozenset({State.NEW, State.READY}),
    b"AUTH": frozenset({State.READY}),
}
"""The states in which a command makes sense (RFC 5321 4.1.4); the others always do."""


class Wire(Protocol):
    """The connection under a session: `client.Client`."""

    peer: str
    tls: bool
    loopback: bool

    @property
    def closing(self) -> bool:
        """Whether nothing more will be read."""

    def write(self, octets: bytes) -> None:
        """Send replies."""

    def close(self) -> None:
        """Close once everything written has been sent."""

    def caught_up(self) -> None:
        """Read on after a wait."""

    def start_tls(self, done: Callable[[], None]) -> None:
        """Begin the handshake."""

    def pause(self) -> None:
        """Read no more."""

    def resume(self) -> None:
        """Go on reading."""


class Session:
    """What one client has said so far, and what that leads to."""

    __slots__ = (
        "_authenticated", "_bad", "_dialogue", "_discarded", "_draining", "_esmtp", "_head",
        "_helo", "_input", "_mail", "_out", "_rules", "_running", "_scanner", "_state", "_tx",
        "_wire", "busy",
    )  # fmt: skip

    def __init__(self, rules: Rules, wire: Wire) -> None:
        """`rules` are what all sessions share."""
        self.busy = False
        self._rules = rules
        self._wire = wire
        self._state = State.NEW
        self._input = Input()
        self._out: list[bytes] = []
        self._tx: Transaction | None = None
        self._mail: Mail | None = None
        self._scanner: DataScanner | ChunkScanner | None = None
        self._dialogue: Dialogue | None = None
        self._head = b""
        self._helo = ""
        self._bad = self._discarded = 0
        self._authenticated = self._draining = self._esmtp = self._running = False

    @property
    def backlog(self) -> int:
        """Octets that wait for an earlier command to be answered."""
        return len(self._input)

    @property
    def in_transaction(self) -> bool:
        """Whether something would be cut short if the session ended now."""
        return self._tx is not None or self.busy

    def receive(self, octets: bytes) -> None:
        """Take what the client sent."""
        if self._dialogue is not None:
            self._dialogue.feed(octets)
            return
        self._input.feed(octets)
        if not self.busy:
            self._run()

    def lost(self) -> None:
        """End what was under way: the client is gone."""
        tx, self._tx = self._tx, None
        if tx is not None:
            tx.abandon()

    def drain(self) -> None:
        """Say goodbye now if nothing is under way, else when it has ended."""
        self._draining = True
        if not self.in_transaction:
            self.hang_up(TABLE["DRAINING"])

    def hang_up(self, reply: Reply) -> None:
        """Say `reply` as the last word."""
        self._say(reply)
        self._flush()
        self._end_transaction()
        self._wire.close()

    # Reading

    def _run(self) -> None:
        """Work through the input until it is read or something has to be waited for."""
        self._running = True
        try:
            while self._input and not self.busy and not self._wire.closing:
                if self._scanner is not None and self._state is not State.CHUNKS:
                    self._content(self._scanner)
                elif not self._command():
                    break
        except Exception:
            _logger.exception("A session failed")
            self.hang_up(TABLE["OUR_FAULT"])
        finally:
            self._running = False
        if not self.busy:
            self._flush()

    def _command(self) -> bool:
        """Carry out the next line; false if it is not complete yet."""
        try:
            line = self._input.line()
            if line is None:
                return False
            verb, rest = commands.split(line)
            handler = self._HANDLERS.get(verb)
            if handler is None:
                raise BadCommand(TABLE["BAD_COMMAND"])
            if self._state not in ALLOWED.get(verb, _ANYWHERE) and not self._begins_anew(verb):
                raise BadCommand(TABLE["BAD_SEQUENCE"])
            handler(self, rest)
        except BadCommand as bad:
            self._bad += 1
            if self._bad >= self._rules.bounds.bad_commands:
                self.hang_up(TABLE["TOO_MANY_BAD_COMMANDS"])
            else:
                self._say(bad.reply)
        return True

    def _begins_anew(self, verb: bytes) -> bool:
        """Whether this MAIL may follow a transaction that lost its upstream, without RSET."""
        if verb == b"MAIL" and self._tx is not None and self._tx.broken:
            self._end_transaction()
            return True
        return False

    def _say(self, reply: AnyReply) -> None:
        self._out.append(reply.wire)

    def _flush(self) -> None:
        if self._out:
            self._wire.write(self._out[0] if len(self._out) == 1 else b"".join(self._out))
            self._out.clear()

    def _go_on(self) -> None:
        """Take up reading after a wait, unless `_run` is at it."""
        self.busy = False
        if self._running:
            return
        if self._draining and self._tx is None:
            self.hang_up(TABLE["DRAINING"])
            return
        self._run()
        if not self.busy:
            self._wire.caught_up()

    # Commands: each takes what follows its verb, and may raise BadCommand

    def _ehlo(self, rest: bytes) -> None:
        self._greet(rest, esmtp=True)
        offer = self._rules.ehlo(tls=self._wire.tls, loopback=self._wire.loopback)
        self._out.append(offer)

    def _helo_(self, rest: bytes) -> None:
        self._greet(rest, esmtp=False)
        self._out.append(replies.ehlo(self._rules.hostname, ()))

    def _greet(self, rest: bytes, *, esmtp: bool) -> None:
        name = rest.strip()
        if not name:
            raise BadCommand(TABLE["BAD_ARGUMENT"])
        self._end_transaction()  # RFC 5321 4.1.4
        self._helo = helo_name(name)
        self._esmtp = esmtp
        self._state = State.READY

    def _mail_(self, rest: bytes) -> None:
        rules = self._rules
        if rules.tls_required and not self._wire.tls:
            raise BadCommand(TABLE["TLS_NEEDED"])
        if rules.credentials is not None and not self._authenticated:
            raise BadCommand(TABLE["AUTH_NEEDED"])
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
        self._mail = mail
        self._tx = Transaction(mail, message_id, self._rules.services, self._wire)
        self._state = State.MAIL
        self._say(TABLE["SENDER_OK"])

    def _rcpt(self, rest: bytes) -> None:
        group = [self._recipient(rest)]
        read = self._input
        while read.next_is(b"RCPT "):  # what arrived with it, up to the first that is not good
            mark = read.mark()
            try:
                line = read.line()
                assert line is not None  # noqa: S101 - `next_is` saw its end
                group.append(self._recipient(line[5:]))
            except BadCommand:
                read.back(mark)
                break
        data = read.next_is(b"DATA\r\n")
        if data:
            read.line()
        self._ask(group, data=data)

    def _recipient(self, rest: bytes) -> Rcpt:
        rcpt = commands.parse_rcpt(rest)
        if not rcpt.path.isascii() and not (self._mail is not None and self._mail.smtputf8):
            raise BadCommand(TABLE["BAD_RECIPIENT"].because("needs SMTPUTF8"))
        return rcpt

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
            self._start(DataScanner(self._rules.bounds.message_size))
        elif self._input:
            # Content sent ahead of a 354 that did not come would be read as commands.
            self.hang_up(TABLE["BAD_SEQUENCE"].because("DATA ends a group (RFC 2920)"))
        self._go_on()

    def _bdat(self, rest: bytes) -> None:
        octets, last = commands.parse_bdat(rest)
        scanner = self._scanner
        if isinstance(scanner, ChunkScanner):
            scanner.expect(octets, last=last)
            self._content(scanner)
            return
        chunks = ChunkScanner(self._rules.bounds.message_size)
        chunks.expect(octets, last=last)

        def answered(answers: Sequence[AnyReply], ready: bool) -> None:  # noqa: FBT001
            self._start(chunks)
            if not ready:
                chunks.fault = answers[-1]
            self._content(chunks)
            self._go_on()

        if self._transaction.tried:
            self.busy = True
            self._transaction.recipients((), answered, data=True)
        else:
            answered([TABLE["BAD_SEQUENCE"]], False)  # noqa: FBT003

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
        self.hang_up(TABLE["BYE"])

    def _starttls(self, rest: bytes) -> None:
        if rest:
            raise BadCommand(TABLE["BAD_ARGUMENT"])
        if self._rules.tls is None or self._wire.tls:
            raise BadCommand(TABLE["BAD_SEQUENCE" if self._wire.tls else "NOT_IMPLEMENTED"])
        self.busy = True
        self._say(TABLE["STARTTLS_READY"])
        self._flush()
        self._wire.start_tls(self._encrypted)

    def _encrypted(self) -> None:
        """Begin anew: nothing said in clear counts any longer (RFC 3207 4.2)."""
        self._input.clear()
        self._end_transaction()
        self._state = State.NEW
        self._helo = ""
        self._go_on()

    def _auth(self, rest: bytes) -> None:
        rules, wire = self._rules, self._wire
        if rules.credentials is None:
            raise BadCommand(TABLE["NOT_IMPLEMENTED"])
        if self._authenticated or not self._esmtp:
            raise BadCommand(TABLE["BAD_SEQUENCE"])
        if not rules.offers_auth(tls=wire.tls, loopback=wire.loopback):
            raise BadCommand(TABLE["AUTH_NEEDS_TLS"])
        if not rest.isascii() or not rest.strip():
            raise BadCommand(TABLE["BAD_ARGUMENT"])
        self.busy = True
        self._flush()
        self._dialogue = Dialogue(rules.credentials, wire.write)
        self._dialogue.feed(self._input.take())
        rules.services.spawn(self._authenticate(self._dialogue, rest.decode().strip()))

    async def _authenticate(self, dialogue: Dialogue, argument: str) -> None:
        try:
            self._authenticated = await dialogue.authenticate(argument)
        except Exception:
            _logger.exception("An AUTH dialogue failed")
            self._say(TABLE["OUR_FAULT"])
        self._dialogue = None
        if not self._authenticated:
            self._bad += 1
        self._go_on()

    # Content

    def _start(self, scanner: DataScanner | ChunkScanner) -> None:
        """Expect content, and put the Received header in front of it."""
        utf8 = self._mail is not None and self._mail.smtputf8
        kind = protocol(
            esmtp=self._esmtp, utf8=utf8, tls=self._wire.tls, auth=self._authenticated
        )
        trace = self._rules.trace
        self._head = trace.received(self._helo, self._wire.peer, kind, self._transaction.id)
        self._scanner = scanner
        self._discarded = 0

    def _content(self, scanner: DataScanner | ChunkScanner) -> None:
        """Pass on what has arrived, up to the end of the message or of the chunk."""
        tx = self._transaction
        octets = self._input.take()
        content, rest = scanner.feed(octets)
        tx.size = scanner.size
        if scanner.fault is not None:
            self._discard(scanner, len(octets), rest)
        elif rest is None:
            if content:
                tx.content(self._head + content if self._head else content)
                self._head = b""
            if isinstance(scanner, ChunkScanner):
                self._state = State.MAIL
        else:
            self._input.feed(rest)
            self._complete(scanner, self._head + content)

    def _complete(self, scanner: DataScanner | ChunkScanner, content: bytes) -> None:
        self._head = b""
        if isinstance(scanner, ChunkScanner) and not scanner.last:
            self._transaction.content(content)
            self._state = State.CHUNKS
            self._say(TABLE["CHUNK_OK"])
            return
        self.busy = True
        self._transaction.end(content, self._sent)

    def _sent(self, reply: AnyReply) -> None:
        self._bad = 0
        self._say(reply)
        self._end_transaction()
        self._go_on()

    def _discard(self, scanner: DataScanner | ChunkScanner, octets: int, rest: bytes | None) -> None:
        """Drop a message at fault, and answer at its end: the client only reads then."""
        fault = scanner.fault
        assert fault is not None  # noqa: S101
        tx = self._transaction
        tx.refuse(fault)
        self._discarded += octets
        if self._discarded > self._rules.bounds.message_size + _PATIENCE:
            self.hang_up(TABLE["OUR_FAULT"] if fault.code < 500 else TABLE["TOO_LARGE"])  # noqa: PLR2004
        elif rest is not None:
            self._input.feed(rest)
            self._say(fault)
            if isinstance(scanner, ChunkScanner) and not scanner.last:
                self._state = State.CHUNKS
            else:
                self._end_transaction()
        elif isinstance(scanner, ChunkScanner):
            self._state = State.MAIL

    @property
    def _transaction(self) -> Transaction:
        assert self._tx is not None  # noqa: S101 - the state says that there is one
        return self._tx

    def _end_transaction(self) -> None:
        tx, self._tx = self._tx, None
        self._scanner = None
        self._mail = None
        if self._state is not State.NEW:
            self._state = State.READY
        if tx is not None:
            tx.abandon()

    _HANDLERS: ClassVar[dict[bytes, Callable[[Session, bytes], None]]] = {
        b"EHLO": _ehlo,
        b"HELO": _helo_,
        b"MAIL": _mail_,
        b"RCPT": _rcpt,
        b"DATA": _data,
        b"BDAT": _bdat,
        b"RSET": _rset,
        b"NOOP": _noop,
        b"VRFY": _vrfy,
        b"EXPN": _expn,
        b"HELP": _help,
        b"QUIT": _quit,
        b"STARTTLS": _starttls,
        b"AUTH": _auth,
    }


_ANYWHERE: Final = frozenset(State)
_PATIENCE: Final = 1 << 20  # octets: a message refused at its first line is still read to its end
