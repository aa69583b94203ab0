"""What `presend check` says of an address: the JSON object on its line, and what is counted.

Recipients with the same findings share one `Facts`, so that findings are turned into text once and
not once a recipient.
"""

from collections.abc import Sequence
from json.encoder import encode_basestring_ascii as quoted
from typing import Final, NamedTuple, TypeAlias

from validators.pipeline import Judgement
from validators.risk import ordered, risk
from validators.verdict import Accept, Action, Reason

TYPOS: Final = frozenset({Reason.TYPO_DOMAIN, Reason.TYPO_SUSPECT})
"""Reasons whose detail is the domain that was probably meant."""
_CACHED: Final = 20_000
_ORDER: Final = {reason.value: place for place, reason in enumerate(Reason)}

Found: TypeAlias = tuple[str, str, str]
"""A finding: its reason, the action of the policy, and its detail."""
Parts: TypeAlias = tuple[str, str, str, tuple[Found, ...], str]
"""The arguments of `Facts`."""


class Kind(NamedTuple):
    """What is counted of a recipient: everything but its text."""

    verdict: str
    reason: str
    """The deciding reason; empty if the recipient is accepted."""
    provider: str
    findings: tuple[tuple[str, str], ...]
    """Reasons and actions, in order."""

    @property
    def risk(self) -> float:
        """The risk, 0 to 1."""
        return risk(Reason(reason) for reason, _ in self.findings)

    @property
    def duplicate(self) -> bool:
        """Whether the mailbox came before."""
        return any(reason == Reason.DUPLICATE for reason, _ in self.findings)


class Facts:
    """A verdict with its findings."""

    __slots__ = ("_repeated", "detail", "findings", "head", "kind", "meant", "risk", "tail")

    def __init__(
        self, verdict: str, reason: str, detail: str, findings: Sequence[Found], provider: str
    ) -> None:
        """`reason` is empty if the recipient is accepted."""
        self.kind = Kind(
            verdict, reason, provider, tuple((why, action) for why, action, _ in findings)
        )
        self.detail = detail
        self.findings = tuple(findings)
        self.meant = next((said for why, _, said in findings if why in TYPOS), "")
        """The domain that was probably meant; empty if the domain is not misspelt."""
        self.risk = f"{self.kind.risk:.3f}"
        shown = ", ".join(
            f'{{"reason": {quoted(why)}, "action": {quoted(action)}, "detail": {quoted(said)}}}'
            for why, action, said in findings
        )
        self.head = (
            f', "verdict": "{verdict}", "reason": {quoted(reason) if reason else "null"}, '
            f'"detail": {quoted(detail)}, "findings": [{shown}], "row": '
        )
        self.tail = f'"provider": {quoted(provider)}'
        self._repeated: Facts | None = None

    @property
    def parts(self) -> Parts:
        """What the constructor takes: an instance that is compiled cannot be pickled."""
        return self.kind.verdict, self.kind.reason, self.detail, self.findings, self.kind.provider

    @property
    def weightiest(self) -> str:
        """The deciding reason, or else the one that adds most to the risk; or empty."""
        found = ordered(Reason(why) for why, _ in self.kind.findings)
        return self.kind.reason or next((reason.value for reason in found), "")

    def repeated(self, action: Action) -> "Facts":
        """Return the same with the finding that the mailbox came before."""
        if self._repeated is None:
            self._repeated = self._with_duplicate(action)
        return self._repeated

    def _with_duplicate(self, action: Action) -> "Facts":
        place = sum(_ORDER[why] < _ORDER[Reason.DUPLICATE] for why, _, _ in self.findings)
        found: Found = (Reason.DUPLICATE.value, action.value, "")
        findings = [*self.findings[:place], found, *self.findings[place:]]
        verdict, reason, detail = self.kind.verdict, self.kind.reason, self.detail
        for wanted in (Action.REJECT, Action.DEFER):
            decisive = next((each for each in findings if each[1] == wanted), None)
            if decisive is not None:
                verdict, reason, detail = wanted.value, decisive[0], decisive[2]
                break
        return Facts(verdict, reason, detail, findings, self.kind.provider)

    def suggestion(self, text: str) -> str:
        """Return the address that was probably meant, or an empty text."""
        return f"{text.rpartition('@')[0]}@{self.meant}" if self.meant else ""

    def line(self, text: str, row: int, note: str = "") -> str:
        """Return the line for a recipient, end of line included: ASCII, whatever `text` is.

        `row` is its row in the list; `note` says what was left out around the address.
        """
        meant = quoted(self.suggestion(text)) if self.meant else "null"
        more = f', "note": {quoted(note)}' if note else ""
        return (
            f'{{"address": {quoted(text)}{self.head}{row}, "risk": {self.risk}, '
            f'"suggestion": {meant}, {self.tail}{more}}}\n'
        )


class FactsCache:
    """Returns the same Facts for equal findings."""

    def __init__(self) -> None:
        self._by_identity: dict[tuple[int, str], tuple[object, Facts]] = {}
        """By the identity of the findings, which recipients of a domain share."""
        self._by_value: dict[object, Facts] = {}

    def of(self, judged: Judgement) -> Facts:
        """Return what is said of one recipient."""
        findings = judged.findings
        known = self._by_identity.get((id(findings), judged.provider))
        if known is not None and known[0] is findings:
            return known[1]
        key = (findings, judged.provider)
        facts = self._by_value.get(key)
        if facts is None:
            if len(self._by_value) >= _CACHED:
                self._by_value.clear()
            facts = self._by_value[key] = _facts(judged)
        if len(self._by_identity) >= _CACHED:
            self._by_identity.clear()
        self._by_identity[id(findings), judged.provider] = findings, facts
        return facts

    def of_parts(self, parts: Parts) -> Facts:
        """Return what `Facts.parts` was taken from."""
        facts = self._by_value.get(parts)
        if facts is None:
            if len(self._by_value) >= _CACHED:
                self._by_value.clear()
            facts = self._by_value[parts] = Facts(*parts)
        return facts


def _facts(judged: Judgement) -> Facts:
    verdict = judged.verdict
    reason, detail = (
        ("", "") if isinstance(verdict, Accept) else (verdict.reason.value, verdict.detail)
    )
    findings = [
        (finding.reason.value, action.value, finding.detail) for finding, action in judged.findings
    ]
    return Facts(verdict.name, reason, detail, findings, judged.provider)


def line(judged: Judgement, row: int = 1, note: str = "") -> str:
    """Return the line for one judgement; see `Facts.line`."""
    return _facts(judged).line(judged.text, row, note)
