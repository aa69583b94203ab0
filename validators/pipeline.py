"""Judges a group of recipients: parses the addresses, asks the checks, applies the policy."""

import logging
from collections.abc import Awaitable, Callable, Collection, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Final, NamedTuple, Protocol, TypeAlias, cast

from validators.address import DEFAULT, Address, SyntaxOptions, parse
from validators.dns import Resolver
from validators.domains import DomainCheck, Domains, Examined
from validators.examination import look_up
from validators.policy import Policy
from validators.providers import OTHER
from validators.risk import risk
from validators.suppression import StoreUnavailable
from validators.verdict import ACCEPT, CLEAR, Action, Finding, Findings, Reason, Verdict
from validators.waiting import Outcome, settle

__all__ = ["Check", "Findings", "Judgement", "Pipeline"]

logger: Final = logging.getLogger(__name__)


class Check(Protocol):
    """States findings about recipients. The policy decides what they lead to.

    A check that asks about the domain only is a `DomainCheck` instead.
    """

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

    @property
    def risk(self) -> float:
        """The risk of mail to this recipient, 0 to 1 (validators/risk.py)."""
        return risk(finding.reason for finding, _ in self.findings)


_Answer: TypeAlias = Findings | Examined

_DOMAINS: Final = -1
"""In place of the position of a check: the checks of the domains."""


