"""The pool and the ends of connections on a virtual clock: limits that an upstream teaches."""

from collections.abc import Iterator

import pytest

from relay.settings import groups
from relay.smtp.upstream.limit import ConnectionLimit
from tests.support.rig import Client, Rig, UpstreamPeer

GROUP = b"MAIL FROM:<a@ok.example>\r\nRCPT TO:<b@ok.example>\r\nDATA\r\n"


@pytest.fixture
def rig() -> Iterator[Rig]:
    made = Rig(pool=groups.Pool(connections=10, wait=30, backoff=60))
    yield made
    made.close()


def greeted(rig: Rig, number: int) -> list[Client]:
    """Return clients that have sent EHLO."""
    clients = [Client(rig) for _ in range(number)]
    for client in clients:
        client.send(b"EHLO client.test\r\n")
    rig.settle()
    for client in clients:
        client.read()
    return clients


def last(client: Client) -> bytes:
    """Return the last reply that came."""
    return client.read().splitlines()[-1]


def test_a_refusal_while_others_work_is_a_limit() -> None:
    limit = ConnectionLimit(10, 60.0)
    assert limit.room(3, 0.0) == 7
    assert limit.refused(3, 0.0, replied=True)
    assert (limit.most, limit.room(3, 0.9), limit.room(2, 0.9)) == (3, 0, 1)
    assert limit.room(3, 1.0) == 1
    assert limit.room(4, 1.0) == 0  # one more is being tried


def test_more_is_tried_less_and_less_often_until_it_succeeds() -> None:
    limit = ConnectionLimit(10, 8.0)
    now, pauses = 0.0, []
    for _ in range(5):
        assert limit.refused(2, now, replied=True)
        began = now
        while not limit.room(2, now):
            now += 0.25
        pauses.append(now - began)
    assert pauses == [1.0, 2.0, 4.0, 8.0, 8.0]
    limit.opened(3, now)
    assert (limit.most, limit.room(3, now + 7.0)) == (3, 0)
    limit.proved(now)
    for used in range(3, 10):
        now += 1.0
        assert limit.room(used, now) == 1
        limit.opened(used + 1, now)
        limit.proved(now)
    assert limit.most == 10


def test_a_refusal_of_the_only_connection_is_a_failure() -> None:
    limit = ConnectionLimit(10, 60.0)
    limit.ended(0.0)
    assert not limit.refused(0, 0.0, replied=True)
    assert limit.room(0, 0.0) == 10
    assert limit.refused(1, 10.0, replied=True)
    limit.ended(20.0)
    assert limit.refused(0, 20.5, replied=True)  # the upstream may still count the one that ended
    assert (limit.most, limit.room(0, 20.5), limit.room(0, 22.5)) == (0, 0, 1)
    assert not limit.refused(0, 22.5, replied=True)
    assert limit.most == 10


def test_who_is_refused_takes_what_came_back_meanwhile(rig: Rig) -> None:
    """A connection that was given back before the refusal is idle: nobody would hand it on."""
    one, two = greeted(rig, 2)
    one.send(GROUP)
    rig.settle()
    (peer,) = rig.peers
    rig.connect_limit, rig.connect_delayed = 1, True
    two.send(GROUP)
    rig.settle()
    peer.release([None] * 3)
    one.send(b".\r\n")
    rig.settle()
    peer.release([None])
    rig.settle()
    assert rig.pool.idle == 1
    rig.let_connect()
    assert [stage for stage, _ in peer.pending] == ["mail", "rcpt", "data"]
    peer.release([None] * 3)
    rig.settle()
    assert last(two).startswith(b"354")


def test_clients_queue_for_the_connections_that_an_upstream_allows(rig: Rig) -> None:
    clients = greeted(rig, 8)
    rig.connect_limit = 2
    for client in clients:
        client.send(GROUP)
    rig.settle()
    assert len([peer for peer in rig.peers if not peer.closed]) == rig.pool.most == 2
    for _ in range(20):
        for peer in rig.peers:
            if peer.pending:
                peer.release([None] * len(peer.pending))
        rig.settle()
        for client in clients:
            if b"354" in bytes(client.transport.written):
                client.read()
                client.send(b".\r\n")
        rig.settle()
    assert len(rig.acknowledged) == 8
    assert all(last(client).startswith(b"250 2.0.0 queued") for client in clients)
    assert rig.pool.limited


