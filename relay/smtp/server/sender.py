"""The decision on MAIL: size, address, the verdict on the sender, and the gate.

A transaction begins only after it, so that a refused sender costs nothing at the upstream.
"""

from __future__ import annotations

from collections.abc import Awaitable, Coroutine, Sequence
from typing import TYPE_CHECKING, Any, TypeAlias

from relay import reply as replies
from relay.guard.gate import Admission, Admitted, NotNow, Wait, admitted
from relay.reply import TABLE, Reply
from relay.smtp.envelope import Mail
from validators.pipeline import Judgement
from validators.verdict import Accept

if TYPE_CHECKING:
    from relay.smtp.server.server import Server

Decision: TypeAlias = Reply | None
"""The reply that refuses the sender; None if it is accepted."""


def decide(server: Server, mail: Mail, message_id: str) -> Decision | Coroutine[Any, Any, Decision]:
    """Decide on a sender; a coroutine if DNS or the gate has to be waited for."""
    if mail.size > server.limits.message_size:
        return TABLE["TOO_LARGE"]
    if not mail.path.isascii() and not mail.smtputf8:
        return TABLE["BAD_SENDER"].because("needs SMTPUTF8")
    # the null sender is no address to judge (RFC 5321 4.5.5)
    judged = server.sender_pipeline.judge([mail.path]) if mail.path else []
    admission = _admit(server)
    if isinstance(judged, list) and not isinstance(admission, Wait):
        return _refusal(judged, admission, message_id)
    return _wait(server, judged, admission, message_id)


async def _wait(
    server: Server,
    judged: list[Judgement] | Awaitable[list[Judgement]],
    admission: Admission,
    message_id: str,
) -> Decision:
    judgements = judged if isinstance(judged, list) else await judged
    decided = await admitted(lambda: _admit(server), admission)
    return _refusal(judgements, decided, message_id)


def _admit(server: Server) -> Admission:
    backend = server.backend
    return backend.gate.admit_message(backend.campaign, backend.segment)


def _refusal(
    judged: Sequence[Judgement], admission: Admitted | NotNow, message_id: str
) -> Decision:
    for judgement in judged:
        if not isinstance(judgement.verdict, Accept):
            return replies.for_sender(judgement.verdict, message_id)
    if isinstance(admission, NotNow):
        return TABLE["LIMITED"].because(admission.text)
    return None
