"""An event reaches every sink, whatever another sink does."""

import pytest

from relay.events import Event, Fanout, UpstreamFault, UpstreamReply

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
