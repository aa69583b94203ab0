"""What every client is tried with: six situations, and what becomes of the message in each.

A trial returns cells of the page by the name of their column. A text that the application sees is
quoted, without what differs from run to run.
"""

import re
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

from tests.interop import message
from tests.interop.clients import Job
from tests.interop.stand import IDLE, SUPPRESSED, Relay, Stand

Cells = dict[str, str]

THREE = ("ann@example.com", "bob@example.com", "cat@example.com")
ONE = THREE[:1]
PARTIAL = ("ann@example.com", SUPPRESSED, "bob@example.com")
UTF8 = "j\u00f6rg@example.com"
LIMITED = ("PIPELINING", "SIZE 104857600", "ENHANCEDSTATUSCODES")
_SETTLE = 20.0  # seconds for a client with a queue to do what it does
_LONGEST = 260  # characters of a quotation
_VARYING = (
    (re.compile(r" \[[0-9a-f]{6,}\]"), ""),  # presend's message id
    (re.compile(r"\('127\.0\.0\.1', \d+\)"), "(...)"),
    (re.compile(r"(port:?) \d+"), r"\1 ..."),
    (re.compile(r"127\.0\.0\.1:\d+"), "127.0.0.1:..."),
    (re.compile(r"\s*\n\s*"), " / "),
)


class Client(Protocol):
    """A program that ends when it has sent, or an agent with a queue."""

    @property
    def keeps(self) -> bool:
        """Whether it can send several messages on one connection when it is told to."""

    @property
    def queues(self) -> bool:
        """Whether it keeps a message that was deferred, and tries again by itself."""

    def send(self, job: Job) -> str:
        """Send; return what the application sees."""

    def flush(self) -> None:
        """Start a queue run, if it has a queue."""

    def waiting(self) -> str:
        """Return the reason with which the queue holds a message, or an empty text."""


@dataclass(frozen=True, slots=True)
class Bench:
    """What the trials of one client share."""

    stand: Stand
    client: Client
    files: message.Files

    def job(self, recipients: Sequence[str]) -> Job:
        """Return a job for the recorder's port."""
        stand = self.stand
        return Job(stand.recorder.port, recipients, self.files, stand.certificates.ca_file)

    def send(self, job: Job) -> str:
        """Send; unless the client has a queue, its connections have ended afterwards."""
        told = self.client.send(job)
        if not self.client.queues:
            self.stand.recorder.wait_until_ended(timeout=1.0)
        return told

    def relayed(self) -> list[str]:
        """Return the recipients of the messages that the upstream accepted, bounces left out."""
        taken = [it for it in self.stand.upstream.accepted if it.sender]
        return [address for it in taken for address in it.addresses]

    def await_relayed(self, count: int) -> None:
        """Wait until that many recipients were relayed, if the client has a queue."""
        within(lambda: len(self.relayed()) >= count, _SETTLE if self.client.queues else 0)

    def attempts(self) -> int:
        """Return how many connections the client made."""
        return len(self.stand.recorder.sessions)


def within(holds: Callable[[], bool], seconds: float) -> bool:
    """Poll until `holds()` is true or the time has passed; return the last answer."""
    limit = time.monotonic() + seconds
    while not (answer := holds()) and time.monotonic() < limit:
        time.sleep(0.1)
    return answer


def quoted(text: str) -> str:
    """Return a text as a code span, shortened, without what differs from run to run."""
    for pattern, instead in _VARYING:
        text = pattern.sub(instead, text.strip())
    if len(text) > _LONGEST:
        text = f"{text[:_LONGEST].rstrip()}..."
    return f"`{text.replace('`', chr(39))}`" if text else "exit code 0"


