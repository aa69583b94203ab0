"""The commands of presend, a module each, and what they have in common: exit codes and diagnostics.

A command's module has `add_arguments(parser)`, which describes its arguments, and `main(args)`,
which loads the settings of the command, does its work and returns the exit code. The table
`COMMANDS` in relay/cli.py lists the commands; a module is imported only when its command is called.
"""

import argparse
import contextlib
import os
import sys
from typing import Final, TextIO

DONE: Final = 0
FAILED: Final = 1
"""A file, a port, the network or the store: what only shows when the command does its work."""
WRONG: Final = 2
"""The command line or the settings, with the files that settings name: nothing has been done."""
HOLD: Final = 3
"""The command is a gate for a script, and its answer is "hold"."""
INTERRUPTED: Final = 130
"""128 and the number of SIGINT, as a shell reports it."""


def examples(parser: argparse.ArgumentParser, *lines: str) -> None:
    """Set the examples at the end of the help of a command or an action, a line each."""
    parser.epilog = "\n".join(lines)


def say(*lines: str) -> None:
    """Write diagnostics to stderr. If nobody can read them, as on a full disk, they are lost."""
    try:
        print(*lines, sep="\n", file=sys.stderr, flush=True)
    except OSError:
        discard(sys.stderr)


def discard(stream: TextIO) -> None:
    """Discard what a stream still buffers: Python writes it at exit, which would fail again."""
    with contextlib.suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
