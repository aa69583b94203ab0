"""Bounds on the work of the relay per message and per recipient, independent of the machine.

The first test counts function calls instead of measuring time, so that it gives the same numbers in
every run; it fails when a change adds calls per message or recipient. The second test compares CPU
time with that of a fixed loop, to catch what a count of calls does not show, such as a slow
expression or a copy that grows; its bound is wide enough for the noise of a busy machine. When a
change makes the relay cheaper, lower the bounds.
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
    """Measure in a separate process without coverage, which would add calls."""
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
