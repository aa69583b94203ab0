"""Each verdict of the MX check as an SMTP reply, with zones served by nsd."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support import dns
from tests.support.presend import Presend
from tests.support.upstream import Upstream
from tests.support.wire import Client

ZONES = {
    ".": "",
    "good.example": "@ MX 10 mx\nmx A 8.8.8.8",
    "implicit.example": "@ A 8.8.4.4",
    "implicit6.example": "@ AAAA 2001:4860:4860::8888",
    "nullmx.example": "@ MX 0 .",
    "nohost.example": '@ TXT "nothing here"',
    "dangling.example": "@ MX 10 nowhere.good.example.",
    "loopback.example": "@ MX 10 mx\nmx A 127.0.0.1",
    "private.example": "@ MX 10 mx\n@ MX 20 m2\nmx A 10.1.2.3\nm2 A 192.168.0.1\nm2 AAAA fd00::1",
    "linklocal.example": "@ MX 10 mx\nmx AAAA fe80::1",
    "documentation.example": "@ MX 10 mx\nmx A 192.0.2.1",
    "multicast.example": "@ MX 10 mx\nmx A 224.0.0.5",
    "half.example": "@ MX 10 mx\n@ MX 20 mx2\nmx A 127.0.0.1\nmx2 A 8.8.8.8",
    "alias.example": "www CNAME mail.good.example.",
    "broken.example": dns.SERVFAIL,
    "xn--bcher-kva.example": "@ MX 10 mx\nmx A 8.8.8.8",
    "app.example": "@ MX 10 mx\nmx A 8.8.8.8",
}


@pytest.fixture(scope="module")
def _server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, int]]:
    with dns.serve(ZONES, tmp_path_factory.mktemp("nsd")) as address:
        yield address


@pytest.fixture(scope="module")
def _asking(
    _server: tuple[str, int], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Presend, Upstream]]:
    with Upstream() as upstream:
        settings = {
            "PRESEND_UPSTREAM": upstream.url(),
            "PRESEND_DNS_SERVERS": f"{_server[0]}:{_server[1]}",
            "PRESEND_TRUSTED_DOMAINS": "internal.example",
        }
        with Presend(tmp_path_factory.mktemp("dns"), settings) as process:
            yield process, upstream


@pytest.fixture
def asking(_asking: tuple[Presend, Upstream]) -> Presend:
    """A presend that uses nsd as its name server."""
    _asking[1].reset()
    return _asking[0]


@pytest.fixture
def client(asking: Presend) -> Iterator[Client]:
    """A client that has sent MAIL."""
    with Client.greeted(asking.smtp_port) as connection:
        assert connection.cmd("MAIL FROM:<news@app.example>").code == 250
        yield connection


@pytest.mark.parametrize(
    ("domain", "reply"),
    [
        ("good.example", "250 2.1.5"),
        ("GOOD.Example", "250 2.1.5"),
        ("implicit.example", "250 2.1.5"),
        ("implicit6.example", "250 2.1.5"),
        ("half.example", "250 2.1.5"),
        ("nullmx.example", "556 5.1.10"),
        ("nosuch.invalid-tld", "550 5.1.2"),
        ("no-such-name.good.example", "550 5.1.2"),
        ("nohost.example", "550 5.1.2"),
        ("dangling.example", "550 5.1.2"),
        ("loopback.example", "550 5.4.4"),
        ("private.example", "550 5.4.4"),
        ("linklocal.example", "550 5.4.4"),
        ("documentation.example", "550 5.4.4"),
        ("multicast.example", "550 5.4.4"),
        ("broken.example", "451 4.4.3"),
        ("internal.example", "250 2.1.5"),
        ("host.internal.example", "250 2.1.5"),
    ],
)
def test_a_recipient_at(client: Client, domain: str, reply: str) -> None:
    assert str(client.cmd(f"RCPT TO:<ann@{domain}>")).startswith(reply + " ")


def test_a_group_of_all_kinds(client: Client) -> None:
    client.run("""
        C: RCPT TO:<ann@good.example>
        C: RCPT TO:<ann@nullmx.example>
        C: RCPT TO:<bob@good.example>
        C: RCPT TO:<ann@broken.example>
        C: RCPT TO:<ann@loopback.example>
        C: RCPT TO:<eve@implicit.example>
        C: DATA
        S: 250 2.1.5 ...
        S: 556 5.1.10 ... null_mx...
        S: 250 2.1.5 ...
        S: 451 4.4.3 ... dns_unavailable...
        S: 550 5.4.4 ... unroutable...
        S: 250 2.1.5 ...
        S: 354 ...
        X: .\\r\\n
        S: 250 ...
    """)


def test_an_internationalised_domain(asking: Presend) -> None:
    with Client.greeted(asking.smtp_port) as client:
        client.run("""
            C: MAIL FROM:<news@app.example> SMTPUTF8
            S: 250 2.1.0 ...
            C: RCPT TO:<ann@b\u00fccher.example>
            S: 250 2.1.5 ...
        """)


@pytest.mark.parametrize(
    ("domain", "replies"),
    [
        ("good.example", {250}),
        ("nullmx.example", {550}),  # 5.7.27 (RFC 7505 4.2)
        ("broken.example", {250, 451}),
    ],
)
def test_a_sender_at(asking: Presend, domain: str, replies: set[int]) -> None:
    with Client.greeted(asking.smtp_port) as client:
        reply = client.cmd(f"MAIL FROM:<news@{domain}>")
        assert reply.code in replies
        assert reply.code != 550 or reply.enhanced == "5.7.27"


def test_lookups_are_cached_and_counted(asking: Presend, client: Client) -> None:
    def hits() -> float:
        return asking.metric("presend_dns_cache_total", result="hit")

    client.cmd("RCPT TO:<ann@good.example>")
    before = hits()
    client.pipeline(*[f"RCPT TO:<r{it}@good.example>" for it in range(20)])
    assert hits() - before >= 1
    assert asking.metric("presend_dns_lookup_seconds_count") >= 1


def test_a_silent_server_defers(tmp_path: Path) -> None:
    with dns.silent() as (host, port), Upstream() as upstream:
        settings = {
            "PRESEND_UPSTREAM": upstream.url(),
            "PRESEND_DNS_SERVERS": f"{host}:{port}",
            "PRESEND_DNS__TIMEOUT": "0.3",
            "PRESEND_TRUSTED_DOMAINS": "app.example",
        }
        with Presend(tmp_path, settings) as presend, Client.greeted(presend.smtp_port) as client:
            to = [f"RCPT TO:<ann@d{it}.example>" for it in range(200)]
            replies = client.pipeline("MAIL FROM:<news@app.example>", *to)[1:]
            assert {(it.code, it.enhanced) for it in replies} == {(451, "4.4.3")}
            assert presend.metric("presend_recipients_total", reason="dns_unavailable") == 200
        assert not any(line.startswith("RCPT") for line in upstream.commands)
