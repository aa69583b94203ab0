"""Log lines: their format, masking of personal data, and a slow reader that must not block."""

import contextlib
import errno
import json
import logging
import os
import select
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Self

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from relay.observe.events import Event, Events, Message, Recipient, ReplyReceived, UpstreamFault
from relay.observe.log import EventLog, LineWriter, dropped_lines, install, mask, mask_text
from tests.support.eventually import eventually
from tests.support.registered import restored_logging

NOON = 1795521600.0  # 2026-11-24T12:00:00Z

RECIPIENT = Recipient(
    message_id="7f3a",
    address="john.doe@example.com",
    verdict="reject",
    reason="suppressed",
    detail="hard_bounce",
    observed=("role_account",),
    code=550,
    provider="google",
)
MESSAGE = Message(
    message_id="7f3a",
    sender="news@example.org",
    result="deferred",
    code=451,
    stage="final",
    upstream="esp.example.net:587",
    recipients=2,
    size=4096,
    seconds=0.25,
    validation_seconds=0.0000123,
    reply="4.2.2 <john.doe@example.com> over quota",
)
EMPTY = MESSAGE._replace(result="aborted", code=0, size=0)
"""A transaction that ended before its content, as a client can make without number."""
REPLY = ReplyReceived("final", 250, "google", "2.0.0")
FAULT = UpstreamFault("banner", "esp.example.net:587", "timed out")
UNTRUSTED = UpstreamFault("starttls", "esp.example.net:587", "expired", certificate=True)


class Pipe:
    """A pipe, and a log writer on its writing end; closed after the test."""

    def __init__(self, capacity: int = 1 << 20) -> None:
        self.reading, self.writing = os.pipe()
        report = dropped_lines("json", "spring", lambda: NOON)
        self.writer = LineWriter(self.writing, capacity=capacity, report=report)
        self.open = {self.reading, self.writing}

    def close_end(self, end: int) -> None:
        """Close one end, unless it is already closed."""
        if end in self.open:
            self.open.remove(end)
            os.close(end)

    def read(self) -> bytes:
        """Stop the writer and return everything it wrote."""
        assert self.writer.close(10)
        self.close_end(self.writing)
        with os.fdopen(self.reading, "rb") as file:
            self.open.remove(self.reading)
            return file.read()

    def lines(self) -> list[dict[str, Any]]:
        """Read every line as JSON."""
        return [json.loads(line) for line in self.read().splitlines()]

    def block(self) -> Self:
        """Fill the pipe, so that the writer cannot write until `unblocked`."""
        os.set_blocking(self.writing, False)
        with contextlib.suppress(BlockingIOError):
            while True:
                os.write(self.writing, b"x" * 4096)
        os.set_blocking(self.writing, True)
        self.writer.write(b"\n")
        eventually(lambda: not self.writer._waiting, "the thread waits for the pipe")
        return self

    def unblocked(self) -> list[dict[str, Any]]:
        """Read every line that was written since `block` as JSON."""
        os.set_blocking(self.reading, True)
        pieces: list[bytes] = []

        def read() -> None:
            pieces.extend(iter(lambda: os.read(self.reading, 1 << 20), b""))

        thread = threading.Thread(target=read)
        thread.start()
        assert self.writer.close(10)
        self.close_end(self.writing)
        thread.join(10)
        return [json.loads(line) for line in b"".join(pieces).split(b"\n")[1:-1]]


@pytest.fixture
def make_pipe() -> Iterator[Callable[..., Pipe]]:
    pipes: list[Pipe] = []

    def make(capacity: int = 1 << 20) -> Pipe:
        pipes.append(Pipe(capacity))
        return pipes[-1]

    yield make
    for pipe in pipes:
        pipe.close_end(pipe.reading)  # unblocks a thread that waits to write
        pipe.writer.close(10)
        pipe.close_end(pipe.writing)


@pytest.fixture
def pipe(make_pipe: Callable[..., Pipe]) -> Pipe:
    return make_pipe()


