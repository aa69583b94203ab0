"""The process of a long-running command: what its parts register, and the order of shutdown."""

import asyncio
import contextlib
import gc
import json
import logging
import time
from collections.abc import AsyncIterator, Callable, Iterator

import aiohttp
import pytest

from relay.app import Process
from relay.app import process as module
from relay.app.listeners import ListenError
from relay.observe.events import ReplyReceived
from relay.observe.mail_metrics import MailMetrics
from relay.observe.section import Section, note
from relay.settings.endpoints import Endpoint
from tests.support.registered import restored_logging, settings

REPLY = ReplyReceived("final", 250, "google")


@pytest.fixture(autouse=True)
def _restored() -> Iterator[None]:
    with restored_logging():
        yield
    gc.unfreeze()


async def waited(event: asyncio.Event) -> None:
    """Wait for an event."""
    await event.wait()


class Clock:
    """A clock that the test moves."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        """Return the time in seconds."""
        return self.now


class Command:
    """A minimal command without listeners, whose drain the test controls."""

    def __init__(self, process: Process) -> None:
        self.process = process
        self.steps: list[str] = []
        self.cut = 0
        self.running = asyncio.Event()
        self.draining = asyncio.Event()
        self.drained = asyncio.Event()
        self.drained.set()

    async def listen(self) -> dict[str, list[Endpoint]]:
        """Open nothing."""
        self.steps.append("listen")
        asyncio.get_running_loop().call_soon(self.running.set)
        return {"smtp": []}

    async def drain(self) -> int:
        """Drain until the test ends it."""
        self.steps.append("drain")
        self.draining.set()
        await self.process.wait(waited(self.drained), 60)
        return self.cut

    async def get(self, path: str) -> tuple[int, str]:
        """Request a path over HTTP."""
        url = f"http://{self.process.http_addresses[0]}{path}"
        async with aiohttp.ClientSession() as session, session.get(url) as response:
            return response.status, await response.text()


@contextlib.asynccontextmanager
async def running(
    cut: int = 0, clock: Callable[[], float] = time.monotonic, last_scrape: str = "0"
) -> AsyncIterator[Command]:
    """Run a process until the block ends, then stop it."""
    async with Process(settings(PRESEND_LAST_SCRAPE=last_scrape), clock) as process:
        command = Command(process)
        command.cut = cut
        process.resources.callback(command.steps.append, "close")
        task = asyncio.create_task(process.run(command.listen, command.drain))
        await command.running.wait()
        try:
            yield command
        finally:
            if not process.draining:
                process.stop()
            await task


async def test_page_and_readiness_show_what_the_parts_say() -> None:
    async with running() as command:
        assert await command.get("/readyz") == (200, json.dumps({"ready": True, "reasons": []}))
        command.process.readiness.append(lambda: ["the list is too short"])
        command.process.sections.append(lambda: Section("Part", notes=(note("of a command"),)))
        status, body = await command.get("/readyz")
        assert (status, json.loads(body)["reasons"]) == (503, ["the list is too short"])
        _, page = await command.get("/")
        assert "<title>default: not ready - presend</title>" in page
        assert "<h2>Part</h2>" in page
        assert "of a command" in page
        assert page.index("the list is too short") < page.index("Part") < page.index("Suppressions")


async def test_page_says_accepting_and_draining() -> None:
    async with running() as command:
        assert "default: accepting - presend" in (await command.get("/"))[1]
        command.drained.clear()
        command.process.stop()
        await command.draining.wait()
        page = (await command.get("/"))[1]
        assert "default: draining - presend" in page
        assert json.loads((await command.get("/readyz"))[1])["reasons"] == ["draining"]
        command.drained.set()


async def test_what_is_read_includes_every_event_so_far() -> None:
    async with running() as command:
        command.process.events.add_sink(MailMetrics(command.process.registry))
        for count in (1, 2):
            command.process.events.emit(REPLY)
            counted = 'campaign="default",code="250",provider="google",stage="final"'
            assert f"{{{counted}}} {count}.0" in (await command.get("/metrics"))[1]


async def test_events_are_flushed_and_parts_ticked_in_time(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "FLUSH", 0.001)
    monkeypatch.setattr(module, "TICK", 0.001)
    ticked, taken = asyncio.Event(), asyncio.Event()

    class Sink:
        """A sink that records that a batch arrived."""

        def take(self, _: object) -> None:
            taken.set()

    async with running() as command:
        command.process.ticks.append(lambda _now: ticked.set())
        command.process.events.add_sink(Sink())
        command.process.events.emit(REPLY)
        await taken.wait()
        await ticked.wait()


async def test_events_of_the_drain_are_not_lost() -> None:
    async with running() as command:
        metrics = MailMetrics(command.process.registry)
        command.process.events.add_sink(metrics)
        command.process.resources.callback(command.process.events.emit, REPLY)
    assert list(metrics._replies.items()) == [(("final", "250", "google"), 1)]
    assert command.steps == ["listen", "drain", "close"]


async def test_one_more_scrape_is_waited_for_after_work_was_cut_short(
    caplog: pytest.LogCaptureFixture,
) -> None:
    logging.getLogger().setLevel(logging.INFO)
    async with running(cut=2) as command:
        command.process.stop()
        await command.draining.wait()
        await command.get("/livez")
        assert "close" not in command.steps
        await command.get("/metrics")
    assert "close" in command.steps
    assert any("Cut 2 transactions short" in message for message in caplog.messages)
    assert "Draining: transactions have 30 s to finish" in caplog.messages


async def test_a_second_signal_ends_the_drain_at_once(caplog: pytest.LogCaptureFixture) -> None:
    async with running(cut=1) as command:
        command.drained.clear()
        command.process.stop()
        await command.draining.wait()
        for _ in range(3):  # a third does no harm
            command.process.stop()
    assert command.steps == ["listen", "drain", "close"]
    assert any("Cut 1 transactions short: at a second signal" in it for it in caplog.messages)


async def test_a_second_signal_ends_the_wait_for_the_last_scrape() -> None:
    async with running(last_scrape="600") as command:
        command.process.stop()
        await command.draining.wait()
        await command.get("/livez")
        assert "close" not in command.steps
        command.process.stop()
    assert "close" in command.steps


async def test_a_process_younger_than_a_scrape_interval_waits_for_its_first_scrape() -> None:
    async with running(last_scrape="600") as command:
        command.process.stop()
        await command.draining.wait()
        for _ in range(3):
            await command.get("/livez")
            assert "close" not in command.steps
        assert (await command.get("/metrics"))[0] == 200


async def test_a_process_that_is_scraped_waits_for_one_more() -> None:
    clock = Clock()
    async with running(clock=clock, last_scrape="600") as command:
        clock.now += 10_000
        await command.get("/metrics")
        clock.now += 1_199
        command.process.stop()
        await command.draining.wait()
        await command.get("/livez")
        assert "close" not in command.steps
        assert (await command.get("/metrics"))[0] == 200


@pytest.mark.parametrize(("scraped", "age"), [(False, 601), (True, 1201)])
async def test_a_process_that_nobody_scrapes_ends_at_once(*, scraped: bool, age: float) -> None:
    """The longest wait is longer than the test may take."""
    clock = Clock()
    async with running(clock=clock, last_scrape="600") as command:
        if scraped:
            await command.get("/metrics")
        clock.now += age
    assert command.steps == ["listen", "drain", "close"]


async def test_two_signals_before_the_drain_end_it_at_once() -> None:
    async with running() as command:
        command.drained.clear()
        command.process.stop()
        command.process.stop()
    assert command.steps == ["listen", "drain", "close"]


async def test_http_that_cannot_listen_ends_the_process_and_closes_everything() -> None:
    async with running() as command:
        taken = command.process.http_addresses[0]
        with pytest.raises(ListenError, match=r"\(PRESEND_HTTP_LISTEN\): Address already in use"):
            async with Process(settings(PRESEND_HTTP_LISTEN=str(taken))) as second:
                await second.run(command.listen, command.drain)
        assert command.steps == ["listen"]
