"""The policy: from findings to a verdict, by one configured action for each reason."""

from collections.abc import Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import Final, Literal, TypeAlias

from validators.reasons import UNKNOWN, Action, Reason
from validators.risk import ordered, risk
from validators.verdict import ACCEPT, Defer, Finding, Reject, Verdict

Mode: TypeAlias = Literal["enforce", "observe"]

DEFAULT_ACTIONS: Final[Mapping[Reason, Action]] = MappingProxyType(
    {reason: reason.row.default for reason in Reason},
)
"""The actions in the mode `enforce`."""
_IN_FORCE: Final = frozenset({Reason.SYNTAX, Reason.SUPPRESSED, *UNKNOWN})
OBSERVING: Final[Mapping[Reason, Action]] = MappingProxyType(
    {
        reason: action if reason in _IN_FORCE or action is Action.OFF else Action.OBSERVE
        for reason, action in DEFAULT_ACTIONS.items()
    },
)
"""The actions in the mode `observe`: in force are only syntax, suppression, and what is unknown."""


class Policy:
    """Holds the action for each reason, and makes one verdict of the findings on a recipient."""

    __slots__ = ("_actions", "_defer", "_reject", "judges_risk")

    def __init__(
        self,
        actions: Mapping[Reason, Action] = MappingProxyType({}),
        *,
        mode: Mode = "enforce",
        risk_reject: float | None = None,
        risk_defer: float | None = None,
    ) -> None:
        """`actions` override those of the mode. `risk_reject` and `risk_defer` are thresholds.

        A recipient whose risk, 0 to 1, is at least a threshold gets the finding RISK, and is
        rejected or deferred unless the action for RISK is another. ValueError for an unknown that
        is to be a refusal.
        """
        for reason, action in actions.items():
            if reason in UNKNOWN and action is Action.REJECT:
                allowed = ", ".join(a for a in Action if a is not Action.REJECT)
                message = f"{reason} cannot be 'reject', unknown is never no; allowed: {allowed}"
                raise ValueError(message)
        self._actions = {**(OBSERVING if mode == "observe" else DEFAULT_ACTIONS), **actions}
        self._reject = risk_reject
        self._defer = risk_defer
        self.judges_risk = (risk_reject is not None or risk_defer is not None) and self._actions[
            Reason.RISK
        ] is not Action.OFF
        """Whether findings that are only observed may lead to a verdict by their risk."""

    def action(self, reason: Reason) -> Action:
        """Return the action for `reason`."""
        return self._actions[reason]

    def of_risk(self, findings: Sequence[Finding]) -> list[tuple[Finding, Action]]:
        """Return the finding RISK, with the action, for a recipient with these findings; or none.

        Its detail is the risk, and the reasons that add to it, the weightiest first.
        """
        reasons = [finding.reason for finding in findings]
        value = risk(reasons)
        reached = [
            action
            for threshold, action in ((self._reject, Action.REJECT), (self._defer, Action.DEFER))
            if threshold is not None and value >= threshold
        ]
        if not reached:
            return []
        chosen = self._actions[Reason.RISK]
        action = reached[0] if chosen is Action.REJECT else chosen
        detail = f"{value:.2f}: {', '.join(ordered(dict.fromkeys(reasons)))}"
        return [(Finding(Reason.RISK, detail), action)]

    def fold(self, findings: Iterable[tuple[Finding, Action]]) -> Verdict:
        """Return the verdict. Reject beats defer, defer beats accept; the first finding decides."""
        deferral: Finding | None = None
        for finding, action in findings:
            if action is Action.REJECT:
                return Reject(finding.reason, finding.detail)
            if action is Action.DEFER and deferral is None:
                deferral = finding
        return ACCEPT if deferral is None else Defer(deferral.reason, deferral.detail)
