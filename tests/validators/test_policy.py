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
    assert Action.OFF not in DEFAULT_ACTIONS.values()


def test_what_may_be_wrong_begins_in_shadow_mode() -> None:
    assert {reason for reason in Reason if DEFAULT_ACTIONS[reason] is Action.REJECT} == {
        Reason.SYNTAX,
        Reason.ROLE_ACCOUNT,
        Reason.HONEYPOT_LOCAL,
        Reason.SUPPRESSED,
        Reason.TYPO_DOMAIN,
        Reason.NO_DOMAIN,
        Reason.NO_MAIL_HOST,
        Reason.NULL_MX,
        Reason.UNROUTABLE,
        Reason.RISK,
    }


def test_a_careful_start_leaves_few_reasons_in_force() -> None:
    policy = Policy({Reason.NULL_MX: Action.REJECT}, mode="observe")
    acting = {reason for reason in Reason if policy.action(reason) is not Action.OBSERVE}
    assert acting == {Reason.SYNTAX, Reason.SUPPRESSED, Reason.NULL_MX, *UNKNOWN}


@pytest.mark.parametrize(
    ("reject", "defer", "action", "expected"),
    [
        (0.3, None, None, Reject),
        (0.9, 0.3, None, Defer),
        (0.9, None, None, Accept),
        (None, None, None, Accept),
        (0.3, None, Action.OBSERVE, Accept),
        (0.3, None, Action.DEFER, Defer),
        (0.3, None, Action.OFF, Accept),
    ],
)
def test_facts_that_are_only_observed_add_up_to_a_risk(
    reject: float | None,
    defer: float | None,
    action: Action | None,
    expected: type[Verdict],
) -> None:
    actions = {} if action is None else {Reason.RISK: action}
    policy = Policy(actions, risk_reject=reject, risk_defer=defer)
    findings = [Finding(Reason.TYPO_SUSPECT, "gmail.com"), Finding(Reason.IMPLICIT_MX)]
    noted = [(finding, policy.action(finding.reason)) for finding in findings]
    verdict = policy.fold(noted + (policy.of_risk(findings) if policy.judges_risk else []))
    assert isinstance(verdict, expected)
    if not isinstance(verdict, Accept):
        assert verdict.reason is Reason.RISK
        assert verdict.detail == "0.73: typo_suspect, implicit_mx"


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
