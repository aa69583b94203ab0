"""The command line: the table of commands, the parser, and the exit codes.

Exit codes: 0 done, 1 failed, 2 wrong usage or settings, 3 a gate that says hold; 130 interrupted.
Modules that take time to import are imported by the command that needs them.
"""

import argparse
import contextlib
import difflib
import importlib
import os
import re
import sys
from collections.abc import Iterator, Sequence
from typing import Final, NamedTuple, NoReturn

DONE: Final = 0
FAILED: Final = 1
WRONG: Final = 2
INTERRUPTED: Final = 130


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
)

_NO_CHOICE = re.compile(r"invalid choice: '(?P<given>[^']*)' \(choose from (?P<known>[^)]*)\)")


class Parser(argparse.ArgumentParser):
    """A parser that suggests the known word closest to a wrong one."""

    def error(self, message: str) -> NoReturn:
        """Print the usage and what is wrong with the arguments, and exit."""
        wrong = _NO_CHOICE.search(message)
        if wrong:
            known = [name.strip(" '") for name in wrong["known"].split(",")]
            close = difflib.get_close_matches(wrong["given"], known, n=1)
            meant = f"did you mean {close[0]}?" if close else f"there are {', '.join(known)}"
            message = f"there is no {wrong['given']!r}; {meant}"
        self.print_usage(sys.stderr)
        self.exit(WRONG, f"{self.prog}: {message}\n")


class _Version(argparse.Action):
    def __call__(self, parser: argparse.ArgumentParser, *_: object) -> NoReturn:
        from importlib.metadata import version

        print(f"presend {version('presend')}")
        parser.exit(DONE)


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code."""
    _open_standard_streams()
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
        _discard_output()
        return DONE
    except OSError as error:
        if code == DONE:
            _complain(f"standard output: {error.strerror}")
        _discard_output()
        return FAILED
    return code


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


def _discard_output() -> None:
    """Discard what is still buffered: Python writes it at exit, which would fail again."""
    with contextlib.suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def parser_for(words: Sequence[str]) -> argparse.ArgumentParser:
    """Make the parser for these arguments; only the command that they call gets its own."""
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
        command = commands.add_parser(name, description=f"{purpose[0].upper()}{purpose[1:]}.")
        if name == called:
            importlib.import_module(f"relay.commands.{name}").add_arguments(command)
    return parser


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


def _run(args: argparse.Namespace) -> int:
    """Run the command; errors that the user can mend become a message and an exit code."""
    from relay.settings import SettingsError
    from relay.stores import StoreError
    from validators.suppression import StoreUnavailable

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
    print("presend: " + "\n  ".join(lines), file=sys.stderr)
