"""Adding a section to the status page takes one function, passed to the process."""

import asyncio
import gc
from collections.abc import Mapping, Sequence

import aiohttp

from relay.app import Process, Relay
from relay.observe.section import Section, Share, counts, note
from relay.settings.endpoints import Endpoint
from tests.support.registered import restored_logging, settings


def warm_up() -> Section:
    """Return the section that a part would supply."""
    return Section(
        "Warm-up <today>",
        rows=counts({"google": 1200, "yahoo": 30}),
        bar=(Share("good", 1200), Share("wait", 30)),
        notes=(note("Both are within their limits."),),
    )


async def test_a_section_is_on_the_page_of_the_relay() -> None:
    with restored_logging():
        given = settings()
        async with Process(given) as process:
            relay = Relay(process, given, given.upstream)
            process.sections.append(warm_up)
            running = asyncio.Event()

            async def listen() -> Mapping[str, Sequence[Endpoint]]:
                running.set()
                return await relay.listen()

            task = asyncio.create_task(process.run(listen, relay.drain))
            await running.wait()
            async with (
                aiohttp.ClientSession() as session,
                session.get(f"http://{process.http_addresses[0]}/") as response,
            ):
                page = await response.text()
            process.stop()
            await task
            gc.unfreeze()
    for shown in ("<h2>Warm-up &lt;today&gt;</h2>", ">google<", ">1,200<", "within their limits"):
        assert shown in page
    assert page.index("Mail routes asked for") < page.index("Warm-up") < page.index("Suppressions")