def several(bench: Bench) -> Cells:
    """Three recipients: all get it, octet for octet, and which extensions the client used."""
    bench.stand.use(Relay.PLAIN)
    told = bench.send(bench.job(THREE))
    bench.await_relayed(len(THREE))
    taken = bench.relayed()
    if sorted(taken) != sorted(THREE):
        return {"content": f"{len(taken)} of 3: {quoted(told)}", "extensions": ""}
    readings = bench.stand.recorder.readings()
    sent = [content for reading in readings for content in reading.contents]
    bodies = [message.without_received(it.body) for it in bench.stand.upstream.accepted]
    if any(body not in sent for body in bodies):
        return {"content": "changed on the way", "extensions": ""}
    differs = {message.parts_differ(body) for body in bodies} - {""}
    content = (
        f"as sent, but the client changed {', '.join(sorted(differs))}" if differs else "as sent"
    )
    return {"content": content, "extensions": _extensions(bench)}


def _extensions(bench: Bench) -> str:
    readings = bench.stand.recorder.readings()
    words = [
        word for it in readings for verb in ("MAIL", "RCPT") for word in _parameters(it.sent(verb))
    ]
    used = list(dict.fromkeys(words))
    used += ["PIPELINING"] if any(it.pipelined for it in readings) else []
    used += ["BDAT"] if any(it.chunked for it in readings) else []
    return ", ".join(used) or "none"


def _parameters(commands: Sequence[str]) -> Iterator[str]:
    for command in commands:
        for word in command.rpartition(">")[2].split():
            key, _, value = word.partition("=")
            yield f"{key}={value}".upper() if key.upper() == "BODY" else key.upper()


def login(bench: Bench) -> Cells:
    """A relay that offers STARTTLS and demands AUTH."""
    bench.stand.use(Relay.SECURE)
    told = bench.send(replace(bench.job(THREE), login=True))
    bench.await_relayed(len(THREE))
    secured = all(it.secured for it in bench.stand.recorder.readings())
    if len(bench.relayed()) == len(THREE) and secured:
        return {"login": "yes"}
    return {"login": quoted(told if not bench.client.queues else bench.client.waiting())}


def utf8_address(bench: Bench) -> Cells:
    """A recipient with a UTF-8 local part."""
    bench.stand.use(Relay.PLAIN)
    told = bench.send(bench.job((UTF8,)))
    _await_outcome(bench, told)
    taken = bench.relayed()
    if taken == [UTF8]:
        return {"utf8": "relayed with SMTPUTF8"}
    if taken:
        return {"utf8": f"sent to `{taken[0]}`"}
    return {"utf8": quoted(_bounce(bench) or bench.client.waiting() or told)}


def limited(bench: Bench) -> Cells:
    """An upstream that offers neither 8BITMIME nor SMTPUTF8, and recipients in ASCII."""
    bench.stand.use(Relay.PLAIN, extensions=LIMITED)
    told = bench.send(bench.job(ONE))
    _await_outcome(bench, told)
    if bench.relayed():
        return {"limited": "relayed"}
    return {"limited": quoted(_bounce(bench) or told)}


def partial(bench: Bench) -> Cells:
    """One of three recipients is suppressed: 550 for that one."""
    bench.stand.use(Relay.PLAIN)
    told = bench.send(bench.job(PARTIAL))
    if bench.client.queues:
        bench.await_relayed(2)
        _await_outcome(bench, told, bounces=1)
        bounce = _bounce(bench)
        told = bounce or bench.client.waiting() or told
        seen = f"a bounce to the sender: {quoted(bounce)}" if bounce else quoted(told)
    else:
        seen = quoted(told)
    taken = bench.relayed()
    names = ", ".join(sorted({address.partition("@")[0] for address in taken}))
    return {"partial": f"{names or 'nobody'}", "partial_seen": seen}


def deferred(bench: Bench) -> Cells:
    """The upstream cannot be reached: 451 for every recipient. It can be reached afterwards."""
    bench.stand.use(Relay.PLAIN)
    bench.stand.upstream.refuse()
    try:
        told = bench.send(bench.job(ONE))
        seen, held = _held(bench, told)
    finally:
        bench.stand.upstream.listen()
    return {"deferred_seen": seen, "deferred": _tries_again(bench, held=held)}


