"""The command line: `presend serve | check | suppress | config`.

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
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final, NoReturn

if TYPE_CHECKING:
    from relay.settings import Settings

DONE: Final = 0
FAILED: Final = 1
WRONG: Final = 2
INTERRUPTED: Final = 130

_COMMANDS: Final = {
    "serve": "relay mail: SMTP towards the application, HTTP for operators",
    "check": "judge a list of addresses without sending anything",
    "suppress": "look into the suppression list, and change it",
    "config": "show the effective settings and where each comes from",
}
_NO_CHOICE = re.compile(r"invalid choice: '(?P<given>[^']*)' \(choose from (?P<known>[^)]*)\)")


class Parser(argparse.ArgumentParser):
    """A parser that names the word that was probably meant."""

    def error(self, message: str) -> NoReturn:
        """Say what is wrong, and end with the exit code of wrong usage."""
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
    words = sys.argv[1:] if argv is None else list(argv)
    args = _parser(words).parse_args(words)
    try:
        code = _run(args)
        sys.stdout.flush()
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:
        # The reader has seen enough (`presend suppress list | head`). What Python still holds
        # must go somewhere when it flushes at exit.
        with contextlib.suppress(OSError, ValueError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return DONE
    return code


def _parser(words: Sequence[str]) -> argparse.ArgumentParser:
    """Make the parser; only the command that is called gets its arguments."""
    parser = Parser(
        prog="presend",
        description="Judge every recipient of a campaign, and relay what is good.",
        epilog="Exit codes: 0 done, 1 failed, 2 wrong usage or settings, 3 a gate that says hold.",
    )
    parser.add_argument("--version", nargs=0, action=_Version, help="show the version and exit")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    called = next((word for word in words if not word.startswith("-")), None)
    for name, purpose in _COMMANDS.items():
        command = commands.add_parser(
            name, help=purpose, description=f"{purpose[0].upper()}{purpose[1:]}."
        )
        if name != called:
            continue
        if name == "serve":
            command.add_argument(
                "--dev",
                action="store_true",
                help="need no settings: listen on 127.0.0.1:2525, keep the mail in a Maildir",
            )
        else:
            importlib.import_module(f"relay.commands.{name}").add_arguments(command)
    return parser


def _run(args: argparse.Namespace) -> int:
    """Load the settings and run the command; a user's mistake becomes a sentence and a code."""
    from relay.settings import SettingsError, dev_settings, load_settings
    from relay.stores import StoreError
    from validators.suppression import StoreUnavailable

    try:
        if args.command == "serve":
            settings = dev_settings() if args.dev else load_settings(need_upstream=True)
            return _serve(settings, dev=args.dev)
        if args.command == "config":
            from relay.commands import config

            return config.run(args)
        settings = load_settings(need_upstream=False)
        command = importlib.import_module(f"relay.commands.{args.command}")
        return int(command.run(args, settings))
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


def _serve(settings: "Settings", *, dev: bool) -> int:
    from relay import app

    try:
        return app.serve(settings, dev=dev)
    except app.StartError as error:
        _complain(str(error))
        return FAILED


def _complain(*lines: str) -> None:
    print("presend: " + "\n  ".join(lines), file=sys.stderr)
