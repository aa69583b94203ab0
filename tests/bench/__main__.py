"""`python -m tests.bench`: run the loads, print the report, write JSON and chart."""

import argparse
import contextlib
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from tests.bench import chart, probes, report, suppressions
from tests.bench.figures import Figure
from tests.bench.loads import LOADS, Load, Rates, measure, near
from tests.bench.rig import Rig

MINUTES = 9.0  # less than the ten allowed: a measurement may begin just before the end
ROUNDS = 7
RESERVE = {"memory": 20, "list": 60, "pool": 10, "scaling": 60, "latency": 50, "suppression": 60}
"""Seconds the measurements after the loads may need; the loads share what is left."""


def arguments() -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__)
    names = [load.name for load in LOADS] + list(RESERVE)
    parser.add_argument("--quick", action="store_true", help="few and short rounds: does it run?")
    parser.add_argument("--only", type=lambda text: text.split(","), default=names, metavar="LOADS")
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--minutes", type=float, default=MINUTES, help="for everything")
    parser.add_argument("--plain", action="store_true", help="presend as plain Python")
    parser.add_argument("--out", type=Path, default=Path("var/bench"), metavar="DIRECTORY")
    given = parser.parse_args()
    if unknown := set(given.only) - set(names):
        parser.error(f"unknown: {', '.join(unknown)}; known: {', '.join(names)}")
    return given


class Run:
    """One run of the benchmark."""

    def __init__(self, rig: Rig, given: argparse.Namespace) -> None:
        """`given` are the parsed command line arguments."""
        self.rig = rig
        self.given = given
        self.measured: dict[str, Rates] = {}
        self.figures: list[Figure] = []
        self.until = time.monotonic() + given.minutes * 60

    def go(self) -> None:
        """Run the selected measurements until the time limit."""
        started = time.monotonic()
        _ = self.rig.tree  # compiles presend if necessary, before the time limit begins
        self.until += time.monotonic() - started
        chosen = [load for load in LOADS if load.name in self.given.only]
        for position, load in enumerate(chosen):
            self.load(load, len(chosen) - position)
        steps: dict[str, Callable[..., Iterator[Figure]]] = {
            **probes.PROBES,
            "suppression": suppressions.suppression,
        }
        for name, step in steps.items():
            if name not in self.given.only:
                continue
            if time.monotonic() > self.until:
                self.rig.note(f"{name}: no time was left; try --only {name}")
                continue
            sys.stderr.write(f"{name}\n")
            if name == "suppression":
                self.until += suppressions.prepare(self.rig.cache, quick=self.given.quick)
            options = {"rate": self.half_load()} if name == "latency" else {}
            self.figures += step(self.rig, quick=self.given.quick, **options)

    def load(self, load: Load, remaining: int) -> None:
        """Run one load within its share of the time."""
        rounds, scale = (2, 0.2) if self.given.quick else (self.given.rounds, 1.0)
        reserved = sum(RESERVE[name] for name in RESERVE if name in self.given.only)
        share = max(5.0, (self.until - time.monotonic() - reserved) / remaining)
        rates = self.measured[load.name] = measure(load, self.rig, rounds, share, scale=scale)
        self.figures += probes.ratios(load.name, rates)
        if load.name == "pipe":
            self.figures += probes.round_trips(self.rig, quick=self.given.quick)

    def half_load(self) -> float:
        """Return half the rate of the slower of the two relays under the load `keep`."""
        relays = ("presend", "Postfix proxy")
        rates = self.measured.get("keep")
        if rates is None:
            load = Load("keep", "", near(*relays), first=320, step=16)
            rates = measure(load, self.rig, 3, 20.0)
        return min(rates.median(path) for path in relays if path in rates.rounds) / 2


def main(given: argparse.Namespace) -> None:
    """Run the benchmark, write the report and end all servers."""
    given.out.mkdir(parents=True, exist_ok=True)
    with contextlib.ExitStack() as stack:
        base = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="presend-bench-")))
        run = Run(Rig(base, Path("var/bench/cache"), stack, plain=given.plain), given)
        try:
            run.go()
        finally:
            results = run.measured, run.figures, run.rig.notes
            tables = report.text(*results)
            sys.stdout.write(tables)
            page = given.out / "performance.md"
            if page.exists():
                page.write_text(report.updated(page.read_text(), tables))
            (given.out / "performance.json").write_text(report.as_json(*results))
            (given.out / "performance.svg").write_text(chart.svg(run.measured))


if __name__ == "__main__":
    main(arguments())
