"""SIGTERM lets transactions finish; SIGKILL loses no message that was answered 250."""

import contextlib
import signal
import threading
from pathlib import Path

import pytest

from tests.support.presend import Presend, Start
from tests.support.upstream import Upstream
from tests.support.wire import Client, envelope


def test_sigterm_with_messages_in_flight(start: Start, upstream: Upstream) -> None:
    presend = start(upstream)
    upstream.gate.clear()
    with (
        Client.greeted(presend.smtp_port) as waiting,
        Client.greeted(presend.smtp_port) as sending,
        Client.greeted(presend.smtp_port) as idle,
    ):
        waiting.pipeline(*envelope())
        waiting.send(b"Subject: waiting\r\n\r\n.\r\n")
        upstream.wait(lambda: len(upstream.received) == 1)
        sending.pipeline(*envelope())
        sending.send(b"Subject: sending\r\n")

        presend.sigterm()
        reply = idle.reply()
        assert (reply.code, reply.enhanced) == (421, "4.3.2")
        assert idle.at_end()
        sending.send(b"\r\n.\r\n")
        upstream.wait(lambda: len(upstream.received) == 2)
        upstream.gate.set()
        assert [waiting.reply().code, sending.reply().code] == [250, 250]
        for client in (waiting, sending):
            assert client.reply().code == 421
            assert client.at_end()
    assert presend.wait() == 0
    assert len(upstream.accepted) == 2
    assert upstream.commands.count("QUIT") == len([it for it in upstream.sessions if it.commands])


def test_a_transaction_begun_before_sigterm_may_finish(start: Start, upstream: Upstream) -> None:
    presend = start(upstream)
    with Client.greeted(presend.smtp_port) as client, Client.greeted(presend.smtp_port) as idle:
        client.pipeline(*envelope()[:-1])
        presend.sigterm()
        assert idle.reply().code == 421  # the stop has begun
        assert client.cmd("DATA").code == 354
        assert client.body(b"Subject: x\r\n\r\n").code == 250
    assert presend.wait() == 0
    assert len(upstream.accepted) == 1


def test_no_new_session_while_draining(start: Start, upstream: Upstream) -> None:
    presend = start(upstream)
    upstream.gate.clear()
    with Client.greeted(presend.smtp_port) as client, Client.greeted(presend.smtp_port) as idle:
        client.pipeline(*envelope())
        client.send(b".\r\n")
        upstream.wait(lambda: len(upstream.received) == 1)
        assert presend.get("/readyz")[0] == 200
        presend.sigterm()
        assert idle.reply().code == 421
        try:
            with Client(presend.smtp_port) as late:
                assert late.reply().code == 421
        except ConnectionError:
            pass
        assert presend.get("/readyz")[0] == 503
        assert presend.get("/livez")[0] == 200
        upstream.gate.set()
        assert client.reply().code == 250
    assert presend.wait() == 0


def test_the_grace_period_is_bounded(start: Start, upstream: Upstream) -> None:
    presend = start(upstream, GRACE="0.3", LAST_SCRAPE="600")
    upstream.gate.clear()
    with Client.greeted(presend.smtp_port) as client:
        client.pipeline(*envelope())
        client.send(b".\r\n")
        upstream.wait(lambda: len(upstream.received) == 1)
        presend.sigterm()
        with contextlib.suppress(ConnectionError):  # no reply at all is correct too
            assert client.reply().code in {421, 451}
        assert presend.metric("presend_drain_cut_total") == 1  # presend waits for this scrape
        assert presend.wait() == 0


@pytest.mark.parametrize("ending", ["RSET", "refused content"])
def test_a_transaction_that_ends_without_a_message_ends_the_session(
    start: Start, upstream: Upstream, ending: str
) -> None:
    presend = start(upstream, GRACE="60")
    with Client.greeted(presend.smtp_port) as client, Client.greeted(presend.smtp_port) as idle:
        client.pipeline(*envelope())
        if ending == "RSET":
            client.send(b"Subject: x\r\n\r\n.\r\n")
            assert client.reply().code == 250
            client.pipeline(*envelope()[:-1])
        presend.sigterm()
        assert idle.reply().code == 421  # the stop has begun
        client.send(b"RSET\r\n" if ending == "RSET" else b"bare\nline feed\r\n.\r\n")
        assert client.reply().code == (250 if ending == "RSET" else 550)
        assert client.reply().code == 421
        assert client.at_end()
        assert presend.wait() == 0  # before the client has closed, and long before 60 s
    assert presend.process.returncode == 0
    assert "transactions short" not in presend.log


