"""The mail path under random interleavings of both sides, in process and on a virtual clock.

Clients, relay, pool and upstream take their steps in any order: replies come late, early, in
pieces, too many or not at all; connections break at any point; time passes. What holds throughout:

* a client is told 250 for a message if and only if the upstream acknowledged exactly that content
  for exactly the recipients that the client was told are accepted;
* nothing of one session reaches another: no reply, no recipient, no content;
* every command gets one reply, in order, and every transaction ends in one Message event;
* at the end nothing is left behind: no connection, task, waiter or held octet.

`python -m tests.properties.test_mail_path 100000` runs until that many transactions were opened.
"""

import functools
import re
import ssl
import sys
import tempfile
from collections import deque
from dataclasses import dataclass, field
from pathlib import Path

from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    rule,
    run_state_machine_as_test,
)

from relay.observe.events import Message
from relay.settings import groups
from tests.support.certs import Certificates
from tests.support.rig import Client, Rig

CLIENTS = 4
_TAG = re.compile(rb"s(\d+)\.m(\d+)\.")
_QUEUED = re.compile(rb"queued as (\d+)")
_RECEIVED = re.compile(rb"\AReceived: [^\r]*\r\n(?:\t[^\r]*\r\n)*")
_REPLY = re.compile(rb"(?:(\d{3})-[^\r\n]*\r\n)*(\d{3}) [^\r\n]*\r\n")


@functools.cache
def contexts() -> tuple[ssl.SSLContext, ssl.SSLContext]:
    """Return the TLS contexts of the relay and of its clients."""
    with tempfile.TemporaryDirectory() as directory:
        certificates = Certificates(Path(directory))
        return certificates.server(), certificates.client()


opened = 0
"""Transactions opened so far, in all runs."""


@dataclass
class Slot:
    """A command that waits for its reply."""

    kind: str
    argument: str = ""


@dataclass
class Driver:
    """A client that knows what it may send, and what each reply must be."""

    number: int
    client: Client
    rig: Rig
    slots: deque[Slot] = field(default_factory=deque)
    state: str = "new"
    message: int = 0
    accepted: list[str] = field(default_factory=list)
    content: bytearray = field(default_factory=bytearray)
    mails: int = 0
    gone: bool = False
    tls: bool = False
    _heard: bytearray = field(default_factory=bytearray)

    @property
    def tag(self) -> str:
        """What every address and every line of content of this message begins with."""
        return f"s{self.number}.m{self.message}."

    def send(self, octets: bytes, *slots: Slot, cuts: list[int] | None = None) -> None:
        """Send octets, cut into pieces."""
        self.slots.extend(slots)
        places = [*sorted({cut % (len(octets) + 1) for cut in cuts or ()} - {0}), len(octets)]
        start = 0
        for place in places:
            if start < place and not self.client.closed:
                self.client.send(octets[start:place])
                self.rig.settle()
            start = place
        self.hear()

    def hear(self) -> None:
        """Read replies and check each."""
        self._heard += self.client.read()
        while True:
            found = _REPLY.match(self._heard)
            if found is None:
                break
            reply = bytes(found[0])
            del self._heard[: found.end()]
            self._check(reply)
        if self.client.closed:
            self._end()

    def _check(self, reply: bytes) -> None:
        for session, message in _TAG.findall(reply):
            assert (int(session), int(message)) == (self.number, self.message), reply
        code = int(reply[:3])
        if code == 421 and (not self.slots or self.slots[0].kind != "banner"):
            self._end()
            return
        assert self.slots, f"a reply to nothing: {reply!r}"
        slot = self.slots.popleft()
        getattr(self, f"_{slot.kind}")(code, reply, slot.argument)

    def _end(self) -> None:
        if not self.gone:
            self.gone = True
            if not self.client.closed:
                self.client.transport.cut()  # it was told goodbye
            self.slots.clear()
            self.state = "closed"

    # What each reply means

    def _banner(self, code: int, reply: bytes, _: str) -> None:
        assert code == 220, reply

    def _ehlo(self, code: int, reply: bytes, _: str) -> None:
        assert code == 250, reply
        self.state = "ready"

    def _mail(self, code: int, reply: bytes, _: str) -> None:
        global opened  # noqa: PLW0603 - a counter of the whole run
        assert code in {250, 451}, reply
        if code == 250:
            opened += 1
            self.mails += 1
            self.state = "mail"

    def _rcpt(self, code: int, reply: bytes, address: str) -> None:
        assert code in {250, 451, 452, 550}, reply
        if code == 250:
            assert "role" not in address
            self.accepted.append(address)

    def _data(self, code: int, reply: bytes, _: str) -> None:
        assert code in {354, 451, 503, 550, 554}, reply
        if code == 354:
            assert self.accepted
            self.state = "content"

    def _final(self, code: int, reply: bytes, _: str) -> None:
        assert code in {250, 451, 503, 550, 552, 554}, reply
        if code == 250:
            self._claim(reply)
        self.state = "ready"

    def _bdat(self, code: int, reply: bytes, last: str) -> None:
        assert code in {250, 451, 503, 550, 552, 554}, reply
        if last:
            self._final(code, reply, last)
        else:
            self.state = "chunks" if code == 250 else "failed"

    def _rset(self, code: int, reply: bytes, _: str) -> None:
        assert code == 250, reply
        self.state = "ready"

    def _noop(self, code: int, reply: bytes, _: str) -> None:
        assert code == 250, reply

    def _junk(self, code: int, reply: bytes, _: str) -> None:
        assert 500 <= code < 560, reply

    def _starttls(self, code: int, reply: bytes, _: str) -> None:
        assert code == 220, reply

    def _quit(self, code: int, reply: bytes, _: str) -> None:
        assert code == 221, reply
        self._end()

    def _claim(self, reply: bytes) -> None:
        """The client is told that its message was accepted: so it must have been."""
        found = _QUEUED.search(reply)
        assert found is not None, reply
        ack = self.rig.acknowledged[int(found[1])]
        ack.claims += 1
        assert ack.claims == 1, "two clients were told of one message"
        assert ack.recipients == self.accepted, (ack.recipients, self.accepted)
        content = bytes(self.content)
        if content and not content.endswith(b"\r\n"):
            content += b"\r\n"  # the end of a message is the end of a line
        header = _RECEIVED.match(ack.content)
        assert header is not None, ack.content[:200]
        assert ack.content[header.end() :] == content

    # What the client may send

    def begin(self) -> bytes:
        """Return MAIL of a new message."""
        self.message += 1
        self.accepted.clear()
        self.content.clear()
        return f"MAIL FROM:<{self.tag}sender@ok.example>\r\n".encode()


