"""A suppression list of ten million rows: the time of a lookup, and of a start of presend."""

import contextlib
import hashlib
import random
import sqlite3
import statistics
import time
from collections.abc import Iterator
from pathlib import Path

from relay.stores import open_store
from tests.bench import figures, presend
from tests.bench.figures import Figure, Unit
from tests.bench.rig import Rig
from tests.bench.servers import domain
from validators.address import Address, parse
from validators.suppression import Kind, Suppression, SuppressionReason

ROOT = Path(__file__).parents[2]
ROWS = 10_000_000
FEW = 100_000  # rows in a quick run; in a full run, the rows that are imported
MULTIPLY = """
WITH RECURSIVE copies (n) AS (
    SELECT (SELECT count(*) FROM suppression) + 1
    UNION ALL SELECT n + 1 FROM copies WHERE n < ?
),
one AS (SELECT * FROM suppression LIMIT 1)
INSERT INTO suppression
SELECT made, scope, kind, reason, 'gone' || n || '@d0000.mail.example', source, created, expires
FROM (SELECT randomblob(16) AS made, n FROM copies), one ORDER BY made
"""
LOOKUPS = 20_000
LAYOUT = (
    "relay/stores/sqlite/schema.py",
    "relay/stores/sqlite/rows.py",
    "validators/suppression.py",
)
STARTS = 5


def entries(rows: int) -> Iterator[Suppression]:
    """Yield the rows."""
    reason, created = SuppressionReason.HARD_BOUNCE, time.time()
    for number in range(rows):
        address = f"gone{number}@{domain(number)}"
        yield Suppression(Kind.ADDRESS, address, "all", reason, "bench", created, None)


def built(cache: Path, rows: int) -> Path:
    """Build the store; keep it until the code that defines its schema changes."""
    code = "".join((ROOT / name).read_text() for name in LAYOUT)
    mark = hashlib.sha256(code.encode()).hexdigest()[:12]
    kept = cache / f"suppressions-{rows}-{mark}.db"
    if not kept.exists():
        cache.mkdir(parents=True, exist_ok=True)
        for old in cache.glob(f"suppressions-{rows}-*"):
            old.unlink()
        making = kept.with_suffix(".making")
        url = f"sqlite://{making.resolve()}"
        with contextlib.closing(open_store(url, campaign="bench")) as store:
            store.import_entries(entries(min(rows, FEW)))
        multiply(making, rows)
        making.rename(kept)
    return kept


def multiply(path: Path, rows: int) -> None:
    """Add rows with random keys up to `rows`: a key is a digest, so these are like any others.

    Importing that many rows takes minutes, and only lookups are measured here. The store's counts
    by reason, which triggers maintain, do not include these rows; lookups do not read the counts.
    """
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as connection:
        for pragma in ("journal_mode = OFF", "synchronous = OFF", "cache_size = -200000"):
            connection.execute(f"PRAGMA {pragma}")
        query = "SELECT name, sql FROM sqlite_master WHERE type = 'trigger'"
        triggers = connection.execute(query).fetchall()
        for name, _ in triggers:
            connection.execute(f"DROP TRIGGER {name}")
        connection.execute(MULTIPLY, (rows,))
        for _, definition in triggers:
            connection.execute(definition)
        connection.execute("PRAGMA journal_mode = WAL")


def prepare(cache: Path, *, quick: bool) -> float:
    """Build the store unless it exists; return the seconds it took."""
    started = time.monotonic()
    built(cache, FEW if quick else ROWS)
    return time.monotonic() - started


def addresses(rows: int) -> list[Address]:
    """Return recipients, half of them on the list."""
    chosen = random.Random(3)  # noqa: S311 - nothing to guess, and the same in every run
    found: list[Address] = []
    for turn in range(LOOKUPS):
        number = chosen.randrange(min(rows, FEW))
        parsed = parse(f"{'gone' if turn % 2 else 'here'}{number}@{domain(number)}")
        if isinstance(parsed, Address):
            found.append(parsed)
    return found


def lookups(store_file: Path, rows: int) -> list[float]:
    """Look up recipients one by one, with the file cached; return the sorted seconds of each."""
    with store_file.open("rb") as file:
        while file.read(1 << 24):
            pass
    taken: list[float] = []
    with contextlib.closing(
        open_store(f"sqlite://{store_file.resolve()}", campaign="bench")
    ) as store:
        store.refresh()
        for address in addresses(rows):
            started = time.perf_counter()
            store.find([address])
            taken.append(time.perf_counter() - started)
    return sorted(taken)


def start_seconds(rig: Rig, name: str, store: Path | None) -> float:
    """Start a presend and stop it; return the seconds until it listened."""
    place = {"PRESEND_STORE": f"sqlite://{store.resolve()}"} if store else {}
    started = time.perf_counter()
    base, upstream = rig.base / name, f"smtp://127.0.0.1:{rig.sink}"
    with presend.started(rig.tree, base, upstream, rig.dns, None, place):
        return time.perf_counter() - started


def suppression(rig: Rig, *, quick: bool) -> Iterator[Figure]:
    """Measure lookups in a large list, and the start of presend with and without it."""
    rows, starts = (FEW, 1) if quick else (ROWS, STARTS)
    store = built(rig.cache, rows)
    taken = lookups(store, rows)
    yield Figure("suppression", "rows", rows, Unit.COUNT)
    for name, share in (("p50 of a lookup", 0.5), (figures.LOOKUP, 0.99)):
        yield Figure("suppression", name, taken[int(len(taken) * share)] * 1e6, Unit.MICROSECONDS)
    pairs = [
        (start_seconds(rig, f"with{turn}", store), start_seconds(rig, f"without{turn}", None))
        for turn in range(starts)
    ]
    with_list, without = (statistics.median(each) for each in zip(*pairs, strict=True))
    yield Figure("suppression", "start with the list", with_list * 1e3, Unit.MILLISECONDS)
    yield Figure("suppression", figures.START, with_list / without, Unit.TIMES)
