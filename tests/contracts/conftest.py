"""Fixtures that open every kind of store. A new kind is added as a row of `URLS`."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from relay.settings.store_urls import STORE_URLS
from relay.stores import BlockingStore, open_store

START = 1_800_000_000.0
"""Unix seconds at which every test begins."""

URLS: dict[str, Callable[[Path], str]] = {
    "memory": lambda _: "memory:",
    "sqlite": lambda directory: f"sqlite://{directory}/presend.db",
}
"""How a test names an empty store, by the scheme of its URL."""

assert URLS.keys() == STORE_URLS.keys(), "every kind of store has to be tested"


@dataclass
class Clock:
    """A clock whose time the test sets."""

    now: float = START

    def __call__(self) -> float:
        """Unix seconds."""
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture(params=URLS)
def store(request: pytest.FixtureRequest, tmp_path: Path, clock: Clock) -> Iterator[BlockingStore]:
    """An empty store, opened for campaign `mine`; results that are awaitable are awaited."""
    url = URLS[request.param](tmp_path)
    with BlockingStore(open_store(url, campaign="mine", clock=clock)) as store:
        yield store
