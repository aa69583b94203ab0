"""`presend completion`: print a script that completes commands, actions and options in a shell.

The script holds all words, so that completing one does not start presend.
"""

import argparse
from collections.abc import Iterator

from relay.commands import DONE, examples


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Describe the arguments."""
    parser.add_argument("shell", choices=("bash", "zsh", "fish"), help="bash, zsh or fish")
    examples(parser, 'eval "$(presend completion bash)"', "presend completion fish | source")


def main(args: argparse.Namespace) -> int:
    """Print the script; return the exit code."""
    import shtab

    parser: argparse.ArgumentParser = args.whole_parser()
    for action in _actions(parser):
        if action.help == argparse.SUPPRESS:  # shtab leaves out what the help does not list
            action.help = None
        if action.dest == "file":
            action.complete = shtab.FILE  # type: ignore[attr-defined] # shtab reads it
    print(shtab.complete(parser, args.shell))
    return DONE


def _actions(parser: argparse.ArgumentParser) -> Iterator[argparse.Action]:
    """Yield the arguments of a parser and of the parsers below it."""
    for action in parser._actions:  # noqa: SLF001 - argparse has no public name for them
        yield action
        if isinstance(action, argparse._SubParsersAction):  # noqa: SLF001
            for below in action.choices.values():
                yield from _actions(below)
