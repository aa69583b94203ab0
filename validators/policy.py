"""From facts to a verdict: one action for each reason, from configuration."""

from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Final

from validators.verdict import ACCEPT, Action, Defer, Finding, Reason, Reject, Verdict

UNKNOWN: Final = frozenset(
    {Reason.DNS_UNAVAILABLE, Reason.STORE_UNAVAILABLE, Reason.CHECK_FAILED},
)
"""Reasons that say nothing about the recipient, only that no answer was had: never a refusal."""

DEFAULT_ACTIONS: Final[Mapping[Reason, Action]] = MappingProxyType(
    {reason: Action.DEFER if reason in UNKNOWN else Action.REJECT for reason in Reason},
)


class Policy:
    """Says what each reason leads to, and folds the findings on a recipient into one verdict."""

    __slots__ = ("_actions",)

    def __init__(self, actions: Mapping[Reason, Action] = MappingProxyType({})) -> None:
        """Take `actions` over DEFAULT_ACTIONS; ValueError where an unknown would be refused."""
        for reason, action in actions.items():
            if reason in UNKNOWN and action is Action.REJECT:
                allowed = ", ".join(a for a in Action if a is not Action.REJECT)
                message = f"{reason} cannot be 'reject', unknown is never no; allowed: {allowed}"
                raise ValueError(message)
        self._actions = {**DEFAULT_ACTIONS, **actions}

    def action(self, reason: Reason) -> Action:
        """Return what `reason` leads to."""
        return self._actions[reason]

    def fold(self, findings: Iterable[Finding]) -> Verdict:
        """Return the verdict: reject beats defer beats accept, the first decisive finding wins."""
        deferral: Finding | None = None
        for finding in findings:
            action = self._actions[finding.reason]
            if action is Action.REJECT:
                return Reject(finding.reason, finding.detail)
            if action is Action.DEFER and deferral is None:
                deferral = finding
        return ACCEPT if deferral is None else Defer(deferral.reason, deferral.detail)
