"""Tests of the SQLite store alone: the cost of a read, file errors, concurrent processes."""

import os
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from relay.stores import StoreError, open_store
from relay.stores.sqlite import SqliteStore, bloom_filter, reader
from relay.stores.sqlite import schema as sqlite_schema
from relay.stores.sqlite.rows import KINDS, REASONS
from tests.contracts.conftest import Clock
from tests.contracts.entries import address, entry, sha256
from validators.suppression import (
    Kind,
    StoreUnavailable,
    Suppression,
    SuppressionReason,
)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "presend.db"


@pytest.fixture
def opened(path: Path, clock: Clock) -> Iterator[Callable[[], SqliteStore]]:
    """Open the database of the test again with each call, as another process would."""
    stores: list[SqliteStore] = []

    def again() -> SqliteStore:
        stores.append(SqliteStore(path, campaign="mine", clock=clock, patience=0.0))
        return stores[-1]

    yield again
    for store in stores:
        store.close()


def queries(store: SqliteStore, *texts: str) -> list[str]:
    """The SQL statements that the look-up of one group runs."""
    ran: list[str] = []
    group = [address(text) for text in texts]
    store._reader.connection.set_trace_callback(ran.append)
    store.find(group)
    store._reader.connection.set_trace_callback(None)
    return ran


def test_nothing_is_asked_where_nothing_can_be_found(opened: Callable[[], SqliteStore]) -> None:
    store = opened()
    assert queries(store, "ann@example.com") == []
    store.add([entry("ann@example.com", scope="other")])
    assert queries(store, "ann@example.com") == []


def test_one_query_for_a_group(opened: Callable[[], SqliteStore]) -> None:
    store = opened()
    store.add([entry("user1@example.com"), entry("example.net", Kind.DOMAIN, scope="mine")])
    assert len(queries(store, "user1@example.com")) == 1
    assert len(queries(store, *(f"user{number}@example.com" for number in range(100)))) == 1


def test_only_kinds_on_the_list_are_looked_up(opened: Callable[[], SqliteStore]) -> None:
    store = opened()
    store.add([entry("user1@example.com")])
    (query,) = queries(store, "user2@example.com")
    assert query.count("X'") == 1 or query.count("x'") == 1
    few = reader._FEW + 1
    store.import_entries(entry(sha256(f"x{n}@example.com"), Kind.SHA256) for n in range(few))
    (query,) = queries(store, "user2@example.com")
    assert query.lower().count("x'") >= 2


def test_a_rare_kind_is_looked_up_for_a_hit_only(opened: Callable[[], SqliteStore]) -> None:
    store = opened()
    store.add([entry(sha256("x@example.com"), Kind.SHA256), entry("example.net", Kind.DOMAIN)])
    assert queries(store, "user2@example.com") == []
    assert len(queries(store, "user2@example.net")) == 1
    assert len(queries(store, "x@example.com")) == 1
    store.add([entry("user2@example.com")])
    assert len(queries(store, "user2@example.net")) == 1
    store.remove(Kind.DOMAIN, "example.net")
    store.refresh()
    assert store.find([address("user2@example.net")]) == [None]


def test_a_read_searches_the_primary_key(opened: Callable[[], SqliteStore]) -> None:
    store = opened()
    store.add([entry(f"user{number}@example.com") for number in range(1000)])
    asked = [
        *queries(store, "user1@example.com"),
        *queries(store, *(f"user{number}@example.com" for number in range(9))),
    ]
    for query in asked:
        plan = store._writer.execute(f"EXPLAIN QUERY PLAN {query}").fetchall()
        steps = [step[-1] for step in plan if "suppression" in step[-1]]
        assert steps == ["SEARCH suppression USING PRIMARY KEY (key=?)"]


