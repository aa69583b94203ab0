"""A relay whose name server sends nonsense, or refuses every name: nobody is refused by that."""

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dns.message
import pytest

from tests.support import dns_shapes
from tests.support.dns import scripted
from tests.support.dns_shapes import SHAPES
from tests.support.eventually import eventually
from tests.support.presend import Presend, command
from tests.support.upstream import Upstream
from tests.support.wire import Client
from validators.verdict import Reason

REPLIES = {
    None: "250 2.1.5",
    Reason.DNS_UNAVAILABLE: "451 4.4.3",
    Reason.NO_DOMAIN: "550 5.1.2",
    Reason.NO_MAIL_HOST: "550 5.1.2",
}


class Liar:
    """A name server that refuses every name while `lies` is true."""

    def __init__(self) -> None:
        self.lies = True

    def __call__(self, query: dns.message.Message, tcp: bool) -> bytes | None:  # noqa: FBT001
        """Answer a query."""
        if self.lies:
            return SHAPES["nxdomain"].build(query, tcp)
        name = query.question[0].name.to_text().lower()
        if name == "gmail.example.":
            return SHAPES["good"].build(query, tcp)
        return dns_shapes.script(query, tcp)


def started(directory: Path, address: tuple[str, int], upstream: Upstream, canary: str) -> Presend:
    settings = {
        "PRESEND_UPSTREAM": upstream.url(),
        "PRESEND_DNS_SERVERS": f"{address[0]}:{address[1]}",
        "PRESEND_DNS__TIMEOUT": "1",
        "PRESEND_DNS__CANARIES": canary,
        "PRESEND_TRUSTED_DOMAINS": "app.example",
    }
    return Presend(directory, settings)


@pytest.fixture(scope="module", params=["none", "canary.example"])
def relay(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Presend, bool]]:
    """A relay without canaries, and one whose canary takes mail; true for the second."""
    folder = tmp_path_factory.mktemp("shapes")
    with (
        Upstream() as upstream,
        scripted(dns_shapes.script) as address,
        started(folder, address, upstream, request.param) as presend,
    ):
        yield presend, request.param != "none"


@pytest.mark.slow  # the same for the resolver alone: tests/validators/test_doubtful_replies.py
@pytest.mark.parametrize("shape", SHAPES)
def test_a_reply_of_each_shape(relay: tuple[Presend, bool], shape: str) -> None:
    presend, vouched = relay
    reason = SHAPES[shape].vouched if vouched else SHAPES[shape].reason
    with Client.greeted(presend.smtp_port) as client:
        assert client.cmd("MAIL FROM:<news@app.example>").code == 250
        said = client.cmd(f"RCPT TO:<ann@{shape}.example>")
        assert str(said).startswith(REPLIES[reason]), said


def test_doubtful_replies_are_counted(relay: tuple[Presend, bool]) -> None:
    presend, _ = relay
    with Client.greeted(presend.smtp_port) as client:
        client.cmd("MAIL FROM:<news@app.example>")
        client.cmd("RCPT TO:<ann@sub.other-owner.example>")
        client.cmd("RCPT TO:<ann@other-owner.example>")
    assert presend.metric("presend_dns_doubtful_total", kind="implausible") >= 1


@pytest.mark.slow
def test_a_resolver_that_refuses_every_name(tmp_path: Path) -> None:
    liar = Liar()
    with (
        Upstream() as upstream,
        scripted(liar) as address,
        started(tmp_path, address, upstream, "canary.example") as presend,
    ):
        with Client.greeted(presend.smtp_port) as client:
            client.run("""
                C: MAIL FROM:<news@app.example>
                S: 250 2.1.0 ...
                C: RCPT TO:<ann@gmail.example>
                S: 451 4.4.3 ... dns_unavailable...
                C: RCPT TO:<ann@gone.example>
                S: 451 4.4.3 ... dns_unavailable...
            """)
        assert presend.metric("presend_dns_canary_failing") == 1
        assert "DNS is not believed" in presend.get("/")[1]
        liar.lies = False
        eventually(lambda: presend.metric("presend_dns_canary_failing") == 0, "the canaries pass")
        with Client.greeted(presend.smtp_port) as client:
            client.cmd("MAIL FROM:<news@app.example>")
            eventually(
                lambda: client.cmd("RCPT TO:<ann@gone.example>").code == 550,
                "a domain that does not exist is refused",
            )
            assert client.cmd("RCPT TO:<bob@gmail.example>").code == 250
        events = presend.events
        said = [it["message"] for it in events if it.get("logger") == "validators.dns.canaries"]
        assert said == [
            "DNS is not believed: canary.example is said not to exist. It refuses no recipient",
            "DNS is believed again: the canaries have mail hosts",
        ]


def checked(
    tmp_path: Path, server: tuple[str, int], canary: str, address: str
) -> tuple[dict[str, Any], subprocess.CompletedProcess[str]]:
    """Run `presend check` on one address; return its line, and how the command ended."""
    host, port = server
    done = command(
        "check",
        "-",
        directory=tmp_path,
        settings={"PRESEND_DNS_SERVERS": f"{host}:{port}", "PRESEND_DNS__CANARIES": canary},
        stdin=f"{address}\n",
    )
    (line,) = [json.loads(text) for text in done.stdout.splitlines()]
    return line, done


def test_check_ends_with_a_warning_if_dns_refuses_every_name(tmp_path: Path) -> None:
    with scripted(Liar()) as server:
        line, done = checked(tmp_path, server, "c.example", "ann@gmail.example")
    assert (line["verdict"], line["reason"]) == ("defer", "dns_unavailable")
    assert done.returncode == 1
    assert "DNS was not believed: c.example is said not to exist" in done.stderr
    assert "Traceback" not in done.stderr


def test_check_believes_a_resolver_whose_canaries_pass(tmp_path: Path) -> None:
    with scripted(dns_shapes.script) as server:
        line, done = checked(tmp_path, server, "canary.example", "ann@nowhere.example")
    assert (line["verdict"], line["reason"]) == ("reject", "no_domain")
    assert done.returncode == 0
