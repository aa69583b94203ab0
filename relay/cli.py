"""The command line: the table of commands, the parser, and the exit codes.

Exit codes: 0 done, 1 failed, 2 wrong usage or settings, 3 a gate that says hold; 130 interrupted.
Modules that take time to import are imported by the command that needs them.
"""

import argparse
import difflib
import importlib
import importlib.util
import os
import re
import sys
from collections.abc import Iterator, Sequence
from typing import Final, NamedTuple, NoReturn

from relay import VERSION
from relay.commands import DONE, FAILED, INTERRUPTED, WRONG, discard, say

PROJECT_URL: Final = "https://github.com/presend/presend"
"""The project's page, as in pyproject.toml."""
_PAGE: Final = f"{PROJECT_URL}/blob/main/docs/commands.md"


class Command(NamedTuple):
    """A row of the table: the module relay/commands/<name>.py implements the command."""

    name: str
    group: str
    purpose: str


GROUPS: Final = {
    "run": "run presend",
    "judge": "judge recipients",
    "keep": "maintain the stored data",
    "learn": "learn from delivery results",
    "guard": "guard the sending reputation",
}
"""Headings of `presend --help`, in order; a group without commands is left out."""

COMMANDS: Final = (
    Command("serve", "run", "relay mail: SMTP towards the application, HTTP for operators"),
    Command("check", "judge", "judge a list of addresses without sending anything"),
    Command("suppress", "keep", "look into the suppression list, and change it"),
    Command("config", "run", "show the effective settings and where each comes from"),
    Command("completion", "run", "print a script that completes commands in a shell"),
)

_EXAMPLES: Final = ("presend serve --dev", "presend check list.csv", "presend suppress --help")
_NO_CHOICE = re.compile(r"invalid choice: '(?P<given>[^']*)' \(choose from (?P<known>[^)]*)\)")


class Parser(argparse.ArgumentParser):
    """A parser that suggests the known word closest to a wrong one."""

    def parse_args(  # type: ignore[override]
        self, args: Sequence[str] | None = None, namespace: argparse.Namespace | None = None
    ) -> argparse.Namespace:
        """Parse the arguments; an option that is not known is an error of its own command.

        Options may stand between the files of a command, which argparse does not provide for.
        """
        found, surplus = self.parse_known_args(args, namespace)
        files = getattr(found, "file", None)
        if isinstance(files, list) and not any(word.startswith("-") for word in surplus):
            files += surplus
            return found
        if surplus:
            called = self
            for word in args or ():
                called = _subparsers(called).get(word, called)
            called.error(f"unrecognized arguments: {' '.join(surplus)}")
        return found

    def error(self, message: str) -> NoReturn:
        """Print the usage and what is wrong with the arguments, and exit."""
        _, unknown, option = message.partition("unrecognized arguments: -")
        if unknown:
            given = f"-{option}".partition(" ")[0].partition("=")[0]
            close = difflib.get_close_matches(given, self._option_string_actions, n=1)
            message += f"; did you mean {close[0]}?" if close else ""
        wrong = _NO_CHOICE.search(message)
        if wrong:
            known = [name.strip(" '") for name in wrong["known"].split(",")]
            close = difflib.get_close_matches(wrong["given"], known, n=1)
            meant = f"did you mean {close[0]}?" if close else f"there are {', '.join(known)}"
            message = f"there is no {wrong['given']!r}; {meant}"
        say(self.format_usage() + f"{self.prog}: {message}")
        self.exit(WRONG)


