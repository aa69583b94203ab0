"""What a message may cost presend itself: a bound that holds on any machine, under any load.

Calls are counted, not timed, so the first test gives the same numbers in every run; it fails when
a change adds work to each message or recipient. The second catches what no count shows (a slow
expression, a copy that grows), with a bound so wide that noise cannot reach it. When a change makes
presend cheaper, lower the bounds.
"""

import json
import os
import subprocess
import sys
from typing import Any

import pytest

MESSAGE_CALLS = 650
RECIPIENT_CALLS = 195
MESSAGE_RATIO = 26.0
RECIPIENTS_RATIO = 150.0


@pytest.fixture(scope="module")
def measured() -> dict[str, float]:
    """Measure in a process of its own, without coverage: it would count and cost calls."""
    env = {name: value for name, value in os.environ.items() if not name.startswith("COVERAGE_")}
    done = subprocess.run(
        [sys.executable, "-m", "tests.bench.in_memory"],
        env=env,
        capture_output=True,
        check=False,
        timeout=100,
    )
    assert done.returncode == 0, done.stderr[-2000:].decode()
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def test_a_message_and_a_recipient_cost_a_bounded_number_of_calls(
    measured: dict[str, float],
) -> None:
    assert measured["calls a message"] <= MESSAGE_CALLS
    assert measured["calls a further recipient"] <= RECIPIENT_CALLS


def test_a_message_and_twenty_recipients_cost_a_bounded_multiple_of_plain_string_work(
    measured: dict[str, float],
) -> None:
    assert measured["ratio of a message"] <= MESSAGE_RATIO
    assert measured["ratio of twenty further recipients"] <= RECIPIENTS_RATIO
