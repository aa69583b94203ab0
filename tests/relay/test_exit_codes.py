"""One rule for the exit codes of all commands; docs/commands.md states it.

2 is what the command line and the settings are known to be wrong for, before anything is done; 1 is
what only shows at work: a file, a port, the network, the store.
"""

import os
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Final, NamedTuple

import pytest

from relay import cli
from tests.docs import pages
from tests.docs.test_commands import known

pytestmark = pytest.mark.may_block("a command may wait for the file it reads")


class Call(NamedTuple):
    """How each command is called so that it works, and the words that make it fail."""

    works: tuple[str, ...]
    fails: tuple[str, ...] | None = None
    """What cannot be done; None: there is nothing that could fail but the output."""


CALLS: Final = {
    "presend serve": Call((), ()),
    "presend check": Call(("--no-dns", "{list}"), ("--no-dns", "/nowhere/list")),
    "presend config": Call(()),
    "presend completion": Call(("bash",)),
    "presend suppress add": Call(("ann@example.com",), ("ann@example.com", "--store", "{bad}")),
    "presend suppress remove": Call(("ann@example.com",), ("x.example", "--store", "{bad}")),
    "presend suppress lookup": Call(("ann@example.com",), ("a@x.example", "--store", "{bad}")),
    "presend suppress list": Call((), ("--store", "{bad}")),
    "presend suppress export": Call((), ("/nowhere/list",)),
    "presend suppress import": Call(("{list}",), ("/nowhere/list",)),
    "presend suppress load": Call((), ()),
}
WRONG_SETTINGS: Final = {
    "PRESEND_GRACE": "soon",
    "PRESEND_NO_SUCH": "1",
    "PRESEND_CONFIG": "/nowhere/presend.toml",
    "PRESEND_DNS_SERVERS": "dns.google",
    "PRESEND_STORE": "mysql://h",
    "PRESEND_UPSTREAM_PASSWORD_FILE": "/nowhere/secret",
}
WRONG_FOR_SERVE: Final = {
    "PRESEND_UPSTREAM": "",
    "PRESEND_UPSTREAM_TLS__CA_FILE": "/nowhere/ca.pem",
    "PRESEND_TLS__CERT_FILE": "/etc/hostname",
    "PRESEND_UPSTREAM_PASSWORD": "hunter2",
}
WORKING = [name for name in CALLS if name != "presend serve"]


@pytest.fixture(autouse=True)
def _environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    for name in os.environ:
        if name.startswith("PRESEND_") or name == "CAMPAIGN_ID":
            monkeypatch.delenv(name)
    monkeypatch.setenv("PRESEND_STORE", f"sqlite://{tmp_path}/presend.db")
    monkeypatch.setenv("PRESEND_UPSTREAM", "smtp://127.0.0.1:1")
    (tmp_path / "list").write_text("ann@example.com\n")
    with socket.create_server(("127.0.0.1", 0)) as taken:
        monkeypatch.setenv("PRESEND_HTTP_LISTEN", f"127.0.0.1:{taken.getsockname()[1]}")
        yield


def run(name: str, words: tuple[str, ...], place: Path) -> int:
    """Run a command; return its exit code."""
    given = [word.format(list=place / "list", bad="sqlite:///nowhere/x.db") for word in words]
    try:
        return cli.main([*name.split()[1:], *given])
    except SystemExit as error:
        return int(str(error.code))


def test_the_table_has_every_command() -> None:
    assert CALLS.keys() == known().keys()


@pytest.mark.parametrize("name", WORKING)
def test_0_done(name: str, tmp_path: Path) -> None:
    assert run(name, CALLS[name].works, tmp_path) == 0


@pytest.mark.parametrize("name", [name for name, call in CALLS.items() if call.fails is not None])
def test_1_failed(
    name: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("PRESEND_SUPPRESSIONS__SOURCES", "/nowhere/list")
    fails = CALLS[name].fails
    assert fails is not None
    assert run(name, fails, tmp_path) == 1
    assert capsys.readouterr().err.strip()


@pytest.mark.parametrize("words", [("--no-such-option",), ("too", "many", "words", "--x")])
@pytest.mark.parametrize("name", CALLS)
def test_2_wrong_usage(name: str, words: tuple[str, ...], tmp_path: Path) -> None:
    assert run(name, (*CALLS[name].works, *words), tmp_path) == 2


@pytest.mark.parametrize(("key", "value"), WRONG_SETTINGS.items())
@pytest.mark.parametrize("name", [name for name in CALLS if name != "presend completion"])
def test_2_wrong_settings(
    name: str,
    key: str,
    value: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv(key, value)
    assert run(name, CALLS[name].works, tmp_path) == 2
    assert key in capsys.readouterr().err


@pytest.mark.parametrize(("key", "value"), WRONG_FOR_SERVE.items())
@pytest.mark.parametrize("name", CALLS)
def test_2_what_serve_refuses_config_refuses(
    name: str,
    key: str,
    value: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """No other command needs it, so each of them works."""
    monkeypatch.setenv(key, value)
    if key == "PRESEND_TLS__CERT_FILE":
        monkeypatch.setenv("PRESEND_TLS__KEY_FILE", value)
    wrong = name in {"presend serve", "presend config"}
    assert run(name, CALLS[name].works, tmp_path) == (2 if wrong else 0)
    assert (f"{key}" in capsys.readouterr().err) == wrong


def test_the_page_has_every_code() -> None:
    codes = {int(row["exit code"]) for row in pages.rows(pages.DOCS / "commands.md", "exit code")}
    assert codes == {0, 1, 2, 3, 130}


@pytest.mark.parametrize(
    "words",
    [
        ("check", "--no-dns", "{list}", "--column", "no such column"),
        ("check", "--no-dns", "{directory}"),
        ("suppress", "import", "{list}", "--column", "no such column"),
        ("suppress", "import", "{directory}"),
        ("suppress", "export", "{list}"),
    ],
)
def test_a_list_that_cannot_be_used_is_a_failure(words: tuple[str, ...], tmp_path: Path) -> None:
    given = [word.format(list=tmp_path / "list", directory=tmp_path) for word in words]
    assert cli.main(given) == 1
