"""The gate: it is asked before MAIL and before RCPTs go upstream, and settled at the end."""

from collections.abc import Iterator, Sequence

import pytest

from relay.guard.gate import ADMITTED, Admission, Admitted, Gate, NotNow, Wait
from relay.observe.events import Message, Recipient, ReplyReceived
from tests.support.rig import Client, Rig

HELO = b"EHLO client.test\r\n"
MAIL = b"MAIL FROM:<news@app.example>\r\n"


class Scripted(Gate):
    """A gate that gives set answers and records the calls."""

    def __init__(self) -> None:
        self.message: list[Admission] = []
        self.group: dict[str, list[Admission]] = {}
        self.asked: list[tuple[str, str, str, int]] = []
        self.settled: list[tuple[list[str], int]] = []

    def admit_message(self, campaign: str, segment: str) -> Admission:
        """Return the next set answer; admit if there is none."""
        return self.message.pop(0) if self.message else super().admit_message(campaign, segment)

    def admit(self, campaign: str, segment: str, provider: str, count: int) -> Admission:
        """Return the next set answer for the provider; admit if there is none."""
        self.asked.append((campaign, segment, provider, count))
        answers = self.group.get(provider)
        return answers.pop(0) if answers else super().admit(campaign, segment, provider, count)

    def settle(self, reservations: Sequence[str], accepted: int) -> None:
        """Record the call."""
        self.settled.append((list(reservations), accepted))


@pytest.fixture
def gate() -> Scripted:
    return Scripted()


@pytest.fixture
def rig(gate: Scripted) -> Iterator[Rig]:
    made = Rig(gate=gate)
    yield made
    made.close()


def talk(rig: Rig, client: Client, octets: bytes) -> list[bytes]:
    """Send octets as the client, let the upstream reply as usual, and return the replies."""
    client.send(octets)
    rig.settle()
    for peer in rig.peers:
        while peer.pending:
            peer.release([None] * len(peer.pending))
    rig.settle()
    return client.read().splitlines()


def begun(rig: Rig) -> Client:
    """Return a client that has sent EHLO."""
    client = Client(rig)
    talk(rig, client, HELO)
    return client


def rcpt(*addresses: str) -> bytes:
    return b"".join(f"RCPT TO:<{address}>\r\n".encode() for address in addresses)


def test_it_is_asked_once_for_each_provider_of_a_group(rig: Rig, gate: Scripted) -> None:
    client = begun(rig)
    group = rcpt("a@google.example", "b@yahoo.example", "c@google.example", "role@google.example")
    talk(rig, client, MAIL + group)
    assert sorted(gate.asked) == [("rig", "", "google", 2), ("rig", "", "yahoo", 1)]


def test_a_provider_that_is_not_admitted_is_deferred_and_the_rest_goes_on(
    rig: Rig, gate: Scripted
) -> None:
    gate.group = {"google": [NotNow("google: 50 of 50 today")]}
    client = begun(rig)
    said = talk(
        rig, client, MAIL + rcpt("a@google.example", "b@yahoo.example", "no.c@google.example")
    )
    assert [reply[:9] for reply in said] == [b"250 2.1.0", b"451 4.7.1", b"250 2.1.5", b"451 4.7.1"]
    assert b"google: 50 of 50 today" in said[1]
    assert talk(rig, client, b"DATA\r\n") == [b"354 Start mail input; end with <CRLF>.<CRLF>"]
    assert talk(rig, client, b"Subject: x\r\n\r\n.\r\n")[0].startswith(b"250")
    assert [ack.recipients for ack in rig.acknowledged] == [["b@yahoo.example"]]
    rig.events.flush()
    (first, *_) = [event for event in rig.kept.events if isinstance(event, Recipient)]
    assert (first.verdict, first.code, first.upstream_code) == ("accept", 451, 0)


def test_a_group_waits_without_holding_an_upstream_connection(rig: Rig, gate: Scripted) -> None:
    gate.group = {"google": [Wait(5.0), Wait(2.0), Admitted("turn")]}
    client = begun(rig)
    assert talk(rig, client, MAIL + rcpt("a@google.example")) == []
    rig.advance(6.0)
    assert not rig.peers
    rig.advance(2.0)
    assert [reply[:3] for reply in talk(rig, client, b"")] == [b"250", b"250"]
    assert len(rig.peers) == 1


