"""The upstream's half of a transaction: one connection, MAIL, RCPTs, DATA, content, final reply.

A delivery knows connections and replies, and no policy. What an exchange says and what its replies
mean is decided in `phases`; this module acts on the outcome. MAIL goes out with the first RCPTs, so
that a message costs the upstream one round trip less than the client. A pooled connection that
turns out to be closed before content began is replaced without the client noticing: MAIL and the
RCPTs accepted so far are sent again. After content began nothing is repeated, because nobody can
know what the upstream did with it (RFC 1047).

A message that needs SMTPUTF8 goes to the first upstream that offers it. Where none does, it is
relayed without the flag, and only the addresses that need it are refused.
"""

from __future__ import annotations

from collections.abc import Coroutine, Mapping, Sequence
from typing import Any, Final, TypeAlias

from relay.observe.events import ReplyReceived, Stage, UpstreamFault
from relay.reply import REFUSED, TABLE, AnyReply, Reply, UpstreamReply
from relay.smtp.envelope import Mail, Rcpt
from relay.smtp.upstream.cleaning import end_empty_message, reset
from relay.smtp.upstream.connect import HandshakeError
from relay.smtp.upstream.connection import Connection, User
from relay.smtp.upstream.phases import (
    NEXT,
    START_MAIL,
    Answered,
    Asked,
    Event,
    MailRefused,
    Phase,
    Unusable,
    decide,
    enhanced,
    fits,
    lines,
    needs_smtputf8,
)
from relay.smtp.upstream.pool import Failover

_DOT: Final = b".\r\n"
_MOST_CONNECTS: Final = 4  # for one group; each had a connection that ended before its reply


Step: TypeAlias = Answered | Coroutine[Any, Any, Answered | None] | None
"""What a call came to: an answer; None, if the connection's user will be told the replies; or a
coroutine that has to wait for a connection first."""


