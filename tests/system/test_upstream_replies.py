"""Replies of the upstream: those that were asked for count, and only what is fit is passed on."""

import smtplib
import threading

import pytest

from tests.support import faults
from tests.support.faults import Fault, Kind, Stage
from tests.support.presend import Presend, Start
from tests.support.scripted import Line, Scripted
from tests.support.upstream import Upstream
from tests.support.wire import Client

QUEUED = b"250 2.0.0 queued as 4711\r\n"
SURPLUS = {
    "closing": b"421 4.3.2 closing\r\n",
    "second": b"250 2.0.0 queued as 4712\r\n",
    "refusal": b"550 5.7.1 no\r\n",
    "part": b"42",
    "garbage": b"\x00\xff\r\n",
}


def says(octets: bytes) -> Fault:
    """Return the fault of an upstream that replies with just these octets."""
    return Fault(Kind.REPLY, octets)


@pytest.mark.parametrize("surplus", SURPLUS.values(), ids=SURPLUS)
def test_what_follows_the_final_reply_does_not_undo_it(
    client: Client, upstream: Upstream, surplus: bytes
) -> None:
    upstream.settings.plan = faults.always(Stage.FINAL, says(QUEUED + surplus))
    for _ in range(3):
        assert str(client.transact()) == "250 2.0.0 queued as 4711"
    assert len(upstream.accepted) == len(upstream.sessions) == 3


@pytest.mark.parametrize("surplus", SURPLUS.values(), ids=SURPLUS)
@pytest.mark.parametrize(
    ("stage", "usual"),
    [
        (Stage.MAIL, b"250 2.1.0 ok\r\n"),
        (Stage.RCPT, b"250 2.1.5 ok\r\n"),
        (Stage.DATA, b"354 go\r\n"),
    ],
    ids=["mail", "rcpt", "data"],
)
def test_a_surplus_reply_before_content_costs_a_connection_and_no_message(
    client: Client, upstream: Upstream, stage: Stage, usual: bytes, surplus: bytes
) -> None:
    """The commands of a client that waits for each reply go in groups: MAIL and RCPT, DATA."""
    assert client.transact().code == 250
    upstream.settings.plan = faults.once(stage, says(usual + surplus))
    replies = [client.transact().code]
    client.cmd("RSET")
    replies.append(client.transact().code)
    assert replies[-1] == 250
    assert replies.count(250) + 1 == len(upstream.accepted)  # none twice, none for nothing
    if stage is not Stage.MAIL:  # behind MAIL it cannot be told from the reply to RCPT
        assert replies == [250, 250]


@pytest.mark.parametrize("reset", [False, True], ids=["fin", "rst"])
def test_an_upstream_that_closes_behind_its_final_reply(start: Start, *, reset: bool) -> None:
    def script(line: Line) -> None:
        line.greet()
        line.until(b"RCPT TO:<ann@example.com>\r\n")
        line.send(b"250 ok\r\n250 ok\r\n")
        line.until(b"DATA\r\n")
        line.send(b"354 go\r\n")
        line.until(b"\r\n.\r\n")
        if reset:
            line.sock.setsockopt(1, 13, b"\x01\0\0\0\0\0\0\0")  # SO_LINGER of 0 s: RST
        line.send(QUEUED)

    with Scripted(script) as server:
        presend = start(UPSTREAM=server.url())
        with Client.greeted(presend.smtp_port) as client:
            assert [client.transact().code for _ in range(5)] == [250] * 5
        assert server.connections == 5


def test_a_surplus_reply_in_two_segments(start: Start) -> None:
    told = threading.Event()

    def script(line: Line) -> None:
        line.greet()
        line.until(b"RCPT TO:<ann@example.com>\r\n")
        line.send(b"250 ok\r\n250 ok\r\n")
        line.until(b"DATA\r\n")
        line.send(b"354 go\r\n")
        line.until(b"\r\n.\r\n")
        line.send(QUEUED + b"4")
        told.wait(10)
        line.send(b"21 closing\r\n")

    with Scripted(script) as server:
        presend = start(UPSTREAM=server.url())
        with Client.greeted(presend.smtp_port) as client:
            for _ in range(3):
                told.clear()
                assert client.transact().code == 250
                told.set()
        assert server.connections == 3


@pytest.mark.parametrize("stage", [Stage.RSET, Stage.QUIT], ids=str)
def test_a_surplus_reply_to_rset_or_quit(client: Client, upstream: Upstream, stage: Stage) -> None:
    upstream.settings.plan = faults.always(stage, says(b"250 ok\r\n421 closing\r\n"))
    for _ in range(3):
        client.cmd("MAIL FROM:<news@app.example>")
        client.cmd("RCPT TO:<ann@example.com>")
        assert client.cmd("RSET").code == 250
        assert client.transact().code == 250
    assert len(upstream.accepted) == 3


def test_an_upstream_that_ends_every_connection_behind_354(
    client: Client, upstream: Upstream
) -> None:
    upstream.settings.plan = faults.always(Stage.DATA, says(b"354 go\r\n421 closing\r\n"))
    reply = client.transact()
    assert (reply.code, reply.enhanced) == (451, "4.4.2")
    assert len(upstream.sessions) < 10