@pytest.fixture
def blocked(make_pipe: Callable[..., Pipe]) -> Pipe:
    """A pipe that nobody reads until the test calls `unblocked`; about 3 to 4 lines may wait."""
    return make_pipe(capacity=1200).block()


@pytest.fixture
def _restored_logging() -> Iterator[None]:
    with restored_logging():
        yield


def event_log(pipe: Pipe, **settings: Any) -> EventLog:  # noqa: ANN401
    return EventLog(pipe.writer, campaign="spring", **settings)


def written(pipe: Pipe, *events: Event, **settings: Any) -> list[dict[str, Any]]:  # noqa: ANN401
    log = event_log(pipe, **settings)
    log.take([(NOON, event) for event in events])
    return pipe.lines()


# Content of a line


def test_recipient(pipe: Pipe) -> None:
    assert written(pipe, RECIPIENT) == [
        {
            "ts": "2026-11-24T12:00:00.000Z",
            "level": "info",
            "event": "recipient",
            "campaign": "spring",
            "message_id": "7f3a",
            "address": "j***@example.com",
            "verdict": "reject",
            "reason": "suppressed",
            "detail": "hard_bounce",
            "observed": ["role_account"],
            "code": 550,
            "upstream_code": 0,
            "enhanced": "",
            "provider": "google",
        }
    ]


def test_message(pipe: Pipe) -> None:
    assert written(pipe, MESSAGE) == [
        {
            "ts": "2026-11-24T12:00:00.000Z",
            "level": "info",
            "event": "message",
            "campaign": "spring",
            "message_id": "7f3a",
            "sender": "n***@example.org",
            "result": "deferred",
            "code": 451,
            "stage": "final",
            "upstream": "esp.example.net:587",
            "recipients": 2,
            "size": 4096,
            "seconds": 0.25,
            "validation_seconds": 0.000012,
            "reply": "4.2.2 <j***@example.com> over quota",
        }
    ]


def test_upstream_fault_and_reply(pipe: Pipe) -> None:
    lines = written(pipe, FAULT, UNTRUSTED, REPLY, level="debug")
    assert [list(line.values())[1:] for line in lines] == [
        ["warning", "upstream_fault", "spring", "banner", FAULT.upstream, "timed out", False],
        ["error", "upstream_fault", "spring", "starttls", FAULT.upstream, "expired", True],
        ["debug", "upstream_reply", "spring", "final", 250, "google", "2.0.0"],
    ]


def test_text_format_leaves_out_what_is_empty(pipe: Pipe) -> None:
    log = event_log(pipe, form="text")
    log.take([(NOON, RECIPIENT._replace(detail="two words", observed=()))])
    assert pipe.read().decode() == (
        "2026-11-24T12:00:00.000Z info recipient campaign=spring message_id=7f3a"
        " address=j***@example.com verdict=reject reason=suppressed"
        ' detail="two words" code=550 provider=google\n'
    )


@pytest.mark.parametrize(
    ("level", "logged"),
    [
        ("debug", [RECIPIENT, MESSAGE, REPLY, FAULT, UNTRUSTED]),
        ("info", [RECIPIENT, MESSAGE, FAULT, UNTRUSTED]),
        ("warning", [FAULT, UNTRUSTED]),
        ("error", [UNTRUSTED]),
        ("critical", []),
    ],
)
def test_levels(pipe: Pipe, level: str, logged: list[Event]) -> None:
    lines = written(pipe, RECIPIENT, MESSAGE, REPLY, FAULT, UNTRUSTED, level=level)
    assert len(lines) == len(logged)
    assert [line.get("certificate") for line in lines] == [
        getattr(event, "certificate", None) for event in logged
    ]


def test_time_stamp_is_that_of_the_event_to_the_millisecond(pipe: Pipe) -> None:
    times = [NOON + 0.0019, NOON + 0.0019, NOON + 0.999, NOON + 1, NOON + 61.25]
    event_log(pipe).take([(seconds, RECIPIENT) for seconds in times])
    assert [line["ts"][17:] for line in pipe.lines()] == [
        "00.001Z",
        "00.001Z",
        "00.999Z",
        "01.000Z",
        "01.250Z",
    ]


