"""Limits on connections and on time."""

import contextlib
import resource
from collections.abc import Iterator

import pytest

from tests.support.presend import Presend, Start
from tests.support.upstream import Upstream
from tests.support.wire import Client, envelope


@pytest.fixture
def _many_files() -> Iterator[None]:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = 8192 if hard == resource.RLIM_INFINITY else min(8192, hard)
    if wanted < 4096:
        pytest.skip(f"needs 4096 open files, {hard} are allowed")
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, wanted), hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@pytest.fixture(scope="module")
def _impatient(_upstream: Upstream, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Presend]:
    settings = {"PRESEND_UPSTREAM": _upstream.url(), "PRESEND_LIMITS__IDLE": "0.3"}
    with Presend(tmp_path_factory.mktemp("impatient"), settings) as process:
        yield process


@pytest.fixture
def impatient(_impatient: Presend, upstream: Upstream) -> Presend:
    """A presend with an idle limit of 0.3 s that relays to `upstream`."""
    assert upstream.port
    return _impatient


@pytest.mark.slow
@pytest.mark.usefixtures("_many_files")
def test_two_thousand_connections_at_once(start: Start, upstream: Upstream) -> None:
    presend = start(upstream)
    with contextlib.ExitStack() as stack:
        clients = [stack.enter_context(Client(presend.smtp_port)) for _ in range(2000)]
        banners = [client.reply() for client in clients]
        assert {it.code for it in banners} == {220, 421}
        assert sum(it.code == 220 for it in banners) == 1024
        assert {it.enhanced for it in banners if it.code == 421} == {"4.3.2"}
        served = [client for client, it in zip(clients, banners, strict=True) if it.code == 220]
        for client in served:
            client.send(b"EHLO app.example\r\n")
        assert {client.reply().code for client in served} == {250}
        assert [client.transact().code for client in served[::8]] == [250] * 128
        assert all(client.at_end() for client in clients if client not in served)
        assert presend.metric("presend_sessions") == 1024
    assert presend.metric("presend_sessions_refused_total", cause="connections") == 976
    assert len(upstream.accepted) == 128


def test_a_place_that_was_left_is_free_again(start: Start, upstream: Upstream) -> None:
    presend = start(upstream, LIMITS__CONNECTIONS="2")
    with Client.greeted(presend.smtp_port):
        for _ in range(20):
            with Client.greeted(presend.smtp_port) as client:
                assert client.cmd("QUIT").code == 221
                assert client.at_end()


@pytest.mark.parametrize(
    "before",
    [
        [],
        ["MAIL FROM:<news@app.example>"],
        ["MAIL FROM:<news@app.example>", "RCPT TO:<ann@example.com>"],
        envelope(),
    ],
    ids=["greeted", "mail", "rcpt", "data"],
)
def test_an_idle_client(impatient: Presend, upstream: Upstream, before: list[str]) -> None:
    with Client.greeted(impatient.smtp_port) as client:
        for command in before:
            client.cmd(command)
        reply = client.reply()
        assert (reply.code, reply.enhanced) == (421, "4.4.2")
        assert client.at_end()
    assert not upstream.received


def test_a_client_that_never_greets(impatient: Presend) -> None:
    with Client(impatient.smtp_port) as client:
        assert [client.reply().code for _ in range(2)] == [220, 421]
        assert client.at_end()


def test_waiting_for_the_upstream_is_not_idling(impatient: Presend, upstream: Upstream) -> None:
    upstream.gate.clear()
    with (
        Client.greeted(impatient.smtp_port) as waiting,
        Client.greeted(impatient.smtp_port) as idle,
    ):
        waiting.pipeline(*envelope())
        waiting.send(b".\r\n")
        upstream.wait(lambda: len(upstream.received) == 1)
        assert idle.reply().code == 421  # the limit has passed for both
        upstream.gate.set()
        assert waiting.reply().code == 250


def test_a_client_that_reads_no_replies_takes_bounded_memory(
    start: Start, upstream: Upstream
) -> None:
    presend = start(upstream, LIMITS__IDLE="2")
    with Client.greeted(presend.smtp_port, timeout=0.5) as client:
        before = presend.rss()
        with contextlib.suppress(OSError):
            for _ in range(500):
                client.send(b"NOOP\r\n" * 10_000)
        assert presend.rss() - before < 16 * 1024 * 1024
    with Client.greeted(presend.smtp_port) as client:
        assert client.transact().code == 250
