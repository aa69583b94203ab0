"""Builds `presend serve` in the process of the test, and lists the metrics it registers."""

import asyncio
import contextlib
import functools
import logging
from collections.abc import AsyncIterator, Iterator

from relay.app import Process, Relay
from relay.observe.log.operational import TALKATIVE
from relay.observe.metrics import Declaration
from relay.settings import ServeSettings, load_settings


@contextlib.contextmanager
def restored_logging() -> Iterator[None]:
    """Restore the logging configuration that `relay.observe.log.install` changes."""
    root = logging.getLogger()
    level, handlers = root.level, list(root.handlers)
    levels = {name: logging.getLogger(name).level for name in TALKATIVE}
    try:
        yield
    finally:
        logging.captureWarnings(capture=False)
        root.setLevel(level)
        root.handlers[:] = handlers
        for name, old in levels.items():
            logging.getLogger(name).setLevel(old)


def settings(**environ: str) -> ServeSettings:
    """Return settings of a relay that needs nothing outside the process."""
    return load_settings(
        ServeSettings,
        environ={
            "PRESEND_UPSTREAM": "smtp://127.0.0.1:1",
            "PRESEND_STORE": "memory:",
            "PRESEND_DNS_SERVERS": "127.0.0.1:1",
            "PRESEND_LISTEN": "127.0.0.1:0",
            "PRESEND_HTTP_LISTEN": "127.0.0.1:0",
            "PRESEND_LAST_SCRAPE": "0",
            **environ,
        },
    )


@contextlib.asynccontextmanager
async def unstarted() -> AsyncIterator[Relay]:
    """Build the relay without opening a listener."""
    with restored_logging():
        given = settings()
        async with Process(given) as process:
            yield Relay(process, given, given.upstream)


@functools.cache
def declarations() -> tuple[Declaration, ...]:
    """Return the declaration of every metric, in the order of the exposition."""

    async def ask() -> tuple[Declaration, ...]:
        async with unstarted() as relay:
            return relay.process.registry.declarations

    return asyncio.run(ask())