class _Version(argparse.Action):
    def __call__(self, parser: argparse.ArgumentParser, *_: object) -> NoReturn:
        from importlib.metadata import version

        print(f"presend {version('presend')}")
        parser.exit(DONE)


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code."""
    _open_standard_streams()
    fault = _shadowed()
    if fault:
        _complain(fault)
        return FAILED
    words = sys.argv[1:] if argv is None else list(argv)
    code = DONE
    try:
        try:
            code = _run(parser_for(words).parse_args(words))
        finally:
            sys.stdout.flush()
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:  # the reader has ended (`presend suppress list | head`)
        discard(sys.stdout)
        return DONE
    except OSError as error:
        if code == DONE:
            _complain(f"standard output: {error.strerror}")
        discard(sys.stdout)
        return FAILED
    return code


def _shadowed() -> str | None:
    """Return what is wrong if the package `validators` is not, or not only, presend's own.

    A package of that name is on PyPI. Installed into the same environment, it overwrites files of
    presend's package, or presend overwrites some of it; elsewhere on the path it may come first.
    """
    # os.path in place of pathlib, which would take longer to import than all this.
    home = os.path.dirname(os.path.dirname(os.path.realpath(__file__)))  # noqa: PTH120
    own = os.path.join(home, "validators")  # noqa: PTH118
    found = importlib.util.find_spec("validators")
    origin = os.path.dirname(os.path.realpath(found.origin or "")) if found else ""  # noqa: PTH120
    others = [
        name
        for name in os.listdir(home)  # noqa: PTH208
        if name.startswith("validators-") and name.endswith((".dist-info", ".egg-info"))
    ]
    if not os.path.exists(os.path.join(own, "__init__.py")):  # noqa: PTH110, PTH118
        fault = f"presend's package {own} is incomplete"
    elif origin != own:
        fault = f"another package named validators, in {origin}, hides presend's own"
    elif others:  # as pip records an installation
        other = others[0].rpartition(".")[0]
        fault = f"{other} is installed into the same directory as presend's validators"
    elif getattr(importlib.import_module("validators"), "PRESEND_VERSION", "") != VERSION:
        fault = f"{origin} is not, or not only, what presend {VERSION} has installed there"
    else:
        return None
    return f"{fault}. Install presend into an environment of its own: a container, pipx or a venv"


def _open_standard_streams() -> None:
    """Open the standard streams that were closed at the start, as by `2>&-`.

    The next file or socket would get the number of the stream, and log lines would be written into
    it. What needs standard input or output fails with "Bad file descriptor": /dev/null is opened
    for the wrong direction. Diagnostics are discarded.
    """
    flags = (os.O_WRONLY, os.O_RDONLY, os.O_WRONLY)
    for descriptor, (name, flag) in enumerate(
        zip(("stdin", "stdout", "stderr"), flags, strict=True)
    ):
        try:
            os.fstat(descriptor)
        except OSError:
            os.open(os.devnull, flag)  # gets the lowest number that is free
            mode = "w" if descriptor else "r"
            setattr(sys, name, open(descriptor, mode, closefd=False))  # noqa: SIM115


def parser_for(words: Sequence[str], *, whole: bool = False) -> Parser:
    """Make the parser for these arguments; only the command that they call gets its own.

    If it shall be the `whole` parser, every command gets its own, which takes time.
    """
    parser = Parser(
        prog="presend",
        usage="%(prog)s [-h] [--version] COMMAND ...",
        description="Judge every recipient of a campaign, and relay mail to the good ones.",
        epilog="\n".join(_overview()),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", nargs=0, action=_Version, help="show the version and exit")
    commands = parser.add_subparsers(
        prog="presend",
        dest="command",
        required=True,
        metavar="COMMAND",
        help=argparse.SUPPRESS,  # argparse cannot list them in groups: the epilog does
    )
    called = next((word for word in words if not word.startswith("-")), None)
    for name, _, purpose in COMMANDS:
        description = f"{purpose[0].upper()}{purpose[1:]}."
        command = commands.add_parser(name, description=description, help=purpose)
        if name == called or whole:
            importlib.import_module(f"relay.commands.{name}").add_arguments(command)
            _end_help(command)
    return parser


def _subparsers(parser: argparse.ArgumentParser) -> dict[str, Parser]:
    """Return the parsers of the commands, or of the actions of a command, by name."""
    for action in parser._actions:  # noqa: SLF001 - argparse has no public name for them
        if isinstance(action, argparse._SubParsersAction):  # noqa: SLF001
            return dict(action.choices)
    return {}


def _end_help(parser: argparse.ArgumentParser) -> None:
    """End the help of a command and of its actions with the examples and the page.

    The examples are the epilog that the command's module has set, a line each.
    """
    below = _subparsers(parser)
    for each in below.values():
        _end_help(each)
    examples = (parser.epilog or "").splitlines()
    anchor = "" if below else f"#{parser.prog.replace(' ', '-')}"
    parser.epilog = "\n".join(_examples(examples, anchor))
    parser.formatter_class = argparse.RawDescriptionHelpFormatter


def _examples(examples: Sequence[str], anchor: str) -> Iterator[str]:
    if examples:
        yield "examples:"
        yield from (f"  {example}" for example in examples)
        yield ""
    yield f"{_PAGE}{anchor}"


def _overview() -> Iterator[str]:
    """Yield the lines of help that list the commands in their groups, and the exit codes."""
    width = max(len(command.name) for command in COMMANDS)
    for group, heading in GROUPS.items():
        members = [command for command in COMMANDS if command.group == group]
        if members:
            yield f"{heading}:"
            yield from (f"  {command.name:{width}}  {command.purpose}" for command in members)
            yield ""
    yield "Exit codes: 0 done, 1 failed, 2 wrong usage or settings, 3 a gate that says hold."
    yield ""
    yield from _examples(_EXAMPLES, "")


def _run(args: argparse.Namespace) -> int:
    """Run the command; errors that the user can mend become a message and an exit code."""
    from relay.settings import SettingsError
    from relay.stores import StoreError
    from validators.suppression import StoreUnavailable

    args.whole_parser = lambda: parser_for((), whole=True)  # for `completion`
    try:
        return int(importlib.import_module(f"relay.commands.{args.command}").main(args))
    except SettingsError as error:
        _complain("settings are wrong:", *(str(problem) for problem in error.problems))
        return WRONG
    except (StoreError, StoreUnavailable) as error:
        _complain(str(error))
        return FAILED
    except BrokenPipeError:
        raise
    except OSError as error:
        where = f"{error.filename}: " if error.filename else ""
        _complain(f"{where}{error.strerror or error}")
        return FAILED


def _complain(*lines: str) -> None:
    say("presend: " + "\n  ".join(lines))