@pytest.mark.parametrize("second", [signal.SIGTERM, signal.SIGINT])
def test_a_second_signal_cuts_the_wait_short(
    start: Start, upstream: Upstream, second: signal.Signals
) -> None:
    """The grace period is longer than the test may take."""
    presend = start(upstream, GRACE="600")
    upstream.gate.clear()
    with Client.greeted(presend.smtp_port) as client, Client.greeted(presend.smtp_port) as idle:
        client.pipeline(*envelope())
        client.send(b".\r\n")
        upstream.wait(lambda: len(upstream.received) == 1)
        presend.sigterm()
        assert idle.reply().code == 421  # the stop has begun
        presend.process.send_signal(second)
        with contextlib.suppress(ConnectionError):  # no reply at all is correct too
            assert client.reply().code in {421, 451}
        assert presend.wait() == 0
    assert "Cut 1 transactions short: at a second signal" in presend.log
    assert [it["result"] for it in presend.events if it.get("event") == "message"] == ["aborted"]


def test_an_interrupt_that_the_shell_ignores_stays_ignored(
    start: Start, upstream: Upstream
) -> None:
    """Ctrl-C in a script that started presend in the background is not meant for presend."""
    inherited = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        presend = start(upstream)
    finally:
        signal.signal(signal.SIGINT, inherited)
    presend.process.send_signal(signal.SIGINT)
    with Client.greeted(presend.smtp_port) as client:
        status = Path(f"/proc/{presend.process.pid}/status").read_text()
        ignored = next(line for line in status.splitlines() if line.startswith("SigIgn:"))
        assert int(ignored.split()[1], 16) & 1 << (signal.SIGINT - 1)
        assert client.cmd("NOOP").code == 250
    presend.sigterm()
    assert presend.wait() == 0


def test_a_second_signal_ends_the_wait_for_the_last_scrape(
    start: Start, upstream: Upstream
) -> None:
    presend = start(upstream, GRACE="0.1", LAST_SCRAPE="600")
    upstream.gate.clear()
    with Client.greeted(presend.smtp_port) as client:
        client.pipeline(*envelope())
        client.send(b".\r\n")
        upstream.wait(lambda: len(upstream.received) == 1)
        presend.sigterm()
        presend.wait_for_line(lambda it: "transactions short" in it.get("message", ""))
        assert presend.get("/livez")[0] == 200  # presend waits
        presend.sigterm()
        assert presend.wait() == 0


def test_the_last_figures_of_a_short_job_are_scraped(start: Start, upstream: Upstream) -> None:
    presend = start(upstream, LAST_SCRAPE="600")
    with Client.greeted(presend.smtp_port) as client:
        assert client.transact().code == 250
    presend.sigterm()
    presend.wait_for_line(lambda it: "one more scrape" in it.get("message", ""))
    assert presend.get("/readyz")[0] == 503
    assert presend.metric("presend_messages_total", result="relayed") == 1
    assert presend.wait() == 0


def test_sigterm_with_nothing_to_do(start: Start, upstream: Upstream) -> None:
    presend = start(upstream)
    presend.sigterm()
    assert presend.wait() == 0


def campaign(
    presend: Presend, name: int, answered: set[bytes], changed: threading.Condition
) -> None:
    """Send messages until presend has ended; record each 250."""
    try:
        with Client.greeted(presend.smtp_port) as client:
            for number in range(10_000):
                subject = b"Subject: %d.%d\r\n" % (name, number)
                if client.transact(subject + b"\r\n").code == 250:
                    with changed:
                        answered.add(subject)
                        changed.notify_all()
    except (OSError, AssertionError):
        pass


@pytest.mark.parametrize("count", [1, 40, 173])
def test_sigkill_loses_nothing_that_was_answered(
    start: Start, upstream: Upstream, count: int
) -> None:
    presend = start(upstream)
    answered: set[bytes] = set()
    changed = threading.Condition()
    threads = [
        threading.Thread(target=campaign, args=(presend, it, answered, changed)) for it in range(4)
    ]
    for thread in threads:
        thread.start()
    with changed:
        assert changed.wait_for(lambda: len(answered) >= count, 30)
    presend.kill()
    for thread in threads:
        thread.join(30)
    arrived = {line + b"\r\n" for it in upstream.accepted for line in it.body.split(b"\r\n")}
    assert answered <= arrived


def test_sigkill_in_mid_body_leaves_no_message(start: Start, upstream: Upstream) -> None:
    presend = start(upstream)
    with Client.greeted(presend.smtp_port) as client:
        client.pipeline(*envelope())
        client.send(b"Subject: x\r\n\r\nhalf\r\n")
        presend.kill()
    upstream.wait(lambda: all(it.ended for it in upstream.sessions))
    assert not upstream.received