def test_what_was_reserved_is_settled_with_what_was_accepted(rig: Rig, gate: Scripted) -> None:
    gate.group = {"google": [Admitted("g1"), Admitted("g2")], "yahoo": [Admitted("y1")]}
    client = begun(rig)
    talk(rig, client, MAIL + rcpt("a@google.example", "no.b@yahoo.example"))
    talk(rig, client, rcpt("c@google.example"))
    talk(rig, client, b"DATA\r\n")
    assert gate.settled == []
    talk(rig, client, b"Subject: x\r\n\r\n.\r\n")
    assert gate.settled == [(["g1", "y1", "g2"], 2)]


@pytest.mark.parametrize("how", ["reset", "cut"])
def test_a_transaction_that_comes_to_nothing_settles_too(
    rig: Rig, gate: Scripted, how: str
) -> None:
    gate.group = {"google": [Admitted("g1")]}
    client = begun(rig)
    talk(rig, client, MAIL + rcpt("a@google.example"))
    if how == "reset":
        talk(rig, client, b"RSET\r\n")
    else:
        client.transport.cut()
        rig.settle()
    assert gate.settled == [(["g1"], 0)]


def test_a_client_that_leaves_while_it_is_held_back_is_forgotten(rig: Rig, gate: Scripted) -> None:
    gate.group = {"google": [Wait(5.0)]}
    client = begun(rig)
    talk(rig, client, MAIL + rcpt("a@google.example"))
    client.transport.cut()
    rig.settle()
    rig.advance(6.0)
    assert not rig.peers
    assert not rig.tasks
    assert gate.settled == [([], 0)]


def test_a_message_that_is_not_admitted_is_refused_at_mail(rig: Rig, gate: Scripted) -> None:
    gate.message = [NotNow("paused by hand"), Wait(3.0), ADMITTED]
    client = begun(rig)
    (said,) = talk(rig, client, MAIL)
    assert said.startswith(b"451 4.7.1")
    assert said.endswith(b"paused by hand")
    assert talk(rig, client, MAIL) == []
    rig.advance(4.0)
    assert talk(rig, client, b"") == [b"250 2.1.0 Sender OK"]


def test_a_message_that_ends_without_the_gate_is_settled_once(rig: Rig, gate: Scripted) -> None:
    client = begun(rig)
    talk(rig, client, MAIL + b"RSET\r\n")
    rig.events.flush()
    assert [type(event) for event in rig.kept.events] == [Message]
    assert gate.settled == [([], 0)]


@pytest.mark.parametrize(
    ("recipients", "provider"),
    [
        (["a@google.example", "b@google.example"], "google"),
        (["a@google.example", "b@yahoo.example"], "other"),
        (["a@elsewhere.example"], "other"),
    ],
)
def test_replies_are_counted_under_the_provider_that_all_recipients_share(
    rig: Rig, recipients: list[str], provider: str
) -> None:
    """A breaker per provider needs the provider in the replies to MAIL, DATA and content."""
    client = begun(rig)
    talk(rig, client, MAIL + rcpt(*recipients) + b"DATA\r\n")
    talk(rig, client, b"Subject: x\r\n\r\n.\r\n")
    rig.events.flush()
    replies = [event for event in rig.kept.events if isinstance(event, ReplyReceived)]
    assert [(event.stage, event.provider) for event in replies] == [
        ("mail", provider),
        ("data", provider),
        ("final", provider),
    ]


def test_a_defect_while_a_group_is_held_back_does_not_keep_the_connection(
    rig: Rig, gate: Scripted, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = begun(rig)
    talk(rig, client, MAIL + rcpt("a@google.example"))
    gate.group = {"google": [Wait(5.0)]}
    talk(rig, client, rcpt("b@google.example"))
    monkeypatch.setattr(gate, "group", None)
    rig.loop.now += 6.0
    rig.loop.settle()
    assert client.read().startswith(b"451 4.3.0")
    assert rig.pool.busy == 0
    assert [type(error) for error in rig.failures] == [AttributeError]
    rig.failures.clear()