def refused_connection(bench: Bench) -> Cells:
    """421 in place of the greeting, as the relay has too many sessions."""
    bench.stand.use(Relay.FULL)
    bench.stand.occupy()
    try:
        told = bench.send(bench.job(ONE))
        seen, held = _held(bench, told)
    finally:
        bench.stand.free()
    return {"refused_seen": seen, "refused": _tries_again(bench, held=held)}


def between(bench: Bench) -> Cells:
    """421 and the end of the connection between two messages, as the client was idle."""
    if not bench.client.keeps:
        return {"between": "", "between_seen": "sends one message on each connection here"}
    bench.stand.use(Relay.HASTY)
    job = replace(bench.job(ONE), count=2, pause=2 * IDLE)
    told = bench.send(job)
    done = len(bench.relayed())
    again = "yes, on a new connection" if done == job.count else "no"
    last = told.strip().splitlines()[1:] if done < job.count else told.strip().splitlines()[-1:]
    return {"between": again, "between_seen": quoted("\n".join(last))}


def _held(bench: Bench, told: str) -> tuple[str, bool]:
    """Return what is seen after a deferral, and whether a queue holds the message."""
    if not bench.client.queues:
        return quoted(told), False
    if not within(lambda: bool(bench.client.waiting()), _SETTLE):
        return f"not in the queue: {quoted(told)}", False
    return f"in the queue: {quoted(bench.client.waiting())}", True


def _tries_again(bench: Bench, *, held: bool) -> str:
    attempts = bench.attempts()
    if held:

        def relayed() -> bool:
            bench.client.flush()
            return bool(bench.relayed())

        again = within(relayed, _SETTLE)
        return "yes, at the next queue run" if again else f"not within {_SETTLE:.0f} seconds"
    if bench.relayed():
        return f"yes, at once, {attempts} connections"
    return "no" if attempts == 1 else f"yes, at once, {attempts} connections, in vain"


def _await_outcome(bench: Bench, told: str, *, bounces: int = 0) -> None:
    """Wait until a client with a queue has relayed, bounced or deferred the message."""
    taken = bench.client.queues and told.startswith("exit code 0")

    def decided() -> bool:
        return bool(_bounce(bench) or (not bounces and (bench.relayed() or bench.client.waiting())))

    within(decided, _SETTLE if taken else 0)


def _bounce(bench: Bench) -> str:
    """Return the diagnostic code of a bounce that the client sent through presend."""
    for it in bench.stand.upstream.accepted:
        if not it.sender:
            text = it.body.decode("utf-8", "replace")
            found = re.search(r"^Diagnostic-Code: .*(?:\r\n[ \t].*)*", text, re.MULTILINE)
            found = found or re.search(r"^.*\b550 .*", text, re.MULTILINE)
            return found[0] if found else text[-_LONGEST:]
    return ""


@dataclass(frozen=True, slots=True)
class Trial:
    """One situation, with the columns that it fills."""

    run: Callable[[Bench], Cells]
    columns: Sequence[str]


TRIALS = (
    Trial(several, ("content", "extensions")),
    Trial(login, ("login",)),
    Trial(utf8_address, ("utf8",)),
    Trial(limited, ("limited",)),
    Trial(partial, ("partial", "partial_seen")),
    Trial(deferred, ("deferred_seen", "deferred")),
    Trial(refused_connection, ("refused_seen", "refused")),
    Trial(between, ("between_seen", "between")),
)


def try_client(stand: Stand, client: Client, directory: Path) -> Cells:
    """Run all trials with a client."""
    directory.mkdir(exist_ok=True)
    bench = Bench(stand, client, message.write(directory, "interoperability"))
    cells: Cells = {}
    for trial in TRIALS:
        cells |= trial.run(bench)
    return cells
