"""`presend serve` from its start to its last log line."""

from __future__ import annotations

import asyncio
import contextlib
import resource
import signal
import sys
import time
from typing import TYPE_CHECKING

import uvloop

from relay.app import demonstration
from relay.app.errors import StartError
from relay.app.relay import VERSION, Relay
from relay.app.tasks import Tasks
from relay.http.server import ListenError as HttpListenError
from relay.observe.log.lines import Lines
from relay.settings import dev_directory
from relay.settings.endpoints import Upstream
from relay.smtp.server.listener import ListenError
from relay.smtp.sink import Sink
from relay.stores import StoreError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from relay.settings import ServeSettings
    from validators.dns.mail_route import MailRoute


async def _serve(settings: ServeSettings, *, dev: bool) -> None:
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopping.set)
    async with contextlib.AsyncExitStack() as stack:
        upstreams: Sequence[Upstream] = settings.upstream
        known: Mapping[str, MailRoute] = {}
        if dev:
            sink = Sink(dev_directory() / "maildir")
            upstreams = [Upstream("smtp", None, "127.0.0.1", await sink.start())]
            known = demonstration.ZONE
            stack.push_async_callback(sink.stop)
        tasks = await stack.enter_async_context(Tasks())
        relay = Relay(settings, upstreams, tasks.spawn, known)
        try:
            await relay.start(tasks)
        except BaseException:
            await relay.close()
            raise
        _announce(relay, settings, dev=dev)
        await stopping.wait()
        await relay.stop()


def _announce(relay: Relay, settings: ServeSettings, *, dev: bool) -> None:
    smtp = [str(address) for address in relay.listener.addresses]
    http = [str(address) for address in relay.http.addresses]
    if dev:
        maildir = str(dev_directory() / "maildir")
        sys.stderr.write(demonstration.introduction(smtp[0], http[0], maildir))
    lines = Lines(settings.log.format, settings.campaign_id)
    listening = lines.shape("info", "listening", ("smtp", "http", "version"))
    values = (lines.quote_list(smtp), lines.quote_list(http), lines.quote(VERSION))
    relay.writer.write(listening(lines.stamp(time.time()), values).encode())


def _raise_file_limit() -> None:
    """Allow as many sockets as the hard limit gives: a session and its upstream need one each."""
    _soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with contextlib.suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def serve(settings: ServeSettings, *, dev: bool = False) -> int:
    """Run `presend serve` until SIGTERM or SIGINT; return the exit code.

    Raises StartError with a sentence for the operator when it cannot start.
    """
    _raise_file_limit()
    try:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(_serve(settings, dev=dev))
    except (StoreError, ListenError, HttpListenError) as error:
        raise StartError(str(error)) from error
    return 0
