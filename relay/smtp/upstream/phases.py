"""A delivery's phases, the commands of one exchange, and what the replies to them mean. No I/O.

`lines` writes the commands of an exchange, `decide` turns the replies into one outcome, and `NEXT`
says which phase follows which. `delivery.py` acts on them.
"""

from __future__ import annotations

import enum
from collections.abc import Sequence
from typing import Final, NamedTuple, TypeAlias

from relay.observe.events import Stage
from relay.reply import INTERMEDIATE, REFUSED, AnyReply, UpstreamReply
from relay.smtp.envelope import Mail, Rcpt
from relay.smtp.upstream.connection import Features

START_MAIL: Final = 354
"""The reply that lets content begin (RFC 5321 4.2.3)."""


class Phase(enum.IntEnum):
    """How far the upstream's half of a transaction has come."""

    NO_CONNECTION = enum.auto()
    CONNECTED = enum.auto()
    """A connection is held, and MAIL has not been accepted on it."""
    MAIL = enum.auto()
    """MAIL was accepted: RCPT and DATA may be sent."""
    CONTENT = enum.auto()
    """DATA was answered with 354."""
    BROKEN = enum.auto()
    """The upstream cannot be reached, was lost, or cannot carry this message."""
    ENDED = enum.auto()
    """The final reply came, or the client gave the transaction up."""


class Event(enum.IntEnum):
    """What moves a delivery from one phase to the next."""

    CONNECTION_TAKEN = enum.auto()
    CONNECTION_LEFT = enum.auto()
    """The connection was given back, or given up for another one."""
    MAIL_ACCEPTED = enum.auto()
    CONTENT_BEGUN = enum.auto()
    FAILED = enum.auto()
    ENDED = enum.auto()


NEXT: Final[dict[tuple[Phase, Event], Phase]] = {
    (Phase.NO_CONNECTION, Event.CONNECTION_TAKEN): Phase.CONNECTED,
    (Phase.CONNECTED, Event.CONNECTION_LEFT): Phase.NO_CONNECTION,
    (Phase.CONNECTED, Event.MAIL_ACCEPTED): Phase.MAIL,
    (Phase.MAIL, Event.CONNECTION_LEFT): Phase.NO_CONNECTION,
    (Phase.MAIL, Event.CONTENT_BEGUN): Phase.CONTENT,
    **{(phase, Event.FAILED): Phase.BROKEN for phase in Phase},
    **{(phase, Event.ENDED): Phase.ENDED for phase in Phase},
}
"""The phases of a delivery; any other pair is a defect, and raises KeyError."""


class Asked:
    """The commands of one exchange, in the order in which they are sent. Treat as immutable.

    This and `Answered` are made for each recipient: their constructors are written out so that
    mypyc compiles them (docs/decisions/compiled.md).
    """

    __slots__ = ("again", "data", "mail", "rcpts")

    def __init__(self, *, mail: bool, again: int, rcpts: int, data: bool) -> None:
        """Take which commands are sent.

        `mail`: MAIL comes first. `again`: the number of RCPTs behind MAIL that were accepted on a
        connection lost since then. `rcpts`: the number of new RCPTs. `data`: DATA comes last.
        """
        self.mail = mail
        self.again = again
        self.rcpts = rcpts
        self.data = data

    def stage(self, place: int) -> Stage:
        """Return which command stands at `place`."""
        before = self.mail + self.again
        if place == 0 and self.mail:
            return "mail"
        return "rcpt" if place < before + self.rcpts else "data"


class Answered:
    """The upstream replied to every command; MAIL stands. Also the answer for the transaction."""

    __slots__ = ("content_may_follow", "last", "rcpts")

    def __init__(
        self,
        rcpts: Sequence[AnyReply],
        last: AnyReply | None = None,
        *,
        content_may_follow: bool = False,
    ) -> None:
        """Take the replies.

        `rcpts`: one for each new RCPT. `last`: the one to DATA or to the final dot, None where
        neither was sent.
        """
        self.rcpts = rcpts
        self.last = last
        self.content_may_follow = content_may_follow


class MailRefused(NamedTuple):
    """The upstream refused MAIL, and with it everything behind MAIL."""

    reply: UpstreamReply
    data: UpstreamReply | None