def test_a_queue_for_an_upstream_that_lets_nobody_in_is_told_at_once(rig: Rig) -> None:
    clients = greeted(rig, 8)
    rig.connect_limit = 0
    for client in clients:
        client.send(GROUP)
    rig.settle()
    assert all(last(client).startswith(b"451 4.4.1") for client in clients)
    assert not rig.pool.limited
    assert rig.pool.not_before > rig.loop.now
    rig.events.flush()
    assert len(rig.kept.events) < 30  # each client has made one attempt


def test_who_waits_too_long_for_a_connection_gets_451(rig: Rig) -> None:
    one, two = greeted(rig, 2)
    one.send(GROUP)
    rig.settle()
    rig.connect_limit = 1
    two.send(GROUP)
    rig.advance(29.0)
    two.transport.written.clear()  # the reply to MAIL
    rig.advance(0.5)
    assert two.read() == b""
    rig.advance(2.0)
    assert b"allows" in last(two)
    rig.connect_limit = 2
    rig.advance(60.0)
    two.send(b"RSET\r\n" + GROUP)
    rig.settle()
    assert len(rig.peers) == rig.pool.most == 2


def test_an_upstream_that_says_421_to_every_mail_is_not_asked_for_ever(rig: Rig) -> None:
    clients = greeted(rig, 4)
    for client in clients:
        client.send(GROUP)
    rig.settle()
    for _ in range(100):
        for peer in rig.peers:
            if peer.pending and not peer.closed:
                peer.release([b"421 4.7.0 too many\r\n"])
        rig.advance(1.0)
    assert all(last(client).startswith(b"451") for client in clients)
    assert len(rig.peers) <= 4 * 4


def release_and_end(peer: UpstreamPeer, replies: int, end: str) -> None:
    """Give the usual replies, and end the connection in the same turn."""
    deliver = peer.transport.send

    def send(octets: bytes) -> None:
        deliver(octets)
        if end == "eof":
            peer.transport.send_eof()
        elif end == "reset":
            peer.transport.cut()

    peer.transport.send = send  # type: ignore[method-assign]
    peer.release([None] * replies, behind=b"421 4.3.2 closing\r\n" if end == "closing" else b"")


ENDS = pytest.mark.parametrize("end", ["eof", "reset", "closing"])


@ENDS
def test_the_final_reply_counts_though_the_connection_ends_with_it(rig: Rig, end: str) -> None:
    (client,) = greeted(rig, 1)
    client.send(GROUP)
    rig.settle()
    (peer,) = rig.peers
    peer.release([None] * 3)
    client.send(b"text\r\n.\r\n")
    rig.settle()
    release_and_end(peer, 1, end)
    rig.settle()
    assert last(client) == b"250 2.0.0 queued as 0"
    assert (rig.pool.busy, rig.pool.idle) == (0, 0)


@ENDS
@pytest.mark.parametrize("command", [b"RCPT TO:<c@ok.example>\r\n", b"DATA\r\n"])
def test_a_transaction_goes_on_where_its_connection_ends_with_a_reply(
    rig: Rig, end: str, command: bytes
) -> None:
    """MAIL and RCPT are answered and the connection is gone: they are sent again on another."""
    (client,) = greeted(rig, 1)
    client.send(GROUP.removesuffix(b"DATA\r\n"))
    rig.settle()
    release_and_end(rig.peers[0], 2, end)
    rig.settle()
    assert last(client).startswith(b"250 2.1.5")
    client.send(command)
    rig.settle()
    one, two = rig.peers
    assert one.closed
    assert [stage for stage, _ in two.pending] == ["mail", "rcpt", command[:4].decode().lower()]
    two.release([None] * 3)
    rig.settle()
    assert last(client)[:3] in {b"250", b"354"}
    assert len(two.accepted) == (2 if command.startswith(b"RCPT") else 1)


def test_content_is_not_sent_on_a_connection_that_ended_behind_its_354(rig: Rig) -> None:
    (client,) = greeted(rig, 1)
    client.send(GROUP)
    rig.settle()
    release_and_end(rig.peers[0], 3, "closing")
    rig.settle()
    two = rig.peers[1]
    two.release([None] * 3)
    rig.settle()
    assert last(client).startswith(b"354")
    client.send(b"text\r\n.\r\n")
    rig.settle()
    two.release([None])
    rig.settle()
    assert last(client).startswith(b"250")
    assert len(rig.acknowledged) == 1
