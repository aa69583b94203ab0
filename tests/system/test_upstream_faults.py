"""Every fault at every stage of the upstream gives 451 with the stage, and the relay goes on."""

import pytest

from tests.support import faults
from tests.support.faults import Fault, Stage
from tests.support.presend import Presend
from tests.support.upstream import Upstream
from tests.support.wire import Client, Reply, envelope, stuffed

STAGES = [it for it in Stage if it not in {Stage.CONNECT, Stage.RSET, Stage.QUIT}]
BROKEN = [faults.CLOSE, faults.RESET, faults.GARBAGE, faults.ENDLESS, faults.SHUTTING_DOWN]
SAID = {  # the stage in the reply's text; a fault in the TLS handshake counts as STARTTLS
    Stage.BANNER: ("banner", "connect"),  # a reset may arrive before connect returns
    Stage.HANDSHAKE: ("starttls", "tls"),
    Stage.BODY: ("body", "final"),  # the fault may be noticed only after the end of data
}


def works_again(client: Client, upstream: Upstream) -> None:
    """Assert that the session still works: after some 451 at most, a message is accepted."""
    upstream.settings.plan = faults.healthy
    assert client.cmd("NOOP").code == 250
    assert client.cmd("RSET").code == 250
    client.transact_until_accepted(b"Subject: after\r\n\r\n")
    assert upstream.accepted[-1].body.endswith(b"Subject: after\r\n\r\n")


def is_trouble(reply: Reply, *stages: str) -> bool:
    """Return whether a reply is 451 4.4.1 or 4.4.2 and names the stage."""
    return (
        reply.code == 451
        and reply.enhanced in {"4.4.1", "4.4.2"}
        and any(stage in reply.text.lower() for stage in stages)
    )


@pytest.mark.parametrize("fault", BROKEN, ids=str)
@pytest.mark.parametrize("stage", STAGES, ids=str)
def test_the_upstream_fails(
    secure_presend: Presend, secure_upstream: Upstream, stage: Stage, fault: Fault
) -> None:
    with Client.greeted(secure_presend.smtp_port) as client:
        secure_upstream.settings.plan = faults.always(stage, fault)
        reply = client.transact()
        assert is_trouble(reply, *SAID.get(stage, (str(stage),))), reply
        assert not secure_upstream.accepted
        works_again(client, secure_upstream)


@pytest.mark.parametrize("stage", STAGES, ids=str)
def test_the_upstream_stalls(
    hasty_presend: Presend, secure_upstream: Upstream, stage: Stage
) -> None:
    message = b"x" * 78 + b"\r\n"
    with Client.greeted(hasty_presend.smtp_port, timeout=60) as client:
        secure_upstream.settings.plan = faults.always(stage, faults.STALL)
        # Larger than all buffers on the path, so that a stalled body blocks the writes.
        reply = client.transact(message * (200_000 if stage is Stage.BODY else 1))
        assert is_trouble(reply, *SAID.get(stage, (str(stage),))), reply
        assert not secure_upstream.accepted
        secure_upstream.drop()
        works_again(client, secure_upstream)


@pytest.mark.parametrize("fault", [faults.CLOSE, faults.RESET], ids=str)
def test_the_upstream_accepts_and_closes_at_once(
    presend: Presend, upstream: Upstream, client: Client, fault: Fault
) -> None:
    assert presend.smtp_port
    upstream.settings.plan = faults.always(Stage.CONNECT, fault)
    reply = client.transact()
    assert is_trouble(reply, "connect", "banner"), reply
    works_again(client, upstream)


def test_the_upstream_refuses_connections(client: Client, upstream: Upstream) -> None:
    upstream.refuse()
    try:
        for _ in range(3):
            reply = client.transact()
            assert is_trouble(reply, "connect"), reply
            client.cmd("RSET")
    finally:
        upstream.listen()
    works_again(client, upstream)


@pytest.mark.parametrize("stage", [Stage.BANNER, Stage.EHLO, Stage.STARTTLS, Stage.AUTH], ids=str)
@pytest.mark.parametrize("fault", [faults.BUSY, faults.REFUSED], ids=str)
def test_a_handshake_refused_is_our_trouble_not_the_recipients(
    secure_presend: Presend, secure_upstream: Upstream, stage: Stage, fault: Fault
) -> None:
    with Client.greeted(secure_presend.smtp_port) as client:
        secure_upstream.settings.plan = faults.always(stage, fault)
        reply = client.transact()
        assert is_trouble(reply, str(stage)), reply
        works_again(client, secure_upstream)


