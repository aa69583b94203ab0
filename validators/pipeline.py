"""Judges a group of recipients: parses the addresses, asks the checks, applies the policy."""

import logging
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Final, NamedTuple, Protocol

from validators.address import DEFAULT, Address, SyntaxOptions, parse
from validators.policy import Policy
from validators.providers import OTHER
from validators.suppression import StoreUnavailable
from validators.verdict import ACCEPT, CLEAR, Action, Finding, Findings, Reason, Verdict
from validators.waiting import Outcome, settle

__all__ = ["Check", "Findings", "Judgement", "Pipeline"]

logger: Final = logging.getLogger(__name__)


class Check(Protocol):
    """States findings about recipients. The policy decides what they lead to."""

    name: str
    """The name of its module under validators/checks/; a metric label."""

    @property
    def unknown(self) -> Reason | None:
        """What to state if it gives no answer in time; None for a check that never waits."""

    def examine(self, group: Sequence[Address]) -> Findings | Awaitable[Findings]:
        """Return a finding or None for each address, or CLEAR; an awaitable if it has to wait."""


@dataclass(init=False, slots=True)
class Judgement:
    """The verdict on one recipient and the findings behind it. Treat as immutable.

    The constructor is written out so that mypyc compiles it (docs/decisions/compiled.md).
    """

    text: str
    """The recipient as given."""
    address: Address | None
    """None if it is not valid; accepted even so if the policy does not act on SYNTAX."""
    verdict: Verdict
    findings: tuple[tuple[Finding, Action], ...]
    """In the order of the checks, without those that the policy turns off."""
    provider: str
    """The mailbox provider: a bounded label, OTHER if it is not known."""

    def __init__(
        self,
        text: str,
        address: Address | None,
        verdict: Verdict,
        findings: tuple[tuple[Finding, Action], ...] = (),
        provider: str = OTHER,
    ) -> None:
        """Take what was decided."""
        self.text = text
        self.address = address
        self.verdict = verdict
        self.findings = findings
        self.provider = provider


class _Asked(NamedTuple):
    """A check that has to wait, and whom it was asked about."""

    check: int
    group: list[Address]
    places: list[int]


class _Group:
    """A group of recipients with findings, or with a check that has to wait."""

    __slots__ = ("found", "parsed", "pending", "places", "texts")

    def __init__(self, texts: Sequence[str], parsed: Sequence[Address | Finding]) -> None:
        self.texts = texts
        self.parsed = parsed
        self.pending: list[Address] = []
        """The recipients to ask about: valid, and not yet rejected."""
        self.places: list[int] = []
        """Their positions in the group."""
        self.found: dict[int, list[tuple[int, Finding, Action]]] = {}
        """Findings by position in the group, each with the position of its check."""
        for place, one in enumerate(parsed):
            if not isinstance(one, Finding):
                self.pending.append(one)
                self.places.append(place)

    def drop(self, positions: set[int]) -> None:
        """Ask no more about some of `pending`, given by position in it.

        The lists are replaced, since a check that waits may still hold the present ones.
        """
        kept = [n for n in range(len(self.pending)) if n not in positions]
        self.pending = [self.pending[n] for n in kept]
        self.places = [self.places[n] for n in kept]


