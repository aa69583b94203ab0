"""What was measured under one attack, and the bounds that hold for all of them."""

import statistics
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from tests.hostile.attacks import Attack
from tests.hostile.line import Tally

SLOWEST = 10.0  # times the victim's unloaded median that nine of ten messages may take
MEMORY = 160.0  # MiB at most
MIB = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Times:
    """Median, 90th percentile and worst of some times, in seconds."""

    median: float
    most: float
    worst: float

    @classmethod
    def of(cls, seconds: Sequence[float]) -> "Times":
        """Summarise times; all are infinite if there are none."""
        ordered = sorted(seconds) or [float("inf")]
        most = ordered[min(len(ordered) - 1, int(len(ordered) * 0.9))]
        return cls(statistics.median(ordered), most, ordered[-1])


@dataclass(frozen=True, slots=True)
class Result:
    """One attack: the victim before it, on another relay meanwhile, and on the attacked relay."""

    attack: Attack
    before: Times
    beside: Times
    under: Times
    delivered: int
    failures: Counter[str]
    probes: Times
    failed_probes: int
    peak: float
    """The most memory in MiB that the relay held; infinite if it ended."""
    tally: Tally
    lost: int
    """Acknowledged messages that the upstream does not have."""

    @property
    def slowdown(self) -> float:
        """The 90th percentile of the victim's time, as a multiple of its median before."""
        return self.under.most / self.before.median

    def missed(self) -> Iterator[str]:
        """Yield the bounds that do not hold."""
        if self.slowdown > SLOWEST:
            yield "victim"
        if self.failures:
            yield "delivery"
        if self.failed_probes:
            yield "probes"
        if self.peak > MEMORY:
            yield "memory"
        if self.lost:
            yield "loss"
