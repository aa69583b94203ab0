"""Many look-ups that are pending at once: their memory, their fairness, and the replies."""

import asyncio
import re
import time
from pathlib import Path

import pytest

from tests.support import dns
from tests.support.presend import Presend
from tests.support.upstream import Upstream
from tests.support.wire import Client

CLIENTS = 100
RECIPIENTS = 1000
MEMORY = 160 * 2**20
"""Octets: the limit of the container that the manifests give is 256 MiB."""


def peak(presend: Presend) -> int:
    """Return the largest resident memory of the process so far, in octets."""
    status = Path(f"/proc/{presend.process.pid}/status").read_text()
    found = re.search(r"VmHWM:\s+(\d+) kB", status)
    assert found
    return int(found[1]) * 1024


async def _flood(port: int, number: int) -> list[bytes]:
    """Send a group of RCPTs to distinct domains in one write; return the replies to them."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        await reader.readline()
        writer.write(b"HELO flood.example\r\nMAIL FROM:<news@app.example>\r\n")
        await reader.readline()
        assert (await reader.readline()).startswith(b"250")
        domains = (f"d{n}.client{number}.example" for n in range(RECIPIENTS))
        writer.write(b"".join(b"RCPT TO:<ann@%b>\r\n" % domain.encode() for domain in domains))
        return [await reader.readline() for _ in range(RECIPIENTS)]
    finally:
        writer.close()


async def _flood_all(port: int) -> list[bytes]:
    replies = await asyncio.gather(*(_flood(port, number) for number in range(CLIENTS)))
    return [line for lines in replies for line in lines]


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_100_clients_and_100_000_domains_while_dns_is_silent(tmp_path: Path) -> None:
    with dns.silent() as (host, port), Upstream() as upstream:
        settings = {
            "PRESEND_UPSTREAM": upstream.url(),
            "PRESEND_DNS_SERVERS": f"{host}:{port}",
            "PRESEND_TRUSTED_DOMAINS": "app.example",
        }
        with Presend(tmp_path, settings) as presend:
            at_rest = peak(presend)
            started = time.monotonic()
            replies = asyncio.run(_flood_all(presend.smtp_port))
            seconds = time.monotonic() - started
            assert {line[:9] for line in replies} == {b"451 4.4.3"}
            used = peak(presend)
            print(f"at rest {at_rest >> 20} MiB, peak {used >> 20} MiB, {seconds:.0f} s")
            assert used < MEMORY