def test_opening_reads_no_more_of_a_long_list(opened: Callable[[], SqliteStore]) -> None:
    """The checks at the start take a bounded number of steps of SQLite's virtual machine."""
    store = opened()
    store.import_entries(entry(f"user{number}@example.com") for number in range(20_000))
    ticks = 0

    def tick() -> int:
        nonlocal ticks
        ticks += 1
        return 0

    store._writer.set_progress_handler(tick, 100)
    sqlite_schema.probe(store._writer)
    store._writer.set_progress_handler(None, 0)
    assert ticks < 20


def test_every_kind_and_reason_has_its_number() -> None:
    assert set(KINDS) == set(Kind)
    assert set(REASONS) == set(SuppressionReason)


def test_another_process_sees_a_change_after_refresh(opened: Callable[[], SqliteStore]) -> None:
    serving, command = opened(), opened()
    command.add([entry("ann@example.com")])
    serving.refresh()
    assert serving.find([address("ann@example.com")]) == [entry("ann@example.com")]
    assert serving.counts() == {SuppressionReason.MANUAL: 1}
    command.remove(Kind.ADDRESS, "ann@example.com")
    serving.refresh()
    assert serving.find([address("ann@example.com")]) == [None]


def test_the_view_is_renewed_without_refresh_too(opened: Callable[[], SqliteStore]) -> None:
    checking, command = opened(), opened()
    checking.add([entry("ann@example.com")])
    command.add([entry("bob@example.com")])
    bob = [address("bob@example.com")]
    assert any(checking.find(bob) != [None] for _ in range(5000))


def test_a_later_presends_file_is_refused(opened: Callable[[], SqliteStore], path: Path) -> None:
    opened().close()
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA user_version = 2")
    with pytest.raises(StoreError, match=r"later presend.*Update presend"):
        opened()


def test_another_programs_file_is_refused(opened: Callable[[], SqliteStore], path: Path) -> None:
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE moz_places (url)")
    before = path.read_bytes()
    with pytest.raises(StoreError, match="another program"):
        opened()
    assert path.read_bytes() == before


def test_a_damaged_file_is_refused(opened: Callable[[], SqliteStore], path: Path) -> None:
    store = opened()
    store.import_entries(entry(f"user{number}@example.com") for number in range(5000))
    store.close()
    good = path.read_bytes()
    assert len(good) > 50 * 4096
    for bad in (
        b"no database at all" * 1000,
        b"SQLite format 3\0" + b"\xff" * 8000,
        good[: len(good) // 2],
        good[:4096] + b"\xa5" * (len(good) - 4096),
    ):
        path.write_bytes(bad)
        with pytest.raises(StoreError, match=rf"{path}.* is damaged .*Restore it"):
            opened()


@pytest.mark.parametrize(
    ("where", "sentence"),
    [
        ("missing/presend.db", "there is no directory"),
        ("file/presend.db", "is no directory"),
        ("directory", "it is a directory"),
    ],
)
def test_a_place_where_no_file_can_be(tmp_path: Path, where: str, sentence: str) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "directory").mkdir()
    with pytest.raises(StoreError, match=sentence):
        open_store(f"sqlite://{tmp_path}/{where}", campaign="mine")


def test_a_directory_that_cannot_be_written() -> None:
    with pytest.raises(StoreError, match=r"/proc/presend\.db cannot be opened"):
        open_store("sqlite:///proc/presend.db", campaign="mine")


def test_an_unknown_kind_of_store_is_refused() -> None:
    with pytest.raises(StoreError, match="mysql://x is of no known kind"):
        open_store("mysql://x", campaign="mine")


def test_a_file_that_another_process_writes(opened: Callable[[], SqliteStore], path: Path) -> None:
    store = opened()
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(StoreError, match="being written by another process"):
            store.add([entry("ann@example.com")])
        other.execute("ROLLBACK")
    assert store.add([entry("ann@example.com")]) == 1


