"""Tests of tests/conftest.py: skips in CI, blocking calls, inherited signals, no absolute times."""

import os
import re
import signal
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from tests.support import need

ROOT = Path(__file__).parents[2]

SUITE = {
    "test_one.py": """
import time
import pytest
import relay.reply
from tests.support import need

def test_skipped():
    pytest.skip("for a reason")

def test_optional():
    need.find = lambda name: None
    need.program("node")

@pytest.mark.xfail(strict=True)
def test_expected_to_fail():
    assert False

async def test_blocks():
    exec(compile("time.sleep(0)", relay.reply.__file__, "exec"))

@pytest.mark.may_block("to show that it may")
async def test_may_block():
    exec(compile("time.sleep(0)", relay.reply.__file__, "exec"))
""",
    "test_two.py": """
import pytest
pytest.skip("the whole of it", allow_module_level=True)
""",
}


def run(directory: Path, suite: Mapping[str, str] = SUITE, *, ci: bool) -> str:
    """Run a suite under tests/conftest.py; return what pytest printed."""
    (directory / "conftest.py").write_text((ROOT / "tests/conftest.py").read_text())
    for name, text in suite.items():
        (directory / name).write_text(text)
    options = f"-q --continue-on-collection-errors -p no:cacheprovider -o pythonpath={ROOT}"
    env = {name: value for name, value in os.environ.items() if name != "CI"}
    done = subprocess.run(
        [sys.executable, "-m", "pytest", *options.split(), f"-c{ROOT}/pyproject.toml", directory],
        cwd=directory,
        env=env | ({"CI": "true"} if ci else {}),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    return done.stdout + done.stderr


def test_a_skip_is_a_skip_and_blocking_a_failure(tmp_path: Path) -> None:
    output = run(tmp_path, ci=False)
    assert "1 failed, 1 passed, 3 skipped, 1 xfailed" in output
    assert "BlockingError: Blocking call to time.sleep" in output


def test_a_skip_fails_in_ci_unless_optional(tmp_path: Path) -> None:
    output = run(tmp_path, ci=True)
    assert "2 failed, 1 passed, 1 skipped, 1 xfailed, 1 error" in output
    assert "this one was skipped: Skipped: for a reason" in output
    assert "this one was skipped: Skipped: the whole of it" in output


INHERITED = (signal.SIGINT, signal.SIGQUIT)
SIGNALS = """
import subprocess, sys

def test_a_child_ignores_no_signal():
    asked = "import signal as s; print(s.SIG_IGN in map(s.getsignal, (s.SIGINT, s.SIGQUIT)))"
    assert subprocess.check_output([sys.executable, "-c", asked]).strip() == b"False"
"""


def test_children_heed_signals_when_the_tests_run_in_the_background(tmp_path: Path) -> None:
    """A shell without job control starts `make test &` with SIGINT and SIGQUIT ignored."""
    inherited = {number: signal.signal(number, signal.SIG_IGN) for number in INHERITED}
    try:
        output = run(tmp_path, {"test_signals.py": SIGNALS}, ci=False)
    finally:
        for number, handler in inherited.items():
            signal.signal(number, handler)
    assert "1 passed" in output, output


def test_no_property_test_has_an_absolute_time_limit() -> None:
    """A deadline of some milliseconds for one example is missed on a loaded machine."""
    assert settings().deadline is None
    assert HealthCheck.too_slow in settings().suppress_health_check


def test_a_missing_program_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(need, "find", lambda _: None)
    with pytest.raises(pytest.skip.Exception, match="apt-get install dovecot-core"):
        need.program("dovecot")
    assert "dovecot-core" in list(need.missing())


def test_no_module_tests_the_class_of_a_transport() -> None:
    """Transports of uvloop are no instances of asyncio's: such a test is always false there."""
    for package in ("relay", "validators"):
        for module in (ROOT / package).rglob("*.py"):
            assert not re.search(r"isinstance\([^)]*Transport\b", module.read_text()), module