class Delivery:
    """One message on its way to the upstream."""

    __slots__ = (
        "_asked",
        "_before",
        "_connection",
        "_connects",
        "_data",
        "_ending",
        "_mail",
        "_needs_smtputf8",
        "_phase",
        "_pools",
        "_provider",
        "_rcpts",
        "_reply",
        "_user",
        "_utf8",
        "accepted",
        "broken",
        "upstream",
        "withheld",
    )

    def __init__(self, mail: Mail, pools: Failover, user: User) -> None:
        """`user` is told what arrives on the connection, and passes it to `replied`."""
        self.accepted: list[Rcpt] = []
        """Recipients that the upstream accepted."""
        self.broken: Reply | None = None
        """Why this delivery can go no further."""
        self.upstream = ""
        """`host:port` of the upstream in use."""
        self.withheld: Mapping[int, Reply] = {}
        """Recipients of the group that were not sent to the upstream: place in the group, reply."""
        self._mail = mail
        self._pools = pools
        self._user = user
        self._phase = Phase.NO_CONNECTION
        self._connection: Connection | None = None
        self._connects = 0
        self._needs_smtputf8 = not mail.path.isascii()
        """MAIL has to have SMTPUTF8: for its own path, or for an accepted recipient."""
        self._utf8 = False
        self._rcpts: Sequence[Rcpt] = ()
        self._before: Sequence[AnyReply] = ()
        self._data = False
        self._provider = "other"
        self._asked = Asked(mail=False, again=0, rcpts=0, data=False)
        self._ending = False
        self._reply: AnyReply | None = None

    def ask(self, rcpts: Sequence[Rcpt], provider: str, *, data: bool) -> Step:
        """Send `rcpts`, and DATA after them if `data`.

        `provider` is the mailbox provider of all recipients so far, or "other".
        """
        self._rcpts = rcpts
        self._before = ()
        self._data = data
        self._provider = provider
        self._connects = 0
        if self._mail.smtputf8:
            self.withheld = {}
            self._utf8 = self._needs_smtputf8 or any(map(needs_smtputf8, rcpts))
        if self.broken is not None:
            return self._refuse_group(self.broken)
        if self._connection is None:
            return self._on_another()
        return self._send()

    def _on_another(self) -> Step:
        """Send the group on an idle connection, or wait for one."""
        connection = None if self._utf8 else self._pools.take()
        if connection is None:
            return self._connect()
        self._use(connection)
        return self._send()

    async def _connect(self) -> Answered | None:
        self._connects += 1
        if self._connects > _MOST_CONNECTS:
            return self._break(TABLE["UPSTREAM_LOST"].because("it ends every connection"))
        try:
            connection = await self._pools.acquire(smtputf8=self._utf8)
        except HandshakeError as error:
            return self._break(TABLE["UPSTREAM_UNREACHABLE"].because(str(error)))
        if self._phase is Phase.ENDED:  # the client left in the meantime
            self._pools.give_back(connection)
            return None
        self._use(connection)
        step = self._send()
        return await step if isinstance(step, Coroutine) else step

    def _use(self, connection: Connection) -> None:
        self._connection = connection
        self._move(Event.CONNECTION_TAKEN)
        self.upstream = connection.name
        connection.user = self._user

    def _send(self) -> Step:
        """Send what is due in one write: MAIL, RCPTs accepted before, new RCPTs, DATA."""
        connection = self._held()
        if not connection.alive:
            self._leave()
            return self._on_another()
        features = connection.features
        mail = self._phase is Phase.CONNECTED
        if self._utf8 and not features.smtputf8:
            refused = self._withhold()
            if refused is not None:
                return refused
        if mail:
            connection.utf8 = self._mail.smtputf8
        again = self.accepted if mail else ()
        alone = not mail and not self._rcpts
        data = self._data and (features.pipelining or alone)
        self._asked = asked = Asked(mail=mail, again=len(again), rcpts=len(self._rcpts), data=data)
        rcpts = [*again, *self._rcpts] if again else self._rcpts
        connection.exchange(lines(asked, self._mail, rcpts, features))
        return None

    def _withhold(self) -> Answered | None:
        """Refuse what needs SMTPUTF8; return the answer if nothing is left for this connection."""
        reply = TABLE["SMTPUTF8_LATER" if self._pools.may_offer_smtputf8 else "NO_SMTPUTF8"]
        if self._needs_smtputf8:
            self._pools.give_back(self._leave())
            return self._break(TABLE["SMTPUTF8_LATER"] if self.accepted else reply)
        group, self._utf8 = self._rcpts, False
        self.withheld = {place: reply for place, rcpt in enumerate(group) if needs_smtputf8(rcpt)}
        self._rcpts = [rcpt for rcpt in group if not needs_smtputf8(rcpt)]
        if self._rcpts or (self.accepted and self._data):
            return None
        if self._phase is Phase.CONNECTED:
            self._pools.give_back(self._leave())
        return Answered((), TABLE["NO_VALID_RECIPIENTS"] if self._data else None)

    def complete(self, rcpts: Sequence[AnyReply]) -> Sequence[AnyReply]:
        """Put the replies to the withheld recipients between those to the others of the group."""
        found = list(rcpts)
        for place, reply in self.withheld.items():
            found.insert(place, reply)
        self.withheld = {}
        return found

    def replied(self, replies: list[UpstreamReply], fault: str | None) -> Step:
        """Take the replies to the exchange, or those that came before a fault."""
        if self._phase is Phase.CONTENT:
            return self._final(replies, fault)
        connection = self._held()
        if fault is not None and connection.reused:
            self._leave()
            return self._on_another()
        outcome = decide(self._asked, replies, fault)
        if fault is None:
            self._pools.metrics.reply_waited(self._asked.stage(len(replies) - 1), connection.took)
            connection.reused = True  # it may be closed while the client takes its time
        if isinstance(outcome, Unusable):
            return self._lose(outcome.stage, outcome.text)
        if self._asked.mail:
            self._report("mail", replies[0])
        if isinstance(outcome, MailRefused):
            return self._mail_refused(outcome)
        if self._asked.mail:
            self._move(Event.MAIL_ACCEPTED)
        accepted = [
            self._rcpts[place] for place, reply in enumerate(outcome.rcpts) if reply.code < REFUSED
        ]
        self.accepted += accepted
        if self._utf8 and not self._needs_smtputf8:
            self._needs_smtputf8 = any(map(needs_smtputf8, accepted))
        if not self._data:
            return outcome
        data = replies[-1] if self._asked.data else None
        return self._settle(self._before or outcome.rcpts, data)

    def _settle(self, rcpts: Sequence[AnyReply], data: UpstreamReply | None) -> Step:
        """Finish a group that ends with DATA, whose MAIL was accepted."""
        if data is not None:
            self._report("data", data)
        if not self.accepted:
            if data is not None and data.code == START_MAIL:
                end_empty_message(self._pools, self._leave())
            return Answered(rcpts, TABLE["NO_VALID_RECIPIENTS"])
        if data is None:  # without PIPELINING, DATA is sent once a recipient is accepted
            self._before, self._rcpts = rcpts, ()
            return self._send()
        if data.code != START_MAIL:
            return Answered(rcpts, data)
        if not self._held().alive:  # it ended right behind its 354: no content was sent
            self._before, self._rcpts = rcpts, ()
            self._leave()
            return self._on_another()
        self._move(Event.CONTENT_BEGUN)
        self._held().begin_content()
        return Answered(rcpts, TABLE["START_MAIL"], content_may_follow=True)

    def _mail_refused(self, outcome: MailRefused) -> Answered:
        """Answer every RCPT with the reply to MAIL: the client's own MAIL was answered before."""
        if outcome.data is not None and outcome.data.code == START_MAIL:
            end_empty_message(self._pools, self._leave())
        data = TABLE["NO_VALID_RECIPIENTS"] if self._data else None
        return Answered([outcome.reply] * len(self._rcpts), data)

    # Content

    def content(self, octets: bytes) -> None:
        """Send content as it comes; nothing more once the upstream has replied finally."""
        if self._connection is not None:
            self._connection.write(octets)

    def end(self, octets: bytes) -> Answered | None:
        """Send the last content and the final dot; return a final reply that came before it."""
        if self._reply is not None:
            return Answered((), self._reply)
        self._ending = True
        self._held().end_content(octets + _DOT)
        return None

    def _final(self, replies: Sequence[UpstreamReply], fault: str | None) -> Answered | None:
        """Take the final reply, or what came in its place."""
        stage: Stage = "final" if self._ending else "body"
        connection = self._held()
        reply: AnyReply
        if fault is None and fits(stage, replies[0].code):
            reply = replies[0]
            self._pools.metrics.reply_waited(stage, connection.took)
            self._report(stage, reply)
        else:
            fault = fault or f"unexpected reply {replies[0].code}"
            reply = self._give_up(connection, stage, fault)
        self._reply = reply
        self._connection = None
        self._move(Event.ENDED)
        if not self._ending:  # half a message was sent
            connection.abort()
            return None
        self._pools.give_back(connection)
        return Answered((), reply)

    # Ends

    def abandon(self) -> None:
        """Give up: with RSET where that is enough, else by closing the connection."""
        connection, self._connection = self._connection, None
        phase = self._phase
        self._move(Event.ENDED)
        if connection is None:
            return
        if phase is Phase.CONTENT or connection.awaiting:
            connection.abort()
        elif phase is Phase.MAIL:
            reset(self._pools, connection)
        else:
            self._pools.give_back(connection)

    def crash(self) -> None:
        """Give up after a defect of presend: later calls are answered with 451, with no detail."""
        if self._connection is not None:
            self._connection.abort()
            self._connection = None
        self._reply = TABLE["OUR_FAULT"]
        self._break(TABLE["OUR_FAULT"])

    def _lose(self, stage: Stage, text: str) -> Answered:
        connection = self._leave()
        return self._break(self._give_up(connection, stage, text))

    def _give_up(self, connection: Connection, stage: Stage, text: str) -> Reply:
        """Close a connection that failed; return the reply that tells the client so."""
        self._pools.events.emit(UpstreamFault(stage=stage, upstream=self.upstream, error=text))
        connection.abort()
        return TABLE["UPSTREAM_LOST"].because(f"at {stage}: {text}")

    def _break(self, reply: Reply) -> Answered:
        """Answer this group, and every later one, with `reply`."""
        self.broken = reply
        self._move(Event.FAILED)
        return self._refuse_group(reply)

    def _refuse_group(self, reply: Reply) -> Answered:
        rcpts = self._before or [reply] * len(self._rcpts)
        return Answered(rcpts, reply if self._data else None)

    def _leave(self) -> Connection:
        """Let go of the connection."""
        connection, self._connection = self._held(), None
        connection.user = None
        self._move(Event.CONNECTION_LEFT)
        return connection

    def _held(self) -> Connection:
        assert self._connection is not None  # noqa: S101 - the phase says that one is held
        return self._connection

    def _move(self, event: Event) -> None:
        self._phase = NEXT[self._phase, event]

    def _report(self, stage: Stage, reply: UpstreamReply) -> None:
        self._pools.events.emit(
            ReplyReceived(
                stage=stage,
                code=reply.code,
                provider=self._provider,
                enhanced=enhanced(reply),
            )
        )
