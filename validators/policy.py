"""The policy: from findings to a verdict, by one configured action for each reason."""

from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Final

from validators.reasons import UNKNOWN, Action, Reason
from validators.verdict import ACCEPT, Defer, Finding, Reject, Verdict

DEFAULT_ACTIONS: Final[Mapping[Reason, Action]] = MappingProxyType(
    {reason: reason.row.default for reason in Reason},
)


class Policy:
    """Holds the action for each reason, and makes one verdict of the findings on a recipient."""

    __slots__ = ("_actions",)

    def __init__(self, actions: Mapping[Reason, Action] = MappingProxyType({})) -> None:
        """`actions` override DEFAULT_ACTIONS. ValueError for an unknown that is to be a refusal."""
        for reason, action in actions.items():
            if reason in UNKNOWN and action is Action.REJECT:
                allowed = ", ".join(a for a in Action if a is not Action.REJECT)
                message = f"{reason} cannot be 'reject', unknown is never no; allowed: {allowed}"
                raise ValueError(message)
        self._actions = {**DEFAULT_ACTIONS, **actions}

    def action(self, reason: Reason) -> Action:
        """Return the action for `reason`."""
        return self._actions[reason]

    def fold(self, findings: Iterable[Finding]) -> Verdict:
        """Return the verdict. Reject beats defer, defer beats accept; the first finding decides."""
        deferral: Finding | None = None
        for finding in findings:
            action = self._actions[finding.reason]
            if action is Action.REJECT:
                return Reject(finding.reason, finding.detail)
            if action is Action.DEFER and deferral is None:
                deferral = finding
        return ACCEPT if deferral is None else Defer(deferral.reason, deferral.detail)
