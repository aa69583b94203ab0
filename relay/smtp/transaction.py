"""One mail transaction: MAIL, RCPT and DATA without sockets (RFC 5321 3.3).

The session hands over a group of commands and gets all their replies at once, in order. What is
cached is answered within the call, the rest by callback. A recipient goes upstream only after its
verdict. One Message event is emitted for each transaction, whichever way it ends.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Final, Protocol

from relay import reply as replies
from relay.observe.events import NO_REASON, Message, Recipient
from relay.reply import FOR_GOOD, REFUSED, TABLE, UpstreamReply
from relay.smtp.upstream.delivery import Delivery
from validators.verdict import Accept, Action

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Awaitable, Callable, Coroutine, Sequence
    from typing import TypeAlias

    from relay.observe.events import Events, Result, Stage
    from relay.reply import AnyReply
    from relay.smtp.server.commands import Mail, Rcpt
    from relay.smtp.upstream.ports import Connections, Flow
    from validators.pipeline import Judgement
    from validators.verdict import Defer, Reject

    Answer: TypeAlias = Callable[[Sequence[AnyReply], bool], None]
    """Takes the replies of a group, and whether content may follow."""

_logger = logging.getLogger(__name__)


class Judge(Protocol):
    """The validators, as far as a transaction needs them: `validators.pipeline.Pipeline`."""

    def judge(self, group: Sequence[str]) -> list[Judgement] | Awaitable[list[Judgement]]:
        """Judge a group: a list at once where all is known, else something to wait for."""


class Services:
    """What all transactions of a relay share; built once, in app.py."""

    __slots__ = (
        "clock",
        "connections",
        "events",
        "judge",
        "most_recipients",
        "provider",
        "spawn",
        "waited",
    )

    def __init__(
        self,
        *,
        judge: Judge,
        connections: Connections,
        events: Events,
        provider: Callable[[str], str],
        spawn: Callable[[Coroutine[object, object, None]], asyncio.Task[None]],
        waited: Callable[[Stage, float], None],
        clock: Callable[[], float],
        most_recipients: int,
    ) -> None:
        """`provider` names a domain's mailbox provider; `spawn` owns a task until it ends.

        `waited` is told the seconds the upstream took to reply at a stage.
        """
        self.judge = judge
        self.connections = connections
        self.events = events
        self.provider = provider
        self.spawn = spawn
        self.waited = waited
        self.clock = clock
        self.most_recipients = most_recipients


class Transaction:
    """From a MAIL that was answered 250 to the reply to the final dot, or to RSET."""

    __slots__ = (
        "_answer",
        "_delivery",
        "_ended",
        "_group",
        "_judged",
        "_last",
        "_no_data",
        "_sender",
        "_services",
        "_started",
        "_validation",
        "_with_data",
        "id",
        "size",
        "tried",
    )

    def __init__(self, mail: Mail, message_id: str, services: Services, flow: Flow) -> None:
        """`flow` is told to pause while the upstream reads slower than the client writes."""
        self.id = message_id
        self.size = 0
        self.tried = False
        self._sender = mail.path
        self._services = services
        self._started = services.clock()
        self._validation = 0.0
        self._group: Sequence[Rcpt] = ()
        self._judged: list[Judgement] = []
        self._with_data = False
        self._answer: Answer | None = None
        self._last: tuple[AnyReply, str] | None = None
        self._ended = self._no_data = False
        self._delivery = Delivery(mail, services, flow)

    @property
    def futile(self) -> bool:
        """Whether the upstream was lost, or DATA refused: nothing more is likely to come of it."""
        return self._delivery.broken is not None or self._no_data

    def recipients(self, group: Sequence[Rcpt], answer: Answer, *, data: bool) -> None:
        """Answer a pipelined group of RCPTs, and the DATA behind them if `data`, in one call."""
        services = self._services
        if group:
            self.tried = True
        self._group = group
        self._with_data = data
        self._answer = answer
        room = services.most_recipients - len(self._delivery.accepted)
        if len(group) > room:
            group = group[:room]
        began = services.clock()
        judged = services.judge.judge([rcpt.path for rcpt in group])
        if isinstance(judged, list):
            self._validation += services.clock() - began
            self._forward(judged)
        else:
            services.spawn(self._judge(judged, began))

    async def _judge(self, judged: Awaitable[list[Judgement]], began: float) -> None:
        try:
            judgements = await judged
            self._validation += self._services.clock() - began
            if self._answer is not None:
                self._forward(judgements)
        except Exception:
            _logger.exception("Judging recipients failed")
            count = len(self._group) + self._with_data
            self._tell([TABLE["OUR_FAULT"]] * count, ready=False)

    def _forward(self, judged: list[Judgement]) -> None:
        """Ask the upstream about those the validators accept."""
        self._judged = judged
        rcpts = [
            self._group[place]
            for place, judgement in enumerate(judged)
            if isinstance(judgement.verdict, Accept)
        ]
        if rcpts or (self._with_data and self._delivery.accepted):
            self._delivery.ask(rcpts, self._asked, data=self._with_data)
        else:
            data = TABLE["NO_VALID_RECIPIENTS"] if self._with_data else None
            self._asked((), data, ready=False)

    def _asked(self, said: Sequence[AnyReply], data: AnyReply | None, *, ready: bool) -> None:
        """Put the replies together in the order of the commands."""
        answers: list[AnyReply] = []
        place = 0
        for judgement in self._judged:
            verdict = judgement.verdict
            if isinstance(verdict, Accept):
                reply = said[place]
                place += 1
                self._report(judgement, NO_REASON, "", reply)
                answers.append(_TAKEN if reply.code < REFUSED else reply)
            else:
                answers.append(self._refuse(judgement, verdict))
        if len(answers) < len(self._group):
            answers += [TABLE["TOO_MANY_RECIPIENTS"]] * (len(self._group) - len(answers))
        if answers and not self._delivery.accepted:
            self._remember(answers)
        if data is not None:
            answers.append(data)
            self._no_data = not ready
            if self._no_data:
                self._last = (data, "data")
        self._tell(answers, ready=ready)

    def _tell(self, answers: Sequence[AnyReply], *, ready: bool) -> None:
        answer, self._answer = self._answer, None
        if answer is not None:
            answer(answers, ready)

    def _refuse(self, judgement: Judgement, verdict: Reject | Defer) -> AnyReply:
        reply = replies.for_recipient(verdict, self.id)
        self._report(judgement, verdict.reason, verdict.detail, reply)
        return reply

    def _remember(self, refusals: Sequence[AnyReply]) -> None:
        """Keep what became of the recipients while none is accepted: a deferral outlasts the rest.

        The client tries a deferred recipient again, so the message is not refused for good.
        """
        if self._last is None or self._last[0].code >= FOR_GOOD:
            refusal = min(refusals, key=lambda reply: reply.code >= FOR_GOOD)
            self._last = (refusal, "rcpt")

    def _report(self, judgement: Judgement, reason: str, detail: str, reply: AnyReply) -> None:
        """Emit the Recipient event."""
        code, address, services = reply.code, judgement.address, self._services
        upstream = reply.__class__ is UpstreamReply
        event = (
            self.id,
            judgement.text,
            judgement.verdict.name,
            reason,
            detail,
            _observed(judgement) if judgement.findings else (),
            code,
            code if upstream else 0,
            reply.enhanced if upstream and code >= REFUSED else "",
            services.provider(address.domain) if address is not None else "other",
        )
        # without the named tuple's own constructor, which is a function in Python
        services.events.emit(tuple.__new__(Recipient, event))

    # Content

    def content(self, octets: bytes) -> None:
        """Send content on to the upstream."""
        self._delivery.content(octets)

    def end(self, octets: bytes, sent: Callable[[AnyReply], None]) -> None:
        """Send the last content and the final dot; `sent` gets the final reply."""

        def final(reply: AnyReply) -> None:
            self._finish(reply, "final")
            sent(reply)

        self._delivery.end(octets, final)

    def refuse(self, reply: AnyReply) -> None:
        """Drop a message whose content is at fault: the upstream never sees its end."""
        self._delivery.abandon()
        self._finish(reply, "body")

    def abandon(self) -> None:
        """End without a final reply: RSET, QUIT, or the client is gone."""
        self._answer = None
        if not self._ended:
            self._delivery.abandon()
            self._finish(None, "")

    def _finish(self, reply: AnyReply | None, stage: str) -> None:
        """Emit the Message event, once."""
        if self._ended:
            return
        self._ended = True
        services = self._services
        if reply is None and self._last is not None and not self._delivery.accepted:
            reply, stage = self._last
        code = reply.code if reply is not None else 0
        services.events.emit(
            Message(
                self.id,
                self._sender,
                _result(code),
                code,
                stage,
                self._delivery.upstream,
                len(self._delivery.accepted),
                self.size,
                services.clock() - self._started,
                self._validation,
                reply.text if reply is not None else "",
            )
        )


_TAKEN: Final = TABLE["RECIPIENT_OK"]


def _observed(judgement: Judgement) -> tuple[str, ...]:
    return tuple(
        finding.reason.value for finding, action in judgement.findings if action is Action.OBSERVE
    )


def _result(code: int) -> Result:
    if code == 0:
        return "aborted"
    if code < REFUSED:
        return "relayed"
    return "deferred" if code < FOR_GOOD else "refused"
