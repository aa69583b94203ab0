"""Rules for every test.

No blocking call in the event loop, no skipped test in CI, no signal that is ignored by inheritance,
and no absolute time limit for an example of a property test.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Generator, Iterator
from typing import TypeVar

import pytest
from blockbuster import BlockBuster
from hypothesis import HealthCheck, settings

from tests.support import need

IN_CI = os.environ.get("CI", "").lower() in {"1", "true", "yes"}

BLOCKING_BY_DESIGN = ("relay/stores/sqlite/store.py", "relay/stores/sqlite/reader.py")
"""The suppression list is read synchronously: a lookup takes some 10 µs, less than a thread would
cost. It waits only for a page that is not yet in memory."""

Report = TypeVar("Report", pytest.TestReport, pytest.CollectReport)


# Both compare the time that an example takes with a constant, and fail on a loaded machine.
settings.register_profile("presend", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("presend")


def pytest_configure() -> None:
    """Handle SIGINT and SIGQUIT as in the foreground, so that children do not inherit "ignored".

    A shell without job control starts background jobs with both ignored, and tests send SIGINT.
    """
    for number, handler in (
        (signal.SIGINT, signal.default_int_handler),
        (signal.SIGQUIT, signal.SIG_DFL),
    ):
        if signal.getsignal(number) is signal.SIG_IGN:
            signal.signal(number, handler)


class _Everything(tuple[str, ...]):
    """A set of function names that contains every name."""

    __slots__ = ()

    def __contains__(self, _: object) -> bool:
        return True


@pytest.fixture(autouse=True)
def _nothing_blocks_the_loop(request: pytest.FixtureRequest) -> Iterator[None]:
    """Fail a test in which relay or validators makes a blocking call while the event loop runs."""
    if request.node.get_closest_marker("may_block"):
        yield
        return
    guard = BlockBuster(scanned_modules=["relay", "validators"])
    for name, function in guard.functions.items():
        if name.startswith(("sqlite3.", "os.stat")):
            for path in BLOCKING_BY_DESIGN:
                function.can_block_in(path, _Everything())
    guard.activate()
    try:
        yield
    finally:
        guard.deactivate()


def _refuse_skip(report: Report) -> Report:
    """Turn a skip into a failure, since CI has to run every test. An xfail is left as it is."""
    if report.outcome == "skipped" and not hasattr(report, "wasxfail"):
        reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
        if need.OPTIONAL_SKIP not in reason:
            report.outcome = "failed"
            report.longrepr = f"CI runs every test, but this one was skipped: {reason}"
    return report


if IN_CI:

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
        """Turn a skip in a test or a fixture into a failure."""
        return _refuse_skip((yield))

    @pytest.hookimpl(wrapper=True)
    def pytest_make_collect_report() -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
        """Turn the skip of a whole module into a failure."""
        return _refuse_skip((yield))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print how many slow tests were left out."""
    left_out = [
        item for item in terminalreporter.stats.get("deselected", ()) if "slow" in item.keywords
    ]
    if left_out:
        terminalreporter.write_line(
            f"left out: {len(left_out)} slow tests; `make test ALL=1` runs them too"
        )