def test_an_import_needs_no_directory_for_temporary_files(
    opened: Callable[[], SqliteStore],
) -> None:
    """A pod with a read-only root file system has no /tmp; temp_store 2 is MEMORY."""
    assert opened()._writer.execute("PRAGMA temp_store").fetchone() == (2,)


def test_a_full_disk_changes_nothing(opened: Callable[[], SqliteStore]) -> None:
    store = opened()
    store.add([entry("ann@example.com")])
    store._writer.execute("PRAGMA max_page_count = 20")
    many = (entry(f"user{number}@example.com") for number in range(20_000))
    with pytest.raises(StoreError, match="its disk is full"):
        store.import_entries(many)
    assert [it.value for it in store.entries()] == ["ann@example.com"]
    assert store.healthy() is None
    assert store.add([entry("bob@example.com")]) == 1


@pytest.mark.parametrize("how", ["overwritten", "truncated"])
def test_damage_at_run_time_is_unknown_never_no(
    opened: Callable[[], SqliteStore], path: Path, how: str
) -> None:
    store = opened()
    store.import_entries(entry(f"user{number}@example.com") for number in range(60_000))
    for file in (path, path.with_name("presend.db-wal")):
        with file.open("r+b") as stream:
            if how == "truncated":
                stream.truncate(0)
            else:
                stream.write(b"\xa5" * file.stat().st_size)
    failed = 0
    for number in range(0, 60_000, 600):
        try:
            (found,) = store.find([address(f"user{number}@example.com")])
        except StoreUnavailable:
            failed += 1
        else:
            assert found is not None
        if number % 6000 == 0:
            store.refresh()
    assert failed
    assert str(path) in (store.healthy() or "")
    with pytest.raises(StoreUnavailable, match=str(path)):
        list(store.entries())


def test_a_file_that_was_replaced_is_noticed(opened: Callable[[], SqliteStore], path: Path) -> None:
    store = opened()
    assert store.healthy() is None
    path.rename(path.with_suffix(".old"))
    assert "removed or replaced" in (store.healthy() or "")
    store.refresh()
    assert "removed or replaced" in (store.healthy() or "")


def replace(path: Path, *values: str, clock: Clock) -> None:
    """Put another store with these addresses in the place of the one at the path."""
    new = path.with_name("new.db")
    with closing(SqliteStore(new, campaign="mine", clock=clock)) as store:
        store.add(map(entry, values))
    new.replace(path)


def test_a_file_that_took_the_place_is_read_and_written(
    opened: Callable[[], SqliteStore],
    path: Path,
    clock: Clock,
    caplog: pytest.LogCaptureFixture,
) -> None:
    store, other = opened(), opened()
    store.add([entry("old@example.com")])
    find = store.find  # as the check keeps it
    replace(path, "new@example.com", clock=clock)
    store.refresh()
    assert find([address("old@example.com"), address("new@example.com")]) == [
        None,
        entry("new@example.com"),
    ]
    assert store.healthy() is None
    assert store.counts() == {SuppressionReason.MANUAL: 1}
    assert other.add([entry("added@example.com")]) == 1
    store.refresh()
    assert [it.value for it in store.lookup(address("added@example.com"))] == ["added@example.com"]
    assert sorted(it.value for it in other.entries()) == ["added@example.com", "new@example.com"]
    assert [record.levelname for record in caplog.records] == ["WARNING", "WARNING"]


