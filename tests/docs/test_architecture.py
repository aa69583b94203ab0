"""docs/architecture.md shows the code as it is, and a reader's way through it stays short."""

from pathlib import Path

import pytest

from relay.smtp.server.session import _HANDLERS
from relay.smtp.server.states import COMMANDS, NEXT, RECEIVING, WAITING, State
from tests import trace
from tests.docs import architecture, layout
from tests.docs.pages import ROOT

pytestmark = pytest.mark.may_block("the traced relay opens its store in its event loop")

MAKE_THEM = "out of date: run `python -m tests.docs.architecture`"


def test_the_blocks_are_as_the_code_has_them() -> None:
    page = architecture.PAGE.read_text()
    assert sorted(architecture.names(page)) == sorted(architecture.blocks())
    assert page == architecture.rendered(page), MAKE_THEM


def test_the_picture_is_as_the_imports_have_it() -> None:
    assert layout.PICTURE.read_text() == layout.picture(), MAKE_THEM
    boxes = set(layout.rooms())
    assert boxes == {room for room in boxes if f">{room}</text>" in layout.picture()}


@pytest.mark.parametrize(
    ("name", "files", "changes"),
    [
        ("further RCPT", 14, 24),
        ("first RCPT", 14, 31),
        ("content", 6, 7),
        ("final dot", 14, 30),
    ],
)
def test_the_way_is_short(name: str, files: int, changes: int) -> None:
    way = architecture.ways()[name]
    assert way.files <= files
    assert way.changes <= changes


def test_the_way_of_a_setting_is_short() -> None:
    files = architecture.way_of_setting()
    assert len(files) <= 5
    used_in, variable = ROOT / files[-1], architecture.SETTING[0]
    assert f"_limits.{variable.rpartition('__')[2].lower()}" in used_in.read_text()


def test_a_change_of_file_is_counted_there_and_back() -> None:
    from relay.settings.clients import parse_network
    from validators.address import parse

    def detour() -> None:
        parse_network("10.0.0.0/8")
        parse("ann@example.com")
        parse_network("10.0.0.0/8")

    way = trace.follow(detour)
    clients = "relay/settings/clients.py"
    assert [step.file for step in way.steps] == [clients, trace.CHECKS, clients]
    assert (way.files, way.changes) == (2, 2)


def test_every_state_is_reached_and_left() -> None:
    assert set(NEXT.values()) | {State.CLOSED, State.NEW} == set(State)
    assert {before for before, _ in NEXT} == set(State) - {State.CLOSED}
    assert not WAITING & RECEIVING


def test_every_command_has_a_handler_and_its_event_a_transition() -> None:
    assert _HANDLERS.keys() == COMMANDS.keys()
    events = {event for _, event in NEXT}
    assert {event for event in COMMANDS.values() if event is not None} <= events


def test_each_room_belongs_to_a_package_of_the_layout() -> None:
    for room in layout.rooms():
        path = ROOT / Path(*room.split("."))
        assert path.is_dir() or path.with_suffix(".py").is_file(), room
