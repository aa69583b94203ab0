"""Opening listeners: both loopback addresses, hosts without IPv6, and error messages."""

import asyncio
import contextlib
import errno
import os
import socket
import struct
from collections.abc import Callable, Coroutine
from typing import Any, TypeAlias

import pytest
import uvloop

from relay.app.listeners import ListenError, Listeners
from relay.settings.endpoints import Endpoint

ANY = Endpoint("127.0.0.1", 0)
LOOPBACK = Endpoint("localhost", 0)
SETTING = "PRESEND_LISTEN"
NO_IPV6 = [errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT]

Run: TypeAlias = Callable[[Coroutine[Any, Any, None]], None]


async def opened(*endpoints: Endpoint) -> Listeners:
    listeners = Listeners()
    await listeners.open(endpoints, asyncio.Protocol, SETTING)
    return listeners


@pytest.fixture(params=[asyncio.run, uvloop.run], ids=["asyncio", "uvloop"])
def run(request: pytest.FixtureRequest) -> Run:
    """Run a coroutine on either event loop."""
    chosen: Run = request.param
    return chosen


@pytest.fixture
def _without_ipv6(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Make binding ::1 fail as it does on a machine without IPv6."""
    bind = socket.socket.bind
    number: int = request.param

    def refuse(sock: socket.socket, address: tuple[str, int]) -> None:
        if address[0] == "::1":
            raise OSError(number, os.strerror(number))
        bind(sock, address)

    monkeypatch.setattr(socket.socket, "bind", refuse)


def test_localhost_is_both_loopback_addresses(run: Run) -> None:
    async def main() -> None:
        listeners = await opened(LOOPBACK)
        assert [each.host for each in listeners.addresses] == ["127.0.0.1", "::1"]
        for address in listeners.addresses:
            _, writer = await asyncio.open_connection(*address)
            writer.close()
        listeners.close()
        assert listeners.addresses == []

    run(main())


@pytest.mark.parametrize("_without_ipv6", NO_IPV6, indirect=True)
@pytest.mark.usefixtures("_without_ipv6")
def test_localhost_without_ipv6_is_127_0_0_1(run: Run) -> None:
    async def main() -> None:
        listeners = await opened(LOOPBACK)
        assert [each.host for each in listeners.addresses] == ["127.0.0.1"]
        listeners.close()

    run(main())


@pytest.mark.parametrize("_without_ipv6", [errno.EADDRNOTAVAIL], indirect=True)
@pytest.mark.usefixtures("_without_ipv6")
def test_ipv6_that_was_asked_for_by_address_is_not_left_out(run: Run) -> None:
    async def main() -> None:
        with pytest.raises(ListenError) as error:
            await opened(Endpoint("::1", 2525))
        assert str(error.value) == (
            "cannot listen on [::1]:2525 (PRESEND_LISTEN): Cannot assign requested address"
        )

    run(main())


def test_taken_port_is_named_and_nothing_is_left_open(run: Run) -> None:
    async def main() -> None:
        first = await opened(ANY)
        taken = first.addresses[0]
        listeners = Listeners()
        with pytest.raises(ListenError) as error:
            await listeners.open([ANY, taken], asyncio.Protocol, "PRESEND_HTTP_LISTEN")
        assert str(error.value) == (
            f"cannot listen on {taken} (PRESEND_HTTP_LISTEN): Address already in use"
        )
        assert listeners.addresses == []
        first.close()

    run(main())


@pytest.mark.parametrize("host", ["192.0.2.1", "host.invalid"])
def test_address_that_is_not_ours_is_named(run: Run, host: str) -> None:
    async def main() -> None:
        wanted = rf"^cannot listen on {host}:0 \(PRESEND_LISTEN\): \w"
        with pytest.raises(ListenError, match=wanted):
            await opened(Endpoint(host, 0))

    run(main())


def test_port_below_1024_without_the_right_to_it_gets_a_hint(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def refuse(_sock: socket.socket, _address: object) -> None:
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))

    monkeypatch.setattr(socket.socket, "bind", refuse)

    async def main() -> None:
        with pytest.raises(ListenError) as error:
            await opened(Endpoint("127.0.0.1", 25))
        assert str(error.value) == (
            "cannot listen on 127.0.0.1:25 (PRESEND_LISTEN): Permission denied; ports below 1024 "
            "need the sysctl net.ipv4.ip_unprivileged_port_start=0, or PRESEND_LISTEN on a higher "
            "port"
        )

    asyncio.run(main())


def test_many_clients_may_connect_at_once(run: Run) -> None:
    """A shorter queue would drop a client's first packet, which is sent again after a second."""

    async def work() -> None:
        with contextlib.closing(await opened(ANY)) as listeners:
            assert _longest_queue(listeners.addresses[0].port) >= 1000

    run(work())


def _longest_queue(port: int) -> int:
    """Return how many connections the kernel holds for a listener until they are accepted.

    The field `tcpi_sacked` of `struct tcp_info` holds it for a listening socket (Linux,
    net/ipv4/tcp.c, tcp_get_info).
    """
    for descriptor in map(int, os.listdir("/proc/self/fd")):  # noqa: PTH208 - names alone
        with contextlib.suppress(OSError), socket.socket(fileno=os.dup(descriptor)) as sock:
            listening = sock.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN)
            if listening and sock.getsockname()[1] == port:
                info = sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 32)
                return int(struct.unpack_from("=I", info, 28)[0])
    raise AssertionError("the listener was not found")