class Pipeline:
    """Judges recipients by a fixed sequence of checks and a policy."""

    __slots__ = (
        "_ask",
        "_checks",
        "_limit",
        "_on_failure",
        "_options",
        "_policy",
        "_provider",
    )

    def __init__(
        self,
        checks: Sequence[Check],
        policy: Policy,
        *,
        options: SyntaxOptions = DEFAULT,
        provider: Callable[[str], str] | None = None,
        limit: float | None = 10.0,
        on_failure: Callable[[str, Exception], None] | None = None,
    ) -> None:
        """Findings are listed in the order of `checks`; those that never wait are asked first.

        `provider` returns the mailbox provider of a domain, as far as it is known. `limit` is the
        time limit in seconds for all checks that wait together, None for no limit. `on_failure` is
        called with the name of a check that failed, and the error.
        """
        self._options = options
        self._provider = provider or _no_provider
        self._limit = limit
        self._on_failure = on_failure
        self._checks = tuple(checks)
        self._policy = policy
        order = sorted(enumerate(checks), key=lambda each: each[1].unknown is not None)
        self._ask = tuple((number, check.examine) for number, check in order)

    def judge(self, group: Sequence[str]) -> list[Judgement] | Awaitable[list[Judgement]]:
        """Judge recipients; a list in their order, or an awaitable of it if a check has to wait.

        Checks that wait do so side by side. No check is asked about a recipient that is already
        rejected. A check that raises, or exceeds the limit, leads to a finding that says that
        nothing is known; it neither rejects nor accepts.
        """
        options = self._options
        provider = self._provider
        addresses: list[Address] = []
        for text in group:
            address = parse(text, options)
            if isinstance(address, Finding):
                return self._judge_group(_Group(group, [parse(each, options) for each in group]))
            addresses.append(address)
        # the common case is no finding on anyone: it needs no _Group
        for turn, (number, examine) in enumerate(self._ask):
            try:
                answer = examine(addresses)
            except Exception as error:  # noqa: BLE001 logged, and turned into findings
                answer = self._failure(number, addresses, error)
            if answer is not CLEAR:
                return self._judge_group(_Group(group, addresses), turn, answer)
        return [
            Judgement(address.text, address, ACCEPT, (), provider(address.domain))
            for address in addresses
        ]

    def _judge_group(
        self,
        case: _Group,
        start: int = 0,
        answer: Findings | Awaitable[Findings] | None = None,
    ) -> list[Judgement] | Awaitable[list[Judgement]]:
        """Ask the checks from turn `start` on; `answer` is what that check answered already."""
        asked: list[_Asked] = []
        waiting: list[Awaitable[Findings]] = []
        for number, examine in self._ask[start:]:
            if not case.pending:
                break
            if answer is None:
                try:
                    answer = examine(case.pending)
                except Exception as error:  # noqa: BLE001 logged, and turned into findings
                    answer = self._failure(number, case.pending, error)
            if isinstance(answer, Sequence):
                rejected = self._note(case, number, case.pending, case.places, answer)
                if rejected:
                    case.drop(rejected)
            else:
                asked.append(_Asked(number, case.pending, case.places))
                waiting.append(answer)
            answer = None
        if waiting:
            return settle(waiting, self._limit, partial(self._settled, case, asked))
        return self._conclude(case)

    def _settled(
        self, case: _Group, asked: list[_Asked], outcomes: list[Outcome[Findings]]
    ) -> list[Judgement]:
        """Conclude with the outcomes of the checks that had to wait."""
        for (number, group, places), outcome in zip(asked, outcomes, strict=True):
            if outcome is None:
                findings = self._late(number, group)
            elif isinstance(outcome, Exception):
                findings = self._failure(number, group, outcome)
            else:
                findings = outcome
            self._note(case, number, group, places, findings)
        return self._conclude(case)

    def _note(
        self,
        case: _Group,
        number: int,
        group: Sequence[Address],
        places: Sequence[int],
        findings: Findings,
    ) -> set[int]:
        """Record the findings of a check; returns the positions in `group` of the rejected."""
        rejected: set[int] = set()
        if findings is CLEAR:
            return rejected
        if len(findings) != len(group):
            # it is not known which finding belongs to whom
            error = ValueError(f"{len(findings)} findings for {len(group)} recipients")
            findings = self._failure(number, group, error)
        for position, finding in enumerate(findings):
            if finding is None:
                continue
            action = self._policy.action(finding.reason)
            if action is not Action.OFF:
                case.found.setdefault(places[position], []).append((number, finding, action))
            if action is Action.REJECT:
                rejected.add(position)
        return rejected

    def _conclude(self, case: _Group) -> list[Judgement]:
        """Return the judgements."""
        judgements: list[Judgement] = []
        for place, (text, parsed) in enumerate(zip(case.texts, case.parsed, strict=True)):
            if isinstance(parsed, Finding):
                action = self._policy.action(parsed.reason)
                noted = () if action is Action.OFF else ((parsed, action),)
                judgements.append(Judgement(text, None, self._policy.fold([parsed]), noted))
                continue
            found = sorted(case.found.get(place, ()), key=lambda each: each[0])
            judgements.append(
                Judgement(
                    text,
                    parsed,
                    self._policy.fold([finding for _, finding, _ in found]),
                    tuple((finding, action) for _, finding, action in found),
                    self._provider(parsed.domain),
                ),
            )
        return judgements

    def _late(self, number: int, group: Sequence[Address]) -> Findings:
        """Return the findings of a check that exceeded the time limit."""
        check = self._checks[number]
        text = f"no answer within {self._limit:g} s"
        if check.unknown is None or check.unknown is Reason.CHECK_FAILED:
            return self._failure(number, group, TimeoutError(text))
        if check.unknown is Reason.STORE_UNAVAILABLE:
            return self._failure(number, group, StoreUnavailable(text))
        logger.warning("check %s: %s", check.name, text)
        return [Finding(check.unknown, text)] * len(group)

    def _failure(self, number: int, group: Sequence[Address], error: Exception) -> Findings:
        """Return the findings of a check that raised: nothing is known of the recipients."""
        check = self._checks[number]
        if self._on_failure is not None:
            self._on_failure(check.name, error)
        if isinstance(error, StoreUnavailable):
            logger.warning("check %s: the store gives no answer: %s", check.name, error)
            finding = Finding(Reason.STORE_UNAVAILABLE)
        else:
            logger.error("check %s failed", check.name, exc_info=error)
            finding = Finding(Reason.CHECK_FAILED, check.name)
        return [finding] * len(group)


def _no_provider(_: str) -> str:
    return OTHER
