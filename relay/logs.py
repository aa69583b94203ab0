"""Log lines on stderr: what happened to mail, and what happened to presend."""

import logging
import time
from collections.abc import Callable
from typing import Literal, TypeAlias

from relay.events import Event

Format: TypeAlias = Literal["json", "text"]


class LineWriter:
    """Writes lines to a file descriptor from a thread of its own, bounded; drops are counted."""

    def __init__(self, fd: int = 2, *, capacity: int = 4 << 20) -> None: ...
    def write(self, data: bytes, lines: int = 1) -> bool: ...
    def drain(self, timeout: float) -> bool: ...
    def close(self, timeout: float) -> bool: ...


class EventLog:
    """The sink that logs events."""

    def __init__(
        self,
        writer: LineWriter,
        *,
        campaign: str,
        level: str = "info",
        format: Format = "json",
        mask: bool = True,
        capacity: int = 20_000,
        clock: Callable[[], float] = time.time,
    ) -> None: ...
    dropped: int
    def emit(self, event: Event) -> None: ...
    def flush(self) -> None: ...


def install(
    writer: LineWriter,
    *,
    campaign: str,
    level: str = "info",
    format: Format = "json",
    mask: bool = True,
) -> logging.Handler: ...
