"""Sends a question to the name servers, one after the other, over UDP and, if truncated, TCP."""

import asyncio
import contextlib
import ipaddress
import secrets
import socket
from collections.abc import Sequence
from itertools import chain, repeat
from typing import Final

from validators.dns.wire import (
    ALIAS_LIMIT,
    Alias,
    Answer,
    Failed,
    Implausible,
    Missing,
    NoEdns,
    OtherCase,
    Reply,
    Said,
    Truncated,
    Type,
    WireError,
    answer,
    question,
    vary,
    without_edns,
)

PATIENCE: Final = (1.0, 1.5, 3.0)
"""Seconds to wait for each server in the first round, the second, and all later ones. A recursive
server that is slow to resolve a name usually has the answer when it is asked again."""
DATAGRAM_LIMIT: Final = 65_535
DOUBTS: Final = ("nxdomain", "nodata", "implausible")
"""Kinds of replies that are not believed, or not by themselves: the keys of `doubtful`."""

Server = tuple[str, int]


class Nameservers:
    """The recursive name servers, in order of preference."""

    def __init__(
        self,
        servers: Sequence[Server],
        *,
        max_queries: int,
        patience: Sequence[float] = PATIENCE,
    ) -> None:
        """`servers` are (address, port). ValueError if one is not given by its address.

        At most `max_queries` are on their way at once. Each has a socket of its own, so that the
        system picks a new source port, which makes replies hard to forge (RFC 5452 9).
        """
        self._servers = [(_ip(host), port) for host, port in servers]
        self._patience = patience
        self._slots = asyncio.Semaphore(max_queries)
        self._lower_case: set[Server] = set()
        """Servers that do not keep the case of a question."""
        self._no_edns: set[Server] = set()
        self.doubtful = dict.fromkeys(DOUBTS, 0)
        """Numbers of replies that were not believed, or not by themselves, by kind."""

    async def ask(self, name: str, kind: Type) -> Answer:
        """Return the answer for an absolute name; Failed if no server has one.

        There is no time limit: the caller sets one. A server that replies with an error is not
        asked again, a server that does not reply is. A doubtful negative answer is returned only
        if it was given twice: by two servers, or by the same one if no other has an answer.
        """
        target = name
        for _ in range(ALIAS_LIMIT):
            said = await self._ask_each(target, kind)
            if not isinstance(said, Alias):
                return said
            target = said.target
        return Failed(f"chain of aliases without end at {name}")

    async def _ask_each(self, name: str, kind: Type) -> Answer | Alias:
        """Ask the servers in turn until one answers, or all have replied with an error."""
        try:
            query = question(name, kind, 0)
        except ValueError:
            return Failed(f"{name} cannot be asked for")
        failed = Failed("no name server is configured")
        doubted: Missing | None = None
        standing = list(self._servers)
        for patience in chain(self._patience, repeat(self._patience[-1])):
            for server in tuple(standing):
                said = await self._try(server, query, patience)
                match said:
                    case None:
                        self._put_last(server)
                    case Missing(doubtful=True) if doubted is None:
                        doubted = said
                    case Missing(doubtful=True) if said != doubted:
                        return Failed(f"contradictory replies for {kind.name} of {name}")
                    case Failed(detail) | Implausible(detail):
                        failed = Failed(f"{detail} for {kind.name} of {name}")
                        standing.remove(server)
                    case _:
                        return said
            if not standing:
                break
        return failed

    async def _try(self, server: Server, query: bytes, patience: float) -> Said | None:
        """Return the reply of a server, or None if there is none within `patience` seconds."""
        try:
            async with self._slots, asyncio.timeout(patience):
                said = await self._exchange(server, query)
        except TimeoutError:
            return None
        except OSError:
            return Failed("the name server cannot be reached")
        except WireError:
            return Failed("a malformed reply")
        match said:
            case Missing(exists, doubtful=True):
                self.doubtful["nodata" if exists else "nxdomain"] += 1
            case Implausible():
                self.doubtful["implausible"] += 1
        return said

    async def _exchange(self, server: Server, query: bytes) -> Said:
        """Return the reply of a server, by TCP if it was truncated. Raises OSError, WireError.

        The server is remembered if it cannot do without lower case or without EDNS.
        """
        while True:
            said = await _by_datagram(server, self._vary(server, query))
            match said:
                case OtherCase():
                    self._lower_case.add(server)
                case NoEdns():
                    self._no_edns.add(server)
                case Truncated():
                    return await _by_stream(server, self._vary(server, query, over_tcp=True))
                case _:
                    return said

    def _vary(self, server: Server, query: bytes, *, over_tcp: bool = False) -> bytes:
        """Return the query with a new ID, and with letters in upper case at random.

        Nobody can forge a reply over TCP unseen, so the query needs no upper case there.
        """
        plain = over_tcp or server in self._lower_case
        varied = vary(query, secrets.randbits(16), 0 if plain else secrets.randbits(len(query) * 8))
        return without_edns(varied) if server in self._no_edns else varied

    def _put_last(self, server: Server) -> None:
        """Prefer the other servers from now on."""
        self._servers.sort(key=lambda other: other == server)


async def _by_datagram(server: Server, query: bytes) -> Reply:
    """Ask over UDP. Datagrams that are no reply to the query are ignored (RFC 5452 9.1)."""
    loop = asyncio.get_running_loop()
    family = socket.AF_INET6 if ":" in server[0] else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM) as sock:
        sock.settimeout(0)
        sock.connect(server)
        sock.send(query)
        while True:
            octets = await loop.sock_recv(sock, DATAGRAM_LIMIT)
            with contextlib.suppress(WireError):
                return answer(octets, query)


async def _by_stream(server: Server, query: bytes) -> Said:
    """Ask over TCP (RFC 7766 8)."""
    reader, writer = await asyncio.open_connection(*server)
    try:
        writer.write(len(query).to_bytes(2, "big") + query)
        length = int.from_bytes(await reader.readexactly(2), "big")
        said = answer(await reader.readexactly(length), query)
    except asyncio.IncompleteReadError as error:
        raise WireError from error
    finally:
        writer.close()
    match said:
        case Truncated() | OtherCase():
            raise WireError
        case NoEdns(detail):
            return Failed(detail)
        case _:
            return said


def _ip(host: str) -> str:
    """Return the IP address of a server. ValueError for a name other than localhost."""
    if host == "localhost":
        return "127.0.0.1"
    try:
        return str(ipaddress.ip_address(host))
    except ValueError:
        message = f"a name server has to be given by its address: {host}"
        raise ValueError(message) from None
