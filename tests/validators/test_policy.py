"""The policy: from findings to verdicts."""

from collections.abc import Sequence

import pytest

from validators.policy import DEFAULT_ACTIONS, Policy
from validators.reasons import UNKNOWN
from validators.verdict import ACCEPT, Accept, Action, Defer, Finding, Reason, Reject, Verdict


def folded(policy: Policy, findings: Sequence[Finding]) -> Verdict:
    """Return the verdict on findings, with the actions of the policy."""
    return policy.fold([(finding, policy.action(finding.reason)) for finding in findings])


def test_by_default_facts_reject_and_unknowns_defer() -> None:
    assert {reason for reason in Reason if DEFAULT_ACTIONS[reason] is Action.DEFER} == {
        Reason.DNS_UNAVAILABLE,
        Reason.STORE_UNAVAILABLE,
        Reason.CHECK_FAILED,
    }
    assert set(DEFAULT_ACTIONS.values()) == {Action.DEFER, Action.REJECT}


@pytest.mark.parametrize("reason", sorted(UNKNOWN))
def test_unknown_is_never_no(reason: Reason) -> None:
    with pytest.raises(ValueError, match=r"allowed: defer, observe, off"):
        Policy({reason: Action.REJECT})


def test_nothing_found_is_accepted() -> None:
    assert Policy().fold([]) is ACCEPT


def test_reject_beats_defer_and_the_first_decisive_finding_wins() -> None:
    policy = Policy({Reason.ROLE_ACCOUNT: Action.OBSERVE})
    findings = [
        Finding(Reason.ROLE_ACCOUNT, "info"),
        Finding(Reason.DNS_UNAVAILABLE, "SERVFAIL"),
        Finding(Reason.SUPPRESSED, "trap"),
        Finding(Reason.NULL_MX),
    ]
    assert folded(policy, findings) == Reject(Reason.SUPPRESSED, "trap")
    assert folded(policy, findings[:2]) == Defer(Reason.DNS_UNAVAILABLE, "SERVFAIL")
    assert folded(policy, findings[:1]) == Accept()


def test_an_override_leaves_the_other_reasons_alone() -> None:
    policy = Policy({Reason.ROLE_ACCOUNT: Action.OFF})
    assert policy.action(Reason.ROLE_ACCOUNT) is Action.OFF
    assert policy.action(Reason.NULL_MX) is Action.REJECT


def test_verdicts_have_names_for_labels() -> None:
    verdicts = (ACCEPT, Defer(Reason.CHECK_FAILED), Reject(Reason.SYNTAX))
    assert [verdict.name for verdict in verdicts] == ["accept", "defer", "reject"]
