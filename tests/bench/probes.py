"""Measurements other than message rates: memory, list checks, the pool, lookups, latency."""

import os
import statistics
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import uvloop

from tests.bench import clients, figures, presend
from tests.bench.figures import Figure, Unit
from tests.bench.loads import NEAR, Load, Rates, measure, near, source
from tests.bench.processes import BenchError, forget_peak, memory
from tests.bench.rig import Rig
from tests.bench.servers import DOMAINS, domain

KIB, MIB = 1024, 1024 * 1024
LONGEST_LIST = 80.0  # seconds


def write_list(path: Path, addresses: int) -> Path:
    """Write a list of recipients at many domains; a few of them are bad."""
    with path.open("w") as out:
        for number in range(addresses):
            local = "info" if number % 500 == 499 else f"customer.{number}"
            out.write(f"{local}@{domain(number)}\n")
    return path


def checked(rig: Rig, addresses: int) -> tuple[float, int]:
    """Run `presend check` on a list; return the seconds and the peak memory in octets."""
    entries = write_list(rig.base / "list.txt", addresses)
    env = presend.settings(rig.store or rig.base / "empty.db", "smtp://127.0.0.1:1", rig.dns)
    with (rig.base / "check.log").open("wb") as log, (rig.base / "verdicts").open("wb") as out:
        before = os.times().elapsed
        process = subprocess.Popen(
            [sys.executable, "-m", "relay", "check", entries],
            stdout=out,
            stderr=log,
            env={**os.environ, **env},
            cwd=rig.tree,
        )
        _, status, used = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        seconds = os.times().elapsed - before
    if process.returncode:
        raise BenchError(f"check: {(rig.base / 'check.log').read_text()[-500:]}")
    return seconds, used.ru_maxrss * KIB


