"""What is passed on of the upstream is a reply, however its octets are cut into pieces."""

import asyncio
import re

from hypothesis import given
from hypothesis import strategies as st

from relay.reply import UpstreamReply, from_upstream
from relay.settings import groups
from relay.smtp.upstream.connection import Connection, Features
from relay.smtp.write_buffer import WriteBuffer
from tests.support.rig import MemoryTransport, VirtualLoop

TEXTS = st.one_of(
    st.binary(max_size=30),
    st.text(max_size=20).map(lambda it: it.encode("utf-8", "surrogatepass")),
    st.sampled_from([b"2.0.0 ok", b"", b"x" * 600, b"\xc3\xa9" * 300, b"\r", b"\x1b[2J", b"\0"]),
)
CODES = st.sampled_from(
    [b"250", b"250", b"251", b"354", b"421", b"450", b"550", b"999", b"25", b""]
)
LINES = st.builds(
    lambda *parts: b"".join(parts),
    CODES,
    st.sampled_from([b" ", b" ", b"-", b"-", b"\t", b""]),
    TEXTS,
    st.sampled_from([b"\r\n", b"\r\n", b"\n"]),
)
OCTETS = st.lists(LINES, max_size=40).map(b"".join)
LINE = re.compile(rb"(\d{3})([ -])?([^\x00-\x08\x0a-\x1f\x7f]{0,506})\r\n")


class Collector:
    """The user of a connection."""

    def __init__(self) -> None:
        self.told: list[tuple[list[bytes], bool]] = []

    def replied(self, replies: list[UpstreamReply], fault: str | None) -> None:
        """Keep the replies, and whether they are all."""
        self.told.append(([reply.wire for reply in replies], fault is None))

    def upstream_paused(self, unsent: int) -> None:
        """Do nothing."""

    def upstream_resumed(self) -> None:
        """Do nothing."""

    def upstream_crashed(self) -> None:
        """Fail the test."""
        raise AssertionError


def outcome(
    octets: bytes, cuts: list[int], commands: int, *, utf8: bool
) -> tuple[list[tuple[list[bytes], bool]], bool]:
    """Return what the user of a connection is told, and whether the connection is still alive."""
    loop = VirtualLoop()
    transport = MemoryTransport(loop, asyncio.Protocol(), "192.0.2.1")
    connection = Connection(
        "upstream.test:25",
        transport,
        Features(pipelining=True),
        timeouts=groups.UpstreamTimeouts(),
        clock=loop.time,
        write_buffer=WriteBuffer(loop.call_soon),
    )
    transport.set_protocol(connection)
    collector = Collector()
    connection.user, connection.utf8 = collector, utf8
    connection.exchange([b"NOOP\r\n"] * commands)
    start = 0
    for place in [*sorted({cut % (len(octets) + 1) for cut in cuts} - {0}), len(octets)]:
        if start < place:
            transport.send(octets[start:place])
        start = place
    loop.settle()
    loop.close()
    return collector.told, connection.alive


@given(OCTETS, st.lists(st.integers(0, 4000), max_size=6), st.integers(1, 4), st.booleans())
def test_pieces_make_no_difference(
    octets: bytes,
    cuts: list[int],
    commands: int,
    utf8: bool,  # noqa: FBT001
) -> None:
    whole = outcome(octets, [], commands, utf8=utf8)
    assert outcome(octets, cuts, commands, utf8=utf8) == whole
    for replies, complete in whole[0]:
        assert len(replies) == commands or not complete
        for reply in replies:
            check(reply, utf8=utf8)


@given(st.sampled_from([b"250", b"550"]), st.lists(LINES, min_size=1).map(b"".join), st.booleans())
def test_what_is_passed_on_is_a_reply(code: bytes, octets: bytes, utf8: bool) -> None:  # noqa: FBT001
    reply = from_upstream(code, octets, utf8=utf8)
    check(reply.wire, utf8=utf8)
    assert from_upstream(code, reply.wire, utf8=utf8).wire == reply.wire
    assert "\n" not in reply.text


def check(reply: bytes, *, utf8: bool) -> None:
    """Assert that this is a reply by RFC 5321 4.2, within its limits."""
    lines = reply.splitlines(keepends=True) if reply.isascii() else reply.split(b"\n")[:-1]
    lines = [line if line.endswith(b"\n") else line + b"\n" for line in lines]
    found = [LINE.fullmatch(line) for line in lines]
    assert all(found), reply
    assert len({it[1] for it in found if it}) == 1
    assert [it[2] for it in found if it][:-1] == [b"-"] * (len(lines) - 1)
    assert found[-1] is not None
    assert found[-1][2] in {b" ", None}
    assert len(lines) <= 32
    assert reply.isascii() or (utf8 and reply.decode())
