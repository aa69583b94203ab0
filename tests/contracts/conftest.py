"""Every kind of store, opened the same way. A new kind is one more entry of `KINDS`."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from relay.stores import Store, open_store

START = 1_800_000_000.0
"""Unix seconds at which every test begins."""

KINDS: dict[str, Callable[[Path], str]] = {
    "memory": lambda _: "memory:",
    "sqlite": lambda directory: f"sqlite://{directory}/presend.db",
}


@dataclass
class Clock:
    """A clock that a test moves."""

    now: float = START

    def __call__(self) -> float:
        """Unix seconds."""
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture(params=KINDS)
def store(request: pytest.FixtureRequest, tmp_path: Path, clock: Clock) -> Iterator[Store]:
    """An empty store, as campaign `mine` sees it."""
    store = open_store(KINDS[request.param](tmp_path), campaign="mine", clock=clock)
    yield store
    store.close()