REPAIRED = {
    "bare CR": (b"250 queued\rX: y\r\n", b"250 queued X: y\r\n"),
    "bare LF": (b"250 queued\n", b"250 queued\r\n"),
    "bare LF in lines": (b"250-one\n250 two\n", b"250-one\r\n250 two\r\n"),
    "NUL": (b"250 que\0ued\r\n", b"250 que ued\r\n"),
    "ESC": (b"250 \x1b[2Jqueued\x7f\x08\r\n", b"250  [2Jqueued  \r\n"),
    "tab": (b"250 2.0.0\tqueued\r\n", b"250 2.0.0\tqueued\r\n"),
    "tab behind the code": (b"250\tqueued\r\n", b"250 queued\r\n"),
    "Latin-1": (b"250 gr\xfc\xdfe\r\n", b"250 gr??e\r\n"),
    "UTF-8": ("250 gr\u00fc\u00dfe\r\n".encode(), b"250 gr????e\r\n"),
    "512 octets": (b"250 " + b"x" * 506 + b"\r\n", b"250 " + b"x" * 506 + b"\r\n"),
    "513 octets": (b"250 " + b"x" * 507 + b"\r\n", b"250 " + b"x" * 506 + b"\r\n"),
    "9,000 octets": (b"250 " + b"x" * 8994 + b"\r\n", b"250 " + b"x" * 506 + b"\r\n"),
    "long lines": (
        b"250-" + b"x" * 2000 + b"\r\n250 " + b"y" * 2000 + b"\r\n",
        b"250-" + b"x" * 506 + b"\r\n250 " + b"y" * 506 + b"\r\n",
    ),
    "100 lines": (
        b"".join(b"250-%d\r\n" % it for it in range(99)) + b"250 last\r\n",
        b"".join(b"250-%d\r\n" % it for it in range(31)) + b"250 last\r\n",
    ),
    "codes of one class": (b"250-one\r\n251 two\r\n", b"251-one\r\n251 two\r\n"),
    "a line without code": (
        b"250-one\r\ntwo\r\n250 three\r\n",
        b"250-one\r\n250-two\r\n250 three\r\n",
    ),
    "no text": (b"250\r\n", b"250\r\n"),
}


@pytest.mark.parametrize(("said", "passed_on"), REPAIRED.values(), ids=REPAIRED)
def test_a_reply_is_repaired(
    client: Client, upstream: Upstream, said: bytes, passed_on: bytes
) -> None:
    upstream.settings.plan = faults.always(Stage.FINAL, says(said))
    for _ in range(2):
        reply = client.transact()
        assert "".join(f"{line}\r\n" for line in reply.lines).encode() == passed_on
    refused = says(said.replace(b"250", b"550").replace(b"251", b"551"))
    upstream.settings.plan = faults.always(Stage.RCPT, refused)
    reply = client.transact()
    said_back = passed_on.replace(b"250", b"550").replace(b"251", b"551")
    assert "".join(f"{line}\r\n" for line in reply.lines).encode() == said_back
    assert len(upstream.received) == 2
    assert len(upstream.sessions) == 1


@pytest.mark.parametrize(
    "said",
    [b"250-one\r\n550 two\r\n", b"550-one\r\n250 two\r\n", b"450-one\r\n550 two\r\n"],
    ids=["good-bad", "bad-good", "later-never"],
)
@pytest.mark.parametrize("stage", [Stage.MAIL, Stage.RCPT, Stage.DATA, Stage.FINAL], ids=str)
def test_a_reply_that_contradicts_itself_is_no_reply(
    client: Client, upstream: Upstream, stage: Stage, said: bytes
) -> None:
    upstream.settings.plan = faults.always(stage, says(said))
    reply = client.transact()
    assert (reply.code, reply.enhanced) == (451, "4.4.2")
    upstream.wait(lambda: all(it.ended for it in upstream.sessions))
    upstream.settings.plan = faults.healthy
    client.cmd("RSET")
    client.transact_until_accepted()


def test_utf8_in_a_reply_goes_to_those_who_understand_it(
    presend: Presend, client: Client, upstream: Upstream
) -> None:
    """RFC 6531 3.7.4.2. The clients take turns, and get the reply that the one before got."""
    text = "550 5.1.1 \u4e0d\u5b58\u5728 \u2028\u202e\u0085"
    upstream.settings.plan = faults.always(Stage.RCPT, says(f"{text}\r\n".encode()))
    for _ in range(2):
        assert client.transact().lines[0].isascii()
        client.cmd("RSET")
        client.cmd("MAIL FROM:<news@app.example> SMTPUTF8")
        assert str(client.cmd("RCPT TO:<ann@example.com>")) == "550 5.1.1 \u4e0d\u5b58\u5728    "
        client.cmd("RSET")
    long = b"550 " + "\u00e9".encode() * 300 + b"\r\n"
    upstream.settings.plan = faults.always(Stage.RCPT, says(long))
    client.cmd("MAIL FROM:<news@app.example> SMTPUTF8")
    assert str(client.cmd("RCPT TO:<ann@example.com>")) == "550 " + "\u00e9" * 253
    assert presend.process.poll() is None


def test_smtplib_reads_an_endless_line(presend: Presend, upstream: Upstream) -> None:
    upstream.settings.plan = faults.always(Stage.FINAL, says(b"250 " + b"x" * 8994 + b"\r\n"))
    with smtplib.SMTP("127.0.0.1", presend.smtp_port, timeout=20) as client:
        client.sendmail("news@app.example", ["ann@example.com"], b"Subject: x\r\n\r\n")
    assert len(upstream.accepted) == 1
