"""The reference pages and the code name the same things, both ways.

Metrics and events: tests/relay/test_metrics.py and test_events.py.
"""

from relay.config import every_setting
from relay.reply import TABLE
from tests.docs import pages
from validators.verdict import Reason


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
    documented = [row["reason"] for row in pages.rows(pages.DOCS / "smtp-replies.md", "reason")]
    assert sorted(documented) == sorted(reason.value for reason in Reason)
