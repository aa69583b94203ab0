"""The upstream's half of a transaction: one connection, MAIL, RCPTs, DATA, content, final reply.

Knows connections and replies, no policy. MAIL goes out with the first RCPTs, so a message costs
the upstream a round trip less than its client thinks. A ready connection that turns out dead
before content began is replaced unseen: MAIL and the RCPTs accepted so far are said again. After
content began nothing is repeated, since nobody can know what the upstream did with it.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Final

from relay.observe.events import ReplyReceived, UpstreamFault
from relay.reply import INTERMEDIATE, REFUSED, TABLE
from relay.smtp.upstream.connect import HandshakeError
from relay.smtp.upstream.connection import Fault
from relay.smtp.upstream.dialect import GO, enhanced, fits, mail_line, rcpt_line

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from relay.observe.events import Stage
    from relay.reply import AnyReply, Reply, UpstreamReply
    from relay.smtp.server.commands import Mail, Rcpt
    from relay.smtp.upstream.connection import Connection
    from relay.smtp.upstream.ports import Asked, Flow, Services

_logger = logging.getLogger(__name__)

_DOT: Final = b".\r\n"


class Delivery:
    """One message on its way to the upstream."""

    __slots__ = (
        "_asked",
        "_asks_data",
        "_connection",
        "_content",
        "_done",
        "_flow",
        "_mail",
        "_mail_accepted",
        "_over",
        "_rcpts",
        "_sent",
        "_services",
        "_with_data",
        "accepted",
        "broken",
        "upstream",
    )

    def __init__(self, mail: Mail, services: Services, flow: Flow) -> None:
        """Connect to nothing yet."""
        self.broken: Reply | None = None
        self.upstream = ""
        self._mail = mail
        self._services = services
        self._flow = flow
        self._connection: Connection | None = None
        self._mail_accepted = False
        self.accepted: list[Rcpt] = []
        """Recipients the upstream has taken."""
        self._rcpts: Sequence[Rcpt] = ()
        self._with_data = False
        self._asks_data = False
        self._asked: Asked | None = None
        self._content = False
        self._over: AnyReply | None = None
        self._sent: Callable[[AnyReply], None] | None = None

    # MAIL, RCPT, DATA

    def ask(self, rcpts: Sequence[Rcpt], asked: Asked, *, data: bool) -> None:
        """Ask for `rcpts`, and for DATA behind them if `data`."""
        self._rcpts = rcpts
        self._with_data = data
        self._asked = asked
        if self.broken is not None:
            self._break(self.broken)
        elif self._connection is not None or self._take():
            self._send()
        else:
            self._services.spawn(self._connect())

    def _take(self) -> bool:
        connection = self._services.connections.take()
        if connection is not None:
            self._use(connection)
        return connection is not None

    def _use(self, connection: Connection) -> None:
        self._connection = connection
        self._mail_accepted = False
        self.upstream = connection.name
        connection.user = self

    async def _connect(self) -> None:
        try:
            connection = await self._services.connections.acquire()
        except HandshakeError as error:
            self._break(TABLE["UPSTREAM_UNREACHABLE"].because(str(error)))
            return
        except Exception:
            _logger.exception("Opening an upstream connection failed")
            self._break(TABLE["OUR_FAULT"])
            return
        if self._asked is None:  # the client went away meanwhile
            self._services.connections.give_back(connection)
            return
        self._use(connection)
        self._send()

    def _send(self) -> None:
        """Send what is due in one write: MAIL, RCPTs to say again, RCPTs, DATA."""
        connection = self._ready()
        features = connection.features
        lines = []
        if not self._mail_accepted:
            if self._mail.smtputf8 and not features.smtputf8:
                self._release()
                self._break(TABLE["NO_SMTPUTF8"])
                return
            lines = [mail_line(self._mail, features)]
            lines += [rcpt_line(rcpt, features) for rcpt in self.accepted]
        lines += [rcpt_line(rcpt, features) for rcpt in self._rcpts]
        self._asks_data = self._with_data and (features.pipelining or not lines)
        if self._asks_data:
            lines.append(b"DATA\r\n")
        connection.exchange(lines, self._answered)

    def _stage(self, place: int) -> Stage:
        """Return which command of the group under way stands at `place`."""
        before = 0 if self._mail_accepted else 1 + len(self.accepted)
        if place == 0 and before:
            return "mail"
        return "rcpt" if place < before + len(self._rcpts) else "data"

    def _answered(self, got: list[UpstreamReply], fault: Fault | None) -> None:
        connection = self._ready()
        if fault is not None:
            if connection.reused:
                self._replace()
            else:
                self._lost(self._stage(len(got)), fault.text)
            return
        self._services.waited(self._stage(len(got) - 1), connection.took)
        connection.reused = True  # from here on it may have died while it waited for the client
        data = got.pop() if self._asks_data else None
        if self._nonsense(got, data) or not (self._mail_accepted or self._begun(got, data)):
            return
        for place, reply in enumerate(got):
            if reply.code < REFUSED:
                self.accepted.append(self._rcpts[place])
        if self._with_data:
            self._settle(got, data)
        else:
            self._tell(got, None, ready=False)

    def _nonsense(self, got: list[UpstreamReply], data: UpstreamReply | None) -> bool:
        """Give up on an upstream whose reply is none that the command can have."""
        if data is not None and not fits("data", data.code):
            self._lost("data", f"unexpected reply {data.code}")
            return True
        for place, reply in enumerate(got):
            if INTERMEDIATE <= reply.code < REFUSED:
                self._lost(self._stage(place), f"unexpected reply {reply.code}")
                return True
        return False

    def _begun(self, got: list[UpstreamReply], data: UpstreamReply | None) -> bool:
        """Take the replies to MAIL and to RCPTs said again; false if that ended the group."""
        mail, again = got[0], 1 + len(self.accepted)
        self._services.events.emit(ReplyReceived("mail", mail.code, "other", enhanced(mail)))
        if mail.code >= REFUSED:
            self._mail_refused(mail, data)
            return False
        if any(reply.code >= REFUSED for reply in got[1:again]):
            self._lost("rcpt", "a recipient accepted before is refused now")
            return False
        del got[:again]
        self._mail_accepted = True
        return True

    def _settle(self, replies: Sequence[AnyReply], data: UpstreamReply | None) -> None:
        """Finish a group that ends with DATA, and whose MAIL stands."""
        if data is not None:
            self._services.events.emit(ReplyReceived("data", data.code, "other", enhanced(data)))
        if not self.accepted:
            if data is not None and data.code == GO:
                self._lone_dot()
            self._tell(replies, TABLE["NO_VALID_RECIPIENTS"], ready=False)
        elif data is None:  # no PIPELINING: DATA goes out once a recipient stands
            self._rest_with_data(replies)
        elif data.code == GO:
            self._content = True
            self._ready().send_content(self._final)
            self._tell(replies, TABLE["START_MAIL"], ready=True)
        else:
            self._tell(replies, data, ready=False)

    def _rest_with_data(self, replies: Sequence[AnyReply]) -> None:
        asked = self._asked
        assert asked is not None  # noqa: S101

        def then(_none: Sequence[AnyReply], data: AnyReply | None, *, ready: bool) -> None:
            asked(replies, data, ready=ready)

        self._rcpts = ()
        self._asked = then
        self._send()

    def _mail_refused(self, mail: UpstreamReply, data: UpstreamReply | None) -> None:
        """Give every RCPT the reply that MAIL got: the client's MAIL was answered long ago."""
        if self.accepted:
            self._lost("mail", f"refused when said again: {mail}")
            return
        if data is not None and data.code == GO:
            self._lone_dot()
        replies: list[AnyReply] = [mail] * len(self._rcpts)
        answer = TABLE["NO_VALID_RECIPIENTS"] if self._with_data else None
        self._tell(replies, answer, ready=False)

    def _lone_dot(self) -> None:
        """End an empty message that the upstream let begin without recipients (RFC 2920 3.1)."""
        connection = self._ready()
        self._connection = None
        self._mail_accepted = False

        def ended(_got: list[UpstreamReply], fault: Fault | None) -> None:
            if fault is None:
                self._services.connections.give_back(connection)

        connection.exchange([_DOT], ended)

    def _replace(self) -> None:
        """Say it all again on another connection."""
        self._connection = None
        if self._take():
            self._send()
        else:
            self._services.spawn(self._connect())

    def _lost(self, stage: Stage, text: str) -> None:
        self._services.events.emit(UpstreamFault(stage, self.upstream, text))
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.abort()
        self._break(TABLE["UPSTREAM_LOST"].because(f"at {stage}: {text}"))

    def _break(self, reply: Reply) -> None:
        """Answer this group, and what may follow it, with `reply`."""
        self.broken = reply
        if self._asked is not None:
            data = reply if self._with_data else None
            self._tell([reply] * len(self._rcpts), data, ready=False)

    def _tell(self, said: Sequence[AnyReply], data: AnyReply | None, *, ready: bool) -> None:
        asked, self._asked = self._asked, None
        if asked is not None:
            asked(said, data, ready=ready)

    # Content

    def content(self, octets: bytes) -> None:
        """Send content on as it comes; nothing more once the upstream has made up its mind."""
        if self._over is None and self._connection is not None:
            self._connection.write(octets)

    def end(self, octets: bytes, sent: Callable[[AnyReply], None]) -> None:
        """Send the last content and the final dot; `sent` gets the final reply."""
        if self._over is not None:
            self._content = False
            sent(self._over)
            return
        self._sent = sent
        self._ready().finish(octets + _DOT)

    def _final(self, got: list[UpstreamReply], fault: Fault | None) -> None:
        """Take the final reply, or what came in its place."""
        stage: Stage = "body" if self._sent is None else "final"
        connection = self._ready()
        reply: AnyReply
        if fault is None and fits(stage, got[0].code):
            reply = got[0]
            self._services.waited(stage, connection.took)
            self._services.events.emit(ReplyReceived(stage, reply.code, "other", enhanced(reply)))
        else:
            text = fault.text if fault is not None else f"unexpected reply {got[0].code}"
            self._services.events.emit(UpstreamFault(stage, self.upstream, text))
            reply = TABLE["UPSTREAM_LOST"].because(f"at {stage}: {text}")
            connection.abort()
        self._over = reply
        if self._sent is None:  # too early: the connection holds half a message
            connection.abort()
            self._connection = None
            self._flow.resume()
            return
        self._content = False
        self._connection = None
        self._services.connections.give_back(connection)
        self._sent(reply)

    # Ends

    def abandon(self) -> None:
        """Give up: RSET where that is enough, a closed connection where content has begun."""
        self._asked = None
        self._sent = None
        connection = self._connection
        if connection is None:
            return
        self._connection = None
        if self._content or connection.waiting:
            connection.abort()
            return
        self._connection = connection
        self._release()

    def _release(self) -> None:
        connection, self._connection = self._ready(), None
        if not self._mail_accepted:
            self._services.connections.give_back(connection)
            return
        self._mail_accepted = False

        def reset(got: list[UpstreamReply], fault: Fault | None) -> None:
            if fault is None and got[0].code < INTERMEDIATE:
                self._services.connections.give_back(connection)
            else:
                connection.abort()

        connection.exchange([b"RSET\r\n"], reset)

    def _ready(self) -> Connection:
        assert self._connection is not None  # noqa: S101 - callers have one
        return self._connection

    # upstream.User

    def upstream_paused(self) -> None:
        """Hold the client back."""
        self._flow.pause()

    def upstream_resumed(self) -> None:
        """Let the client go on."""
        self._flow.resume()

    def upstream_crashed(self) -> None:
        """Answer whoever waits after a fault of our own: 451, with no detail."""
        reply = TABLE["OUR_FAULT"]
        self._connection = None
        sent, self._sent = self._sent, None
        self._over = reply
        self._break(reply)
        if sent is not None:
            sent(reply)
