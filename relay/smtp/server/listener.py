"""The listening sockets, and the clock of the sessions behind them."""

from __future__ import annotations

import asyncio
import errno
import os
from typing import TYPE_CHECKING, Final

from relay.settings.endpoints import Endpoint

if TYPE_CHECKING:
    from collections.abc import Sequence

    from relay.smtp.server.server import Server

_BACKLOG: Final = 1024


class ListenError(Exception):
    """An address cannot be listened on; the message names it and says why."""


class Listener:
    """Accepts clients on every endpoint, and stops doing so."""

    __slots__ = ("_endpoints", "_server", "_servers")

    def __init__(self, endpoints: Sequence[Endpoint], server: Server) -> None:
        """Listen on nothing yet."""
        self._endpoints = endpoints
        self._server = server
        self._servers: list[asyncio.Server] = []

    @property
    def addresses(self) -> list[Endpoint]:
        """Where it listens, with the ports the system picked."""
        return [
            Endpoint(*sock.getsockname()[:2]) for server in self._servers for sock in server.sockets
        ]

    async def start(self) -> None:
        """Listen on every endpoint; an IPv6 loopback that the machine lacks is left out.

        Raises ListenError.
        """
        loop = asyncio.get_running_loop()
        for endpoint in self._endpoints:
            for host in endpoint.addresses:
                try:
                    server = await loop.create_server(
                        self._server.connected, host, endpoint.port, backlog=_BACKLOG
                    )
                except OSError as error:
                    if host == "::1" and len(endpoint.addresses) > 1 and _no_ipv6(error):
                        continue
                    await self.close()
                    raise ListenError(_sentence(Endpoint(host, endpoint.port), error)) from error
                self._servers.append(server)

    async def drain(self, grace: float) -> int:
        """Accept no one, and let transactions end within `grace` seconds; return the number cut."""
        await self.close()
        return await self._server.drain(grace)

    async def close(self) -> None:
        """Stop listening."""
        for server in self._servers:
            server.close()
        self._servers.clear()


def _no_ipv6(error: OSError) -> bool:
    return error.errno in {errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT}


def _sentence(endpoint: Endpoint, error: OSError) -> str:
    reason = os.strerror(error.errno) if error.errno else str(error)
    hint = ""
    if error.errno == errno.EACCES and endpoint.port < 1024:  # noqa: PLR2004
        hint = (
            "; ports below 1024 need the sysctl net.ipv4.ip_unprivileged_port_start=0, "
            "or PRESEND_LISTEN on a higher port"
        )
    return f"cannot listen on {endpoint} (PRESEND_LISTEN): {reason}{hint}"
