"""The peers of the relay under attack: an upstream and a name server (`-m tests.hostile.peers`).

Both obey what they are asked. The upstream looks at the first word of a recipient's local part (see
`Upstream.rcpt`). The name server never answers for names under SILENT, and has mail hosts for
every other name.
"""

import asyncio
import contextlib
import re
import socket
import sys
from pathlib import Path
from typing import cast

import dns.exception
import dns.flags
import dns.message
import dns.rdatatype
import dns.rrset
import uvloop

SILENT = "silent.example"
NUMBER = re.compile(rb"^X-Number: (\S+)\r?$", re.MULTILINE)
_SMALL = 8192  # octets of a receive buffer: an upstream that does not read holds the relay soon
_PATH = re.compile(rb"<(\w+)[^>]*>")
_HEAD = 2048  # octets of a message in which X-Number is looked for
_SLOW = 2.0  # seconds: what waits behind is answered during the attack


class Upstream(asyncio.Protocol):
    """A sink for mail that writes the X-Number of each accepted message to a file."""

    def __init__(self, accepted: Path) -> None:
        """`accepted` is the file that gets a line for each message answered 250."""
        self.accepted = accepted
        self.unread = self.head = b""
        self.content = False
        self.deaf = self.mute = False
        self.held: list[bytes] | None = None  # replies that wait behind a slow one
        self.transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Send the banner."""
        self.transport = cast("asyncio.Transport", transport)
        self.transport.write(b"220 upstream.example ESMTP\r\n")

    def data_received(self, data: bytes) -> None:
        """Answer each command, and each message at its end."""
        self.unread += data
        while True:
            end = self.unread.find(b"\r\n.\r\n" if self.content else b"\r\n")
            if end < 0:
                if self.content and len(self.unread) > _HEAD:
                    self.head = self.head or self.unread[:_HEAD]
                    self.unread = self.unread[-4:]  # as much of the end as may have come
                return
            if self.content:
                self.head = self.head or self.unread[:end]
                self.unread = self.unread[end + 5 :]
                self.message()
            else:
                line, self.unread = self.unread[:end], self.unread[end + 2 :]
                self.command(line)

    def message(self) -> None:
        """Take a message, unless it is one whose final dot gets no reply."""
        self.content = False
        if self.mute:
            return
        if found := NUMBER.search(self.head):
            with self.accepted.open("ab") as file:
                file.write(found[1] + b"\n")
        self.say(b"250 2.0.0 Accepted\r\n")

    def command(self, line: bytes) -> None:
        """Answer one command."""
        match line[:4].upper():
            case b"EHLO":
                offered = b"PIPELINING", b"8BITMIME", b"SMTPUTF8", b"DSN"
                lines = b"".join(b"250-%b\r\n" % each for each in offered)
                self.say(b"250-upstream.example\r\n" + lines + b"250 SIZE 99999999\r\n")
            case b"MAIL":
                self.deaf = self.mute = False
                self.say(b"250 2.1.0 Sender accepted\r\n")
            case b"RCPT":
                found = _PATH.search(line)
                self.rcpt(found[1] if found else b"")
            case b"DATA":
                self.content = True
                self.head = b""
                self.unread = b"\r\n" + self.unread  # the dot may be the first line
                self.say(b"354 Go ahead\r\n")
                if self.deaf:
                    self.transport.pause_reading()
            case b"QUIT":
                self.say(b"221 2.0.0 Goodbye\r\n")
                self.transport.close()
            case _:
                self.say(b"250 2.0.0 Done\r\n")

    def rcpt(self, word: bytes) -> None:
        """Obey the first word of the recipient's local part."""
        reply = b"250 2.1.5 Recipient accepted\r\n"
        match word:
            case b"slow":  # the reply comes much later
                self.held = [reply] if self.held is None else [*self.held, reply]
                asyncio.get_running_loop().call_later(_SLOW, self.release)
            case b"deaf":  # the content is not read
                self.deaf = True
                self.say(reply)
            case b"mute":  # the final dot is not answered
                self.mute = True
                self.say(reply)
            case b"garble":
                self.say(b"25\x00 \x1b[2J\r" + b"x" * 9000 + b"\n999-\r\n")
            case b"cut":
                self.transport.abort()
            case _:
                self.say(reply)

    def say(self, reply: bytes) -> None:
        """Send a reply, or hold it until those before it are sent."""
        if self.held is None:
            self.transport.write(reply)
        else:
            self.held.append(reply)

    def release(self) -> None:
        """Send the replies that were held."""
        held, self.held = self.held or [], None
        self.transport.write(b"".join(held))


class NameServer(asyncio.DatagramProtocol):
    """Every name has two mail hosts with addresses outside; names under SILENT get no answer."""

    transport: asyncio.DatagramTransport

    def connection_made(self, transport: asyncio.DatagramTransport) -> None:  # type: ignore[override]
        """Keep the transport."""
        self.transport = transport

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        """Answer a query."""
        with contextlib.suppress(dns.exception.DNSException):
            query = dns.message.from_wire(data)
            question = query.question[0]
            if question.name.to_text().lower().endswith(f"{SILENT}."):
                return
            reply = dns.message.make_response(query)
            reply.flags |= dns.flags.RA
            records = {
                dns.rdatatype.MX: ("10 mx1.hosts.example.", "20 mx2.hosts.example."),
                dns.rdatatype.A: ("203.0.112.1",),
            }.get(question.rdtype)
            if records:
                answer = dns.rrset.from_text(
                    question.name, 3600, question.rdclass, question.rdtype, *records
                )
                reply.answer.append(answer)
            else:
                soa = "ns.hosts.example. host.hosts.example. 1 3600 600 86400 60"
                reply.authority.append(dns.rrset.from_text("example.", 60, "IN", "SOA", soa))
            self.transport.sendto(reply.to_wire(), addr)


async def serve(accepted: Path) -> None:
    """Listen on loopback, print the ports, and serve until the process is terminated."""
    loop = asyncio.get_running_loop()
    listener = socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _SMALL)
    listener.bind(("127.0.0.1", 0))
    server = await loop.create_server(lambda: Upstream(accepted), sock=listener, backlog=4096)
    transport, _ = await loop.create_datagram_endpoint(NameServer, local_addr=("127.0.0.1", 0))
    ports = listener.getsockname()[1], transport.get_extra_info("sockname")[1]
    sys.stdout.write("ports {} {}\n".format(*ports))
    sys.stdout.flush()
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(serve(Path(sys.argv[1])))
