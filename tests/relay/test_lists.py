"""The operator's lists: read at the start, and again when a file changes."""

import asyncio
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from relay.app.lists import ListWatch, read_lists
from relay.observe.metrics import Registry
from relay.settings import SettingsError
from relay.settings.groups import ListFiles
from tests.support.registered import restored_logging
from validators.lists import ListError, ListName, read


@pytest.fixture(autouse=True)
def _restored() -> Iterator[None]:
    with restored_logging():
        yield


class Watched:
    """A watch of one list, and what it has done."""

    def __init__(self, path: Path) -> None:
        files = ListFiles(trap_mx=path)
        self.lists = read_lists(files)
        self.registry = Registry("spring")
        self.changes = 0
        self.changed = asyncio.Event()
        self.watch = ListWatch(files, self.lists, self.registry, self._changed)

    def _changed(self) -> None:
        self.changes += 1
        self.changed.set()

    @property
    def entries(self) -> set[str]:
        """The entries in force."""
        return set(self.lists.current.trap_mx)

    def counted(self, result: str) -> bool:
        """Whether exactly one reload with this result was counted."""
        line = f'presend_list_reloads_total{{list="trap_mx",result="{result}"}} 1.0'
        return line in self.registry.render()[0].decode()


def test_comments_blank_lines_and_forms_of_a_domain() -> None:
    lines = [
        "# traps",
        "",
        "MX.Trap.example # seen in May",
        "*.b.example",
        "@c.example.",
        "192.0.2.7",
        "2001:db8::/32",
    ]
    assert read(ListName.TRAP_MX, lines) == {
        "mx.trap.example", "b.example", "c.example", "192.0.2.7/32", "2001:db8::/32",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("name", "line"),
    [
        (ListName.TRAP_MX, "a b.example"),
        (ListName.TRAP_MX, "192.0.2.300"),
        (ListName.DISPOSABLE, "ann@example.com"),
        (ListName.DISPOSABLE, "x" * 400),
        (ListName.ROLE_ALLOW, "support@-.example"),
        (ListName.SUPPRESSED_DOMAINS, "localhost"),
    ],
)
def test_a_wrong_line_is_told_with_its_number(name: ListName, line: str) -> None:
    with pytest.raises(ListError, match="line 2: "):
        read(name, ["# ours", line])


@pytest.mark.parametrize("content", [None, b"a b\n", b"\xff\xfe\x00"])
def test_a_file_that_is_no_list_stops_the_start(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "list"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(SettingsError, match=r"PRESEND_LISTS__DISPOSABLE = .*: a list: "):
        read_lists(ListFiles(disposable=path))


def test_a_pipe_that_nobody_writes_to_is_no_list(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(SettingsError, match="it is not a regular file"):
        read_lists(ListFiles(disposable=tmp_path / "pipe"))


@pytest.mark.may_block("the lists are read at the start")
async def test_a_change_takes_effect_as_a_whole(tmp_path: Path) -> None:
    path = tmp_path / "traps"
    path.write_text("a.example\n")
    watched = Watched(path)
    await watched.watch.look()
    assert (watched.entries, watched.changes) == ({"a.example"}, 0)
    path.write_text("b.example\nc.example\n")
    await watched.watch.look()
    assert (watched.entries, watched.changes) == ({"b.example", "c.example"}, 1)
    assert watched.counted("ok")


@pytest.mark.may_block("the lists are read at the start")
@pytest.mark.parametrize("broken", ["b.example\na b\n", None, "pipe"])
async def test_a_broken_file_keeps_the_old_list_and_is_told_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, broken: str | None
) -> None:
    path = tmp_path / "traps"
    path.write_text("a.example\n")
    watched = Watched(path)
    if broken in {None, "pipe"}:
        path.unlink()
        if broken is not None:
            os.mkfifo(path)
    else:
        path.write_text(broken)
    for _ in range(3):
        await watched.watch.look()
    assert (watched.entries, watched.changes) == ({"a.example"}, 0)
    assert sum("was not read again" in message for message in caplog.messages) == 1
    assert watched.counted("failed")
    path.unlink(missing_ok=True)
    path.write_text("c.example\n")
    await watched.watch.look()
    assert watched.entries == {"c.example"}


@pytest.mark.may_block("the lists are read at the start")
async def test_the_link_of_a_configmap_is_exchanged(tmp_path: Path) -> None:
    for version in ("one", "two"):
        (tmp_path / version).mkdir()
        (tmp_path / version / "traps").write_text(f"{version}.example\n")
    (tmp_path / "..data").symlink_to("one")
    (tmp_path / "traps").symlink_to("..data/traps")
    watched = Watched(tmp_path / "traps")
    (tmp_path / "..new").symlink_to("two")
    os.replace(tmp_path / "..new", tmp_path / "..data")  # noqa: PTH105 as the kubelet does
    await watched.watch.look()
    assert watched.entries == {"two.example"}


@pytest.mark.may_block("the lists are read at the start")
async def test_a_reload_reads_files_that_look_the_same(tmp_path: Path) -> None:
    path = tmp_path / "traps"
    path.write_text("a.example\n")
    watched = Watched(path)
    task = asyncio.create_task(watched.watch.run())
    watched.watch.reload()
    await watched.changed.wait()
    task.cancel()
    assert watched.counted("ok")