def test_a_long_reply_is_cut(pipe: Pipe) -> None:
    (line,) = written(pipe, MESSAGE._replace(reply="x" * 5000))
    assert line["reply"] == "x" * 1000


words = st.text(max_size=30)
numbers = st.integers(0, 10**9)
recipients = st.builds(
    Recipient,
    *(words, words, words, words, words),
    st.lists(words, max_size=2).map(tuple),
    *(numbers, numbers, words, words),
)


@settings(deadline=None)
@given(st.lists(recipients, min_size=1, max_size=5), st.sampled_from(["json", "text"]), words)
def test_an_event_is_one_printable_line_whatever_it_holds(
    events: list[Recipient], form: str, campaign: str
) -> None:
    pipe = Pipe()
    log = EventLog(pipe.writer, campaign=campaign, form=form, masked=False)  # type: ignore[arg-type]
    log.take([(NOON, event) for event in events])
    lines = pipe.read().decode("ascii").split("\n")
    assert len(lines) == len(events) + 1
    assert all(line.isprintable() for line in lines)
    if form == "json":
        for line, event in zip(lines, events, strict=False):
            fields = json.loads(line)
            assert fields.pop("campaign") == campaign
            fields["observed"] = tuple(fields["observed"])
            assert Recipient(**{name: fields[name] for name in Recipient._fields}) == event


# Masking


@pytest.mark.parametrize(
    ("address", "masked"),
    [
        ("john.doe@example.com", "j***@example.com"),
        ("j@example.com", "j***@example.com"),
        ("josé@exämple.com", "j***@exämple.com"),
        ("用户@例え.jp", "用***@例え.jp"),
        ('"john doe"@example.com', '"***@example.com'),
        ("john@doe@example.com", "j***@example.com"),
        ("@example.com", "@example.com"),
        ("john.doe", "j***"),
        ("", ""),
        ("<>", "<>"),
    ],
)
def test_mask(address: str, masked: str) -> None:
    assert mask(address) == masked


@pytest.mark.parametrize(
    ("text", "masked"),
    [
        ("5.1.1 <john@example.com>: unknown", "5.1.1 <j***@example.com>: unknown"),
        ("rfc822;john@example.com", "rfc822;j***@example.com"),
        ("to: a.b@c.example, d@e.example", "to: a***@c.example, d***@e.example"),
        ("john@doe@example.com", "j***@d***@example.com"),
        ("bounce+john=example.com@esp.example", "b***@esp.example"),
        ("o'brien@example.com", "o***@example.com"),
        ('no "john doe"@example.com here', 'no "***@example.com here'),
        ('"one"\n"two"@example.com', '"one"\n"***@example.com'),
        ("用户@例え.jp", "用***@例え.jp"),
        ("help: http://esp.example/?u=john%40example.com", "help: http:/***%40example.com"),
        ("nothing before the @-sign", "nothing before the @-sign"),
        ("2.0.0 Ok: queued as 4XyZ", "2.0.0 Ok: queued as 4XyZ"),
        ("", ""),
    ],
)
def test_mask_text(text: str, masked: str) -> None:
    assert mask_text(text) == masked


@settings(deadline=None)
@given(st.text(), st.text("abcxyz019.!#$%&'*+/=?^_{|}~-é用", min_size=2), st.text())
def test_no_local_part_in_running_text_survives(before: str, local: str, after: str) -> None:
    assert f"<{local}@" not in mask_text(f"{before} <{local}@example.com> {after}")


def test_detail_and_error_and_sender_are_masked(pipe: Pipe) -> None:
    lines = written(
        pipe,
        RECIPIENT._replace(detail="gone: john.doe@example.com"),
        RECIPIENT._replace(address="john doe@example.com", detail="bad john doe@example.com"),
        MESSAGE._replace(sender="josé@example.org"),
        FAULT._replace(error="said: hello news@example.org"),
    )
    assert [line.get("detail") or line.get("sender") or line["error"] for line in lines] == [
        "gone: j***@example.com",
        "bad j***@example.com",
        "j***@example.org",
        "said: hello n***@example.org",
    ]


