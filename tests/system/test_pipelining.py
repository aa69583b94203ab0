"""Pipelining on both sides (RFC 2920): replies in order, few round trips upstream."""

from tests.support.presend import Presend
from tests.support.upstream import Upstream
from tests.support.upstream_session import EXTENSIONS, Session
from tests.support.wire import Client, envelope, stuffed


def session_of(upstream: Upstream) -> Session:
    """The only session in which mail was sent."""
    (session,) = [it for it in upstream.sessions if any("MAIL" in line for line in it.commands)]
    return session


def test_a_group_of_twenty_recipients(client: Client, upstream: Upstream) -> None:
    assert client.transact().code == 250  # opens the upstream connection
    session = session_of(upstream)
    before = session.turns
    to = [f"{'550-' if i % 3 == 0 else ''}r{i}@example.com" for i in range(20)]
    replies = client.pipeline(*envelope(to))
    assert [it.code for it in replies] == [
        250,
        *(550 if i % 3 == 0 else 250 for i in range(20)),
        354,
    ]
    for address, reply in zip(to, replies[1:-1], strict=True):
        assert reply.code == 250 or f"<{address}>" in reply.text
    assert session.turns - before <= 2  # MAIL and RCPTs, then DATA: two round trips at most
    assert client.body(b"Subject: x\r\n\r\n").code == 250
    assert upstream.accepted[-1].addresses == [it for it in to if not it.startswith("550")]


def test_local_refusals_keep_their_place_in_the_group(client: Client, upstream: Upstream) -> None:
    client.run("""
        C: MAIL FROM:<news@app.example>
        C: RCPT TO:<ann@example.com>
        C: RCPT TO:<postmaster@example.com>
        C: RCPT TO:<550-gone@example.com>
        C: RCPT TO:<a..b@example.com>
        C: RCPT TO:<bob@example.com>
        C: DATA
        S: 250 2.1.0 ...
        S: 250 2.1.5 ...
        S: 550 5.7.1 ...
        S: 550 5.1.1 <550-gone@example.com> as you wish
        S: 553 5.1.3 ...
        S: 250 2.1.5 ...
        S: 354 ...
        X: .\\r\\n
        S: 250 ...
    """)
    assert upstream.accepted[0].addresses == ["ann@example.com", "bob@example.com"]


def test_a_whole_session_in_one_write(presend: Presend, upstream: Upstream) -> None:
    # RFC 2920 allows the content and the next group of commands to be sent together.
    with Client.greeted(presend.smtp_port) as client:
        client.pipeline(*envelope())
        client.send(stuffed(b"Subject: 1\r\n\r\n") + "\r\n".join(envelope()).encode() + b"\r\n")
        assert [client.reply().code for _ in range(4)] == [250, 250, 250, 354]
        client.send(stuffed(b"Subject: 2\r\n\r\n") + b"RSET\r\nNOOP\r\nQUIT\r\n")
        assert [client.reply().code for _ in range(4)] == [250, 250, 250, 221]
    assert [it.body[-14:] for it in upstream.accepted] == [
        b"Subject: 1\r\n\r\n",
        b"Subject: 2\r\n\r\n",
    ]


def test_an_upstream_that_says_354_without_recipients(client: Client, upstream: Upstream) -> None:
    # RFC 2920 3.1: a client that got 354 although every RCPT failed must send a lone dot.
    upstream.settings.eager = True
    replies = client.pipeline(*envelope(["550-a@example.com", "550-b@example.com"]))
    assert [it.code for it in replies] == [250, 550, 550, 554]
    assert client.transact(b"Subject: next\r\n\r\n").code == 250
    (message,) = upstream.received
    assert message.body.endswith(b"Subject: next\r\n\r\n")


def test_no_pipelining_towards_an_upstream_that_does_not_offer_it(
    client: Client, upstream: Upstream
) -> None:
    upstream.settings.extensions = tuple(it for it in EXTENSIONS if it != "PIPELINING")
    to = [f"r{i}@example.com" for i in range(5)]
    assert [it.code for it in client.pipeline(*envelope(to))] == [250] * 6 + [354]
    assert client.body(b"Subject: x\r\n\r\n").code == 250
    assert session_of(upstream).longest_batch == 1
    assert upstream.accepted[0].addresses == to


def test_a_group_larger_than_the_socket_buffers(client: Client, upstream: Upstream) -> None:
    upstream.settings.plan = lambda _stage: None
    to = [f"{'r' * 60}{i}@example.com" for i in range(1000)]
    replies = client.pipeline(*envelope(to))
    assert {it.code for it in replies[:-1]} == {250}
    assert client.body(b"Subject: x\r\n\r\n").code == 250
    assert upstream.accepted[0].addresses == to