class _Asked(NamedTuple):
    """A check that has to wait, or _DOMAINS, and whom it was asked about."""

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
        "_domains",
        "_last",
        "_limit",
        "_on_failure",
        "_options",
        "_policy",
        "_provider",
        "_resolver",
    )

    def __init__(
        self,
        checks: Sequence[Check | DomainCheck],
        policy: Policy,
        *,
        options: SyntaxOptions = DEFAULT,
        resolver: Resolver | None = None,
        trusted_domains: Collection[str] = (),
        provider: Callable[[str], str] | None = None,
        limit: float | None = 10.0,
        on_failure: Callable[[str, Exception], None] | None = None,
    ) -> None:
        """Findings are listed in the order of `checks`.

        Checks that never wait are asked first, and the checks of domains last. `resolver` looks up
        the mail routes for these, but not of `trusted_domains` and their subdomains: ValueError if
        one is no domain. `provider` returns the mailbox provider of a domain, as far as it is
        known. `limit` is the time limit in seconds for all checks that wait together, None for no
        limit. `on_failure` is called with the name of a check that failed, and the error.
        """
        self._options = options
        self._resolver = resolver
        self._provider = provider or (_no_provider if resolver is None else resolver.provider)
        self._limit = limit
        self._on_failure = on_failure
        self._policy = policy
        of_domains = [(n, each) for n, each in enumerate(checks) if isinstance(each, DomainCheck)]
        self._domains = Domains(
            of_domains, policy, resolver, trusted_domains, self._provider, self._failed
        )
        self._checks = {
            n: each for n, each in enumerate(checks) if not isinstance(each, DomainCheck)
        }
        """The other checks, by their positions among all."""
        self._last = len(checks)
        order = sorted(self._checks.items(), key=lambda each: each[1].unknown is not None)
        self._ask = tuple((number, check.examine) for number, check in order)

    def forget(self) -> None:
        """Examine domains again that are known: a list that the checks read has changed."""
        self._domains.forget()

    def judge(self, group: Sequence[str]) -> list[Judgement] | Awaitable[list[Judgement]]:
        """Judge recipients; a list in their order, or an awaitable of it if a check has to wait.

        Checks that wait do so side by side. No check is asked about a recipient that is already
        rejected. A check that raises, or exceeds the limit, leads to a finding that says that
        nothing is known; it neither rejects nor accepts.
        """
        options = self._options
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
        known = self._domains.known
        judged: list[Judgement] = []
        for address in addresses:
            noted = known(address.domain)
            if noted is None or noted.acts:
                return self._judge_group(_Group(group, addresses), len(self._ask))
            judged.append(Judgement(address.text, address, ACCEPT, noted.shown, noted.provider))
        return judged

    def _judge_group(
        self,
        case: _Group,
        start: int = 0,
        answer: Findings | Awaitable[Findings] | None = None,
    ) -> list[Judgement] | Awaitable[list[Judgement]]:
        """Ask the checks from turn `start` on; `answer` is what that check answered already."""
        asked: list[_Asked] = []
        waiting: list[Awaitable[_Answer]] = []
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
        names = self._note_domains(case)
        if names:
            asked.append(_Asked(_DOMAINS, case.pending, case.places))
            waiting.append(look_up(self._domains, self._resolver, names))
        if waiting:
            return settle(waiting, self._limit, partial(self._settled, case, asked))
        return self._conclude(case)

    def _note_domains(self, case: _Group) -> set[str]:
        """Record what is known about the domains; return those that are looked up first."""
        missing: set[str] = set()
        for place, address in zip(case.places, case.pending, strict=True):
            name = address.domain
            if name in missing:
                continue
            noted = self._domains.known(name) or self._domains.examine(name)
            if noted is None:
                missing.add(name)
            elif noted.entries:
                case.found.setdefault(place, []).extend(noted.entries)
        return missing

    def _settled(
        self, case: _Group, asked: list[_Asked], outcomes: list[Outcome[_Answer]]
    ) -> list[Judgement]:
        """Conclude with the outcomes of the checks that had to wait."""
        for (number, group, places), outcome in zip(asked, outcomes, strict=True):
            if number == _DOMAINS:
                self._note_examined(case, group, places, outcome)
                continue
            if outcome is None:
                findings = self._late(number, group)
            elif isinstance(outcome, Exception):
                findings = self._failure(number, group, outcome)
            else:
                findings = cast("Findings", outcome)
            self._note(case, number, group, places, findings)
        return self._conclude(case)

    def _note_examined(
        self,
        case: _Group,
        group: Sequence[Address],
        places: Sequence[int],
        outcome: Outcome[_Answer],
    ) -> None:
        """Record what was found about the domains that had to be looked up."""
        if outcome is None or isinstance(outcome, Exception):
            nothing = [(self._last, *self._unanswered(outcome))]
            for place, address in zip(places, group, strict=True):
                if self._domains.known(address.domain) is None:
                    case.found.setdefault(place, []).extend(nothing)
            return
        examined = cast("Examined", outcome)
        for place, address in zip(places, group, strict=True):
            noted = examined.get(address.domain)
            if noted is not None and noted.entries:
                case.found.setdefault(place, []).extend(noted.entries)

    def _unanswered(self, error: Exception | None) -> tuple[Finding, Action]:
        """Return what is stated where the domains could not be examined (in time)."""
        if error is None:
            finding = Finding(Reason.DNS_UNAVAILABLE, f"no answer within {self._limit:g} s")
            logger.warning("the checks of domains: %s", finding.detail)
        else:
            finding = self._failed("mx", error)
        return finding, self._policy.action(finding.reason)

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
                judgements.append(Judgement(text, None, self._policy.fold(noted), noted))
                continue
            found = sorted(case.found.get(place, ()), key=lambda each: each[0])
            findings = [(finding, action) for _, finding, action in found]
            if findings and self._policy.judges_risk:
                findings += self._policy.of_risk([finding for finding, _ in findings])
            verdict = self._policy.fold(findings)
            provider = self._provider(parsed.domain)
            judgements.append(Judgement(text, parsed, verdict, tuple(findings), provider))
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
        if isinstance(error, StoreUnavailable):
            if self._on_failure is not None:
                self._on_failure(check.name, error)
            logger.warning("check %s: the store gives no answer: %s", check.name, error)
            return [Finding(Reason.STORE_UNAVAILABLE)] * len(group)
        return [self._failed(check.name, error)] * len(group)

    def _failed(self, name: str, error: Exception) -> Finding:
        """Return the finding in place of those of a check that raised."""
        if self._on_failure is not None:
            self._on_failure(name, error)
        logger.error("check %s failed", name, exc_info=error)
        return Finding(Reason.CHECK_FAILED, name)


def _no_provider(_: str) -> str:
    return OTHER