def test_nothing_is_masked_when_the_operator_says_so(pipe: Pipe) -> None:
    recipient, message = written(pipe, RECIPIENT, MESSAGE, masked=False)
    assert recipient["address"] == RECIPIENT.address
    assert (message["sender"], message["reply"]) == (MESSAGE.sender, MESSAGE.reply)


# Slow readers, and lines that are dropped


def test_lines_of_a_batch_are_written_in_one_piece(
    pipe: Pipe, monkeypatch: pytest.MonkeyPatch
) -> None:
    pieces: list[tuple[bytes, bytes]] = []
    monkeypatch.setattr(pipe.writer, "write", lambda data, marks: pieces.append((data, marks)))
    event_log(pipe).take([(NOON, RECIPIENT), (NOON, MESSAGE), (NOON, REPLY), (NOON, EMPTY)])
    ((data, marks),) = pieces
    assert data.count(b"\n") == len(marks) == 3
    assert marks == b"\0\1\0"


def test_a_batch_above_the_capacity_loses_its_oldest_lines_only(blocked: Pipe) -> None:
    log = event_log(blocked)
    log.take([(NOON + number, RECIPIENT) for number in range(20)])
    gap, *lines = blocked.unblocked()
    assert (gap["event"], gap["level"]) == ("log_dropped", "warning")
    assert gap["lines"] == blocked.writer.dropped == 20 - len(lines) < 20
    assert [line["ts"][17:19] for line in lines] == [f"{n}" for n in range(20 - len(lines), 20)]


def test_messages_are_kept_longer_than_what_a_flooding_client_can_make(blocked: Pipe) -> None:
    log = event_log(blocked)
    log.take([(NOON, MESSAGE), (NOON, RECIPIENT)])
    for _ in range(10):
        log.take([(NOON, RECIPIENT), (NOON, EMPTY), (NOON, RECIPIENT)])
    log.take([(NOON, MESSAGE), (NOON, RECIPIENT)])
    gap, *lines = blocked.unblocked()
    assert [line["size"] for line in lines if line["event"] == "message"][:2] == [4096, 4096]
    assert gap["lines"] + len(lines) == 34


def test_messages_are_dropped_oldest_first_when_nothing_else_is_left(blocked: Pipe) -> None:
    log = event_log(blocked)
    for number in range(20):
        log.take([(NOON, MESSAGE._replace(size=number + 1)), (NOON, RECIPIENT)])
    gap, *lines = blocked.unblocked()
    sizes = [line["size"] for line in lines]
    assert sizes == [*range(21 - len(sizes), 21)]
    assert gap["lines"] == 40 - len(sizes)


def test_a_burst_is_not_dropped_as_a_whole(make_pipe: Callable[..., Pipe]) -> None:
    """19,000 messages in one turn of the event loop, and nobody reads the log meanwhile."""
    pipe = make_pipe(capacity=4 << 20).block()
    events = Events(clock=lambda: NOON)
    events.add_sink(event_log(pipe))
    for number in range(1, 19_001):
        events.emit(RECIPIENT)
        events.emit(MESSAGE._replace(size=number, reply="x" * 900))
    events.flush()
    gap, *lines = pipe.unblocked()
    assert len(lines) * 1300 > 4 << 20 > len(lines) * 1100  # a line has some 1,200 octets
    assert gap["lines"] == 38_000 - len(lines) == pipe.writer.dropped
    assert [line["size"] for line in lines] == [*range(19_001 - len(lines), 19_001)]


def test_pipe_that_nobody_reads_blocks_nobody(make_pipe: Callable[..., Pipe]) -> None:
    pipe = make_pipe(capacity=1000).block()
    log = event_log(pipe)
    for _ in range(10):
        log.take([(NOON, RECIPIENT)] * 10)
        assert pipe.writer._octets <= 1000
    gap, *lines = pipe.unblocked()
    assert pipe.writer.dropped == gap["lines"] == 100 - len(lines)
    assert pipe.writer._octets == 0


