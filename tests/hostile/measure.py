"""One attack on a fresh relay, with a second relay beside it that nobody attacks."""

import contextlib
import json
import re
import sys
import time
from collections.abc import Iterator, Mapping
from functools import cached_property
from pathlib import Path

from tests.bench import presend
from tests.bench.presend import Presend
from tests.bench.processes import BenchError, await_line, memory, running
from tests.bench.servers import SENDER
from tests.hostile.attacks import Attack
from tests.hostile.line import Tally
from tests.hostile.result import MIB, Result, Times
from tests.hostile.victim import PAUSE, Probes, Sent, Victim
from tests.support.certs import Certificates

BEFORE = 3.0  # seconds of measuring without an attack
SETTLING = 20.0  # seconds in which the sessions of an attack connect
_WARM = 5  # messages that are not counted: connections and caches are new
_LEAST = 100  # messages: of fewer, the 90th percentile would be no more than a few of them
_LONGER = 5  # times as long as it should last, that a measurement may take to have that many
_PORTS = re.compile(r"^ports (\d+ \d+)$", re.MULTILINE)
_RELAYED = f'@{SENDER.partition("@")[2]}","result":"relayed"'.encode()
_TALLY = re.compile(r"^(\{.*\})$", re.MULTILINE)
_ATTACKING = re.compile(r"^(attacking)$", re.MULTILINE)


class Rig:
    """The peers of the relays, the relay that is not attacked, and the files of a run."""

    def __init__(self, base: Path, stack: contextlib.ExitStack, *, plain: bool) -> None:
        """`base` is an empty directory; `plain` means that presend is not compiled."""
        self.base = base
        self.stack = stack
        self.plain = plain
        self.accepted = base / "accepted"
        self.accepted.touch()

    @cached_property
    def tree(self) -> Path:
        """Directory from which presend is run."""
        return (None if self.plain else presend.compiled()) or presend.ROOT

    @cached_property
    def peers(self) -> tuple[int, int]:
        """Ports of the upstream and of the name server."""
        log = self.base / "peers.log"
        command = [sys.executable, "-m", "tests.hostile.peers", str(self.accepted)]
        process = self.stack.enter_context(running(command, log, cwd=presend.ROOT))
        upstream, dns = await_line(_PORTS, process, log).split()
        return int(upstream), int(dns)

    @cached_property
    def certificates(self) -> Certificates:
        """A certificate for the attacks on TLS."""
        return Certificates(self.base)

    @cached_property
    def beside(self) -> Presend:
        """The relay that nobody attacks: its times show what the machine itself adds."""
        return self.stack.enter_context(self.relay("beside", {}))

    def relay(
        self, name: str, settings: Mapping[str, str]
    ) -> contextlib.AbstractContextManager[Presend]:
        """Start a relay."""
        upstream, dns = self.peers
        files = {"cert": self.certificates.cert_file, "key": self.certificates.key_file}
        extra = {name: value.format(**files) for name, value in settings.items()}
        return presend.started(
            self.tree, self.base / name, f"smtp://127.0.0.1:{upstream}", dns, None, extra
        )

    @contextlib.contextmanager
    def attacked(self, attack: Attack, relay: Presend, tally: Tally) -> Iterator[None]:
        """Attack a relay from a process of its own; add what became of it to `tally`."""
        log = self.base / f"{attack.name}.attacker"
        ports = str(relay.port), str(relay.http_port)
        command = [sys.executable, "-m", "tests.hostile.attacker", attack.name, *ports]
        with running(command, log, cwd=presend.ROOT) as process:
            await_line(_ATTACKING, process, log)
            yield
        told = json.loads(await_line(_TALLY, process, log))
        tally.ends.update(told["ends"])
        tally.replies.update(told["replies"])


def measure(attack: Attack, rig: Rig, seconds: float) -> Result:
    """Measure the victim during the attack for `seconds`, and before it for a shorter time."""
    warm, before, beside, under, tally = Sent(), Sent(), Sent(), Sent(), Tally()
    credentials = None
    if user := attack.settings.get("PRESEND_AUTH__USERNAME"):
        credentials = user, attack.settings["PRESEND_AUTH__PASSWORD"]
    with rig.relay(attack.name, attack.settings) as relay:
        victim = Victim(relay.port, attack.victim, credentials, new_domains=attack.new_domains)
        neighbour = Victim(rig.beside.port)
        for _ in range(_WARM):
            victim.send(warm)
            neighbour.send(Sent())
        _alternate(min(BEFORE, seconds), {victim: before})
        probes = Probes(relay.http_port)
        began = time.monotonic()
        with rig.attacked(attack, relay, tally):
            probes.start()
            if attack.settles:
                _settle(relay, attack.sessions)
            _alternate(seconds, {victim: under, neighbour: beside})
            probes.end()
            peak = _peak(relay.pid)
            lasted = time.monotonic() - began
    acknowledged = warm.acknowledged | before.acknowledged | under.acknowledged
    relayed, crashes = _counts(relay.log, _RELAYED, b"Traceback")
    return Result(
        attack,
        Times.of(before.seconds),
        Times.of(beside.seconds),
        Times.of(under.seconds),
        len(under.acknowledged),
        under.failures,
        Times.of(probes.seconds),
        probes.failures,
        peak,
        tally,
        len(acknowledged - set(rig.accepted.read_text().split())),
        max(0, len(acknowledged) - relayed),
        crashes,
        lasted,
    )


def _alternate(seconds: float, victims: Mapping[Victim, Sent]) -> None:
    """Let each victim send one message after the other, until the time is over.

    It takes longer where that is too short for as many messages as the percentiles need: a thousand
    sessions that begin at once hold a message for a second, and those after it are what counts.
    """
    began = time.monotonic()
    messages = 0
    while (lasted := time.monotonic() - began) < seconds or (
        messages < _LEAST and lasted < seconds * _LONGER
    ):
        messages += 1
        for victim, sent in victims.items():
            victim.send(sent)
            time.sleep(PAUSE)


def _settle(relay: Presend, sessions: int) -> None:
    """Wait until all sessions of an attack are there, for SETTLING seconds at most."""
    until = time.monotonic() + SETTLING
    there = 0.0
    while there < sessions and time.monotonic() < until:
        time.sleep(PAUSE * 10)
        with contextlib.suppress(OSError):  # the port is limited: another time
            there = relay.metric("presend_sessions")


def _peak(pid: int) -> float:
    """Return the most memory in MiB that the process had, or infinity if it is gone."""
    try:
        return memory(pid, "VmHWM") / MIB
    except (OSError, BenchError):
        return float("inf")


def _counts(log: Path, *texts: bytes) -> list[int]:
    """Count the lines of a log, which may be very long, that contain each of the texts."""
    counts = [0] * len(texts)
    with log.open("rb") as lines:
        for line in lines:
            for position, text in enumerate(texts):
                counts[position] += text in line
    log.unlink()
    return counts
