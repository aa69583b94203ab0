"""An event reaches every sink, whatever another sink does; and the page on events is true."""

import json
import re

import pytest

from relay.observe.events import Event, Fanout, Message, Recipient, UpstreamFault, UpstreamReply
from tests.docs import pages

PAGE = pages.DOCS / "events.md"
FIELDS = {
    "recipient": Recipient._fields,
    "message": Message._fields,
    "upstream_fault": UpstreamFault._fields,
    "upstream_reply": UpstreamReply._fields,
    "log": ("logger", "message", "traceback"),
    "log_dropped": ("lines",),
}

REPLY = UpstreamReply("final", 250, "google", "2.0.0")
FAULT = UpstreamFault("connect", "smtp.example.net:587", "connection refused")


class _Keeper:
    """Keeps what it was given."""

    def __init__(self) -> None:
        self.events: list[Event] = []

    def emit(self, event: Event) -> None:
        self.events.append(event)


class _Broken:
    """A sink with a fault."""

    def emit(self, event: Event) -> None:
        raise ValueError(event)


def test_every_sink_gets_every_event_in_order() -> None:
    one, two = _Keeper(), _Keeper()
    fanout = Fanout([one, two])
    fanout.emit(REPLY)
    fanout.emit(FAULT)
    assert one.events == two.events == [REPLY, FAULT]


def test_broken_sink_is_logged_once_and_stops_nobody(caplog: pytest.LogCaptureFixture) -> None:
    keeper = _Keeper()
    fanout = Fanout([_Broken(), keeper, _Broken()])
    fanout.emit(REPLY)
    fanout.emit(FAULT)
    assert keeper.events == [REPLY, FAULT]
    assert [record.exc_info is not None for record in caplog.records] == [True, True]


@pytest.mark.parametrize("event", FIELDS)
def test_page_names_every_field(event: str) -> None:
    assert [row[event] for row in pages.rows(PAGE, event)] == list(FIELDS[event])


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
