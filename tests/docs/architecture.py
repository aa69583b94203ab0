"""What docs/architecture.md shows of the code, made from the code.

`python -m tests.docs.architecture` writes the blocks of the page between their marks, and the
picture of the layout; tests/docs/test_architecture.py fails where either is out of date.
"""

import functools
import re
from collections.abc import Mapping
from enum import IntEnum
from typing import Final, TypeVar

from relay.smtp.server import states
from relay.smtp.upstream import phases
from tests import trace
from tests.docs import layout
from tests.docs.pages import DOCS

PAGE: Final = DOCS / "architecture.md"
SETTING: Final = ("PRESEND_POOL__WAIT", "pool")
_BLOCK: Final = re.compile(
    r"(?P<mark><!-- made: (?P<name>\w+) -->\n).*?(?=<!-- end -->)", re.MULTILINE | re.DOTALL
)
_BEFORE: Final = {
    "further RCPT": (16, 33),
    "first RCPT": (18, 44),
    "content": (10, 13),
    "final dot": (17, 38),
}
"""Files and changes of file, by the same rules, in the first version (commit a203cd1)."""
_MEANINGS: Final = {
    "further RCPT": "an accepted RCPT in an open transaction, and its reply",
    "first RCPT": "the first RCPT, with which MAIL goes to the upstream, and its reply",
    "content": "a piece of content",
    "final dot": "the final dot, and the final reply",
}

State = TypeVar("State", bound=IntEnum)
Event = TypeVar("Event", bound=IntEnum)

ways = functools.cache(trace.mail_path)
way_of_setting = functools.cache(functools.partial(trace.setting, *SETTING))


def blocks() -> dict[str, str]:
    """Return every block of the page by its name."""
    return {
        "layers": layout.layers(),
        "rooms": layout.table(),
        "figures": _figures(),
        "rcpt": _steps(ways()["further RCPT"]),
        "content": _steps(ways()["content"]),
        "final": _steps(ways()["final dot"]),
        "setting": "\n".join(
            f"{number}. `{file}`" for number, file in enumerate(way_of_setting(), 1)
        ),
        "states": _transitions("state", states.State, states.NEXT),
        "commands": _commands(),
        "phases": _transitions("phase", phases.Phase, phases.NEXT),
    }


def rendered(page: str) -> str:
    """Return the text of the page with the blocks as the code has them."""
    made = blocks()
    return _BLOCK.sub(lambda found: f"{found['mark']}\n{made[found['name']]}\n\n", page)


def names(page: str) -> list[str]:
    """Return the names of the blocks on the page."""
    return [found["name"] for found in _BLOCK.finditer(page)]


def _figures() -> str:
    lines = [
        "| what is followed | files | before | changes of file | before |",
        "|---|---|---|---|---|",
    ]
    for name, meaning in _MEANINGS.items():
        way, (files, changes) = ways()[name], _BEFORE[name]
        lines.append(f"| {meaning} | {way.files} | {files} | {way.changes} | {changes} |")
    return "\n".join(lines)


def _steps(way: trace.Way) -> str:
    lines = ["| step | file | functions |", "|---|---|---|"]
    for number, step in enumerate(way.steps, 1):
        functions = ", ".join(f"`{name}`" for name in dict.fromkeys(step.functions))
        file = f"`{step.file}`"
        if step.file == trace.CHECKS:
            file, functions = step.file, "all checks, and what they ask"
        lines.append(f"| {number} | {file} | {functions} |")
    return "\n".join(lines)


def _transitions(
    heading: str, every: type[State], following: Mapping[tuple[State, Event], State]
) -> str:
    lines = [f"| {heading} | next, by event |", "|---|---|"]
    for state in every:
        moves = [
            f"{event.name} → {after.name}"
            for (before, event), after in following.items()
            if before is state
        ]
        lines.append(f"| {state.name} | {', '.join(moves) or 'none'} |")
    return "\n".join(lines)


def _commands() -> str:
    lines = ["| command | event |", "|---|---|"]
    for verb, event in states.COMMANDS.items():
        lines.append(f"| {verb.decode()} | {event.name if event is not None else 'none'} |")
    return "\n".join(lines)


def main() -> None:
    """Write the page and the picture."""
    PAGE.write_text(rendered(PAGE.read_text()))
    layout.PICTURE.write_text(layout.picture())


if __name__ == "__main__":
    main()
