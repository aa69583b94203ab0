"""Bare CR, bare LF and NUL in a message: refused, and nothing reaches the upstream.

SMTP smuggling (CVE-2023-51764 and its kin) hides a second message behind an end-of-data sequence
that two servers read differently. The upstream of these tests accepts every sequence that is known
to work on a vulnerable server.
"""

import pytest

from tests.support.presend import Presend
from tests.support.upstream import Upstream
from tests.support.wire import Client, envelope

SMUGGLED = b"MAIL FROM:<evil@app.example>\r\nRCPT TO:<eve@example.com>\r\nDATA\r\nSubject: evil\r\n"

BAD = {
    "bare-lf": b"one\ntwo\r\n",
    "bare-cr": b"one\rtwo\r\n",
    "cr-cr-lf": b"one\r\r\n",
    "lf-cr": b"one\n\rtwo\r\n",
    "nul": b"one\0two\r\n",
    "lf-first": b"\none\r\n",
    "cr-before-the-end": b"one\r",
}
SMUGGLING = [b"\n.\n", b"\r.\r", b"\n.\r\n", b"\r\n.\n", b"\r\n.\r", b"\r.\r\n", b"\r\n\0.\r\n"]


@pytest.fixture(autouse=True)
def _lax(upstream: Upstream) -> None:
    upstream.settings.lax = True


def nothing_arrived(upstream: Upstream, client: Client) -> None:
    """Assert that the upstream received no message, and that the session can continue."""
    assert not upstream.received, upstream.transcript()
    assert not any("evil" in line for line in upstream.commands)
    assert client.transact(b"Subject: next\r\n\r\n").code == 250
    (message,) = upstream.accepted
    assert message.body.endswith(b"Subject: next\r\n\r\n")


@pytest.mark.parametrize("body", BAD.values(), ids=BAD)
def test_bare_line_ends_in_data(client: Client, upstream: Upstream, body: bytes) -> None:
    assert [it.code for it in client.pipeline(*envelope())] == [250, 250, 354]
    client.send(b"Subject: x\r\n\r\n" + body + b"\r\n.\r\n")
    assert str(client.reply()).startswith("550 5.5.2 ")
    nothing_arrived(upstream, client)


@pytest.mark.parametrize("body", BAD.values(), ids=BAD)
def test_bare_line_ends_in_bdat(client: Client, upstream: Upstream, body: bytes) -> None:
    client.pipeline(*envelope()[:-1])
    chunk = b"Subject: x\r\n\r\n" + body
    client.send(b"BDAT %d LAST\r\n" % len(chunk) + chunk)
    assert str(client.reply()).startswith("550 5.5.2 ")
    nothing_arrived(upstream, client)


@pytest.mark.parametrize("split", [False, True], ids=["one-write", "byte-by-byte"])
@pytest.mark.parametrize("end", SMUGGLING, ids=repr)
def test_smuggling_sequences_do_not_end_a_message(
    client: Client, upstream: Upstream, end: bytes, *, split: bool
) -> None:
    client.pipeline(*envelope())
    data = b"Subject: x\r\n\r\nfirst" + end + SMUGGLED + b"\r\n.\r\n"
    for piece in [data[i : i + 1] for i in range(len(data))] if split else [data]:
        client.send(piece)
    assert str(client.reply()).startswith("550 5.5.2 ")
    nothing_arrived(upstream, client)


def test_a_bare_line_end_after_much_good_data(client: Client, upstream: Upstream) -> None:
    client.pipeline(*envelope())
    client.send(b"Subject: x\r\n\r\n" + b"good line\r\n" * 50_000 + b"bad\nline\r\n.\r\n")
    assert str(client.reply()).startswith("550 5.5.2 ")
    nothing_arrived(upstream, client)


def test_a_cr_at_the_end_of_one_bdat_chunk_and_lf_at_the_start_of_the_next(
    client: Client, upstream: Upstream
) -> None:
    client.pipeline(*envelope()[:-1])
    client.send(b"BDAT 13\r\nSubject: two\r" + b"BDAT 3 LAST\r\n" + b"\n\r\n")
    replies = [client.reply(), client.reply()]
    assert [it.code for it in replies] == [250, 250]
    (message,) = upstream.accepted
    assert message.body.endswith(b"Subject: two\r\n\r\n")


def test_the_client_disappears_in_mid_message(presend: Presend, upstream: Upstream) -> None:
    with Client.greeted(presend.smtp_port) as client:
        client.pipeline(*envelope())
        client.send(b"Subject: x\r\n\r\nhalf a message\r\n.\r")
    upstream.wait(lambda: any(it.ended and it.in_body for it in upstream.sessions))
    assert not upstream.received


def test_the_client_disappears_between_bdat_chunks(presend: Presend, upstream: Upstream) -> None:
    with Client.greeted(presend.smtp_port) as client:
        client.pipeline(*envelope()[:-1])
        client.send(b"BDAT 12\r\nSubject: x\r\n")
        assert client.reply().code == 250
    upstream.wait(lambda: all(it.ended for it in upstream.sessions))
    assert not upstream.received
