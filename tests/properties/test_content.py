"""The content scanners give the same result for any division into chunks (RFC 5321 4.1.1.4)."""

import re
from itertools import pairwise

from hypothesis import example, given
from hypothesis import strategies as st

from relay.smtp.server.content import ChunkScanner, DataScanner

LIMIT = 4096
_PIECES = st.sampled_from(
    [
        *(b"\r", b"\n", b"\r\n", b".", b"..", b"\0", b"a", b"Received: x"),
        *(b"\r\n.\r\n", b"\n.\n", b"\r.\r"),
    ]
)
STREAMS = st.lists(_PIECES | st.binary(max_size=6), max_size=40).map(b"".join)
CLEAN = st.lists(
    st.sampled_from([b"\r\n", b".", b"a", b"Received: x", b"\xc3\xa4"]), max_size=60
).map(b"".join)


def cut(stream: bytes, places: list[int]) -> list[bytes]:
    """Split `stream` at `places`."""
    edges = sorted({p % (len(stream) + 1) for p in places} | {0, len(stream)})
    return [stream[a:b] for a, b in pairwise(edges)]


def scan(chunks: list[bytes]) -> tuple[bytes, bytes | None, str]:
    """Return the octets passed upstream, those after the end of data, and the fault."""
    scanner = DataScanner(LIMIT)
    content, rest = b"", None
    for chunk in chunks:
        if rest is not None:
            rest += chunk
            continue
        out, rest = scanner.feed(chunk)
        content += out
    return content, rest, str(scanner.fault or "")


@given(STREAMS, st.lists(st.integers(0, 400), max_size=12))
@example(b"\r.\n", [2])
def test_any_cutting_finds_the_same_end_and_fault(stream: bytes, places: list[int]) -> None:
    """The end, the rest and the fault do not depend on how the stream was split."""
    _content, rest, fault = scan([stream])
    _pieces, rest_cut, fault_cut = scan(cut(stream, places))
    assert (rest_cut, fault_cut) == (rest, fault)


@given(CLEAN, st.lists(st.integers(0, 400), max_size=12))
def test_any_cutting_passes_the_same_content(stream: bytes, places: list[int]) -> None:
    """Content without a fault passes unchanged, however it was split."""
    whole = stream + b"\r\n.\r\nQUIT\r\n"
    content, rest, fault = scan(cut(whole, places))
    assert (content, rest, fault) == scan([whole])
    if not fault:
        end = (b"\r\n" + whole).index(b"\r\n.\r\n")
        assert content == whole[:end]
        assert rest == whole[end + 3 :]


@given(STREAMS, st.lists(st.integers(0, 400), max_size=12))
@example(b"a\rb\nc", [])
@example(b"a\nb\rc", [])
@example(b"\r.\r\n\n", [])
def test_nothing_that_could_end_a_message_elsewhere_leaves(
    stream: bytes, places: list[int]
) -> None:
    """No bare CR, bare LF or NUL goes upstream, and no lone dot (SMTP smuggling)."""
    content, _rest, _fault = scan(cut(stream, places))
    assert not re.search(rb"\r(?!\n)|(?<!\r)\n|\0", content)
    assert b"\r\n.\r\n" not in b"\r\n" + content


@given(CLEAN, st.lists(st.integers(0, 400), max_size=6), st.lists(st.integers(0, 400), max_size=9))
def test_chunks_become_dot_stuffed_lines(
    message: bytes, chunk_edges: list[int], socket_edges: list[int]
) -> None:
    """BDAT content, after dot-unstuffing, is what the client sent, ended by CRLF."""
    scanner = ChunkScanner(LIMIT)
    content = b""
    chunks = cut(message, chunk_edges) or [b""]
    for number, chunk in enumerate(chunks):
        scanner.expect(len(chunk), last=number == len(chunks) - 1)
        rest: bytes | None = None
        for piece in cut(chunk, socket_edges) or [b""]:
            out, rest = scanner.feed(piece)
            content += out
        assert rest == b""
    if scanner.fault is None:
        ended = message if not message or message.endswith(b"\r\n") else message + b"\r\n"
        assert (b"\r\n" + content).replace(b"\r\n.", b"\r\n")[2:] == ended
        assert b"\r\n.\r\n" not in b"\r\n" + content


@given(st.integers(90, 110), st.lists(st.integers(0, 3000), max_size=12))
def test_a_hundred_received_headers_are_a_loop(count: int, places: list[int]) -> None:
    """A hundred Received fields in the header are a loop, fewer are not (RFC 5321 6.3)."""
    body = b"\r\n" + b"Received: in the body\r\n" * 5
    stream = b"rEceived: by x\r\n" * count + body + b".\r\n"
    _content, rest, fault = scan(cut(stream, places))
    assert rest == b""
    assert ("5.4.6" in fault) == (count >= 100)
