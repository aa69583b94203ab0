"""Adding a check takes one file and one row in the table of reasons."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

from tests.docs.pages import example

ROOT = Path(__file__).parents[2]

CHECKS = {
    "odd": (example("check"), example("reason")),
    "deep": (example("domain_check"), example("domain_reason")),
}

USE = """
import asyncio, sys
from unittest import mock

from relay import cli
from relay.app.validation import recipient_pipeline
from relay.app.validation_metrics import ValidationMetrics
from relay.observe.mail_metrics import MailMetrics
from relay.observe.metrics import Registry
from relay.reply import for_recipient
from relay.settings import JudgingSettings, load_settings
from relay.stores import open_store
from tests.docs import test_reference
from validators.lists import Lists

with mock.patch.object(sys, "argv", ["presend", "config"]):
    cli.main()

registry = Registry("campaign")
MailMetrics(registry)
ValidationMetrics(registry)
print(registry.render()[0].decode())

settings = load_settings(JudgingSettings, environ={})
store = open_store("memory:", campaign="campaign")
(judged,) = recipient_pipeline(settings, store, None, Lists()).judge([sys.argv[1]])
print(judged.findings)
if judged.verdict.name != "accept":
    print(for_recipient(judged.verdict, "id"))

for test in (test_reference.test_reasons, test_reference.test_checks_and_their_reasons):
    try:
        test()
    except AssertionError as error:
        print("documentation wanted:", error)
"""


def added(name: str, tree: Path, address: str) -> list[str]:
    """Add a check to a copy of the project, and judge an address; return what is printed."""
    check, row = CHECKS[name]
    sources = shutil.ignore_patterns("*.pyc", "*.so")  # compiled modules do not contain the new row
    for folder in ("relay", "validators", "docs"):
        shutil.copytree(ROOT / folder, tree / folder, ignore=sources)
    shutil.copytree(ROOT / "tests" / "docs", tree / "tests" / "docs")
    (tree / "validators" / "checks" / f"{name}.py").write_text(check)
    table = tree / "validators" / "reasons.py"
    text = table.read_text()
    table.write_text(text.replace("    NO_DOMAIN = (", f"{row}    NO_DOMAIN = (", 1))

    done = subprocess.run(
        [sys.executable, "-c", USE, address],
        cwd=tree,
        env={
            "PATH": os.environ["PATH"],
            "PYTHONPATH": str(tree),
            "PRESEND_UPSTREAM": "smtp://x",
        },
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    said = done.stdout.splitlines()
    assert f'presend_observed_total{{campaign="campaign",reason="{name}"}} 0.0' in said
    assert f'presend_check_failures_total{{check="{name}"}} 0.0' in said
    wanted = [line for line in said if line.startswith("documentation wanted: ")]
    assert len(wanted) == 2
    assert all(name in line for line in wanted)
    return said


def test_a_check_is_one_file_and_one_row(tmp_path: Path) -> None:
    said = added("odd", tmp_path, "odd@example.com")
    assert 'odd = "reject"  # default' in said
    assert 'presend_recipients_total{campaign="campaign",reason="odd",verdict="reject"} 0.0' in said
    assert "550 5.1.2 Recipient domain does not exist: odd (3) [id]" in said


def test_a_check_of_domains_is_one_file_and_one_row(tmp_path: Path) -> None:
    said = added("deep", tmp_path, "ann@mail.shop.berlin.example.com")
    assert 'deep = "observe"  # default' in said
    assert any("'deep'" in line and "detail='5'" in line for line in said)
