"""One mail transaction: what becomes of MAIL, RCPT and DATA (RFC 5321 3.3). No sockets.

The session hands over a group of commands and gets all their replies together, in order. A
recipient goes to the upstream only after the validators accepted it and the gate admitted it. One
Message event is emitted for each transaction, whichever way it ends.

A call returns a `Step`: the replies; None, if the upstream was asked and `replied` will be called
with what it said; or a coroutine, if something has to be waited for before that.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple, TypeAlias

from relay import reply as replies
from relay.guard.gate import ADMITTED, Admission, Admitted, Gate, NotNow, Wait, admitted
from relay.observe.events import NO_REASON, Events, Message, Recipient, Result
from relay.reply import FOR_GOOD, REFUSED, TABLE, AnyReply, Reply, UpstreamReply
from relay.smtp.envelope import Mail, Rcpt
from relay.smtp.upstream.connection import User
from relay.smtp.upstream.delivery import Delivery
from relay.smtp.upstream.phases import Answered
from relay.smtp.upstream.pool import Failover
from validators.pipeline import Judgement, Pipeline
from validators.providers import OTHER
from validators.verdict import Accept, Action, Defer, Reject


class Answers:
    """The replies to a group of commands, or the final reply alone."""

    __slots__ = ("content_may_follow", "replies")

    def __init__(self, replies: Sequence[AnyReply], *, content_may_follow: bool = False) -> None:
        """Take the replies, in the order of the commands."""
        self.replies = replies
        self.content_may_follow = content_may_follow


Step: TypeAlias = Answers | Coroutine[Any, Any, "Answers | None"] | None


class Backend(NamedTuple):
    """What the transactions of all sessions share."""

    campaign: str
    pipeline: Pipeline
    gate: Gate
    pools: Failover
    events: Events
    clock: Callable[[], float]
    """Monotonic seconds."""
    most_recipients: int
    segment: str = ""


class Transaction:
    """From a MAIL that was answered with 250 to the reply to the final dot, or to RSET."""

    __slots__ = (
        "_backend",
        "_data",
        "_data_refused",
        "_delivery",
        "_ended",
        "_ending",
        "_group",
        "_judged",
        "_last",
        "_limits",
        "_provider",
        "_reservations",
        "_sender",
        "_started",
        "_validation",
        "id",
        "size",
        "tried",
    )

    def __init__(self, mail: Mail, message_id: str, backend: Backend, user: User) -> None:
        """`user` is told what the upstream says, and passes it to `replied`."""
        self.id = message_id
        self.size = 0
        """Octets of content so far; the session counts them."""
        self.tried = False
        """A recipient was named."""
        self._sender = mail.path
        self._backend = backend
        self._started = backend.clock()
        self._validation = 0.0
        self._group: Sequence[Rcpt] = ()
        self._judged: list[Judgement] = []
        self._data = False
        self._data_refused = False
        self._provider = ""
        self._limits: dict[str, NotNow] = {}
        self._reservations: list[str] = []
        self._last: tuple[AnyReply, str] | None = None
        self._ended = self._ending = False
        self._delivery = Delivery(mail, backend.pools, user)

    @property
    def futile(self) -> bool:
        """Whether the upstream was lost, or refused DATA: nothing more is likely to come of it."""
        return self._delivery.broken is not None or self._data_refused

    def ask(self, group: Sequence[Rcpt], *, data: bool) -> Step:
        """Answer a pipelined group of RCPTs, and the DATA behind them if `data`."""
        backend = self._backend
        self._group = group
        self._data = data
        if not group:
            return self._forward([])
        self.tried = True
        room = backend.most_recipients - len(self._delivery.accepted)
        began = backend.clock()
        judged = backend.pipeline.judge([rcpt.path for rcpt in group[: max(room, 0)]])
        if not isinstance(judged, list):
            return self._judge(judged, began)
        self._validation += backend.clock() - began
        return self._forward(judged)

    async def _judge(self, judged: Awaitable[list[Judgement]], began: float) -> Answers | None:
        judgements = await judged
        self._validation += self._backend.clock() - began
        if self._ended:
            return None  # the client left in the meantime
        step = self._forward(judgements)
        return await step if isinstance(step, Coroutine) else step

    def _forward(self, judged: list[Judgement]) -> Step:
        """Go on with the recipients that are accepted so far."""
        self._judged = judged
        rcpts: list[Rcpt] = []
        counts: dict[str, int] = {}
        for place, judgement in enumerate(judged):
            if isinstance(judgement.verdict, Accept):
                rcpts.append(self._group[place])
                counts[judgement.provider] = counts.get(judgement.provider, 0) + 1
        return self._send(rcpts, counts, {})

    def _send(
        self, rcpts: list[Rcpt], counts: Mapping[str, int], admissions: dict[str, Admission]
    ) -> Step:
        """Ask the gate about providers that have no admission yet, then send RCPTs, and DATA."""
        backend = self._backend
        self._limits = {}
        unlimited = True
        for provider, number in counts.items():
            self._provider = provider if self._provider in ("", provider) else OTHER
            admission = admissions.get(provider)
            if admission is None:
                admission = backend.gate.admit(backend.campaign, backend.segment, provider, number)
                admissions[provider] = admission
            unlimited = unlimited and admission is ADMITTED
        if not unlimited:
            if any(isinstance(admission, Wait) for admission in admissions.values()):
                return self._hold(rcpts, counts, admissions)
            rcpts = self._limit(admissions)
        if not rcpts and not (self._data and self._delivery.accepted):
            return self._answer(Answered((), TABLE["NO_VALID_RECIPIENTS"] if self._data else None))
        step = self._delivery.ask(rcpts, self._provider, data=self._data)
        return None if step is None else self._take(step)

    def _limit(self, admissions: Mapping[str, Admission]) -> list[Rcpt]:
        """Note limits and reservations; return the recipients that the gate admits."""
        for provider, admission in admissions.items():
            if isinstance(admission, NotNow):
                self._limits[provider] = admission
            elif isinstance(admission, Admitted) and admission.reservation:
                self._reservations.append(admission.reservation)
        return [
            self._group[place]
            for place, judgement in enumerate(self._judged)
            if isinstance(judgement.verdict, Accept) and judgement.provider not in self._limits
        ]

    async def _hold(
        self, rcpts: list[Rcpt], counts: Mapping[str, int], admissions: dict[str, Admission]
    ) -> Answers | None:
        """Hold the group back until the gate has decided on every provider's recipients."""
        backend = self._backend
        for provider, admission in admissions.items():
            ask = partial(
                backend.gate.admit, backend.campaign, backend.segment, provider, counts[provider]
            )
            admissions[provider] = await admitted(ask, admission)
        if self._ended:
            return None
        step = self._send(rcpts, counts, admissions)
        return await step if isinstance(step, Coroutine) else step

    def replied(self, replies: list[UpstreamReply], fault: str | None) -> Step:
        """Take what the upstream said to the commands, or to the content."""
        step = self._delivery.replied(replies, fault)
        return None if step is None else self._take(step)

    def crash(self) -> Answers:
        """Answer everything that waits with 451, after a defect of presend."""
        self._delivery.crash()
        fault = TABLE["OUR_FAULT"]
        if self._ending:
            self._finish(fault, "final")
            return Answers([fault])
        return Answers([fault] * (len(self._group) + self._data))

    def _take(self, step: Answered | Coroutine[Any, Any, Answered | None]) -> Step:
        return self._answer(step) if isinstance(step, Answered) else self._wait(step)

    async def _wait(self, step: Coroutine[Any, Any, Answered | None]) -> Answers | None:
        said = await step
        return None if said is None else self._answer(said)

    def _answer(self, said: Answered) -> Answers:
        """Put the replies together in the order of the commands."""
        if self._ending:
            assert said.last is not None  # noqa: S101 - the final dot has a reply
            self._finish(said.last, "final")
            return Answers([said.last])
        answers: list[AnyReply] = []
        rcpts = self._delivery.complete(said.rcpts) if self._delivery.withheld else said.rcpts
        place = 0
        for judgement in self._judged:
            if not isinstance(judgement.verdict, Accept):
                answers.append(self._refuse(judgement, judgement.verdict))
            elif judgement.provider in self._limits:
                limit = self._limits[judgement.provider]
                answers.append(self._refuse_for_now(judgement, limit))
            else:
                reply = rcpts[place]
                place += 1
                self._report(judgement, reply)
                answers.append(TABLE["RECIPIENT_OK"] if reply.code < REFUSED else reply)
        surplus = len(self._group) - len(answers)
        if surplus:
            answers += [TABLE["TOO_MANY_RECIPIENTS"]] * surplus
        if answers and not self._delivery.accepted:
            self._remember(answers)
        if said.last is not None:
            answers.append(said.last)
            self._data_refused = not said.content_may_follow
            if self._data_refused:
                self._last = (said.last, "data")
        return Answers(answers, content_may_follow=said.content_may_follow)

    def _refuse(self, judgement: Judgement, verdict: Reject | Defer) -> Reply:
        reply = replies.for_recipient(verdict, self.id)
        self._report(judgement, reply, verdict.reason, verdict.detail)
        return reply

    def _refuse_for_now(self, judgement: Judgement, limit: NotNow) -> Reply:
        reply = TABLE["LIMITED"].because(limit.text)
        self._report(judgement, reply, detail=limit.text)
        return reply

    def _remember(self, refusals: Sequence[AnyReply]) -> None:
        """Keep what became of the recipients while none is accepted: a deferral outranks the rest.

        The client tries a deferred recipient again, so the message is not refused for good.
        """
        if self._last is None or self._last[0].code >= FOR_GOOD:
            refusal = min(refusals, key=lambda reply: reply.code >= FOR_GOOD)
            self._last = (refusal, "rcpt")

    def _report(
        self, judgement: Judgement, reply: AnyReply, reason: str = NO_REASON, detail: str = ""
    ) -> None:
        """Emit the Recipient event."""
        code = reply.code
        upstream = isinstance(reply, UpstreamReply)
        self._backend.events.emit(
            Recipient(
                message_id=self.id,
                address=judgement.text,
                verdict=judgement.verdict.name,
                reason=reason,
                detail=detail,
                observed=_observed(judgement) if judgement.findings else (),
                code=code,
                upstream_code=code if upstream else 0,
                enhanced=reply.enhanced if upstream and code >= REFUSED else "",
                provider=judgement.provider,
            )
        )

    # Content

    def content(self, octets: bytes) -> None:
        """Send content on to the upstream."""
        self._delivery.content(octets)

    def end(self, octets: bytes) -> Answers | None:
        """Send the last content and the final dot; return a final reply that came before it."""
        self._ending = True
        said = self._delivery.end(octets)
        return None if said is None else self._answer(said)

    def refuse(self, reply: AnyReply) -> None:
        """Drop a message whose content is at fault: the upstream never sees its end."""
        self._delivery.abandon()
        self._finish(reply, "body")

    def abandon(self) -> None:
        """End without a final reply: RSET, QUIT, or the client is gone."""
        if not self._ended:
            self._delivery.abandon()
            self._finish(None, "")

    def _finish(self, reply: AnyReply | None, stage: str) -> None:
        """Settle with the gate and emit the Message event, once."""
        if self._ended:
            return
        self._ended = True
        backend, accepted = self._backend, len(self._delivery.accepted)
        if reply is None and self._last is not None and not accepted:
            reply, stage = self._last
        code = reply.code if reply is not None else 0
        result = _result(code)
        backend.gate.settle(self._reservations, accepted if result == "relayed" else 0)
        backend.events.emit(
            Message(
                message_id=self.id,
                sender=self._sender,
                result=result,
                code=code,
                stage=stage,
                upstream=self._delivery.upstream,
                recipients=accepted,
                size=self.size,
                seconds=backend.clock() - self._started,
                validation_seconds=self._validation,
                reply=reply.text if reply is not None else "",
            )
        )


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
