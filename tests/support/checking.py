"""Runs `presend check` in the process of the tests, on a file or on octets."""

import argparse
import os
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from relay.commands.check import add_arguments, run
from relay.settings import Settings

Check = Callable[..., int]


def checker(monkeypatch: pytest.MonkeyPatch) -> Check:
    """Return a function that runs the command on a file or on octets as standard input."""
    settings = Settings(store="memory:", role={"allow": []})

    def checked(
        source: Path | bytes, *words: str, dns: bool = False, given: Settings = settings
    ) -> int:
        parser = argparse.ArgumentParser()
        add_arguments(parser)
        name = "-" if isinstance(source, bytes) else str(source)
        args = parser.parse_args([name, *words, *([] if dns else ["--no-dns"])])
        if isinstance(source, Path):
            return run(args, given)
        reader, writer = os.pipe()
        feeder = threading.Thread(target=_feed, args=(writer, source))
        feeder.start()
        with os.fdopen(reader) as stdin:
            monkeypatch.setattr("sys.stdin", stdin)
            try:
                return run(args, given)
            finally:
                feeder.join()

    return checked


def _feed(writer: int, octets: bytes) -> None:
    with os.fdopen(writer, "wb") as pipe:
        pipe.write(octets)
