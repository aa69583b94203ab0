"""Slow clients and upstreams: deadlines, the least rate, and the budget of octets held."""

from collections.abc import Iterator

import pytest

from relay.settings.groups import Limits, Pool
from relay.smtp.server.budget import PATIENCE
from relay.smtp.server.pace import WINDOW
from tests.support.rig import Client, Rig

ENVELOPE = b"EHLO client.test\r\nMAIL FROM:<a@ok.example>\r\nRCPT TO:<b@ok.example>\r\n"
RATE = 500


@pytest.fixture
def rig() -> Iterator[Rig]:
    made = Rig(limits=Limits(idle=100.0, message_time=1000.0, least_rate=RATE))
    yield made
    made.close()


def in_content(rig: Rig) -> Client:
    """Return a client that may send content."""
    client = Client(rig)
    client.send(ENVELOPE + b"DATA\r\n")
    rig.settle()
    peer = rig.peers[-1]
    peer.release([None] * len(peer.pending))
    rig.settle()
    assert client.read().splitlines()[-1].startswith(b"354")
    return client


def last_line(client: Client) -> bytes:
    return client.read().splitlines()[-1]


def test_a_dripped_command_has_the_time_of_one_command(rig: Rig) -> None:
    client = Client(rig)
    for _ in range(99):
        client.send(b"x")
        rig.advance(1.0)
    assert not client.closed
    for _ in range(2):
        client.send(b"x")
        rig.advance(1.0)
    assert last_line(client).startswith(b"421 4.4.2 Idle")


def test_content_below_the_least_rate_ends_the_session(rig: Rig) -> None:
    client = in_content(rig)
    for _ in range(int(WINDOW)):
        client.send(b"x" * (RATE - 2) + b"\r\n")
        rig.advance(1.0)
    assert not client.closed
    for _ in range(int(WINDOW) + 1):
        client.send(b"x" * (RATE // 2))
        rig.advance(1.0)
    assert last_line(client).startswith(b"421 4.4.2 Sent too slowly")


def test_any_rate_will_do_where_the_setting_says_so() -> None:
    rig = Rig(limits=Limits(least_rate=0))
    client = in_content(rig)
    for _ in range(int(WINDOW) * 2):
        client.send(b"x")
        rig.advance(1.0)
    assert not client.closed
    rig.close()


def test_a_message_has_a_time_limit_in_all(rig: Rig) -> None:
    client = Client(rig)
    client.send(ENVELOPE)
    rig.settle()
    (peer,) = rig.peers
    peer.release([None, None])
    for _ in range(11):
        rig.advance(90.0)
        assert not client.closed
        client.send(b"RCPT TO:<c@ok.example>\r\n")
        rig.settle()
        peer.release([None])
    rig.advance(90.0)
    assert last_line(client).startswith(b"421 4.4.2 Sent too slowly")


def test_the_upstreams_slowness_is_not_the_clients(rig: Rig) -> None:
    """Neither the wait for a reply nor a pause for the sake of the upstream counts."""
    client = Client(rig)
    client.send(ENVELOPE)
    rig.settle()
    rig.advance(200.0)
    assert not client.closed
    for peer in rig.peers:
        peer.release([None] * len(peer.pending))
    client.send(b"DATA\r\n")
    rig.settle()
    (peer,) = rig.peers
    peer.release([None])
    peer.stalled = True
    client.send(b"x" * 200_000)
    rig.advance(2 * WINDOW)
    assert not client.closed


def test_octets_held_for_slow_peers_are_bounded_for_the_process() -> None:
    """Above the budget nothing more is read ahead; then those that hold most are deferred."""
    budget = 1_048_576
    rig = Rig(limits=Limits(buffers=budget), pool=Pool(connections=100))
    ahead = [Client(rig) for _ in range(50)]
    for client in ahead:
        client.send(ENVELOPE)
    rig.settle()
    sent = b"NOOP\r\n" * 1300
    for client in ahead:
        for _ in range(8):
            client.send(sent)
    rig.settle()
    assert rig.server.budget.held <= budget + len(ahead) * len(sent)
    rig.advance(PATIENCE + 1.0)
    deferred = [client for client in ahead if b"421 4.3.1" in client.read()]
    assert 0 < len(deferred) < len(ahead)
    assert rig.server.budget.held <= budget // 2
    other = in_content(rig)
    other.send(b"hello\r\n.\r\n")
    rig.settle()
    rig.peers[-1].release([None])
    assert last_line(other).startswith(b"250")
    rig.close()
    assert rig.server.budget.held == 0


def test_content_that_the_upstream_does_not_read_counts() -> None:
    rig = Rig(limits=Limits(buffers=1_048_576), pool=Pool(connections=100))
    clients = [in_content(rig) for _ in range(10)]
    for peer in rig.peers:
        peer.stalled = True
    for client in clients:
        client.send(b"x" * 1_000_000)
    rig.settle()
    assert rig.server.budget.held > 1_048_576
    rig.advance(PATIENCE + 1.0)
    assert sum(client.closed for client in clients) > 2
    assert rig.server.budget.held <= 1_048_576
    for peer in rig.peers:
        peer.stalled = False
    rig.settle()
    rig.close()


def test_the_time_limit_is_for_each_message(rig: Rig) -> None:
    client = Client(rig)
    client.send(b"EHLO client.test\r\n")
    for _ in range(15):
        client.send(b"MAIL FROM:<a@ok.example>\r\n")
        rig.advance(90.0)
        client.send(b"RSET\r\nMAIL FROM:<a@ok.example>\r\n")
        rig.advance(90.0)
        client.send(b"RSET\r\n")
    assert b"421" not in client.read()


def test_a_client_that_reads_no_reply_is_idle_also_with_commands_left() -> None:
    """It would keep its upstream connection from the others for ever."""
    rig = Rig(limits=Limits(idle=100.0))
    client = Client(rig)
    client.send(ENVELOPE)
    rig.settle()
    (peer,) = rig.peers
    peer.release([None, None])
    client.send(b"RCPT TO:<role@ok.example>\r\n" * 10_000)
    rig.advance(101.0)
    assert [stage for stage, _ in peer.pending] == ["rset"]
    rig.advance(101.0)
    assert client.closed
    rig.close()


@pytest.mark.parametrize("end", [b".\r\n", b".\r\nNOOP\r\n"])
def test_a_client_that_closes_its_side_just_after_the_final_reply_gets_it(
    rig: Rig, end: bytes
) -> None:
    """The reply is in the write buffer at that moment: without it the client would send again."""
    client = in_content(rig)
    client.send(b"hello\r\n" + end)
    rig.settle()
    (peer,) = rig.peers
    peer.transport._deliver = lambda: None  # type: ignore[method-assign]
    peer.pending.clear()
    peer.transport._protocol.data_received(b"250 2.0.0 queued\r\n")
    client.transport.send_eof()
    rig.settle()
    assert b"250 2.0.0 queued\r\n" in client.read()
    assert client.closed
