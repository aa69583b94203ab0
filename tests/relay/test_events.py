"""Every event reaches every sink, even if one fails; docs/events.md lists all fields."""

import ast
import json
import re

import pytest

from relay.observe.events import (
    Batch,
    Event,
    Events,
    Message,
    Recipient,
    ReplyReceived,
    UpstreamFault,
)
from tests.docs import pages

PAGE = pages.DOCS / "events.md"
FIELDS = {
    "recipient": Recipient._fields,
    "message": Message._fields,
    "upstream_fault": UpstreamFault._fields,
    "upstream_reply": ReplyReceived._fields,
    "listening": ("smtp", "http", "version"),
    "log": ("logger", "message", "traceback"),
    "log_dropped": ("lines",),
}

REPLY = ReplyReceived("final", 250, "google", "2.0.0")
FAULT = UpstreamFault("connect", "smtp.example.net:587", "connection refused")


class _Recorder:
    """A sink that stores the events."""

    def __init__(self) -> None:
        self.batches: list[Batch] = []

    @property
    def events(self) -> list[Event]:
        return [event for batch in self.batches for _, event in batch]

    def take(self, batch: Batch) -> None:
        self.batches.append(batch)


class _Broken:
    """A sink that raises."""

    def take(self, batch: Batch) -> None:
        raise ValueError(batch)


def test_every_sink_gets_every_event_in_order() -> None:
    one, two, events = _Recorder(), _Recorder(), Events()
    events.add_sink(one)
    events.add_sink(two)
    events.emit(REPLY)
    events.emit(FAULT)
    events.flush()
    assert one.events == two.events == [REPLY, FAULT]


def test_the_caller_only_appends_and_a_flush_hands_over_once() -> None:
    keeper, events = _Recorder(), Events()
    events.add_sink(keeper)
    events.emit(REPLY)
    events.emit(FAULT)
    assert keeper.batches == []
    events.flush()
    events.flush()
    assert len(keeper.batches) == 1


def test_an_event_has_the_time_it_was_emitted() -> None:
    times = iter([1.5, 2.5])
    keeper, events = _Recorder(), Events(clock=lambda: next(times))
    events.add_sink(keeper)
    events.emit(REPLY)
    events.emit(FAULT)
    events.flush()
    assert keeper.batches == [[(1.5, REPLY), (2.5, FAULT)]]


def test_a_full_buffer_is_flushed_at_once_and_loses_nothing() -> None:
    keeper, events = _Recorder(), Events(capacity=2)
    events.add_sink(keeper)
    for _ in range(5):
        events.emit(REPLY)
    assert [len(batch) for batch in keeper.batches] == [2, 2]
    events.flush()
    assert keeper.events == [REPLY] * 5


def test_broken_sink_is_logged_once_and_stops_nobody(caplog: pytest.LogCaptureFixture) -> None:
    keeper, events = _Recorder(), Events(capacity=1)
    for sink in (_Broken(), keeper, _Broken()):
        events.add_sink(sink)
    events.emit(REPLY)
    events.emit(FAULT)
    assert keeper.events == [REPLY, FAULT]
    assert [record.exc_info is not None for record in caplog.records] == [True, True]


@pytest.mark.parametrize("event", FIELDS)
def test_page_names_every_field(event: str) -> None:
    assert [row[event] for row in pages.rows(PAGE, event)] == list(FIELDS[event])


def test_the_page_has_every_event_that_the_code_logs() -> None:
    """Its name is the second argument of the methods of Lines that format a line of one kind."""
    logged = set()
    for path in (pages.ROOT / "relay").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
                match [node.func.attr, *node.args]:
                    case ["shape" | "head", _, ast.Constant(value=str(name)), *_]:
                        logged.add(name)
    headings = {line[3:] for _, line in pages.prose(PAGE) if re.fullmatch(r"## [a-z_]+", line)}
    assert logged == headings == set(FIELDS)


def test_examples_of_the_page_have_the_fields() -> None:
    examples = re.findall(r"^```json\n(.*)\n```$", PAGE.read_text(), re.MULTILINE)
    common = ("ts", "level", "event", "campaign")
    assert [row["field"] for row in pages.rows(PAGE, "field")] == list(common)
    seen = set()
    for example in examples:
        line = json.loads(example)
        fields = [name for name in FIELDS[line["event"]] if name != "traceback"]
        assert list(line) == [*common, *fields]
        seen.add(line["event"])
    assert seen == set(FIELDS)