chunks = st.lists(st.lists(st.tuples(st.integers(1, 9), st.booleans()), min_size=1, max_size=8))


@settings(deadline=None, max_examples=200)
@given(chunks, st.integers(9, 60))
def test_as_few_lines_as_possible_are_dropped_and_all_are_counted(
    given_chunks: list[list[tuple[int, bool]]], capacity: int
) -> None:
    """The lines that are left are those of a model that drops line by line."""
    reading, writing = os.pipe()
    with os.fdopen(reading, "rb"), os.fdopen(writing, "wb"):
        writer = LineWriter(writing, capacity=capacity)
        assert writer.close(10)  # the thread has ended: nothing is taken from the queue
        writer._closed = False
        model: list[tuple[bytes, bool]] = []
        dropped = 0
        for chunk in given_chunks:
            lines = [(b"%d" % size * size + b"\n", kept) for size, kept in chunk]
            writer.write(b"".join(line for line, _ in lines), bytes(kept for _, kept in lines))
            model += lines
            while sum(len(line) for line, _ in model) > capacity:
                oldest = next((each for each in model if not each[1]), model[0])
                model.remove(oldest)
                dropped += 1
        assert [
            (line, bool(mark))
            for data, marks in writer._waiting
            for line, mark in zip(data.splitlines(keepends=True), marks, strict=True)
        ] == model
        assert writer.dropped == dropped
        assert writer._octets == sum(len(line) for line, _ in model)


def test_lines_for_a_closed_pipe_are_counted(pipe: Pipe) -> None:
    pipe.close_end(pipe.reading)
    assert pipe.writer.write(b"one\ntwo\n", b"\0\0")
    assert pipe.writer.drain(10)
    assert pipe.writer.dropped == 2


