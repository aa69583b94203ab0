"""An upstream that allows few connections: presend learns the limit, and the clients queue."""

import threading
import weakref
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.support import faults
from tests.support.certs import Certificates
from tests.support.eventually import eventually
from tests.support.faults import Fault, Kind, Stage
from tests.support.postfix import Postfix, serve
from tests.support.presend import Presend, Start
from tests.support.upstream import CREDENTIALS, Upstream
from tests.support.wire import Client

BUSY = Fault(Kind.REPLY, b"421 4.7.0 Too many connections\r\n")
SESSIONS = 16


@pytest.fixture(autouse=True)
def _listening_again(upstream: Upstream) -> Iterator[None]:
    yield
    upstream.listen()


def burst(port: int, each: int = 10) -> list[int]:
    """Let 16 clients at once send `each` messages; return the final codes."""
    ready = threading.Barrier(SESSIONS)

    def send(_: int) -> list[int]:
        codes = []
        with Client.greeted(port, timeout=60) as client:
            ready.wait(20)
            for _ in range(each):
                codes.append(client.transact().code)
                if codes[-1] != 250:
                    client.cmd("RSET")
        return codes

    with ThreadPoolExecutor(SESSIONS) as executor:
        return [code for codes in executor.map(send, range(SESSIONS)) for code in codes]


def allow(
    upstream: Upstream, most: Callable[[], int], stage: Stage, fault: Fault
) -> Callable[[Stage], Fault | None]:
    """Return a plan that refuses a connection at `stage` while `most` others are open.

    One that was let in is not refused later. Each session has a thread of its own.
    """
    lock = threading.Lock()
    inside = weakref.WeakSet[threading.Thread]()

    def plan(at: Stage) -> Fault | None:
        session = threading.current_thread()
        if at is not stage or session in inside:
            return None
        with lock:
            if upstream.open_sessions() > most():
                return fault
            inside.add(session)
            return None

    return plan


@pytest.mark.slow
@pytest.mark.parametrize("most", [1, 2])
def test_postfix_with_a_limit_of_connections(
    start: Start, certificates: Certificates, most: int
) -> None:
    with serve(certificates, smtpd_client_connection_count_limit=str(most)) as server:
        presend = start(
            UPSTREAM=server.url,
            UPSTREAM_PASSWORD=CREDENTIALS[1],
            UPSTREAM_TLS__CA_FILE=str(certificates.ca_file),
            POOL__MESSAGES="30",  # connections are replaced too
            POOL__BACKOFF="60",
        )
        codes = burst(presend.smtp_port)
        assert codes.count(250) == 160, f"{codes}\n{server.log()}"
        assert presend.metric("presend_pool_learned_limit") <= most
        assert presend.metric("presend_pool_limit") == 20
        assert "concurrency limit exceeded" in server.log()
        assert_delivered(server, 160)


def assert_delivered(server: Postfix, count: int) -> None:
    """Assert that there are so many messages and no more."""
    assert len(server.messages(b"Subject: hello", count)) == count


REFUSALS = {
    "421 in place of the banner": (Stage.BANNER, BUSY),
    "450 in place of the banner": (Stage.BANNER, faults.reply("450 4.7.0 Too many connections")),
    "554 in place of the banner": (Stage.BANNER, faults.REFUSED),
    "no banner": (Stage.BANNER, faults.CLOSE),
    "reset": (Stage.CONNECT, faults.RESET),
    "421 to EHLO": (Stage.EHLO, BUSY),
    "421 to MAIL": (Stage.MAIL, BUSY),
}


@pytest.mark.parametrize(("stage", "fault"), REFUSALS.values(), ids=REFUSALS)
@pytest.mark.parametrize("most", [1, pytest.param(3, marks=pytest.mark.slow)])
def test_every_way_to_refuse_a_connection(
    start: Start, upstream: Upstream, stage: Stage, fault: Fault, most: int
) -> None:
    presend = start(upstream, POOL__BACKOFF="60")
    upstream.settings.plan = allow(upstream, lambda: most, stage, fault)
    with Client.greeted(presend.smtp_port) as client:
        assert client.transact().code == 250  # one of ours works
    codes = burst(presend.smtp_port)
    assert codes == [250] * 160, upstream.transcript()[-2000:]
    assert len(upstream.accepted) == 161
    assert 1 <= presend.metric("presend_pool_learned_limit") <= most + 1
    assert presend.metric("presend_upstream_connections", state="connecting") == 0
    assert "allows" in presend.get("/")[1]


def test_more_connections_are_tried_later(start: Start, upstream: Upstream) -> None:
    presend = start(upstream, POOL__CONNECTIONS="6")
    most = 2
    upstream.settings.plan = allow(upstream, lambda: most, Stage.BANNER, BUSY)
    with Client.greeted(presend.smtp_port) as client:
        assert client.transact().code == 250
    assert set(burst(presend.smtp_port)) == {250}
    most = 100

    def all_allowed() -> bool:
        assert set(burst(presend.smtp_port, 2)) == {250}
        return presend.metric("presend_pool_learned_limit") == 6

    eventually(all_allowed, "the configured number of connections is reached again")


def test_an_upstream_that_lets_nobody_in_for_a_while(start: Start, upstream: Upstream) -> None:
    presend = start(upstream, POOL__WAIT="600")  # longer than a client waits for its reply
    most = 2
    upstream.settings.plan = allow(upstream, lambda: most, Stage.BANNER, BUSY)
    with Client.greeted(presend.smtp_port) as client:
        assert client.transact().code == 250
        assert set(burst(presend.smtp_port)) == {250}
        most = 0
        upstream.drop()
        codes = burst(presend.smtp_port, 1)
        assert set(codes) <= {250, 451}
        assert 451 in codes
        most = 2
        client.transact_until_accepted()
    assert set(burst(presend.smtp_port)) == {250}


def test_the_limit_of_the_first_upstream_is_kept_before_the_second_is_used(
    start: Start, upstream: Upstream
) -> None:
    with Upstream() as second:
        presend = start(upstream, second, POOL__WAIT="1", POOL__BACKOFF="60")
        with Client.greeted(presend.smtp_port) as client:
            assert client.transact().code == 250
            upstream.settings.plan = allow(upstream, lambda: 2, Stage.BANNER, BUSY)
            assert set(burst(presend.smtp_port)) == {250}
            assert not second.accepted
            # Whoever waits too long goes to the second.
            upstream.gate.clear()
            with ThreadPoolExecutor(3) as executor:
                sent = [executor.submit(lambda: burst_of_one(presend)) for _ in range(3)]
                eventually(lambda: len(second.accepted) == 1, "the second takes one")
                upstream.gate.set()
                assert [it.result() for it in sent] == [250] * 3


def burst_of_one(presend: Presend) -> int:
    """Send one message over a new connection; return the final code."""
    with Client.greeted(presend.smtp_port) as client:
        return client.transact().code


def test_an_upstream_that_is_down_is_no_limit(start: Start, upstream: Upstream) -> None:
    with Upstream() as second:
        presend = start(upstream, second)
        assert set(burst(presend.smtp_port, 1)) == {250}
        upstream.refuse()
        assert set(burst(presend.smtp_port, 2)) <= {250, 451}
        assert burst_of_one(presend) == 250
        assert second.accepted
