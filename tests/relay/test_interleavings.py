"""Interleavings that the stateful test and attacks on the mail path found, each a transcript."""

from collections.abc import Iterator

import pytest

from tests.support.rig import Client, Rig


@pytest.fixture
def rig() -> Iterator[Rig]:
    made = Rig()
    made.features = made.features._replace(pipelining=False)
    yield made
    made.close()


def test_a_surplus_reply_is_no_reply_to_a_command_that_was_not_sent(rig: Rig) -> None:
    """Without PIPELINING, RCPT waits for the reply to MAIL; two replies to MAIL accept nobody."""
    client = Client(rig)
    client.send(b"EHLO client.test\r\nMAIL FROM:<a@ok.example>\r\nRCPT TO:<b@ok.example>\r\n")
    rig.settle()
    (peer,) = rig.peers
    peer.release([None], behind=b"250 2.0.0 surplus\r\n")
    rig.settle()
    assert client.read().splitlines()[-1].startswith(b"451 4.4.2")
    assert peer.closed


def test_replies_to_one_group_are_not_given_to_the_next(rig: Rig) -> None:
    """Replies collected until the one to DATA are cleared with it, also if DATA was refused."""
    client = Client(rig)
    client.send(
        b"EHLO client.test\r\nMAIL FROM:<a@ok.example>\r\nRCPT TO:<b@ok.example>\r\nDATA\r\n"
    )
    rig.settle()
    (peer,) = rig.peers
    for reply in (None, None, b"451 4.3.0 later\r\n"):
        peer.release([reply])
        rig.settle()
    assert client.read().splitlines()[-1] == b"451 4.3.0 later"
    peer.transport.cut()
    rig.connect_refused = True
    client.send(b"RCPT TO:<c@ok.example>\r\nRCPT TO:<d@ok.example>\r\n")
    rig.settle()
    assert [reply[:9] for reply in client.read().splitlines()] == [b"451 4.4.1"] * 2


@pytest.mark.parametrize("end", [b"RSET\r\n", b"EHLO client.test\r\n"])
def test_a_draining_session_ends_with_its_transaction_however_that_ends(
    rig: Rig, end: bytes
) -> None:
    client = Client(rig)
    client.send(b"EHLO client.test\r\nMAIL FROM:<a@ok.example>\r\n")
    rig.settle()
    client.connection.drain()
    client.send(end)
    rig.settle()
    assert client.read().splitlines()[-1].startswith(b"421 4.3.2")
    assert client.closed


def test_a_silent_upstream_is_not_asked_again_on_the_next_idle_connection(rig: Rig) -> None:
    """A connection that was closed is replaced; waiting again as long on each would add up."""
    rig.features = rig.features._replace(pipelining=True)
    clients = [Client(rig) for _ in range(3)]
    for client in clients:
        client.send(b"EHLO client.test\r\nMAIL FROM:<a@ok.example>\r\nRCPT TO:<b@ok.example>\r\n")
    rig.settle()
    for peer in rig.peers:
        peer.release([None, None])
    for client in clients:
        client.send(b"RSET\r\n")
    rig.settle()
    for peer in rig.peers:
        peer.release([None])
    rig.settle()
    assert rig.pool.idle == 3
    clients[0].read()
    clients[0].send(b"MAIL FROM:<a@ok.example>\r\nRCPT TO:<b@ok.example>\r\n")
    rig.settle()
    for _ in range(301):
        for client in clients[1:]:
            client.send(b"NOOP\r\n")
        rig.pools.tick(rig.loop.now)
        rig.loop.now += 1.0
        rig.settle()
    assert clients[0].read().splitlines()[-1].startswith(b"451 4.4.2")


def test_a_pool_that_closes_sends_quit_on_what_is_given_back_later(rig: Rig) -> None:
    client = Client(rig)
    client.send(b"EHLO client.test\r\nMAIL FROM:<a@ok.example>\r\nRCPT TO:<b@ok.example>\r\n")
    rig.settle()
    (peer,) = rig.peers
    for _ in range(2):
        peer.release([None])
        rig.settle()
    client.send(b"RSET\r\n")
    rig.settle()
    closing = rig.loop.create_task(rig.pools.close(2.0))
    rig.settle()
    peer.release([None])
    rig.settle()
    assert [stage for stage, _ in peer.pending] == ["quit"]
    peer.release([None])
    rig.settle()
    assert closing.done()


def test_a_client_is_read_again_when_the_upstream_that_held_it_back_is_lost(rig: Rig) -> None:
    """The upstream stops reading in the middle of the content and is lost before it reads again."""
    rig.features = rig.features._replace(pipelining=True)
    client = Client(rig)
    client.send(
        b"EHLO client.test\r\nMAIL FROM:<a@ok.example>\r\nRCPT TO:<b@ok.example>\r\nDATA\r\n"
    )
    rig.settle()
    (peer,) = rig.peers
    peer.release([None] * 3)
    rig.settle()
    peer.stalled = True
    client.send((b"y" * 70 + b"\r\n") * 2_000 + b".\r\n")
    rig.settle()
    client.read()
    peer.transport.cut()
    rig.settle()
    client.send(b"NOOP\r\n")
    rig.settle()
    assert [reply[:9] for reply in client.read().splitlines()] == [b"451 4.4.2", b"250 2.0.0"]