def list_speed(rig: Rig, *, quick: bool) -> Iterator[Figure]:
    """Judge a million addresses; subtract the time of start and DNS, measured on a short list."""
    whole = 100_000 if quick else 1_000_000
    cold, _ = checked(rig, DOMAINS)
    seconds, quarter = checked(rig, whole // 4)
    if seconds * 4 > LONGEST_LIST:
        rig.note(f"list: a quarter took {seconds:.0f} s, so the whole was not judged")
        yield Figure("list", figures.RATE, (whole // 4 - DOMAINS) / (seconds - cold), Unit.COUNT)
        return
    seconds, peak = checked(rig, whole)
    yield Figure("list", figures.RATE, (whole - DOMAINS) / (seconds - cold), Unit.COUNT)
    yield Figure("list", "addresses/s with start and cold DNS", whole / seconds, Unit.COUNT)
    yield Figure("list", "most memory", peak / MIB, Unit.MIB)
    yield Figure("list", figures.GROWTH, peak / quarter, Unit.TIMES)


def memory_held(rig: Rig, *, quick: bool) -> Iterator[Figure]:
    """Measure the memory of a fresh presend with idle sessions, then with one large message."""
    sessions = 100 if quick else 1000
    relay = rig.relay("presend-memory", f"smtp://127.0.0.1:{rig.sink}")
    source(relay.port, 1, sessions=1)
    rest = memory(relay.pid)
    with clients.idling(relay.port, sessions):
        held = memory(relay.pid)
    yield Figure("idle", "memory at rest", rest / MIB, Unit.MIB)
    yield Figure("idle", figures.IN_ALL, held / MIB, Unit.MIB)
    yield Figure("idle", figures.EACH, max(0, held - rest) / sessions / KIB, Unit.KIB)
    fresh = rig.relay("presend-body", f"smtp://127.0.0.1:{rig.sink}")
    source(fresh.port, 1, sessions=1)
    rest = memory(fresh.pid)
    forget_peak(fresh.pid)
    source(fresh.port, 1, sessions=1, length=50 * MIB)
    yield Figure("body", figures.BODY, (memory(fresh.pid, "VmHWM") - rest) / MIB, Unit.MIB)


def pool_use(rig: Rig, *, quick: bool) -> Iterator[Figure]:
    """Send with one connection per message, and count the connections to the upstream."""
    messages = 320 if quick else 3200
    counted = rig.near_counted
    relay = rig.relay("presend-pool", f"smtp://127.0.0.1:{counted.port}")
    source(relay.port, messages, sessions=16, keep=False)
    counts = counted.counts()
    yield Figure("pool", "client connections", messages, Unit.COUNT)
    yield Figure("pool", "most upstream connections at once", counts["most_open"], Unit.COUNT)
    for name, metric in (
        ("upstream connections allowed", "presend_pool_limit"),
        ("handshakes made", "presend_upstream_handshakes_total"),
        ("handshakes saved", "presend_upstream_reuses_total"),
    ):
        yield Figure("pool", name, relay.metric(metric), Unit.COUNT)


def round_trips(rig: Rig, *, quick: bool) -> Iterator[Figure]:
    """Count the round trips of pipelined messages on a pooled connection."""
    messages = 5 if quick else 20
    relay = rig.presend_far
    clients.pipelined(relay.port, 1)
    before = rig.far.counts()["round_trips"]
    clients.pipelined(relay.port, messages)
    made = rig.far.counts()["round_trips"] - before
    yield Figure("pipe", figures.ROUND_TRIPS, made / messages, Unit.COUNT)


def scaling(rig: Rig, *, quick: bool) -> Iterator[Figure]:
    """Measure the rate and the memory as sessions and recipients grow."""
    rounds = 1 if quick else 3
    grown: Sequence[tuple[str, int, dict[str, int]]] = (
        *((f"{n:,} sessions", n, {"sessions": n}) for n in (1, 16, 256, 1000)),
        *((f"{n:,} recipients", 8, {"sessions": 8, "recipients": n}) for n in (1, 100, 1000)),
    )
    for name, sessions, options in grown:
        load = Load("scaling", name, near("direct", "presend", **options), step=sessions)
        rates = measure(load, rig, rounds, 20, scale=0.5)
        for path in rates.rounds:
            yield Figure("scaling", f"{name}: {path}, messages/s", rates.median(path), Unit.COUNT)
        held = memory(rig.presend.pid) / MIB
        yield Figure("scaling", f"{name}: memory of presend", held, Unit.MIB)


def latency(rig: Rig, rate: float, *, quick: bool) -> Iterator[Figure]:
    """Measure the latency that each relay adds at a fixed rate, compared with the sink alone."""
    seconds, rounds = (1.0, 1) if quick else (4.0, 3)
    ports: dict[str, int] = {}
    for name in ("direct", "presend", "Postfix proxy"):
        try:
            ports[name] = NEAR[name](rig)
        except BenchError as trouble:
            rig.note(f"latency: {name} was not measured: {trouble}")
    found: dict[str, list[tuple[float, float]]] = {name: [] for name in ports}
    for _ in range(rounds):
        for name, port in ports.items():
            delays = uvloop.run(clients.paced(port, rate, seconds))
            found[name].append((quantile(delays, 0.5), quantile(delays, 0.99)))
    base = [statistics.median(each) for each in zip(*found.pop("direct"), strict=True)]
    yield Figure("latency", "rate, messages/s", rate, Unit.COUNT)
    for name, pairs in found.items():
        for label, floor, values in zip(
            ("p50", "p99"), base, zip(*pairs, strict=True), strict=True
        ):
            added = max(0.0, statistics.median(values) - floor)
            yield Figure("latency", f"{label} added by {name}", added * 1e3, Unit.MILLISECONDS)


def quantile(values: Sequence[float], share: float) -> float:
    """Return a quantile of sorted values; `share` is between 0 and 1."""
    return values[min(len(values) - 1, int(len(values) * share))]


Probe = Callable[..., Iterator[Figure]]
PROBES: dict[str, Probe] = {
    "memory": memory_held,
    "pool": pool_use,
    "latency": latency,
    "list": list_speed,
    "scaling": scaling,
}


def ratios(name: str, rates: Rates) -> Iterator[Figure]:
    """Return presend's rate as a multiple of each other path's."""
    for path in rates.rounds:
        if path != "presend" and "presend" in rates.rounds:
            yield Figure(name, figures.times(path), rates.ratio("presend", path), Unit.TIMES)