def test_a_removed_file_is_unknown_and_logged_once(
    opened: Callable[[], SqliteStore], path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    store = opened()
    store.add([entry("ann@example.com")])
    path.rename(path.with_suffix(".old"))
    for _ in range(10):
        store.refresh()
        with pytest.raises(StoreUnavailable, match="removed or replaced"):
            store.find([address("ann@example.com")])
        with pytest.raises(StoreUnavailable, match="removed or replaced"):
            store.lookup(address("ann@example.com"))
        with pytest.raises(StoreUnavailable, match="removed or replaced"):
            store.counts()
        with pytest.raises(StoreError, match="removed or replaced"):
            store.add([entry("bob@example.com")])
    assert not path.exists()
    assert [record.levelname for record in caplog.records] == ["ERROR"]
    path.with_suffix(".old").rename(path)
    store.refresh()
    assert store.find([address("ann@example.com")]) == [entry("ann@example.com")]
    assert store.add([entry("bob@example.com")]) == 1


@pytest.mark.parametrize("bad", [b"", b"no database" * 1000, b"SQLite format 3\0" + b"\0" * 90])
def test_a_file_that_comes_back_still_has_its_log(
    opened: Callable[[], SqliteStore], path: Path, bad: bytes
) -> None:
    """What takes its place meanwhile is no store, and does not become one by that log."""
    store = opened()
    store.add([entry("ann@example.com")])
    assert path.with_name("presend.db-wal").stat().st_size > 0
    path.rename(path.with_suffix(".old"))
    path.write_bytes(bad)
    for _ in range(3):
        store.refresh()
        assert "is damaged, or is none" in (store.healthy() or "")
        with pytest.raises(StoreUnavailable, match="is damaged, or is none"):
            store.find([address("ann@example.com")])
    assert path.read_bytes() == bad
    path.with_suffix(".old").replace(path)
    store.refresh()
    assert store.find([address("ann@example.com")]) == [entry("ann@example.com")]


def test_a_change_that_went_to_a_replaced_file_is_no_success(
    opened: Callable[[], SqliteStore], path: Path, clock: Clock
) -> None:
    store = opened()

    def rows() -> Iterator[Suppression]:
        yield entry("ann@example.com")

    def merged(_: float) -> None:
        replace(path, "new@example.com", clock=clock)

    with pytest.raises(StoreError, match="former file"):
        store.import_entries(rows(), merged=merged)
    assert [it.value for it in store.entries()] == ["new@example.com"]


def test_a_log_that_another_process_still_uses_is_not_mixed_with_a_new_file(
    opened: Callable[[], SqliteStore], path: Path, clock: Clock
) -> None:
    store = opened()
    store.add([entry("old@example.com")])
    store.refresh()
    holding = "import sqlite3, sys; c = sqlite3.connect(sys.argv[1]); "
    holding += "c.execute('SELECT 1 FROM tally').fetchall(); print('here', flush=True); "
    holding += "sys.stdin.read()"
    with subprocess.Popen(
        [sys.executable, "-c", holding, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == b"here\n"
        replace(path, "new@example.com", clock=clock)
        store.refresh()
        with pytest.raises(StoreUnavailable, match="another process uses"):
            store.find([address("new@example.com")])
    store.refresh()
    assert store.find([address("new@example.com"), address("old@example.com")]) == [
        entry("new@example.com"),
        None,
    ]


def test_a_long_list_that_took_the_place_stalls_nobody(
    opened: Callable[[], SqliteStore], path: Path, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Opening it takes a bounded number of steps of SQLite's virtual machine, as at the start."""
    store = opened()
    new = path.with_name("new.db")
    with closing(SqliteStore(new, campaign="mine", clock=clock)) as other:
        other.import_entries(entry(f"user{number}@example.com") for number in range(50_000))
    new.replace(path)
    ticks = 0

    def tick() -> int:
        nonlocal ticks
        ticks += 1
        return 0

    connect = sqlite3.connect

    def counted(*args: str, **options: bool) -> sqlite3.Connection:
        connection: sqlite3.Connection = connect(*args, **options)  # type: ignore[call-overload]
        connection.set_progress_handler(tick, 100)
        return connection

    monkeypatch.setattr(sqlite3, "connect", counted)
    store.refresh()
    assert store.find([address("user7@example.com")]) == [entry("user7@example.com")]
    assert 0 < ticks < 60
    for _ in range(bloom_filter._QUIET_REFRESHES - 1):
        ticks = 0
        store.refresh()
        assert ticks < 20


def test_a_long_import_holds_no_view_back(opened: Callable[[], SqliteStore]) -> None:
    """Afterwards the WAL is checkpointed, although another process reads."""
    serving, command = opened(), opened()
    serving.refresh()

    def merged(_: float) -> None:
        serving.refresh()
        assert serving.find([address("user1@example.com")]) == [None]

    command.import_entries(
        (entry(f"user{number}@example.com") for number in range(20_000)), merged=merged
    )
    serving.refresh()
    command._checkpoint()
    assert serving.find([address("user1@example.com")]) != [None]
    busy, size, moved = command._writer.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()
    assert (busy, size) == (0, moved)


IMPORTING = """
import sys
from contextlib import closing
from pathlib import Path
from relay.stores.sqlite import SqliteStore, reader
from tests.contracts.entries import entry

def pause():
    print("here", flush=True)
    sys.stdin.read()

def rows():
    for number in range(100_000):
        if number == 90_000 and sys.argv[2] == "reading":
            pause()
        yield entry(f"user{number}@example.com")

def merged(part):
    if part > 0.5 and sys.argv[2] == "merging":
        pause()

SqliteStore(Path(sys.argv[1]), campaign="mine").import_entries(rows(), merged=merged)
"""


@pytest.mark.parametrize("stage", ["reading", "merging"])
def test_kill_9_during_an_import_leaves_the_store_as_it_was(
    opened: Callable[[], SqliteStore], path: Path, stage: str
) -> None:
    serving = opened()
    before: list[Suppression] = [entry("ann@example.com"), entry("user1@example.com", scope="mine")]
    serving.add(before)
    with subprocess.Popen(
        [sys.executable, "-c", IMPORTING, str(path), stage],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == b"here\n"
        serving.refresh()
        assert serving.find([address("ann@example.com")]) == [before[0]]  # reads continue meanwhile
        assert serving.find([address("user7@example.com")]) == [None]
        os.kill(child.pid, signal.SIGKILL)
        assert child.wait() == -signal.SIGKILL
    assert {file.name for file in path.parent.iterdir()} <= {
        "presend.db",
        "presend.db-wal",
        "presend.db-shm",
    }
    again = opened()
    for store in (serving, again):
        store.refresh()
        assert sorted(store.entries(), key=lambda it: it.value) == before
        assert store.counts() == {SuppressionReason.MANUAL: 2}
    assert again.add([entry("bob@example.com")]) == 1


def filtered(store: SqliteStore) -> bool:
    """Return whether the Bloom filter of the store is in use."""
    return store._reader._filter.complete is not None


def test_the_bloom_filter_spares_reads_and_hides_nothing(
    opened: Callable[[], SqliteStore],
) -> None:
    store = opened()
    listed = [f"user{number}@example.com" for number in range(2 * bloom_filter._SLICE)]
    store.import_entries(map(entry, listed))
    for _ in range(bloom_filter._QUIET_REFRESHES + 4):
        store.refresh()
    assert filtered(store)
    others = [f"other{number}@example.com" for number in range(1000)]
    assert sum(len(queries(store, text)) for text in others) < 200
    assert all(store.find([address(text)])[0] for text in listed[::97])
    store.add([entry(others[0])])
    store.refresh()
    assert not filtered(store)
    assert store.find([address(others[0])])[0]


@pytest.mark.parametrize("number", [1, 5, 300])
def test_a_bloom_filter_of_any_size_hides_nothing(
    opened: Callable[[], SqliteStore], number: int
) -> None:
    store = opened()
    listed = [f"user{each}@example.com" for each in range(number)]
    store.add(map(entry, listed))
    for _ in range(bloom_filter._QUIET_REFRESHES + 4):
        store.refresh()
    assert filtered(store)
    assert all(store.find([address(text) for text in listed]))
