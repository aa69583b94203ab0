"""Interleavings that the stateful test of the mail path found, each as a transcript."""

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