_CUTS = st.lists(st.integers(1, 400), max_size=3)
_PICK = st.integers(0, 10_000)
_RCPTS = st.lists(st.sampled_from(["good", "good", "good", "no", "role", "slow"]), max_size=4)
_LINES = st.lists(
    st.sampled_from([b"text", b".", b"..", b"", b".dot first", b"x" * 900, b"LARGE"]),
    max_size=4,
)
_FAULTS = st.lists(
    st.sampled_from(
        [
            *[None] * 30,
            b"451 4.3.0 later\r\n",
            b"550 5.7.1 never\r\n",
            b"354 what\r\n",
            b"nonsense\r\n",
            b"421 4.3.2 closing\r\n",
            b"250-two\r\n250 lines\r\n",
        ]
    ),
    min_size=1,
    max_size=6,
)


class MailPath(RuleBasedStateMachine):
    """The steps, and what holds after each of them."""

    @initialize(connections=st.integers(1, 3), pipelining=st.booleans())
    def start(self, connections: int, pipelining: bool) -> None:  # noqa: FBT001
        """Build the relay."""
        self.rig = Rig(
            pool=groups.Pool(connections=connections, messages=5),
            limits=groups.Limits(connections=CLIENTS, recipients=6, message_size=400_000),
            tls=contexts()[0],
        )
        self.rig.features = self.rig.features._replace(pipelining=pipelining)
        self.drivers: list[Driver] = []
        self.connections = connections
        for _ in range(CLIENTS - 1):
            self.connect()

    def _driver(self, pick: int, *states: str) -> Driver | None:
        found = [
            driver
            for driver in self.drivers
            if not driver.gone and not driver.slots and driver.state in states
        ]
        return found[pick % len(found)] if found else None

    # Clients

    @rule()
    def connect(self) -> None:
        """A client connects and greets."""
        self.rig.settle()
        if sum(not driver.gone for driver in self.drivers) < CLIENTS:
            client = Client(self.rig)
            driver = Driver(len(self.drivers), client, self.rig, deque([Slot("banner")]))
            self.drivers.append(driver)
            self.rig.settle()
            driver.hear()
            driver.send(b"EHLO client.test\r\n", Slot("ehlo"))

    @rule(pick=_PICK, rcpts=_RCPTS, data=st.booleans(), cuts=_CUTS)
    def pipelined(self, pick: int, rcpts: list[str], data: bool, cuts: list[int]) -> None:  # noqa: FBT001
        """MAIL, RCPTs and perhaps DATA in one write."""
        driver = self._driver(pick, "ready")
        if driver is not None:
            octets, slots = driver.begin(), [Slot("mail")]
            self._group(driver, octets, slots, rcpts, data=data, cuts=cuts)

    @rule(pick=_PICK, rcpts=_RCPTS, data=st.booleans(), cuts=_CUTS)
    def group(self, pick: int, rcpts: list[str], data: bool, cuts: list[int]) -> None:  # noqa: FBT001
        """More RCPTs, and perhaps DATA, in one write."""
        driver = self._driver(pick, "mail")
        if driver is not None:
            self._group(driver, b"", [], rcpts, data=data, cuts=cuts)

    def _group(
        self,
        driver: Driver,
        octets: bytes,
        slots: list[Slot],
        rcpts: list[str],
        *,
        data: bool,
        cuts: list[int],
    ) -> None:
        for number, kind in enumerate(rcpts):
            local = {"no": "no.", "role": "role."}.get(kind, "")
            domain = "slow.example" if kind == "slow" else "ok.example"
            address = f"{local}{driver.tag}r{len(driver.accepted)}.{number}@{domain}"
            octets += f"RCPT TO:<{address}>\r\n".encode()
            slots.append(Slot("rcpt", address))
        if data:
            octets += b"DATA\r\n"
            slots.append(Slot("data"))
        driver.send(octets, *slots, cuts=cuts)

    @rule(pick=_PICK, lines=_LINES, end=st.booleans(), behind=st.booleans(), cuts=_CUTS)
    def content(
        self,
        pick: int,
        lines: list[bytes],
        end: bool,  # noqa: FBT001
        behind: bool,  # noqa: FBT001
        cuts: list[int],
    ) -> None:
        """Content after DATA, and perhaps its end, with a command right behind it."""
        driver = self._driver(pick, "content")
        if driver is not None:
            self._content(driver, lines, end=end, behind=behind, cuts=cuts)

    def _content(
        self, driver: Driver, lines: list[bytes], *, end: bool, behind: bool, cuts: list[int]
    ) -> None:
        octets, slots = b"", []
        for line in lines:
            line = b"y" * 70_000 if line == b"LARGE" else line  # noqa: PLW2901 - short in reports
            text = line if line.startswith(b".") else driver.tag.encode() + line
            driver.content += text + b"\r\n"
            octets += (b"." if text.startswith(b".") else b"") + text + b"\r\n"
        if end:
            octets += b".\r\n"
            slots.append(Slot("final"))
            if behind:
                octets += b"NOOP\r\n"
                slots.append(Slot("noop"))
        driver.send(octets, *slots, cuts=cuts)

    @rule(pick=_PICK, body=st.binary(max_size=60), last=st.booleans(), cuts=_CUTS)
    def chunk(self, pick: int, body: bytes, last: bool, cuts: list[int]) -> None:  # noqa: FBT001
        """A BDAT chunk of text lines, cut anywhere."""
        driver = self._driver(pick, "mail", "chunks")
        if driver is not None:
            self._chunk(driver, body, last=last, cuts=cuts)

    def _chunk(self, driver: Driver, body: bytes, *, last: bool, cuts: list[int]) -> None:
        text = b"".join(b".%x\r\n" % octet for octet in body)[: len(body) * 3]
        if text.endswith(b"\r"):
            text = text[:-1]
        driver.content += text
        command = b"BDAT %d%b\r\n" % (len(text), b" LAST" if last else b"")
        driver.send(command + text, Slot("bdat", "last" if last else ""), cuts=cuts)

    @rule(rcpts=_RCPTS, lines=_LINES, chunks=st.booleans(), cuts=_CUTS)
    def everybody(
        self,
        rcpts: list[str],
        lines: list[bytes],
        chunks: bool,  # noqa: FBT001
        cuts: list[int],
    ) -> None:
        """Every client takes the step that leads to the end of its message."""
        for driver in self.drivers:
            if driver.gone or driver.slots:
                continue
            if driver.state == "ready":
                octets, slots = driver.begin(), [Slot("mail")]
                self._group(driver, octets, slots, ["good", *rcpts], data=not chunks, cuts=cuts)
            elif driver.state == "content":
                self._content(driver, lines, end=True, behind=False, cuts=cuts)
            elif driver.state in {"mail", "chunks"}:
                self._chunk(driver, b"".join(lines)[:60], last=True, cuts=cuts)
            elif driver.state == "failed":
                driver.send(b"RSET\r\n", Slot("rset"))

    @rule(pick=_PICK)
    def reset(self, pick: int) -> None:
        """RSET."""
        driver = self._driver(pick, "mail", "ready", "chunks", "failed")
        if driver is not None:
            driver.send(b"RSET\r\n", Slot("rset"))

    @rule(pick=_PICK, octets=st.sampled_from([b"HELLO\r\n", b"RCPT FROM:<x>\r\n", b"DATA now\r\n"]))
    def junk(self, pick: int, octets: bytes) -> None:
        """A command that is none."""
        driver = self._driver(pick, "ready")
        if driver is not None:
            driver.send(octets, Slot("junk"))

    @rule(pick=_PICK)
    def encrypt(self, pick: int) -> None:
        """STARTTLS, and EHLO again."""
        driver = self._driver(pick, "ready")
        if driver is not None and not driver.tls:
            driver.send(b"STARTTLS\r\n", Slot("starttls"))
            driver.client.start_tls(contexts()[1])
            driver.tls = True
            driver.state = "new"
            driver.send(b"EHLO client.test\r\n", Slot("ehlo"))

    @rule(pick=_PICK, how=st.sampled_from([*["nothing"] * 12, "quit", "eof", "cut"]))
    def leave(self, pick: int, how: str) -> None:
        """A client leaves, in whatever state; most often it does not."""
        present = [driver for driver in self.drivers if not driver.gone]
        if not present:
            return
        driver = present[pick % len(present)]
        if how == "quit" and not driver.slots and driver.state in {"ready", "mail"}:
            driver.send(b"QUIT\r\n", Slot("quit"))
        elif how == "eof" and not driver.tls:
            driver.client.transport.send_eof()
            self.rig.settle()
            driver.hear()
        elif how == "cut":
            driver.client.transport.cut()
            driver.hear()
            self.rig.settle()

    # The upstream

    @rule(pick=_PICK, faults=_FAULTS, cuts=_CUTS, surplus=st.integers(0, 30))
    def reply(self, pick: int, faults: list[bytes | None], cuts: list[int], surplus: int) -> None:
        """An upstream connection replies to some of its commands."""
        peers = [peer for peer in self.rig.peers if peer.pending and not peer.closed]
        if not peers:
            return
        peer = peers[pick % len(peers)]
        replies = faults[: len(peer.pending)]
        for place, (stage, _) in enumerate(peer.pending[: len(replies)]):
            fault = replies[place]
            if stage == "final" and fault is not None and fault.startswith(b"250"):
                replies[place] = None
        peer.release(replies, cuts=cuts, behind=b"250 2.0.0 surplus\r\n" if surplus == 30 else b"")
        self._hear()

    @rule()
    def reply_to_all(self) -> None:
        """Every upstream connection gives the usual reply to all of its commands."""
        for peer in self.rig.peers:
            if peer.pending and not peer.closed:
                peer.release([None] * len(peer.pending))
        self._hear()

    @rule(pick=_PICK, octets=st.sampled_from([b"552 5.3.4 too large\r\n", b"250 2.0.0 early\r\n"]))
    def early(self, pick: int, octets: bytes) -> None:
        """An upstream replies before it was sent the end of the content."""
        peers = [
            peer
            for peer in self.rig.peers
            if peer.in_content and not (peer.closed or peer.transport.written)
        ]
        if peers:
            peers[pick % len(peers)].send(octets)
            self._hear()

    @rule(pick=_PICK, stalled=st.sampled_from([False, False, True]))
    def stall(self, pick: int, stalled: bool) -> None:  # noqa: FBT001
        """An upstream connection stops reading, or reads again."""
        peers = [peer for peer in self.rig.peers if not peer.closed]
        if peers:
            peers[pick % len(peers)].stalled = stalled
            self._hear()

    @rule(pick=_PICK, breaks=st.integers(0, 5))
    def break_off(self, pick: int, breaks: int) -> None:
        """An upstream connection breaks; most often it does not."""
        peers = [peer for peer in self.rig.peers if not peer.closed]
        if peers and breaks == 5:
            peers[pick % len(peers)].transport.cut()
            self._hear()

    @rule(how=st.sampled_from(["at once", "at once", "at once", "delayed", "refused"]))
    def connecting(self, how: str) -> None:
        """New upstream connections are refused, delayed or neither."""
        self.rig.connect_refused = how == "refused"
        if how == "delayed":
            self.rig.connect_delayed = True
        else:
            self.rig.let_connect()
        self._hear()

    @rule(most=st.sampled_from([0, 1, 1, 2, 2, 1000]))
    def allow_connections(self, most: int) -> None:
        """The upstream allows so many connections, and refuses more with 421."""
        self.rig.connect_limit = most

    @rule()
    def answer_dns(self) -> None:
        """The checks that wait get their answers."""
        self.rig.answer_dns()
        self._hear()

    @rule(seconds=st.sampled_from([*[0.25, 1.0, 10.0] * 4, 25.0, 40.0, 310.0, 620.0]))
    def time_passes(self, seconds: float) -> None:
        """Deadlines pass."""
        self.rig.advance(seconds)
        self._hear()

    def _hear(self) -> None:
        self.rig.settle()
        for driver in self.drivers:
            if not driver.gone:
                driver.hear()

    # What holds

    @invariant()
    def bounded(self) -> None:
        """The pool keeps its limit, and nobody else's things are kept."""
        if hasattr(self, "rig"):
            pool = self.rig.pool
            assert len(pool._live) + pool.connecting <= self.connections
            assert len(self.rig.server.connections) <= CLIENTS
            assert not self.rig.write_buffer._held
            assert len(self.rig.tasks) <= 2 * CLIENTS

    def teardown(self) -> None:
        """End everything in good order, and look at what is left."""
        if hasattr(self, "rig"):
            try:
                self._finish_everything()
                self._everybody_was_told()
                self._nothing_left()
            finally:
                self.rig.close()

    def _finish_everything(self) -> None:
        rig = self.rig
        rig.connect_refused = False
        rig.connect_limit = 1000
        rig.let_connect()
        for _ in range(60):
            if not any(driver.slots for driver in self.drivers):
                break
            rig.answer_dns()
            for peer in rig.peers:
                peer.stalled = False
                if peer.pending and not peer.closed:
                    peer.release([None] * len(peer.pending))
            self._hear()
            rig.advance(1.0)  # whoever waits for a connection that others hold gets 451
            self._hear()

    def _everybody_was_told(self) -> None:
        for driver in self.drivers:
            assert driver.gone or not driver.slots, f"no reply to {driver.slots}"
        left = {tuple(driver.accepted) for driver in self.drivers if driver.gone}
        for ack in self.rig.acknowledged:
            if ack.due and not ack.claims:
                assert tuple(ack.recipients) in left, "a client was not told of its message"

    def _nothing_left(self) -> None:
        rig = self.rig
        for driver in self.drivers:
            if not driver.gone:
                driver.client.transport.cut()
        rig.settle()
        rig.answer_dns()
        rig.advance(1000.0)
        for peer in rig.peers:
            if not peer.closed:
                peer.release([None] * len(peer.pending))
        rig.advance(30.0)
        rig.events.flush()
        ended = [event.message_id for event in rig.kept.events if isinstance(event, Message)]
        assert len(ended) == len(set(ended))
        # a client that left may not have read the reply to its MAIL
        assert sum(driver.mails for driver in self.drivers) <= len(ended)
        assert len(ended) <= sum(driver.message for driver in self.drivers)
        assert not rig.server.connections
        assert not rig.tasks
        assert not rig.write_buffer._held
        assert not rig.pool._waiting
        assert (rig.pool.busy, rig.pool.idle, rig.pool.connecting) == (0, 0, 0)


MailPath.TestCase.settings = settings(
    max_examples=60,
    stateful_step_count=60,
    deadline=None,
    suppress_health_check=list(HealthCheck),
)
TestMailPath = MailPath.TestCase


def main(transactions: int) -> None:
    """Run new examples until `transactions` were opened."""
    rounds = 0
    while opened < transactions:
        rounds += 1
        run_state_machine_as_test(
            MailPath,
            settings=settings(
                max_examples=200,
                stateful_step_count=200,
                deadline=None,
                database=None,
                phases=(Phase.generate, Phase.shrink),
                suppress_health_check=list(HealthCheck),
            ),
        )
        sys.stdout.write(f"{opened:,} transactions in {rounds * 200:,} runs\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main(int(sys.argv[1]))
