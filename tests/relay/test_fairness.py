"""Fair turns: what one client sends keeps no other waiting; junk commands and refused groups."""

from collections.abc import Iterator

import pytest

from relay.settings.groups import Limits
from relay.smtp.server.turns import OCTETS
from tests.support.rig import Client, Rig

SESSIONS = 20
FLOODS = {
    "NOOP": b"NOOP\r\n",
    "transactions": b"MAIL FROM:<a@ok.example>\r\nRSET\r\n",
    "refused recipients": b"MAIL FROM:<a@ok.example>\r\nRCPT TO:<role@ok.example>\r\nRSET\r\n",
    "chunks": b"BDAT 1\r\nx",
    "mistakes": b"XYZZ\r\n",
}


@pytest.fixture
def rig() -> Iterator[Rig]:
    made = Rig(limits=Limits(junk_commands=1_000_000, bad_commands=1000))
    yield made
    made.close()


def connected(rig: Rig) -> Client:
    client = Client(rig)
    client.send(b"EHLO client.test\r\n")
    rig.settle()
    client.read()
    return client


def one_iteration(rig: Rig) -> None:
    rig.loop.call_soon(rig.loop.stop)
    rig.loop.run_forever()


@pytest.mark.parametrize("flood", FLOODS.values(), ids=FLOODS)
def test_a_command_waits_for_few_of_the_commands_that_others_sent_before(
    rig: Rig, flood: bytes
) -> None:
    flooders = [connected(rig) for _ in range(SESSIONS)]
    victim = connected(rig)
    for flooder in flooders:
        flooder.send(flood * (30_000 // len(flood)))
    victim.send(b"NOOP\r\n")
    while not victim.read():
        one_iteration(rig)
    # Each flooder has had the turn in which its octets arrived, and one or two have had another.
    commands = sum(flooder.read().count(b"\r\n") for flooder in flooders)
    in_a_turn = (OCTETS // len(flood) + 1) * flood.count(b"\r\n")
    assert commands <= (SESSIONS + 2) * (in_a_turn + 1)


def test_sessions_with_commands_left_have_their_turns_in_rotation(rig: Rig) -> None:
    clients = [connected(rig) for _ in range(3)]
    for client in clients:
        client.send(b"NOOP\r\n" * 1000)
    counts = [0, 0, 0]
    for _ in range(60):
        one_iteration(rig)
        for place, client in enumerate(clients):
            counts[place] += client.read().count(b"\r\n")
        assert max(counts) - min(counts) <= 2 * OCTETS // 6
    rig.settle()
    for place, client in enumerate(clients):
        counts[place] += client.read().count(b"\r\n")
    assert counts == [1000] * 3


def test_a_client_that_sends_and_closes_its_side_has_every_reply(rig: Rig) -> None:
    client = connected(rig)
    client.send(b"NOOP\r\n" * 500)
    client.transport.send_eof()
    rig.settle()
    assert client.read().count(b"250 2.0.0 OK\r\n") == 500
    assert client.closed


def test_no_command_is_read_while_the_replies_are_not(rig: Rig) -> None:
    client = connected(rig)
    client.send(b"HELP\r\n" * 10_000)
    rig.settle()
    unread = client.read()
    assert 65_536 < len(unread) < 70_000
    rig.settle()
    assert client.read()


@pytest.mark.parametrize("junk", [b"NOOP", b"RSET", b"EHLO x", b"VRFY x", b"HELP"])
def test_junk_commands_above_the_limit_count_as_bad_ones(junk: bytes) -> None:
    rig = Rig(limits=Limits(junk_commands=5, bad_commands=3))
    client = Client(rig)
    client.read()
    client.send(b"%b\r\n" % junk * 7)
    rig.settle()
    assert b"421 " not in client.read()
    client.send(b"%b\r\n" % junk)
    rig.settle()
    assert client.read().splitlines()[-1].startswith(b"421 4.7.0")
    assert client.closed
    rig.close()


def test_a_recipient_ends_the_count_of_junk_commands() -> None:
    rig = Rig(limits=Limits(junk_commands=4, bad_commands=1))
    client = Client(rig)
    client.send(b"EHLO client.test\r\n")
    for _ in range(10):
        client.send(
            b"NOOP\r\nMAIL FROM:<a@ok.example>\r\nRCPT TO:<role@ok.example>\r\nRSET\r\nNOOP\r\n"
        )
        rig.settle()
    assert not client.closed
    rig.close()


@pytest.mark.parametrize(
    "refused",
    [b"MAIL FROM:<a@b@c>", b"MAIL FROM:<a@ok.example> SIZE=99999999", b"MAIL FROM:bad"],
)
def test_what_was_pipelined_behind_a_refused_sender_is_no_bad_command(refused: bytes) -> None:
    rig = Rig(limits=Limits(bad_commands=2))
    client = Client(rig)
    client.send(
        b"EHLO client.test\r\n%b\r\n" % refused + b"RCPT TO:<b@ok.example>\r\n" * 20 + b"DATA\r\n"
    )
    rig.settle()
    replies = client.read().splitlines()[-22:]
    assert replies[0].startswith(b"5")
    assert {reply[:9] for reply in replies[1:]} == {b"503 5.5.1"}
    assert not client.closed
    rig.close()


def test_a_chunk_out_of_sequence_is_a_bad_command() -> None:
    rig = Rig(limits=Limits(bad_commands=3))
    client = Client(rig)
    client.send(b"EHLO client.test\r\n" + b"BDAT 1\r\nx" * 3)
    rig.settle()
    assert client.closed
    rig.close()


def test_a_group_is_sent_in_parts_while_others_wait_for_their_turns(rig: Rig) -> None:
    """The first part is small, and the replies keep their order."""
    flooder, client = connected(rig), connected(rig)
    wanted = [b"r%d@ok.example" % n for n in range(50)]
    client.send(b"MAIL FROM:<a@ok.example>\r\n")
    flooder.send(b"NOOP\r\n" * 1000)
    client.send(b"".join(b"RCPT TO:<%b>\r\n" % path for path in wanted) + b"DATA\r\n")
    rig.settle()
    (peer,) = rig.peers
    groups = []
    while peer.pending:
        groups.append(len(peer.pending))
        peer.release([None] * len(peer.pending))
        rig.settle()
    assert groups == [1 + 10, 40 + 1]
    replies = client.read().splitlines()
    assert [reply[:3] for reply in replies] == [b"250"] * 51 + [b"354"]
    client.send(b"hello\r\n.\r\n")
    rig.settle()
    peer.release([None])
    assert rig.acknowledged[0].recipients == [path.decode() for path in wanted]
