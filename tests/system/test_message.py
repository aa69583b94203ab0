"""The content: presend prepends one Received field and changes no other octet."""

import re

import pytest

from tests.support.presend import Presend, Start
from tests.support.upstream import Upstream
from tests.support.wire import Client, envelope


def split(body: bytes) -> tuple[bytes, bytes]:
    """The Received field that presend prepended, and the rest."""
    lines = body.split(b"\r\n")
    count = 1
    while lines[count][:1] in {b" ", b"\t"}:
        count += 1
    return b"\r\n".join(lines[:count]), b"\r\n".join(lines[count:])


MESSAGES = {
    "empty": b"",
    "one-line": b"Subject: x\r\n",
    "no-header": b"\r\nbody\r\n",
    "dots": b"Subject: x\r\n\r\n.\r\n..\r\n...\r\n.x\r\n\r\n.\r\n",
    "dot-first": b".\r\n",
    "blank-lines": b"Subject: x\r\n\r\n\r\n\r\n\r\n",
    "8bit": b"Subject: \xc3\xa9\r\n\r\n\xff\xfe\x80\r\n",
    "controls": bytes(it for it in range(1, 256) if it not in {10, 13}) + b"\r\n",
    "long-line": b"Subject: x\r\n\r\n" + b"x" * 998 + b"\r\n",
    "folded": b"Subject: a\r\n b\r\n\tc\r\n\r\n",
    "trailing-space": b"Subject: x \r\n\r\nline \t \r\n",
    "received": b"Received: from a by b;\r\n date\r\nSubject: x\r\n\r\n",
    "dkim": b"DKIM-Signature: v=1; a=rsa-sha256;\r\n\tb=abc=\r\nFrom: a@app.example\r\n\r\nx\r\n",
}


@pytest.mark.parametrize("message", MESSAGES.values(), ids=MESSAGES)
def test_no_octet_changes(client: Client, upstream: Upstream, message: bytes) -> None:
    client.pipeline(*envelope())
    # Sent by hand, since an empty message consists of the final dot only.
    stuffed = (b"\r\n" + message).replace(b"\r\n.", b"\r\n..")[2:] + b".\r\n"
    client.send(stuffed)
    assert client.reply().code == 250
    (received,) = upstream.accepted
    header, rest = split(received.body)
    assert header.startswith(b"Received: from app.example (")
    assert rest == message


def test_the_received_header_tells_who_what_and_when(client: Client, upstream: Upstream) -> None:
    # RFC 5321 4.4: from (EHLO name, address), by (our name), with (protocol), id, date.
    assert client.transact().code == 250
    header, _ = split(upstream.accepted[0].body)
    text = b" ".join(header.split()).decode()
    assert re.fullmatch(
        r"Received: from app\.example \(.*\[127\.0\.0\.1\]\) by relay\.example (\(.*\) )?"
        r"with ESMTP id \S+( for <ann@example\.com>)?; "
        r"\w{3}, \d{1,2} \w{3} \d{4} \d\d:\d\d:\d\d [+-]\d{4}( \(.*\))?",
        text,
    ), text
    assert all(len(line) <= 998 for line in header.split(b"\r\n"))


def test_the_received_header_names_no_recipient_of_several(
    client: Client, upstream: Upstream
) -> None:
    assert client.transact(to=["ann@example.com", "bob@example.com"]).code == 250
    header, _ = split(upstream.accepted[0].body)
    assert b"ann@" not in header
    assert b"bob@" not in header


def test_an_ehlo_name_cannot_inject_a_header(presend: Presend, upstream: Upstream) -> None:
    with Client(presend.smtp_port) as client:
        client.reply()
        client.cmd("EHLO evil)\tby x; (")
        reply = client.transact()
        if reply.code == 503:  # the name itself was refused
            return
        assert reply.code == 250
    header, _ = split(upstream.accepted[0].body)
    assert b"by relay.example" in b" ".join(header.split())
    assert b"evil)" not in header


def test_a_mail_loop_is_refused(client: Client, upstream: Upstream) -> None:
    looped = b"Received: from a by b; date\r\n" * 100 + b"Subject: x\r\n\r\n"
    reply = client.transact(looped)
    assert (reply.code, reply.enhanced) == (554, "5.4.6")
    assert not upstream.received
    nearly = b"received: from a by b; date\r\n" * 99 + b"Subject: x\r\n\r\n"
    assert client.transact(nearly).code == 250


def test_received_lines_in_the_body_are_no_loop(client: Client) -> None:
    body = b"Subject: x\r\n\r\n" + b"Received: from a by b; date\r\n" * 200
    assert client.transact(body).code == 250
    folded = b"Subject: x\r\n" + b" Received: from a by b; date\r\n" * 200 + b"\r\n"
    assert client.transact(folded).code == 250


def test_size_over_the_limit_is_refused_at_mail(client: Client, upstream: Upstream) -> None:
    client.run("""
        C: MAIL FROM:<news@app.example> SIZE=67108865
        S: 552 5.3.4 ...
        C: MAIL FROM:<news@app.example> SIZE=67108864
        S: 250 2.1.0 ...
    """)
    assert not upstream.received


def test_over_the_limit_while_streaming(start: Start, upstream: Upstream) -> None:
    presend = start(upstream, LIMITS__MESSAGE_SIZE="100000")
    with Client.greeted(presend.smtp_port) as client:
        for size in (100_080, 2_000_000):
            client.pipeline(*envelope())
            line = b"x" * 78 + b"\r\n"
            client.send(line * (size // len(line)) + b".\r\n")
            reply = client.reply()
            assert (reply.code, reply.enhanced) == (552, "5.3.4")
            assert not upstream.received
        assert client.transact(line * 1200).code == 250
    assert len(upstream.accepted) == 1


def test_memory_does_not_grow_with_the_message(
    presend: Presend, client: Client, upstream: Upstream
) -> None:
    assert client.transact().code == 250
    before = presend.rss()
    line = b"x" * 78 + b"\r\n"
    message = b"Subject: x\r\n\r\n" + line * (50 * 1024 * 1024 // len(line))
    assert client.transact(message).code == 250
    grown = presend.rss() - before
    assert grown < 16 * 1024 * 1024, grown
    assert split(upstream.accepted[-1].body)[1] == message
