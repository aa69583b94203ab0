"""The reference pages and the code name the same things, both ways.

Metrics and events: tests/relay/test_metrics.py and test_events.py.
"""

from collections.abc import Iterable

from relay.reply import TABLE, for_recipient
from relay.settings import every_setting
from tests.docs import pages
from validators.reasons import CHECKS
from validators.verdict import Defer, Reason, Reject


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
    table = {reason.value: (reason.row.default.value, reply_to(reason)) for reason in Reason}
    assert documented == table, difference(documented.items(), table.items())


def test_checks_and_their_reasons() -> None:
    page = pages.DOCS / "validators.md"
    for section in ("", *CHECKS):
        documented = [
            (row["reason"], row["meaning"], row["default"], row["setting"])
            for row in pages.rows(page, "reason", section=section)
        ]
        table = [
            (reason.value, reason.row.meaning, reason.row.default.value, setting_of(reason))
            for reason in Reason
            if section in {"", reason.row.check}
        ]
        assert documented == table, difference(documented, table)


def difference(documented: Iterable[object], table: Iterable[object]) -> str:
    """Return the rows that stand in one of the two alone."""
    return ", ".join(map(str, {*documented} ^ {*table})) or "the order"


def setting_of(reason: Reason) -> str:
    """Name the environment variable of the policy for a reason."""
    return next(it.env for it in every_setting() if it.path == ("policy", reason.value))


def reply_to(reason: Reason) -> str:
    """Name the reply to a recipient that is rejected, or deferred where that is all there is."""
    verdict = Defer(reason) if reason.row.unknown else Reject(reason)
    reply = for_recipient(verdict, "id")
    return next(name for name, known in TABLE.items() if str(reply).startswith(f"{known}: "))
