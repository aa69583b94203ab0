"""The upstream pool as the upstream sees it: reuse, replacement, failover."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.support import faults
from tests.support.eventually import eventually
from tests.support.faults import Stage
from tests.support.presend import Presend, Start
from tests.support.upstream import Upstream
from tests.support.wire import Client


@pytest.fixture(autouse=True)
def _listening_again(upstream: Upstream) -> Iterator[None]:
    yield
    upstream.listen()


def send_anew(port: int, number: int) -> int:
    """Send one message over a new connection; return the final code."""
    with Client.greeted(port) as client:
        return client.transact(b"Subject: %d\r\n\r\n" % number).code


def test_one_upstream_connection_serves_many_clients_in_turn(
    presend: Presend, upstream: Upstream
) -> None:
    before = presend.metric("presend_upstream_reuses_total")
    assert {send_anew(presend.smtp_port, it) for it in range(10)} == {250}
    assert len([it for it in upstream.sessions if it.commands]) == 1
    assert presend.metric("presend_upstream_reuses_total") - before >= 9


def test_sixteen_clients_share_the_pool(start: Start, upstream: Upstream) -> None:
    presend = start(upstream, POOL__CONNECTIONS="4")
    with ThreadPoolExecutor(16) as executor:
        codes = list(executor.map(lambda it: send_anew(presend.smtp_port, it), range(160)))
    assert set(codes) == {250}
    assert len(upstream.accepted) == 160
    assert len(upstream.sessions) <= 4, upstream.transcript()
    assert presend.metric("presend_pool_limit") == 4


@pytest.mark.parametrize("reset", [False, True], ids=["fin", "rst"])
def test_a_dead_pooled_connection_is_replaced_unseen(
    client: Client, upstream: Upstream, *, reset: bool
) -> None:
    for number in range(5):
        assert client.transact(b"Subject: %d\r\n\r\n" % number).code == 250
        upstream.drop(reset=reset)
    assert len(upstream.accepted) == 5


def test_421_on_an_idle_pooled_connection_is_no_ones_reply(
    client: Client, upstream: Upstream
) -> None:
    for number in range(5):
        assert client.transact(b"Subject: %d\r\n\r\n" % number).code == 250
        upstream.interject(b"421 4.4.2 Idle too long\r\n", close=number % 2 == 0)
    assert len(upstream.accepted) == 5


def test_a_pooled_connection_that_answers_421_to_mail_is_replaced_unseen(
    client: Client, upstream: Upstream
) -> None:
    assert client.transact().code == 250
    upstream.settings.plan = faults.once(Stage.MAIL, faults.SHUTTING_DOWN)
    assert client.transact().code == 250
    assert len(upstream.accepted) == 2


@pytest.mark.parametrize("stage", [Stage.MAIL, Stage.RCPT, Stage.DATA], ids=str)
@pytest.mark.parametrize("fault", [faults.CLOSE, faults.RESET], ids=str)
def test_a_pooled_connection_that_dies_before_data_is_replaced_unseen(
    client: Client, upstream: Upstream, stage: Stage, fault: faults.Fault
) -> None:
    assert client.transact().code == 250
    upstream.settings.plan = faults.once(stage, fault)
    reply = client.transact()
    # Recipients that were answered cannot be repeated on a new connection unnoticed: DATA may fail.
    assert reply.code == 250 or (stage is Stage.DATA and reply.code == 451), reply


def test_an_aborted_transaction_leaves_nothing_behind(client: Client, upstream: Upstream) -> None:
    client.run("""
        C: MAIL FROM:<one@app.example>
        S: 250 2.1.0 ...
        C: RCPT TO:<eve@example.com>
        S: 250 2.1.5 ...
        C: RSET
        S: 250 2.0.0 ...
    """)
    assert client.transact(sender="two@app.example").code == 250
    (message,) = upstream.received
    assert (message.sender, message.addresses) == ("two@app.example", ["ann@example.com"])


def test_a_client_that_leaves_between_rcpt_and_data(presend: Presend, upstream: Upstream) -> None:
    with Client.greeted(presend.smtp_port) as client:
        client.pipeline("MAIL FROM:<one@app.example>", "RCPT TO:<eve@example.com>")
    assert send_anew(presend.smtp_port, 1) == 250
    (message,) = upstream.received
    assert message.addresses == ["ann@example.com"]


def test_most_messages_over_one_connection(start: Start, upstream: Upstream) -> None:
    presend = start(upstream, POOL__MESSAGES="3")
    with Client.greeted(presend.smtp_port) as client:
        assert [client.transact().code for _ in range(7)] == [250] * 7
    carried = [sum(line.startswith("DATA") for line in it.commands) for it in upstream.sessions]
    assert max(carried) <= 3


def test_an_idle_connection_is_closed_with_quit(start: Start, upstream: Upstream) -> None:
    presend = start(upstream, POOL__IDLE="0.2")
    with Client.greeted(presend.smtp_port) as client:
        assert client.transact().code == 250
        upstream.wait(lambda: all(it.ended for it in upstream.sessions))
        assert upstream.commands[-1] == "QUIT"
        assert client.transact().code == 250


def test_a_client_waits_for_a_connection_no_longer_than_told(
    start: Start, upstream: Upstream
) -> None:
    presend = start(upstream, POOL__CONNECTIONS="1", POOL__WAIT="0.3")
    upstream.gate.clear()
    with Client.greeted(presend.smtp_port) as one, Client.greeted(presend.smtp_port) as two:
        one.pipeline("MAIL FROM:<a@app.example>", "RCPT TO:<ann@example.com>", "DATA")
        one.send(b".\r\n")
        upstream.wait(lambda: len(upstream.received) == 1)
        reply = two.transact()
        assert (reply.code, reply.enhanced[:3]) == (451, "4.4")
        upstream.gate.set()
        assert one.reply().code == 250
        two.cmd("RSET")
        two.transact_until_accepted()


def failing(server: Upstream, how: str) -> None:
    """Make the first upstream fail."""
    if how == "refused":
        server.refuse()
    elif how == "banner":
        server.settings.plan = faults.always(Stage.BANNER, faults.reply("554 5.3.2 No service"))
    else:
        server.settings.plan = faults.always(Stage.BANNER, faults.CLOSE)


@pytest.mark.parametrize("how", ["refused", "banner", "closed"])
def test_failover_to_the_second_upstream(start: Start, upstream: Upstream, how: str) -> None:
    with Upstream() as second:
        presend = start(upstream, second)
        with Client.greeted(presend.smtp_port) as client:
            client.transact_until_accepted()
            assert (len(upstream.accepted), len(second.accepted)) == (1, 0)
            failing(upstream, how)
            upstream.drop()
            assert client.transact().code == 250
            assert client.transact().code == 250
            assert len(second.accepted) == 2


def test_back_to_the_first_upstream_when_it_recovers(start: Start, upstream: Upstream) -> None:
    with Upstream() as second:
        presend = start(upstream, second)
        upstream.refuse()
        with Client.greeted(presend.smtp_port) as client:
            assert client.transact().code == 250
            upstream.listen()

            def back() -> bool:
                assert client.transact().code == 250
                second.drop()
                return bool(upstream.accepted)

            eventually(back, "the first upstream is used again")


def test_a_refusal_of_a_recipient_is_no_reason_to_fail_over(
    start: Start, upstream: Upstream
) -> None:
    with Upstream() as second:
        presend = start(upstream, second)
        with Client.greeted(presend.smtp_port) as client:
            reply = client.transact(to=["550-gone@example.com"])
            assert str(reply).startswith("550 5.1.1 ")
        assert not second.sessions


def test_both_upstreams_down(start: Start, upstream: Upstream) -> None:
    with Upstream() as second:
        presend = start(upstream, second)
        upstream.refuse()
        second.refuse()
        with Client.greeted(presend.smtp_port) as client:
            reply = client.transact()
            assert (reply.code, reply.enhanced) == (451, "4.4.1")
            client.cmd("RSET")
            upstream.listen()
            client.transact_until_accepted()
