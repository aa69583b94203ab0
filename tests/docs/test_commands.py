"""docs/commands.md has every command with every argument, and no other."""

import argparse
from collections.abc import Iterator

from relay.cli import COMMANDS, parser_for
from tests.docs import pages

PAGE = pages.DOCS / "commands.md"


def test_commands_and_arguments() -> None:
    described = {
        heading: [row["argument"].replace("`", "") for row in rows]
        for heading in headings()
        if (rows := pages.rows(PAGE, "argument", section=f"`{heading}`")) or heading in known()
    }
    assert described == known()


def headings() -> Iterator[str]:
    """Yield the headings of the page that name a command."""
    for _, line in pages.prose(PAGE):
        if line.startswith("## `"):
            yield line.strip("#` ")


def known() -> dict[str, list[str]]:
    """Every command that does something, with its arguments as help shows them."""
    found: dict[str, list[str]] = {}
    for name, *_ in COMMANDS:
        found |= arguments(f"presend {name}", subparsers(parser_for([name]))[name])
    return found


def arguments(name: str, parser: argparse.ArgumentParser) -> dict[str, list[str]]:
    """Return a command's arguments, or those of the commands below it."""
    found: dict[str, list[str]] = {}
    for below, command in subparsers(parser).items():
        found |= arguments(f"{name} {below}", command)
    return found or {name: [label(action) for action in order(parser)]}


def subparsers(parser: argparse.ArgumentParser) -> dict[str, argparse.ArgumentParser]:
    """Return the commands below a parser."""
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            return dict(action.choices)
    return {}


def order(parser: argparse.ArgumentParser) -> list[argparse.Action]:
    """Positional arguments first, as on the page."""
    actions = [each for each in parser._actions if not isinstance(each, argparse._HelpAction)]
    return sorted(actions, key=lambda action: bool(action.option_strings))


def label(action: argparse.Action) -> str:
    """Return an argument as the page shows it: `FILE`, `--no-dns`, `--campaign ID, --scope ID`."""
    value = str(action.metavar or action.dest).upper()
    if not action.option_strings:
        return value
    takes = "" if action.nargs == 0 else f" {value}"
    return ", ".join(f"{option}{takes}" for option in action.option_strings)
