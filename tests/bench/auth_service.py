"""An authentication service for Postfix, so that the benchmark does not need Dovecot.

Speaks the part of the Dovecot authentication protocol (version 1.1) that Postfix uses for AUTH
PLAIN with an initial response, and knows one user. `python -m tests.bench.auth_service` prints
its port.
"""

import asyncio
import base64
import sys

USER = "campaign"
PASSWORD = "not-a-secret"

HELLO = "VERSION\t1\t1\nMECH\tPLAIN\tplaintext\nSPID\t1\nCUID\t1\nCOOKIE\t{:032x}\nDONE\n"


def answer(line: str) -> str:
    """Return the reply to one line of the client, or an empty string if the line needs none."""
    command, _, rest = line.partition("\t")
    if command != "AUTH":
        return ""
    request, *fields = rest.split("\t")
    given = dict(field.partition("=")[::2] for field in fields).get("resp", "")
    expected = base64.b64encode(f"\0{USER}\0{PASSWORD}".encode()).decode()
    if given == expected:
        return f"OK\t{request}\tuser={USER}\n"
    return f"FAIL\t{request}\tuser={USER}\n"


async def converse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Serve one Postfix process until it disconnects."""
    writer.write(HELLO.format(1).encode())
    async for line in reader:
        writer.write(answer(line.decode().rstrip("\n")).encode())
    writer.close()


async def serve() -> None:
    """Serve until the process is ended."""
    server = await asyncio.start_server(converse, "127.0.0.1", 0)
    sys.stdout.write(f"port {server.sockets[0].getsockname()[1]}\n")
    sys.stdout.flush()
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(serve())
