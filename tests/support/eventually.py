"""Polling for conditions that another process brings about without a notification."""

import threading
from collections.abc import Callable

_TRIES = 2000
_PAUSE = 0.01  # seconds between polls, to leave the processor to the process under test


def eventually(holds: Callable[[], bool], what: str) -> None:
    """Poll until `holds()` is true, for at least 20 seconds. Raises AssertionError with `what`."""
    pause = threading.Event()
    for _ in range(_TRIES):
        if holds():
            return
        pause.wait(_PAUSE)
    raise AssertionError(f"never: {what}")
