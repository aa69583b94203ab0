"""Waiting for what another process does and announces nowhere."""

import threading
from collections.abc import Callable

_TRIES = 2000
_PAUSE = 0.01  # seconds between looks, so that two cores are left to the process watched


def eventually(holds: Callable[[], bool], what: str) -> None:
    """Look until it holds; bounded. Raises AssertionError naming what never came to be."""
    pause = threading.Event()
    for _ in range(_TRIES):
        if holds():
            return
        pause.wait(_PAUSE)
    raise AssertionError(f"never: {what}")
