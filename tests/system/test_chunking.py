"""BDAT (RFC 3030) from the application, which reaches the upstream as DATA or as BDAT."""

import pytest

from tests.support.upstream import Upstream
from tests.support.wire import Client, envelope

HEAD = b"Subject: chunks\r\n\r\n"


def bdat(chunk: bytes, *, last: bool = False) -> bytes:
    """The BDAT command with its octets."""
    return b"BDAT %d%s\r\n" % (len(chunk), b" LAST" if last else b"") + chunk


@pytest.fixture
def ready(client: Client) -> Client:
    """A client that has sent MAIL and RCPT."""
    assert [it.code for it in client.pipeline(*envelope()[:-1])] == [250, 250]
    return client


def test_one_chunk(ready: Client, upstream: Upstream) -> None:
    ready.send(bdat(HEAD + b"line\r\n", last=True))
    assert ready.reply().code == 250
    assert upstream.accepted[0].body.endswith(HEAD + b"line\r\n")


def test_dots_are_content(ready: Client, upstream: Upstream) -> None:
    body = HEAD + b".\r\n..\r\n.x\r\n.\r\n"
    ready.send(bdat(body, last=True))
    assert ready.reply().code == 250
    assert upstream.accepted[0].body.endswith(body)


def test_pipelined_chunks_with_an_empty_last_one(client: Client, upstream: Upstream) -> None:
    group = "".join(f"{line}\r\n" for line in envelope()[:-1]).encode()
    client.send(group + bdat(HEAD) + bdat(b"one\r\n") + bdat(b"two\r\n") + bdat(b"", last=True))
    assert [client.reply().code for _ in range(6)] == [250] * 6
    assert upstream.accepted[0].body.endswith(HEAD + b"one\r\ntwo\r\n")


def test_a_last_chunk_that_does_not_end_in_crlf(ready: Client, upstream: Upstream) -> None:
    # DATA needs a final CRLF (RFC 5321 4.1.1.4): presend may add it or refuse the message.
    ready.send(bdat(HEAD + b"no end", last=True))
    reply = ready.reply()
    if reply.code == 250:
        assert upstream.accepted[0].body.endswith(HEAD + b"no end\r\n")
    else:
        assert reply.code == 550
        assert not upstream.received


def test_a_chunk_without_recipients_is_read_and_refused(client: Client, upstream: Upstream) -> None:
    client.send(bdat(b"NOOP\r\n" * 3) + b"NOOP\r\n")
    assert [client.reply().code for _ in range(2)] == [503, 250]
    client.pipeline(*envelope(["550-gone@example.com"])[:-1])
    client.send(bdat(b"RSET\r\n", last=True) + b"NOOP\r\n")
    refused = client.reply()
    assert refused.code in {503, 554}
    assert client.reply().code == 250
    assert not upstream.received


def test_data_does_not_mix_with_bdat(ready: Client, upstream: Upstream) -> None:
    ready.send(bdat(HEAD))
    assert ready.reply().code == 250
    assert ready.cmd("DATA").code == 503
    assert not upstream.received


def test_rset_between_chunks_drops_the_message(ready: Client, upstream: Upstream) -> None:
    ready.send(bdat(HEAD))
    assert ready.reply().code == 250
    assert ready.cmd("RSET").code == 250
    assert ready.transact(b"Subject: next\r\n\r\n").code == 250
    (message,) = upstream.received
    assert message.body.endswith(b"Subject: next\r\n\r\n")


def test_chunks_over_the_limit(ready: Client, upstream: Upstream) -> None:
    chunk = b"x" * 998 + b"\r\n"
    for _ in range(70):
        ready.send(bdat(chunk * 1000))
        reply = ready.reply()
        if reply.code != 250:
            break
    assert (reply.code, reply.enhanced) == (552, "5.3.4")
    ready.cmd("RSET")
    assert not upstream.received
    assert ready.transact().code == 250


def test_a_huge_chunk_size_is_refused(ready: Client, upstream: Upstream) -> None:
    # After 552 the client may still send the octets of the chunk, or close the connection.
    ready.send(b"BDAT 99999999999 LAST\r\n")
    ready.send(b"x" * 100_000)
    ready.close()
    upstream.wait(lambda: all(it.ended for it in upstream.sessions if it.in_body))
    assert not upstream.received


def test_the_upstreams_refusal_of_a_chunked_message(ready: Client, upstream: Upstream) -> None:
    from tests.support import faults

    upstream.settings.plan = faults.always(faults.Stage.FINAL, faults.REFUSED)
    ready.send(bdat(HEAD, last=True))
    assert str(ready.reply()) == "554 5.7.1 Not today"
