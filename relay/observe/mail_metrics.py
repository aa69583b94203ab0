"""Metrics that are made of the events of the mail path, and the sections that show them."""

from collections.abc import Callable, Mapping
from typing import Final, get_args

from relay.observe.events import (
    NO_REASON,
    Batch,
    Message,
    Recipient,
    ReplyReceived,
    Result,
    Stage,
    UpstreamFault,
)
from relay.observe.metrics import (
    LOCAL_SECONDS,
    LONG_SECONDS,
    Registry,
    counter,
    histogram,
)
from relay.observe.section import (
    VERDICT_TONES,
    Row,
    Section,
    Share,
    Text,
    counts,
    note,
    number,
)
from validators.providers import PROVIDERS
from validators.reasons import UNKNOWN, Reason

_REASONS: Final = tuple(map(str, Reason))
_VERDICTS: Final = ("accept", "defer", "reject")
_STAGES: Final[tuple[str, ...]] = get_args(Stage)
_CODES: Final = range(200, 600)
"""Reply codes (RFC 5321 4.2) that are counted; a final reply is never 1yz."""
_UNKNOWN_USER: Final = frozenset({"5.1.1", "5.1.6", "5.2.1"})
"""RFC 3463: bad mailbox address, mailbox has moved, mailbox disabled."""

RECIPIENTS: Final = counter(
    "presend_recipients_total",
    "Recipients judged, by presend's own verdict and the deciding reason",
    {"verdict": _VERDICTS, "reason": (*_REASONS, NO_REASON)},
    campaign=True,
    preset=(
        ("accept", NO_REASON),
        *(("defer", str(reason)) for reason in Reason),
        *(("reject", str(reason)) for reason in Reason if reason not in UNKNOWN),
    ),
)
OBSERVED: Final = counter(
    "presend_observed_total",
    "Facts found in shadow mode (policy observe), which changed no verdict",
    {"reason": _REASONS},
    campaign=True,
)
MESSAGES: Final = counter(
    "presend_messages_total",
    "Transactions ended, by result",
    {"result": get_args(Result)},
    campaign=True,
)
TRANSACTION_SECONDS: Final = histogram(
    "presend_transaction_seconds",
    "Time from MAIL to the end of the transaction",
    LONG_SECONDS,
)
VALIDATION_SECONDS: Final = histogram(
    "presend_validation_seconds",
    "Time spent judging recipients in one transaction",
    LOCAL_SECONDS,
)
UPSTREAM_REPLIES: Final = counter(
    "presend_upstream_replies_total",
    "Replies of the upstream, by stage, reply code and mailbox provider",
    {"stage": _STAGES, "code": _CODES, "provider": PROVIDERS},
    campaign=True,
)
UNKNOWN_USERS: Final = counter(
    "presend_unknown_users_total",
    "Replies of the upstream saying that a mailbox does not exist, has moved or is disabled",
    {"provider": PROVIDERS},
    campaign=True,
)
UPSTREAM_FAULTS: Final = counter(
    "presend_upstream_faults_total",
    "Upstream connections that failed, were cut, timed out or spoke nonsense, by stage",
    {"stage": _STAGES},
)


class MailMetrics:
    """An event sink that counts recipients, messages and replies of the upstream."""

    def __init__(self, registry: Registry) -> None:
        """Register the metrics."""
        self._recipients = registry.counter(RECIPIENTS)
        self._observed = registry.counter(OBSERVED)
        self._messages = registry.counter(MESSAGES)
        self._transaction = registry.histogram(TRANSACTION_SECONDS)
        self._validation = registry.histogram(VALIDATION_SECONDS)
        self._replies = registry.counter(UPSTREAM_REPLIES)
        self._unknown_users = registry.counter(UNKNOWN_USERS)
        self._faults = registry.counter(UPSTREAM_FAULTS)
        self._handlers: dict[type, Callable[..., None]] = {
            Recipient: self._recipient,
            Message: self._message,
            ReplyReceived: self._reply_received,
            UpstreamFault: self._upstream_fault,
        }

    def take(self, batch: Batch) -> None:
        """Count each event."""
        handlers = self._handlers
        for _, event in batch:
            handlers[event.__class__](event)

    def _recipient(self, event: Recipient) -> None:
        _, _, verdict, reason, _, observed, _, upstream_code, enhanced, provider = event
        self._recipients.add(verdict, reason)
        for each in observed:
            self._observed.add(each)
        if upstream_code:
            self._replies.add("rcpt", upstream_code, provider)
            if enhanced in _UNKNOWN_USER:
                self._unknown_users.add(provider)

    def _message(self, event: Message) -> None:
        self._messages.add(event.result)
        self._transaction.observe(event.seconds)
        self._validation.observe(event.validation_seconds)

    def _reply_received(self, event: ReplyReceived) -> None:
        self._replies.add(event.stage, event.code, event.provider)
        if event.stage == "final" and event.enhanced in _UNKNOWN_USER:
            self._unknown_users.add(event.provider)

    def _upstream_fault(self, event: UpstreamFault) -> None:
        self._faults.add(event.stage)

    def verdicts(self) -> dict[tuple[str, str], int]:
        """Return the recipients judged so far by (verdict, reason), without those that are 0."""
        return {(verdict, reason): n for (verdict, reason), n in self._recipients.items() if n}

    def messages(self) -> dict[str, int]:
        """Return the transactions ended so far by result."""
        return {result: n for (result,), n in self._messages.items()}

    def observed(self) -> dict[str, int]:
        """Return the facts found in shadow mode so far by reason, without those that are 0."""
        return {reason: n for (reason,), n in self._observed.items() if n}


def recipients_section(
    verdicts: Mapping[tuple[str, str], int], observed: Mapping[str, int]
) -> Section:
    """Return the section on recipients: by (verdict, reason), and the facts in shadow mode."""
    total = sum(verdicts.values())
    totals = dict.fromkeys(_VERDICTS, 0)
    for (verdict, _), n in verdicts.items():
        totals[verdict] = totals.get(verdict, 0) + n
    shadow = Section("Observed only (shadow mode)", rows=counts(observed))
    return Section(
        f"Recipients: {total:,}",
        rows=tuple(
            Row(
                Text(verdict, VERDICT_TONES.get(verdict, "soft")),
                (Text("" if reason == NO_REASON else reason), number(n), _share(n, total)),
            )
            for (verdict, reason), n in sorted(
                verdicts.items(), key=lambda item: (-item[1], item[0])
            )
        ),
        bar=tuple(
            Share(VERDICT_TONES.get(verdict, "soft"), n)
            for verdict, n in totals.items()
            if verdicts
        ),
        notes=() if verdicts else (note("No recipient yet."),),
        inner=(shadow,) if observed else (),
    )


def messages_section(messages: Mapping[str, int], sessions: int) -> Section:
    """Return the section on messages by result, and on the number of open SMTP sessions."""
    sessions_note = note(f"SMTP sessions open: {sessions:,}")
    return Section(
        f"Messages: {sum(messages.values()):,}",
        rows=counts(messages),
        notes=(sessions_note,) if messages else (note("No message yet."), sessions_note),
    )


def _share(n: int, total: int) -> Text:
    share = f"{n / total:.1%}" if n * 1000 >= total else "<0.1%"
    return Text(share, "soft", number=True)
