"""What was measured under one attack, and the bounds that hold for all of them."""

import statistics
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from tests.hostile.attacks import Attack
from tests.hostile.line import Tally

SLOWEST = 10.0  # times the time without an attack that the victim's message may take
MEMORY = 160.0  # MiB at most
DEFERRALS = {"421", "451"}
MIB = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Times:
    """Median, 90th percentile and worst of some times, in seconds."""

    median: float
    most: float
    worst: float

    @classmethod
    def of(cls, seconds: Sequence[float]) -> "Times":
        """Summarise times; all are 0 if there are none."""
        ordered = sorted(seconds) or [0.0]
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
    unlogged: int
    """Acknowledged messages that have no line in the relay's log."""
    crashes: int
    """Tracebacks in the relay's log."""
    seconds: float
    """How long the attack lasted."""

    @property
    def slowdown(self) -> float:
        """The victim's median or 90th percentile in multiples of the same without the attack.

        That is before it, or meanwhile on the relay beside, whichever is longer: the attackers take
        processor time from the victim too. The greater of the two ratios counts.
        """
        median = max(self.before.median, self.beside.median)
        most = max(self.before.most, self.beside.most)
        return max(self.under.median / median, self.under.most / most)

    def missed(self) -> Iterator[str]:
        """Yield the bounds that do not hold."""
        unexcused = set(self.failures) - (DEFERRALS if self.attack.may_defer else set())
        fastest = self.attack.fastest.items()
        bounds = {
            "victim": self.slowdown <= SLOWEST or self.attack.may_defer,
            "delivery": not unexcused,
            "probes": not self.failed_probes,
            "memory": self.peak <= MEMORY,
            "loss": not self.lost,
            "log": not self.unlogged,
            "crash": not self.crashes,
            "rate": all(self.tally.replies[code] / self.seconds <= most for code, most in fastest),
        }
        yield from (name for name, holds in bounds.items() if not holds)
