"""Judges a group of recipients: local checks first, the ones that wait last."""

import logging
from collections.abc import Awaitable, Sequence
from dataclasses import dataclass, field
from typing import Final, Protocol, TypeAlias

from validators.address import Address
from validators.checks.suppression import StoreUnavailable
from validators.checks.syntax import Syntax
from validators.policy import Policy
from validators.verdict import ACCEPT, Action, Finding, Reason, Verdict

logger: Final = logging.getLogger(__name__)

Facts: TypeAlias = Sequence[Finding | None]
"""What a check found: one entry for each recipient of the group, in its order."""


class Check(Protocol):
    """States facts about recipients; what they lead to is the policy's business."""

    name: str

    def examine(self, group: Sequence[Address]) -> Facts | Awaitable[Facts]:
        """Return a list if everything is known at once, and an awaitable only if it must wait."""


@dataclass(slots=True)
class Judgement:
    """What was decided on one recipient, and every fact it rests on. Treat as immutable."""

    text: str
    """The recipient as given."""
    address: Address | None
    """None if it is not an address; accepted even so if the policy does not act on SYNTAX."""
    verdict: Verdict
    findings: tuple[tuple[Finding, Action], ...] = ()
    """In the order found; without the facts that the policy turns off."""


@dataclass(slots=True)
class _Group:
    """A group on its way through the checks."""

    texts: Sequence[str]
    parsed: Sequence[Address | Finding]
    pending: Sequence[Address]
    """Who is still to be examined: not yet rejected."""
    places: Sequence[int]
    """Where each of `pending` stands in the group."""
    notes: dict[int, list[tuple[Finding, Action]]] = field(default_factory=dict)
    """What was found, by place."""


class Pipeline:
    """Parses each recipient, asks the checks in order, folds what they find into a verdict."""

    __slots__ = ("_checks", "_parse", "_policy")

    def __init__(self, syntax: Syntax, checks: Sequence[Check], policy: Policy) -> None:
        """Ask `checks` in this order: the ones that know their answer at once first, DNS last."""
        self._parse = syntax.parse
        self._checks = tuple(checks)
        self._policy = policy

    def judge(self, group: Sequence[str]) -> list[Judgement] | Awaitable[list[Judgement]]:
        """Judge recipients; a list in their order, or an awaitable of it if a check must wait.

        A recipient that is rejected already is not asked about further. A check that raises
        defers those it was asked about (CHECK_FAILED); it never rejects, and never lets through.
        """
        parse = self._parse
        parsed = [parse(text) for text in group]
        if Finding in map(type, parsed):
            return self._judge_closely(self._open(group, parsed), 0, None)
        addresses: list[Address] = parsed  # type: ignore[assignment] # as just seen
        # nearly every group leaves this loop at its end, with nothing found and nothing built
        for position, check in enumerate(self._checks):
            facts = _ask(check, addresses)
            if facts.__class__ is not list or any(facts):
                case = _Group(group, parsed, addresses, range(len(addresses)))
                return self._judge_closely(case, position, facts)
        return [Judgement(address.text, address, ACCEPT, ()) for address in addresses]

    async def judge_one(self, text: str) -> Judgement:
        """Judge one recipient."""
        judged = self.judge((text,))
        if not isinstance(judged, list):
            judged = await judged
        return judged[0]

    def _judge_closely(
        self,
        case: _Group,
        position: int,
        facts: Facts | Awaitable[Facts] | None,
    ) -> list[Judgement] | Awaitable[list[Judgement]]:
        """Go on from the check at `position`, which said `facts` or is still to be asked."""
        for place in range(position, len(self._checks)):
            if not case.pending:
                break
            if facts is None:
                facts = _ask(self._checks[place], case.pending)
            if isinstance(facts, Awaitable):
                return self._wait(case, place, facts)
            self._note(case, facts)
            facts = None
        return self._conclude(case)

    async def _wait(
        self,
        case: _Group,
        position: int,
        waiting: Awaitable[Facts],
    ) -> list[Judgement]:
        """Wait for the check at `position`, then go on."""
        facts = await _answer(self._checks[position], case.pending, waiting)
        judged = self._judge_closely(case, position, facts)
        return judged if isinstance(judged, list) else await judged

    def _open(self, group: Sequence[str], parsed: Sequence[Address | Finding]) -> _Group:
        """Begin with a group of which some are no address: those are noted, and not pending."""
        addresses: list[Address] = []
        places: list[int] = []
        case = _Group(group, parsed, addresses, places)
        for place, found in enumerate(parsed):
            if isinstance(found, Finding):
                self._keep(case, place, found)
            else:
                addresses.append(found)
                places.append(place)
        return case

    def _note(self, case: _Group, facts: Facts) -> None:
        """Keep what a check found, and take out of the group those it leads to reject."""
        pending, places = [], []
        for address, place, finding in zip(case.pending, case.places, facts, strict=True):
            if finding is None or self._keep(case, place, finding) is not Action.REJECT:
                pending.append(address)
                places.append(place)
        case.pending, case.places = pending, places

    def _keep(self, case: _Group, place: int, finding: Finding) -> Action:
        """Note one finding unless it is turned off; returns what it leads to."""
        action = self._policy.action(finding.reason)
        if action is not Action.OFF:
            case.notes.setdefault(place, []).append((finding, action))
        return action

    def _conclude(self, case: _Group) -> list[Judgement]:
        """Fold what was found on each recipient into its verdict."""
        judged = []
        for place, (text, found) in enumerate(zip(case.texts, case.parsed, strict=True)):
            findings = case.notes.get(place, ())
            verdict = self._policy.fold([finding for finding, _ in findings])
            address = None if isinstance(found, Finding) else found
            judged.append(Judgement(text, address, verdict, tuple(findings)))
        return judged


def _ask(check: Check, group: Sequence[Address]) -> Facts | Awaitable[Facts]:
    """Return what the check says, and a finding for each recipient if it fails."""
    try:
        facts = check.examine(group)
    except Exception as error:  # noqa: BLE001 logged, and turned into findings
        return _failure(check, group, error)
    if facts.__class__ is list and len(facts) != len(group):
        return _failure(check, group, _wrong_length(facts, group))
    return facts


async def _answer(check: Check, group: Sequence[Address], waiting: Awaitable[Facts]) -> Facts:
    """Wait for what the check says; likewise."""
    try:
        facts = await waiting
    except Exception as error:  # noqa: BLE001 logged, and turned into findings
        return _failure(check, group, error)
    if len(facts) != len(group):
        return _failure(check, group, _wrong_length(facts, group))
    return facts


def _wrong_length(facts: Facts, group: Sequence[Address]) -> ValueError:
    """Facts that cannot be told apart: the check did not give one for each recipient."""
    return ValueError(f"{len(facts)} facts for {len(group)} recipients")


def _failure(check: Check, group: Sequence[Address], error: Exception) -> Facts:
    """Say that nothing is known: a check's fault must neither refuse nor let through."""
    if isinstance(error, StoreUnavailable):
        logger.warning("check %s: the store gives no answer: %s", check.name, error)
        finding = Finding(Reason.STORE_UNAVAILABLE)
    else:
        logger.error("check %s failed", check.name, exc_info=error)
        finding = Finding(Reason.CHECK_FAILED, check.name)
    return [finding] * len(group)
