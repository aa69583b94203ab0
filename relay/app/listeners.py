"""Listening sockets, opened in one way for SMTP and HTTP."""

from __future__ import annotations

import asyncio
import errno
import os
import socket
from typing import TYPE_CHECKING, Final

from relay.settings.endpoints import Endpoint

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

_BACKLOG: Final = 1024
_PRIVILEGED: Final = 1024  # ports below it need a capability or a sysctl


class ListenError(Exception):
    """An address cannot be listened on; the message names it, its setting and the reason."""


class Listeners:
    """The open listening sockets of one protocol."""

    __slots__ = ("_servers",)

    def __init__(self) -> None:
        """Begin without any."""
        self._servers: list[asyncio.Server] = []

    @property
    def addresses(self) -> list[Endpoint]:
        """The addresses listened on, with the ports that the system chose in place of port 0."""
        return [
            Endpoint(*sock.getsockname()[:2]) for server in self._servers for sock in server.sockets
        ]

    async def open(
        self,
        endpoints: Sequence[Endpoint],
        protocol: Callable[[], asyncio.BaseProtocol],
        setting: str,
    ) -> None:
        """Listen on every endpoint; `protocol` returns the protocol of each new connection.

        `localhost` means both loopback addresses; ::1 is left out where the machine has no IPv6.
        Raises ListenError, which names `setting`; then nothing is listened on.
        """
        loop = asyncio.get_running_loop()
        for endpoint in endpoints:
            for host in endpoint.addresses:
                try:
                    for sock in await _bind(host, endpoint.port):
                        server = await loop.create_server(protocol, sock=sock, backlog=_BACKLOG)
                        self._servers.append(server)
                except OSError as error:
                    if host == "::1" and len(endpoint.addresses) > 1 and _no_ipv6(error):
                        continue
                    self.close()
                    where = Endpoint(host, endpoint.port)
                    raise ListenError(_sentence(where, setting, error)) from error

    def close(self) -> None:
        """Stop listening. Connections that are open stay open."""
        for server in self._servers:
            server.close()
        self._servers.clear()


async def _bind(host: str, port: int) -> list[socket.socket]:
    """Return a listening socket for each address of `host`."""
    loop = asyncio.get_running_loop()
    found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    bound: list[socket.socket] = []
    try:
        for family, address in dict.fromkeys((entry[0], entry[4]) for entry in found):
            sock = socket.create_server(address, family=family)
            bound.append(sock)
    except OSError:
        for sock in bound:
            sock.close()
        raise
    return bound


def _no_ipv6(error: OSError) -> bool:
    return error.errno in {errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT}


def _sentence(endpoint: Endpoint, setting: str, error: OSError) -> str:
    if isinstance(error, socket.gaierror) or not error.errno:
        reason = error.strerror or str(error)  # the numbers of getaddrinfo are no errno
    else:
        reason = os.strerror(error.errno)
    hint = ""
    if error.errno == errno.EACCES and endpoint.port < _PRIVILEGED:
        hint = (
            f"; ports below {_PRIVILEGED} need the sysctl net.ipv4.ip_unprivileged_port_start=0, "
            f"or {setting} on a higher port"
        )
    return f"cannot listen on {endpoint} ({setting}): {reason}{hint}"
