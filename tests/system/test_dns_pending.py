"""Many look-ups that are pending at once: their memory, their fairness, and the replies."""

import asyncio
from pathlib import Path

import dns.message
import pytest

from tests.bench.processes import memory
from tests.support import dns as support
from tests.support import dns_shapes
from tests.support.presend import Presend
from tests.support.upstream import Upstream

CLIENTS = 100
RECIPIENTS = 1000
MEMORY = 160 * 2**20
"""Octets: the limit of the container that the manifests give is 256 MiB."""


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


def _answers_all_but_the_flood(query: dns.message.Message, tcp: bool) -> bytes | None:  # noqa: FBT001
    flood = query.question[0].name.to_text().lower().endswith("client0.example.")
    return None if flood else dns_shapes.script(query, tcp)


@pytest.mark.slow
def test_a_client_with_1000_silent_domains_does_not_delay_the_look_up_of_another(
    tmp_path: Path,
) -> None:
    async def scene(presend: Presend) -> tuple[bytes, bool]:
        flood = asyncio.ensure_future(_flood(presend.smtp_port, 0))
        while not await asyncio.to_thread(presend.metric, "presend_dns_pending"):  # noqa: ASYNC110
            await asyncio.sleep(0.05)
        reader, writer = await asyncio.open_connection("127.0.0.1", presend.smtp_port)
        writer.write(b"HELO victim.example\r\nMAIL FROM:<news@app.example>\r\n")
        writer.write(b"RCPT TO:<ann@good.example>\r\n")
        reply = [await reader.readline() for _ in range(4)][-1]
        flooded = flood.done()
        writer.close()
        assert {line[:9] for line in await flood} == {b"451 4.4.3"}
        return reply, flooded

    with support.scripted(_answers_all_but_the_flood) as (host, port), Upstream() as upstream:
        settings = {
            "PRESEND_UPSTREAM": upstream.url(),
            "PRESEND_DNS_SERVERS": f"{host}:{port}",
            "PRESEND_DNS__PENDING": "100",
            "PRESEND_TRUSTED_DOMAINS": "app.example",
        }
        with Presend(tmp_path, settings) as presend:
            reply, flooded = asyncio.run(scene(presend))
            assert reply.startswith(b"250 2.1.5")
            assert not flooded, "the look-up waited until those of the other client had ended"
            assert presend.metric("presend_dns_pending") == 0


@pytest.mark.slow
def test_the_log_says_that_too_many_look_ups_are_pending(tmp_path: Path) -> None:
    with support.silent() as (host, port), Upstream() as upstream:
        settings = {
            "PRESEND_UPSTREAM": upstream.url(),
            "PRESEND_DNS_SERVERS": f"{host}:{port}",
            "PRESEND_DNS__PENDING": "10",
            "PRESEND_DNS__TIMEOUT": "0.5",
            "PRESEND_TRUSTED_DOMAINS": "app.example",
        }
        with Presend(tmp_path, settings) as presend:
            asyncio.run(_flood(presend.smtp_port, 0))
            presend.wait_for_line(
                lambda it: "too many look-ups are pending" in str(it), "the detail"
            )


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_100_clients_and_100_000_domains_while_dns_is_silent(tmp_path: Path) -> None:
    with support.silent() as (host, port), Upstream() as upstream:
        settings = {
            "PRESEND_UPSTREAM": upstream.url(),
            "PRESEND_DNS_SERVERS": f"{host}:{port}",
            "PRESEND_TRUSTED_DOMAINS": "app.example",
        }
        with Presend(tmp_path, settings) as presend:
            replies = asyncio.run(_flood_all(presend.smtp_port))
            assert {line[:9] for line in replies} == {b"451 4.4.3"}
            assert memory(presend.process.pid, "VmHWM") < MEMORY
