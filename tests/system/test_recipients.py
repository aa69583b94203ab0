"""Every recipient gets its own reply: presend's verdict, or the upstream's reply verbatim."""

import pytest

from tests.support.presend import Presend, Start
from tests.support.upstream import Upstream
from tests.support.wire import Client


def test_the_upstreams_refusal_reaches_that_recipient_alone(
    client: Client, upstream: Upstream
) -> None:
    upstream.settings.replies["gone@example.com"] = (
        b"550 5.1.1 <gone@example.com>: who? (x\xc3\xa9)\r\n"
    )
    client.run("""
        C: MAIL FROM:<news@app.example> SMTPUTF8
        S: 250 2.1.0 ...
        C: RCPT TO:<ann@example.com>
        S: 250 2.1.5 ...
        C: RCPT TO:<gone@example.com>
        S: 550 5.1.1 <gone@example.com>: who? (x\xe9)
        C: RCPT TO:<452-full@example.com>
        S: 452 4.1.1 <452-full@example.com> as you wish
        C: RCPT TO:<bob@example.com>
        S: 250 2.1.5 ...
        C: DATA
        S: 354 ...
        X: Subject: x\\r\\n\\r\\n.\\r\\n
        S: 250 ...
    """)
    (message,) = upstream.accepted
    assert message.addresses == ["ann@example.com", "bob@example.com"]


def test_a_multi_line_refusal_is_passed_on_whole(client: Client, upstream: Upstream) -> None:
    upstream.settings.replies["gone@example.com"] = (
        b"550-5.1.1 The account does not exist.\r\n550-\r\n550 5.1.1 Learn more: https://x.example/\r\n"
    )
    client.run("""
        C: MAIL FROM:<news@app.example>
        C: RCPT TO:<gone@example.com>
        C: RCPT TO:<ann@example.com>
        S: 250 2.1.0 ...
        S: 550-5.1.1 The account does not exist.
        S: 550-
        S: 550 5.1.1 Learn more: https://x.example/
        S: 250 2.1.5 ...
    """)


def test_a_refusal_without_enhanced_code(client: Client, upstream: Upstream) -> None:
    upstream.settings.replies["gone@example.com"] = b"550 No such user\r\n"
    client.run("""
        C: MAIL FROM:<news@app.example>
        S: 250 2.1.0 ...
        C: RCPT TO:<gone@example.com>
        S: 550 No such user
    """)


def test_all_recipients_refused_by_the_upstream(client: Client, upstream: Upstream) -> None:
    client.run("""
        C: MAIL FROM:<news@app.example>
        S: 250 2.1.0 ...
        C: RCPT TO:<550-gone@example.com>
        S: 550 5.1.1 ...
        C: RCPT TO:<551-gone@example.com>
        S: 551 5.1.1 ...
        C: DATA
        S: 554 5.5.1 ...
        C: RSET
        S: 250 2.0.0 ...
    """)
    assert client.transact().code == 250
    assert len(upstream.received) == 1


def test_all_recipients_refused_pipelined_with_data(client: Client, upstream: Upstream) -> None:
    client.run("""
        C: MAIL FROM:<news@app.example>
        C: RCPT TO:<550-gone@example.com>
        C: RCPT TO:<postmaster@example.com>
        C: DATA
        S: 250 2.1.0 ...
        S: 550 5.1.1 ...
        S: 550 5.7.1 ...
        S: 554 5.5.1 ...
        C: MAIL FROM:<news@app.example>
        S: 250 2.1.0 ...
    """)
    assert not upstream.received


def test_a_recipient_refused_here_never_reaches_the_upstream(
    client: Client, upstream: Upstream
) -> None:
    client.run("""
        C: MAIL FROM:<news@app.example>
        S: 250 2.1.0 ...
        C: RCPT TO:<postmaster@example.com>
        S: 550 5.7.1 ... role_account...
        C: RCPT TO:<Abuse+tag@example.com>
        S: 550 5.7.1 ... role_account...
        C: RCPT TO:<ann@example.com>
        S: 250 2.1.5 ...
    """)
    assert not any("postmaster" in line or "buse" in line for line in upstream.commands)


