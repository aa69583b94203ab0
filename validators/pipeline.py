"""Judges a group of recipients: local checks first, the ones that wait last."""

import logging
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Final, Protocol

from validators.address import Address
from validators.checks.syntax import Syntax
from validators.policy import Policy
from validators.suppression import StoreUnavailable
from validators.verdict import ACCEPT, CLEAR, Action, Facts, Finding, Reason, Verdict

__all__ = ["Check", "Facts", "Judgement", "Pipeline"]

logger: Final = logging.getLogger(__name__)


class Check(Protocol):
    """States facts about recipients; what they lead to is the policy's business."""

    name: str

    def examine(self, group: Sequence[Address]) -> Facts | Awaitable[Facts]:
        """Return the facts, CLEAR if there are none, and an awaitable only if it must wait."""


@dataclass(init=False, slots=True)
class Judgement:
    """What was decided on one recipient, and every fact it rests on. Treat as immutable."""

    text: str
    """The recipient as given."""
    address: Address | None
    """None if it is not an address; accepted even so if the policy does not act on SYNTAX."""
    verdict: Verdict
    findings: tuple[tuple[Finding, Action], ...] = ()
    """In the order found; without the facts that the policy turns off."""
    provider: str = "other"

    def __init__(
        self,
        text: str,
        address: Address | None,
        verdict: Verdict,
        findings: tuple[tuple[Finding, Action], ...] = (),
    ) -> None:
        """Take what was decided; written out, since a generated one is not compiled."""
        self.text = text
        self.address = address
        self.verdict = verdict
        self.findings = findings
        self.provider = "other"


class _Group:
    """A group on its way through the checks, as soon as there is anything to note about it."""

    __slots__ = ("notes", "parsed", "pending", "places", "texts")

    def __init__(self, texts: Sequence[str], parsed: Sequence[Address | Finding]) -> None:
        self.texts = texts
        self.parsed = parsed
        self.pending: list[Address] = []
        """Who is still to be examined: an address, and not yet rejected."""
        self.places: list[int] = []
        """Where each of `pending` stands."""
        self.notes: dict[int, list[tuple[Finding, Action]]] = {}
        """What was found, by place."""
        for place, found in enumerate(parsed):
            if not isinstance(found, Finding):
                self.pending.append(found)
                self.places.append(place)

    def drop(self, positions: Sequence[int]) -> None:
        """Take some out of `pending`, by their rising positions in it."""
        for position in reversed(positions):
            del self.pending[position]
            del self.places[position]


class Pipeline:
    """Parses each recipient, asks the checks in order, folds what they find into a verdict."""

    __slots__ = ("_checks", "_examine", "_on_failure", "_parse", "_policy")

    def __init__(
        self,
        syntax: Syntax,
        checks: Sequence[Check],
        policy: Policy,
        on_failure: Callable[[str, Exception], None] | None = None,
    ) -> None:
        """Ask `checks` in this order: the ones that know their answer at once first, DNS last.

        `on_failure` is told the name of a check that failed, and the error.
        """
        self._parse = syntax.parse
        self._on_failure = on_failure
        self._checks = tuple(checks)
        self._examine = tuple(check.examine for check in checks)
        self._policy = policy

    def judge(self, group: Sequence[str]) -> list[Judgement] | Awaitable[list[Judgement]]:
        """Judge recipients; a list in their order, or an awaitable of it if a check must wait.

        A recipient that is rejected already is not asked about further. A check that raises
        defers those it was asked about (CHECK_FAILED); it never rejects, and never lets through.
        """
        parse = self._parse
        addresses: list[Address] = []
        for text in group:
            address = parse(text)
            if isinstance(address, Finding):
                parsed = [parse(text) for text in group]
                return self._judge_closely(self._open(group, parsed), 0, None)
            addresses.append(address)
        # nearly every group leaves this loop at its end, with nothing found and nothing built
        for place, examine in enumerate(self._examine):
            try:
                facts = examine(addresses)
            except Exception as error:  # noqa: BLE001 logged, and turned into findings
                facts = self._failure(self._checks[place], addresses, error)
            if facts is not CLEAR:
                return self._judge_closely(self._open(group, addresses), place, facts)
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
                facts = self._ask(self._checks[place], case.pending)
            if not isinstance(facts, Sequence):
                return self._wait(case, place, facts)
            self._note(case, self._checks[place], facts)
            facts = None
        return self._conclude(case)

    async def _wait(
        self,
        case: _Group,
        position: int,
        waiting: Awaitable[Facts],
    ) -> list[Judgement]:
        """Wait for the check at `position`, then go on."""
        check = self._checks[position]
        try:
            facts = await waiting
        except Exception as error:  # noqa: BLE001 logged, and turned into findings
            facts = self._failure(check, case.pending, error)
        judged = self._judge_closely(case, position, facts)
        return judged if isinstance(judged, list) else await judged

    def _open(self, group: Sequence[str], parsed: Sequence[Address | Finding]) -> _Group:
        """Begin to note what is found, with what is wrong with those that are no address."""
        case = _Group(group, parsed)
        for place, found in enumerate(parsed):
            if isinstance(found, Finding):
                self._keep(case, place, found)
        return case

    def _note(self, case: _Group, check: Check, facts: Facts) -> None:
        """Keep what a check found, and take out of the group those it leads to reject."""
        if facts is CLEAR:
            return
        if len(facts) != len(case.pending):
            # they cannot be told apart
            error = ValueError(f"{len(facts)} facts for {len(case.pending)} recipients")
            facts = self._failure(check, case.pending, error)
        found = [(n, finding) for n, finding in enumerate(facts) if finding is not None]
        places = case.places
        case.drop([n for n, it in found if self._keep(case, places[n], it) is Action.REJECT])

    def _keep(self, case: _Group, place: int, finding: Finding) -> Action:
        """Note one finding unless it is turned off; returns what it leads to."""
        action = self._policy.action(finding.reason)
        if action is not Action.OFF:
            case.notes.setdefault(place, []).append((finding, action))
        return action

    def _conclude(self, case: _Group) -> list[Judgement]:
        """Fold what was found on each recipient into its verdict."""
        judged = [
            Judgement(text, None if isinstance(found, Finding) else found, ACCEPT, ())
            for text, found in zip(case.texts, case.parsed, strict=True)
        ]
        for place, findings in case.notes.items():
            judged[place].verdict = self._policy.fold([finding for finding, _ in findings])
            judged[place].findings = tuple(findings)
        return judged

    def _ask(self, check: Check, group: Sequence[Address]) -> Facts | Awaitable[Facts]:
        """Return what the check says, and a finding for each recipient if it fails."""
        try:
            return check.examine(group)
        except Exception as error:  # noqa: BLE001 logged, and turned into findings
            return self._failure(check, group, error)

    def _failure(self, check: Check, group: Sequence[Address], error: Exception) -> Facts:
        """Say that nothing is known: a check's fault must neither refuse nor let through."""
        if self._on_failure is not None:
            self._on_failure(check.name, error)
        if isinstance(error, StoreUnavailable):
            logger.warning("check %s: the store gives no answer: %s", check.name, error)
            finding = Finding(Reason.STORE_UNAVAILABLE)
        else:
            logger.error("check %s failed", check.name, exc_info=error)
            finding = Finding(Reason.CHECK_FAILED, check.name)
        return [finding] * len(group)
