"""The loads, and the interleaving of their rounds over the relays."""

import statistics
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial

from tests.bench.clients import pipelined, with_smtplib
from tests.bench.postfix import missing as postfix_missing
from tests.bench.processes import BenchError, run
from tests.bench.rig import Rig
from tests.bench.servers import SENDER, domain

SOURCE = "/usr/sbin/smtp-source"

Send = Callable[[int], float]
"""Send this many messages; returns the seconds it took."""
Path = tuple[str, Callable[[Rig], Send]]
"""A way to the sink: its name, and how to get a Send once the servers run."""


@dataclass(frozen=True, slots=True)
class Load:
    """One load: the paths it is sent through, and the size of a round."""

    name: str
    title: str
    paths: Sequence[Path]
    unit: str = "messages/s"
    seconds: float = 1.0  # duration of one round on one path
    first: int = 16  # messages in the first round, which warms up and sets the size of the others
    step: int = 1  # the number of messages in a round is a multiple of it


@dataclass(slots=True)
class Rates:
    """The measured rates: for each path, messages per second in each round."""

    unit: str
    title: str
    rounds: dict[str, list[float]] = field(default_factory=dict)

    def median(self, path: str) -> float:
        """Return the median over the rounds."""
        return statistics.median(self.rounds[path])

    def ratio(self, path: str, other: str) -> float:
        """Return the median over the rounds of the ratio of two paths, measured in turn."""
        pairs = zip(self.rounds[path], self.rounds[other], strict=False)
        return statistics.median(mine / theirs for mine, theirs in pairs)


def source(
    port: int,
    messages: int,
    *,
    sessions: int = 16,
    length: int = 4096,
    recipients: int = 1,
    keep: bool = True,
) -> float:
    """Run smtp-source; return the seconds it took."""
    numbers = {"-s": sessions, "-m": messages, "-l": length, "-r": recipients}
    options = [str(part) for pair in numbers.items() for part in pair]
    kept = ["-d"] if keep else []
    envelope = ["-N", "-f", SENDER, "-t", f"customer@{domain(0)}"]
    return run([SOURCE, *kept, *options, *envelope, f"inet:127.0.0.1:{port}"])


def postfix_port(rig: Rig) -> int:
    """Return the port of the Postfix that relays to the sink; raise BenchError if it cannot run."""
    if reason := postfix_missing():
        raise BenchError(reason)
    return rig.postfix.near


NEAR: Mapping[str, Callable[[Rig], int]] = {
    "direct": lambda rig: rig.sink,
    "presend": lambda rig: rig.presend.port,
    "Postfix proxy": postfix_port,
    "Haraka": lambda rig: rig.haraka,
}


def through(port: Callable[[Rig], int], **options: int | bool) -> Callable[[Rig], Send]:
    """Return a function that runs smtp-source on a port which is known once the servers run."""
    return lambda rig: partial(source, port(rig), **options)  # type: ignore[arg-type]


def near(*names: str, **options: int | bool) -> Sequence[Path]:
    """Return the paths that lead to the sink on loopback."""
    return [(name, through(NEAR[name], **options)) for name in names or NEAR]


def far(**options: int | bool) -> Sequence[Path]:
    """Return the paths that lead to the sink behind the delaying proxy."""
    return [
        ("direct", through(lambda rig: rig.far.port, **options)),
        ("presend", through(lambda rig: rig.presend_far.port, **options)),
        ("Postfix proxy", through(lambda rig: postfix_port(rig) and rig.postfix.far, **options)),
    ]


FAR_TLS: Sequence[Path] = (
    (
        "direct",
        lambda rig: partial(with_smtplib, rig.far_secure.port, secured=rig.secured),
    ),
    ("presend", lambda rig: partial(with_smtplib, rig.presend_secure.port, secured=None)),
)
PIPE: Sequence[Path] = (
    ("presend", lambda rig: partial(pipelined, rig.presend_far.port)),
    ("Postfix proxy", lambda rig: partial(pipelined, postfix_port(rig) and rig.postfix.far)),
)

LOADS: Sequence[Load] = (
    Load("keep", "16 sessions kept open, 4 KiB", near(), first=320, step=16),
    Load("anew", "a connection per message, 4 KiB", near(keep=False), first=160, step=16),
    Load("big", "100 KiB, 8 sessions", near(sessions=8, length=102400), first=80, step=8),
    Load("many", "100 recipients, 8 sessions", near(sessions=8, recipients=100), first=24, step=8),
    Load("far", "upstream 20 ms away, one client", far(sessions=1, keep=False), seconds=2, first=5),
    Load("far-tls", "the same with STARTTLS and AUTH", FAR_TLS, seconds=2, first=4),
    Load("pipe", "20 recipients in one pipeline, 20 ms", PIPE, seconds=2, first=3),
)


def measure(load: Load, rig: Rig, rounds: int, limit: float, *, scale: float = 1.0) -> Rates:
    """Run the rounds of a load, with all paths in each round, for at most `limit` seconds."""
    rates = Rates(load.unit, load.title)
    ready: dict[str, tuple[Send, int]] = {}
    for name, prepare in load.paths:
        try:
            send = prepare(rig)
            send(load.first)
            speed = load.first / send(load.first)
        except (BenchError, OSError) as trouble:
            if name == "presend":
                raise  # another relay may be missing, but not presend
            rig.note(f"{load.name}: {name} was not measured: {trouble}")
            continue
        steps = max(1, round(speed * load.seconds * scale / load.step))
        ready[name] = (send, max(steps * load.step, load.first if load.step > 1 else 1))
        rates.rounds[name] = []
    started = time.monotonic()
    for number in range(rounds):
        for name, (send, messages) in ready.items():
            rates.rounds[name].append(messages / send(messages))
        sys.stderr.write(f"\r{load.name}: round {number + 1} of {rounds} ")
        if time.monotonic() - started > limit:
            if number + 1 < rounds:
                rig.note(f"{load.name}: {number + 1} of {rounds} rounds fitted in the time")
            break
    sys.stderr.write("\n")
    return rates