class Unusable(NamedTuple):
    """The connection failed, or a reply came that the command cannot have."""

    stage: Stage
    text: str
    """The cause, for people."""


Outcome: TypeAlias = Answered | MailRefused | Unusable


def lines(asked: Asked, mail: Mail, rcpts: Sequence[Rcpt], features: Features) -> list[bytes]:
    """Return the command lines of an exchange; `rcpts` holds the RCPTs named again, then the new.

    MAIL and RCPT get the parameters that the upstream offers, and no others. DSN parameters end
    where the next server does not offer DSN (RFC 3461 5.2.2). BODY=8BITMIME is left out where it is
    not offered, and the content is not changed: docs/decisions/eight-bit.md.
    """
    found = [_mail_line(mail, features)] if asked.mail else []
    for rcpt in rcpts:
        dsn = rcpt.dsn if features.dsn else b""
        found.append(b"RCPT TO:<%b>%b\r\n" % (rcpt.path.encode(), dsn))
    if asked.data:
        found.append(b"DATA\r\n")
    return found


def _mail_line(mail: Mail, features: Features) -> bytes:
    line = b"MAIL FROM:<%b>" % mail.path.encode()
    if mail.size and features.size:
        line += b" SIZE=%d" % mail.size
    if mail.eight_bit and features.eight_bit:
        line += b" BODY=8BITMIME"
    if mail.smtputf8 and features.smtputf8:  # docs/decisions/eight-bit.md
        line += b" SMTPUTF8"
    if mail.dsn and features.dsn:
        line += mail.dsn
    return line + b"\r\n"


def needs_smtputf8(rcpt: Rcpt) -> bool:
    """Whether RCPT for this recipient can be sent only behind MAIL with SMTPUTF8 (RFC 6531 3.3)."""
    return not (rcpt.path.isascii() and rcpt.dsn.isascii())


def decide(asked: Asked, replies: list[UpstreamReply], fault: str | None) -> Outcome:
    """Return what an exchange came to; `fault` is why it ended before every command was answered.

    The property test: any replies give an outcome, and a recipient counts as accepted only where
    its own RCPT got a 2yz reply behind a MAIL that was accepted.
    """
    if fault is not None:
        return Unusable(asked.stage(len(replies)), fault)
    new = asked.mail + asked.again
    data = replies[-1] if asked.data else None
    rcpts = replies if new == 0 and data is None else replies[new : new + asked.rcpts]
    for reply in rcpts:
        if INTERMEDIATE <= reply.code < REFUSED:
            return _unexpected("rcpt", reply)
    if data is not None and not fits("data", data.code):
        return _unexpected("data", data)
    if asked.mail:
        refusal = _check_mail(asked, replies, data)
        if refusal is not None:
            return refusal
    return Answered(rcpts, data)


def _check_mail(
    asked: Asked, replies: Sequence[UpstreamReply], data: UpstreamReply | None
) -> MailRefused | Unusable | None:
    """Judge the replies to MAIL and to the RCPTs named again; None if all of them are accepted."""
    mail, again = replies[0], replies[1 : 1 + asked.again]
    if not fits("mail", mail.code):
        return _unexpected("mail", mail)
    if mail.code >= REFUSED:
        if again:
            return Unusable("mail", f"refused when said again: {mail}")
        return MailRefused(mail, data)
    if any(reply.code >= INTERMEDIATE for reply in again):
        return Unusable("rcpt", "a recipient accepted before is refused now")
    return None


def _unexpected(stage: Stage, reply: UpstreamReply) -> Unusable:
    return Unusable(stage, f"unexpected reply {reply.code}")


def fits(stage: Stage, code: int) -> bool:
    """Whether `code` is a reply that the command of `stage` can have (RFC 5321 4.3.2).

    Stage "body" is the time before the end of content was sent: a 2yz reply in it would say that
    the upstream has a message it has not seen the end of.
    """
    if code >= REFUSED:
        return True
    if stage == "data":
        return code == START_MAIL
    return code < INTERMEDIATE and stage != "body"


def enhanced(reply: UpstreamReply) -> str:
    """Return the enhanced status code of a refusal, else ""."""
    return reply.enhanced if reply.code >= REFUSED else ""