def test_only_locally_refused_recipients(client: Client, upstream: Upstream) -> None:
    client.run("""
        C: MAIL FROM:<news@app.example>
        S: 250 2.1.0 ...
        C: RCPT TO:<postmaster@example.com>
        S: 550 5.7.1 ...
        C: DATA
        S: 554 5.5.1 ...
    """)
    assert not any(line.startswith("RCPT") for line in upstream.commands)


@pytest.mark.parametrize(
    "recipient",
    [
        "",
        "ann",
        "a..b@example.com",
        ".ann@example.com",
        "ann@-bad-.example",
        "us er@example.com",
        '"quoted local"@example.com',
        "ann@[192.0.2.1]",
        "ann@example.com (comment)",
        "x" * 65 + "@example.com",
    ],
)
def test_bad_recipient_syntax(client: Client, upstream: Upstream, recipient: str) -> None:
    client.cmd("MAIL FROM:<news@app.example>")
    reply = client.cmd(f"RCPT TO:<{recipient}>")
    assert str(reply).startswith("553 5.1.3 ")
    assert client.cmd("RCPT TO:<ann@example.com>").code == 250
    assert not any(f"<{recipient}>" in line for line in upstream.commands)


@pytest.mark.parametrize(
    "command", ["RCPT TO:ann@example.com", "RCPT TO:", "RCPT", "RCPT FROM:<a@b>"]
)
def test_rcpt_without_a_path(client: Client, command: str) -> None:
    client.cmd("MAIL FROM:<news@app.example>")
    assert client.cmd(command).code == 501


def test_the_null_sender_stays_null(client: Client, upstream: Upstream) -> None:
    assert client.transact(sender="").code == 250
    assert upstream.accepted[0].sender == ""
    assert any(line.startswith("MAIL FROM:<>") for line in upstream.commands)


def test_the_same_recipient_twice(client: Client, upstream: Upstream) -> None:
    assert client.transact(to=["ann@example.com", "ann@example.com"]).code == 250
    assert upstream.accepted[0].addresses == ["ann@example.com", "ann@example.com"]


def test_the_address_goes_on_as_the_client_wrote_it(client: Client, upstream: Upstream) -> None:
    assert client.transact(sender="News@App.Example", to=["Ann.B+tag@Example.COM"]).code == 250
    message = upstream.accepted[0]
    assert (message.sender, message.addresses) == ("News@App.Example", ["Ann.B+tag@Example.COM"])


def test_a_recipient_deferred_by_the_upstream_is_not_a_refusal(
    client: Client, upstream: Upstream
) -> None:
    client.run("""
        C: MAIL FROM:<news@app.example>
        C: RCPT TO:<451-busy@example.com>
        C: RCPT TO:<452-full@example.com>
        S: 250 2.1.0 ...
        S: 451 4.1.1 ...
        S: 452 4.1.1 ...
        C: RCPT TO:<ann@example.com>
        S: 250 2.1.5 ...
        C: DATA
        S: 354 ...
        X: .\\r\\n
        S: 250 ...
    """)
    assert upstream.accepted[0].addresses == ["ann@example.com"]


def test_too_many_recipients(start: Start, upstream: Upstream) -> None:
    presend = start(upstream, LIMITS__RECIPIENTS="3")
    with Client.greeted(presend.smtp_port) as client:
        to = [f"RCPT TO:<r{i}@example.com>" for i in range(5)]
        replies = client.pipeline("MAIL FROM:<news@app.example>", *to, "DATA")
        assert [it.code for it in replies] == [250, 250, 250, 250, 452, 452, 354]
        assert replies[4].enhanced == "4.5.3"
        assert client.body(b"\r\n").code == 250
    assert len(upstream.accepted[0].recipients) == 3


def test_verdicts_are_counted(presend: Presend, client: Client) -> None:
    def count(**labels: str) -> float:
        return presend.metric("presend_recipients_total", campaign="default", **labels)

    before = (count(verdict="accept"), count(verdict="reject", reason="role_account"))
    client.transact(to=["ann@example.com", "550-gone@example.com"])
    client.cmd("RSET")
    client.transact(to=["postmaster@example.com"])
    after = (count(verdict="accept"), count(verdict="reject", reason="role_account"))
    assert (after[0] - before[0], after[1] - before[1]) == (2, 1)
