"""`presend check` judges a list without sending mail, and writes one JSON object per line."""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.support import dns
from tests.support.presend import command

SETTINGS = {"PRESEND_TRUSTED_DOMAINS": "example.com"}


def judged(output: str) -> list[dict[str, Any]]:
    """The JSON objects in the output."""
    return [json.loads(line) for line in output.splitlines()]


def test_a_plain_list(tmp_path: Path) -> None:
    addresses = ["ann@example.com", "postmaster@example.com", "a..b@example.com", "Bob@example.com"]
    done = command(
        "check", "-", directory=tmp_path, settings=SETTINGS, stdin="\n".join(addresses) + "\n"
    )
    assert done.returncode == 0, done.stderr
    lines = judged(done.stdout)
    assert [it["address"] for it in lines] == addresses
    assert [it["verdict"] for it in lines] == ["accept", "reject", "reject", "accept"]
    assert [it["reason"] for it in lines] == [None, "role_account", "syntax", None]
    assert all({"address", "verdict", "reason", "detail", "findings"} <= it.keys() for it in lines)
    assert "\r" not in done.stderr  # no progress bar without a terminal
    assert done.stderr.strip()


def test_a_csv_column(tmp_path: Path) -> None:
    path = tmp_path / "list.csv"
    path.write_text('name,mail\n"Ann, A",ann@example.com\nBob,webmaster@example.com\n')
    done = command("check", str(path), "--column", "mail", directory=tmp_path, settings=SETTINGS)
    assert done.returncode == 0, done.stderr
    assert [it["verdict"] for it in judged(done.stdout)] == ["accept", "reject"]


def test_observed_facts_are_among_the_findings(tmp_path: Path) -> None:
    settings = {**SETTINGS, "PRESEND_POLICY__ROLE_ACCOUNT": "observe"}
    done = command("check", "-", directory=tmp_path, settings=settings, stdin="abuse@example.com\n")
    (line,) = judged(done.stdout)
    assert (line["verdict"], line["reason"]) == ("accept", None)
    assert [(it["reason"], it["action"]) for it in line["findings"]] == [
        ("role_account", "observe")
    ]


def test_suppressions_count(tmp_path: Path) -> None:
    added = command("suppress", "add", "gone@example.com", directory=tmp_path, settings=SETTINGS)
    assert added.returncode == 0, added.stderr
    done = command("check", "-", directory=tmp_path, settings=SETTINGS, stdin="Gone@example.com\n")
    (line,) = judged(done.stdout)
    assert (line["verdict"], line["reason"]) == ("reject", "suppressed")


def test_over_dns(tmp_path: Path) -> None:
    zones = {
        ".": "",
        "good.example": "@ MX 10 mx\nmx A 8.8.8.8",
        "nullmx.example": "@ MX 0 .",
        "broken.example": dns.SERVFAIL,
    }
    domains = ["good.example", "nullmx.example", "broken.example", "nosuch.example"]
    with dns.serve(zones, tmp_path) as (host, port):
        done = command(
            "check",
            "-",
            directory=tmp_path,
            settings={"PRESEND_DNS_SERVERS": f"{host}:{port}"},
            stdin="".join(f"ann@{it}\n" for it in domains),
        )
    lines = judged(done.stdout)
    assert [it["verdict"] for it in lines] == ["accept", "reject", "defer", "reject"]
    assert [it["reason"] for it in lines] == [None, "null_mx", "dns_unavailable", "no_domain"]


def test_without_dns(tmp_path: Path) -> None:
    with dns.silent() as (host, port):
        done = command(
            "check",
            "--no-dns",
            "-",
            directory=tmp_path,
            settings={"PRESEND_DNS_SERVERS": f"{host}:{port}"},
            stdin="ann@anywhere.example\n",
        )
    (line,) = judged(done.stdout)
    assert line["verdict"] == "accept"


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (["check", "/nowhere/list.txt"], 1),
        (["check", "--colour"], 2),
        (["no-such-command"], 2),
        ([], 2),
        (["suppress", "add"], 2),
        (["suppress", "add", "not an address"], 2),
    ],
)
def test_mistakes_end_without_a_traceback(tmp_path: Path, words: list[str], code: int) -> None:
    done = command(*words, directory=tmp_path, settings=SETTINGS)
    assert done.returncode == code or (code == 1 and done.returncode == 2)
    assert "Traceback" not in done.stderr
    assert done.stderr.strip()


def test_a_pipe_that_closes_early_is_no_error(tmp_path: Path) -> None:
    import os
    import subprocess
    import sys

    from tests.support.presend import environment

    read, write = os.pipe()
    os.close(read)
    try:
        done = subprocess.run(
            [sys.executable, "-m", "relay", "check", "--no-dns", "-"],
            cwd=tmp_path,
            env=environment(tmp_path, SETTINGS),
            input=b"ann@example.com\n" * 20_000,
            stdout=write,
            stderr=subprocess.PIPE,
            check=False,
            timeout=60,
        )
    finally:
        os.close(write)
    assert b"Traceback" not in done.stderr
    assert b"Exception ignored" not in done.stderr
