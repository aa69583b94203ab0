"""Adding a check takes one file and one row in the table of reasons."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

from tests.docs.pages import example

ROOT = Path(__file__).parents[2]

CHECK, ROW = example("check"), example("reason")

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
(judged,) = recipient_pipeline(settings, store, None, Lists()).judge(["odd@example.com"])
print(for_recipient(judged.verdict, "id"))

for test in (test_reference.test_reasons, test_reference.test_checks_and_their_reasons):
    try:
        test()
    except AssertionError as error:
        print("documentation wanted:", error)
"""


def test_a_check_is_one_file_and_one_row(tmp_path: Path) -> None:
    sources = shutil.ignore_patterns("*.pyc", "*.so")  # compiled modules do not contain the new row
    for folder in ("relay", "validators", "docs"):
        shutil.copytree(ROOT / folder, tmp_path / folder, ignore=sources)
    shutil.copytree(ROOT / "tests" / "docs", tmp_path / "tests" / "docs")
    (tmp_path / "validators" / "checks" / "odd.py").write_text(CHECK)
    table = tmp_path / "validators" / "reasons.py"
    text = table.read_text()
    table.write_text(text.replace("    NO_DOMAIN = (", f"{ROW}    NO_DOMAIN = (", 1))

    done = subprocess.run(
        [sys.executable, "-c", USE],
        cwd=tmp_path,
        env={
            "PATH": os.environ["PATH"],
            "PYTHONPATH": str(tmp_path),
            "PRESEND_UPSTREAM": "smtp://x",
        },
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    said = done.stdout.splitlines()
    assert 'odd = "reject"  # default' in said
    assert 'presend_recipients_total{campaign="campaign",reason="odd",verdict="reject"} 0.0' in said
    assert 'presend_observed_total{campaign="campaign",reason="odd"} 0.0' in said
    assert 'presend_check_failures_total{check="odd"} 0.0' in said
    assert "550 5.1.2 Recipient domain does not exist: odd (3) [id]" in said
    wanted = [line for line in said if line.startswith("documentation wanted: ")]
    assert len(wanted) == 2
    assert all("odd" in line for line in wanted)