@pytest.mark.parametrize("stage", [Stage.MAIL, Stage.RCPT, Stage.DATA, Stage.FINAL], ids=str)
@pytest.mark.parametrize(
    "text",
    ["451 4.3.0 Try later", "554 5.7.1 Not today", "554-5.7.1 Not\n554 5.7.1 today", "550 No"],
    ids=["transient", "permanent", "multi-line", "bare"],
)
def test_a_refusal_is_passed_on_verbatim(
    client: Client, upstream: Upstream, stage: Stage, text: str
) -> None:
    upstream.settings.plan = faults.always(stage, faults.reply(text))
    assert list(client.transact().lines) == text.split("\n")
    works_again(client, upstream)


@pytest.mark.parametrize("stage", STAGES, ids=str)
def test_a_slow_reply_is_no_fault(
    secure_presend: Presend, secure_upstream: Upstream, stage: Stage
) -> None:
    with Client.greeted(secure_presend.smtp_port) as client:
        secure_upstream.settings.plan = faults.always(stage, faults.TRICKLE)
        assert client.transact().code == 250
    assert len(secure_upstream.accepted) == 1


@pytest.mark.parametrize("fault", [*BROKEN, faults.BUSY, faults.REFUSED], ids=str)
@pytest.mark.parametrize("stage", [Stage.RSET, Stage.QUIT], ids=str)
def test_trouble_after_the_message_is_not_the_clients(
    client: Client, upstream: Upstream, stage: Stage, fault: Fault
) -> None:
    upstream.settings.plan = faults.always(stage, fault)
    for number in range(4):
        client.cmd("MAIL FROM:<news@app.example>")
        client.cmd("RCPT TO:<ann@example.com>")
        assert client.cmd("RSET").code == 250
        assert client.transact().code == 250, number
    assert len(upstream.accepted) == 4


@pytest.mark.parametrize("stage", [Stage.MAIL, Stage.RCPT, Stage.DATA], ids=str)
@pytest.mark.parametrize("fault", BROKEN, ids=str)
def test_a_pipelined_group_is_answered_whole(
    client: Client, upstream: Upstream, stage: Stage, fault: Fault
) -> None:
    upstream.settings.plan = faults.always(stage, fault)
    replies = client.pipeline(*envelope(f"r{i}@example.com" for i in range(5)))
    assert any(is_trouble(it, str(stage)) for it in replies), replies
    assert replies[-1].code in {451, 503, 554}
    assert all(it.code in {250, 451, 503, 554} for it in replies)
    works_again(client, upstream)


def test_the_final_reply_is_lost(client: Client, upstream: Upstream) -> None:
    # The upstream may have the message: the client must get 451, and presend must not send again.
    upstream.settings.plan = faults.once(Stage.FINAL, faults.CLOSE)
    reply = client.transact()
    assert is_trouble(reply, "final"), reply
    assert len(upstream.received) == 1
    assert not upstream.accepted


def test_a_refusal_at_the_final_dot_loses_no_connection(client: Client, upstream: Upstream) -> None:
    upstream.settings.plan = faults.once(Stage.FINAL, faults.REFUSED)
    assert str(client.transact()) == "554 5.7.1 Not today"
    assert client.transact().code == 250
    assert len([it for it in upstream.sessions if it.commands]) == 1


def test_the_upstream_goes_away_while_a_long_body_is_sent(
    client: Client, upstream: Upstream
) -> None:
    upstream.settings.plan = faults.always(Stage.BODY, faults.RESET)
    client.pipeline(*envelope())
    client.send(stuffed(b"Subject: long\r\n\r\n" + b"line\r\n" * 1_000_000))
    reply = client.reply()
    assert is_trouble(reply, *SAID[Stage.BODY]), reply
    works_again(client, upstream)


def test_faults_are_logged_and_counted(
    presend: Presend, client: Client, upstream: Upstream
) -> None:
    upstream.settings.plan = faults.always(Stage.EHLO, faults.CLOSE)
    client.transact()
    line = presend.wait_for_line(
        lambda it: it.get("stage") == "ehlo" and it.get("level") in {"warning", "error"}
    )
    assert f"127.0.0.1:{upstream.port}" in str(line)
    assert presend.metric("presend_upstream_handshakes_total", result="failed") >= 1
