"""The reference pages and the code name the same things, both ways.

Metrics and events: tests/relay/test_metrics.py and test_events.py.
"""

from relay.reply import TABLE, for_recipient
from relay.settings import every_setting
from tests.docs import pages
from validators.policy import Policy
from validators.verdict import Accept, Finding, Reason


def test_settings() -> None:
    documented = {
        row["environment"]: row["default"]
        for row in pages.rows(pages.DOCS / "configuration.md", "environment")
    }
    assert documented == {setting.env: setting.default for setting in every_setting()}


def test_replies() -> None:
    documented = {
        row["name"]: row["reply"] for row in pages.rows(pages.DOCS / "smtp-replies.md", "name")
    }
    assert documented == {name: str(reply) for name, reply in TABLE.items()}


def test_reasons() -> None:
    documented = {
        row["reason"]: (row["default"], row["reply"])
        for row in pages.rows(pages.DOCS / "smtp-replies.md", "reason")
    }
    policy = Policy()
    assert documented == {
        reason.value: (policy.action(reason).value, reply_to(policy, reason)) for reason in Reason
    }


def reply_to(policy: Policy, reason: Reason) -> str:
    """Name the reply that the default policy leads to."""
    verdict = policy.fold([Finding(reason)])
    assert not isinstance(verdict, Accept)
    reply = for_recipient(verdict, "id")
    return next(name for name, known in TABLE.items() if str(reply).startswith(f"{known}: "))