def test_the_count_of_dropped_lines_is_said_once_writing_goes_on(
    pipe: Pipe, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A write that fails in the middle loses the lines after its last octet, and no other."""
    room = [5, 0, 100, 100]
    write = os.write

    def short(fd: int, data: bytes) -> int:
        if fd != pipe.writing:
            return write(fd, data)
        left = room.pop(0)
        if not left:
            raise OSError(errno.EIO, "a disk that fails")
        return write(fd, data[:left])

    monkeypatch.setattr(os, "write", short)
    pipe.writer.write(b"one\ntwo\nthree\n", b"\0\0\0")
    assert pipe.writer.drain(10)
    assert pipe.writer.dropped == 2
    room[:0] = [0]  # the report of it fails too
    pipe.writer.write(b"four\n")
    assert pipe.writer.drain(10)
    assert pipe.writer.dropped == 3
    monkeypatch.undo()
    pipe.writer.write(b"five\n")
    text = pipe.read()
    assert text.startswith(b"one\nt{")
    assert b'"event":"log_dropped","campaign":"spring","lines":3}\nfive\n' in text


def test_non_blocking_descriptor_loses_nothing(pipe: Pipe, monkeypatch: pytest.MonkeyPatch) -> None:
    full = threading.Event()

    class Poll:
        """Reports when the writer has to wait."""

        def __init__(self) -> None:
            self._poll = poll()
            self.register = self._poll.register

        def poll(self) -> None:
            full.set()
            self._poll.poll()

    poll = select.poll
    monkeypatch.setattr(select, "poll", Poll)
    os.set_blocking(pipe.writing, False)
    data = b"x" * 300_000 + b"\n"
    assert pipe.writer.write(data)
    assert full.wait(10)
    got = b""
    while len(got) < len(data):
        got += os.read(pipe.reading, 1 << 20)
    assert got == data
    assert pipe.writer.drain(10)


def test_closed_writer_takes_no_more(pipe: Pipe) -> None:
    pipe.writer.write(b"first\n")
    assert pipe.writer.close(10)
    assert not pipe.writer.write(b"second\n")
    assert pipe.writer.dropped == 1
    assert pipe.read() == b"first\n"


def test_event_that_cannot_be_written_takes_no_other_with_it(
    pipe: Pipe, caplog: pytest.LogCaptureFixture
) -> None:
    log = event_log(pipe)
    broken = RECIPIENT._replace(reason=None)  # type: ignore[arg-type]
    log.take([(NOON, RECIPIENT), (NOON, broken), (NOON, MESSAGE)])
    assert [line["event"] for line in pipe.lines()] == ["log_dropped", "recipient", "message"]
    assert caplog.records[0].exc_info is not None


# Operational log of the program


@pytest.mark.usefixtures("_restored_logging")
def test_record_has_the_same_shape(pipe: Pipe) -> None:
    install(pipe.writer, campaign="spring")
    logging.getLogger("relay.smtp").warning("cannot take %s", "john@example.com")
    logging.getLogger("relay.smtp").debug("not this")
    (line,) = pipe.lines()
    assert line.pop("ts").endswith("Z")
    assert line == {
        "level": "warning",
        "event": "log",
        "campaign": "spring",
        "logger": "relay.smtp",
        "message": "cannot take j***@example.com",
    }


@pytest.mark.usefixtures("_restored_logging")
def test_traceback_is_one_field(pipe: Pipe) -> None:
    install(pipe.writer, campaign="spring")
    try:
        int("john@example.com")
    except ValueError:
        logging.getLogger("relay").exception("failed")
    (line,) = pipe.lines()
    assert line["traceback"].startswith("Traceback (most recent call last):\n")
    assert line["traceback"].endswith(" base 10: '***@example.com'")


@pytest.mark.usefixtures("_restored_logging")
def test_record_as_text(pipe: Pipe) -> None:
    install(pipe.writer, campaign="spring", form="text", masked=False)
    logging.getLogger("relay").info("john@example.com\nlevel=error")
    stamp, line = pipe.read().decode().split(" ", 1)
    assert stamp.endswith("Z")
    assert (
        line == 'info log campaign=spring logger=relay message="john@example.com\\nlevel=error"\n'
    )


@pytest.mark.usefixtures("_restored_logging")
def test_install_again_replaces_and_levels_hold(make_pipe: Callable[..., Pipe]) -> None:
    first, second = make_pipe(), make_pipe()
    install(first.writer, campaign="one", level="debug")
    install(second.writer, campaign="two", level="debug")
    logging.getLogger("relay").debug("heard")
    logging.getLogger("mail.log").info("C: RCPT TO:<john@example.com>")
    logging.getLogger("asyncio").debug("Using selector")
    assert first.lines() == []
    assert [line["message"] for line in second.lines()] == ["heard"]


@pytest.mark.usefixtures("_restored_logging")
def test_record_that_cannot_be_formatted_raises_nothing(
    pipe: Pipe, capsys: pytest.CaptureFixture[str]
) -> None:
    install(pipe.writer, campaign="spring")
    handlers = logging.getLogger().handlers
    handlers[:] = handlers[-1:]  # without pytest's own handlers, which raise
    logging.getLogger("relay").info("%d", "x")
    assert pipe.read() == b""
    assert "Logging error" in capsys.readouterr().err


@pytest.mark.usefixtures("_restored_logging")
def test_last_lines_are_waited_for_at_exit(pipe: Pipe) -> None:
    handler = install(pipe.writer, campaign="spring")
    logging.getLogger("relay").info("stopped")
    handler.close()
    os.set_blocking(pipe.reading, False)
    assert os.read(pipe.reading, 1 << 16).endswith(b'"message":"stopped"}\n')
    assert not pipe.writer.write(b"too late")


def test_writes_to_a_file_too(tmp_path: Path) -> None:
    with (tmp_path / "log").open("wb") as file:
        writer = LineWriter(file.fileno())
        writer.write(b"line\n")
        assert writer.close(10)
    assert (tmp_path / "log").read_bytes() == b"line\n"
