"""The command dialogue with the application: order, syntax, limits (RFC 5321 4.1, 4.3)."""

import hashlib

import pytest

from tests.support import dns
from tests.support.eventually import eventually
from tests.support.presend import Presend, Start
from tests.support.upstream import Upstream
from tests.support.wire import Client


def test_ehlo_names_what_is_offered(presend: Presend) -> None:
    with Client(presend.smtp_port) as client:
        assert str(client.reply()).startswith("220 relay.example ")
        offered = client.cmd("EHLO app.example").lines
    keywords = {line[4:].split(" ", 1)[0] for line in offered[1:]}
    assert keywords == {
        "PIPELINING",
        "SIZE",
        "8BITMIME",
        "SMTPUTF8",
        "DSN",
        "ENHANCEDSTATUSCODES",
        "LIMITS",
        "CHUNKING",
    }
    assert "250-SIZE 67108864" in "\n".join(offered).replace("250 ", "250-")
    assert any("LIMITS" in line and "RCPTMAX=1000" in line for line in offered)


def test_a_whole_session(client: Client, upstream: Upstream) -> None:
    client.run("""
        C: MAIL FROM:<news@app.example>
        S: 250 2.1.0 ...
        C: RCPT TO:<ann@example.com>
        S: 250 2.1.5 ...
        C: DATA
        S: 354 ...
        X: Subject: hi\\r\\n\\r\\n..dot\\r\\n.\\r\\n
        S: 250 ...
        C: QUIT
        S: 221 2.0.0 ...
        S: EOF
    """)
    (message,) = upstream.accepted
    assert (message.sender, message.addresses) == ("news@app.example", ["ann@example.com"])
    assert message.body.endswith(b"Subject: hi\r\n\r\n.dot\r\n")


def test_helo_is_enough(presend: Presend, upstream: Upstream) -> None:
    with Client(presend.smtp_port) as client:
        client.run("""
            S: 220 ...
            C: HELO app.example
            S: 250 ...
        """)
        assert client.transact().code == 250
    assert len(upstream.accepted) == 1


def test_commands_in_the_wrong_order(client: Client) -> None:
    client.run("""
        C: RCPT TO:<ann@example.com>
        S: 503 5.5.1 ...
        C: DATA
        S: 503 5.5.1 ...
        C: MAIL FROM:<news@app.example>
        S: 250 2.1.0 ...
        C: MAIL FROM:<other@app.example>
        S: 503 5.5.1 ...
        C: DATA
        S: 503 5.5.1 ...
        C: RCPT TO:<ann@example.com>
        S: 250 2.1.5 ...
        C: RSET
        S: 250 2.0.0 ...
        C: RCPT TO:<ann@example.com>
        S: 503 5.5.1 ...
    """)


def test_mail_before_ehlo(presend: Presend) -> None:
    with Client(presend.smtp_port) as client:
        client.run("""
            S: 220 ...
            C: MAIL FROM:<news@app.example>
            S: 503 5.5.1 ...
        """)


def test_ehlo_in_a_transaction_resets_it(client: Client) -> None:
    client.run("""
        C: MAIL FROM:<news@app.example>
        S: 250 2.1.0 ...
        C: EHLO app.example
        S: 250 ...
        C: RCPT TO:<ann@example.com>
        S: 503 5.5.1 ...
        C: MAIL FROM:<news@app.example>
        S: 250 2.1.0 ...
    """)


def test_commands_that_need_no_transaction(client: Client) -> None:
    client.run("""
        C: NOOP
        S: 250 2.0.0 ...
        C: noop with words
        S: 250 2.0.0 ...
        C: RSET
        S: 250 2.0.0 ...
        C: VRFY ann
        S: 252 2...
        C: HELP
        S: 2...
        C: TURN
        S: 500 5.5.2 ...
    """)


@pytest.mark.parametrize(
    ("command", "code"),
    [
        ("MAIL", 501),
        ("MAIL FROM:", 501),
        ("MAIL FROM:news@app.example", 501),
        ("MAIL FROM:<news@app.example", 501),
        ("MAIL TO:<news@app.example>", 501),
        ("MAIL FROM:<news@app.example> SIZE=many", 501),
        ("MAIL FROM:<news@app.example> BODY=9BIT", 501),
        ("MAIL FROM:<news@app.example> RET=SOME", 501),
        ("MAIL FROM:<news@app.example> SIZE=1 SIZE=2", 501),
        ("MAIL FROM:<news@app.example> COLOUR=blue", 555),
        ("BDAT", 501),
        ("BDAT ten", 501),
        ("EHLO", 501),
    ],
)
def test_wrong_arguments(client: Client, command: str, code: int) -> None:
    reply = client.cmd(command)
    assert (reply.code, reply.enhanced[:2]) == (code, "5.")
    assert client.cmd("NOOP").code == 250


@pytest.mark.parametrize(
    ("sender", "reply"),
    [
        ("no-domain", "553 5.1.7 "),
        ("a..b@app.example", "553 5.1.7 "),
        ("us er@app.example", "553 5.1.7 "),
        ("a@-bad-.example", "553 5.1.7 "),
    ],
)
def test_bad_sender_syntax(client: Client, sender: str, reply: str) -> None:
    assert str(client.cmd(f"MAIL FROM:<{sender}>")).startswith(reply)
    assert client.transact().code == 250


@pytest.mark.parametrize("sender", ["root@localhost", "root@vm", "Root@VM-7c9f", "root@3f2a1b4c"])
def test_a_sender_at_a_single_label(client: Client, upstream: Upstream, sender: str) -> None:
    """It is what programs in a pod send by default."""
    assert client.transact(sender=sender).code == 250
    assert upstream.accepted[-1].sender == sender


def test_single_label_senders_may_be_forbidden(start: Start, upstream: Upstream) -> None:
    presend = start(upstream, SYNTAX__SINGLE_LABEL_SENDER="false")
    with Client.greeted(presend.smtp_port) as client:
        reply = client.cmd("MAIL FROM:<root@localhost>")
        assert str(reply).startswith("553 5.1.7 ")
        assert "single_label_sender" in reply.text
        assert "period" not in reply.text
        assert client.transact().code == 250


def test_a_recipient_at_a_single_label(client: Client, upstream: Upstream) -> None:
    assert client.cmd("MAIL FROM:<news@app.example>").code == 250
    for recipient in ("root@localhost", "root@vm"):
        reply = client.cmd(f"RCPT TO:<{recipient}>")
        assert str(reply).startswith("553 5.1.3 ")
        assert "single label" in reply.text
        assert "period" not in reply.text
    assert not any(line.startswith("RCPT") for line in upstream.commands)


def test_senders_that_are_not_in_the_public_dns_are_not_looked_up(
    start: Start, upstream: Upstream
) -> None:
    with dns.silent() as (host, port):
        presend = start(upstream, DNS_SERVERS=f"{host}:{port}", DNS__TIMEOUT="0.2")
        with Client.greeted(presend.smtp_port) as client:
            for domain in ("localhost", "vm", "host.local", "a.localhost", "mail.corp.internal",
                           "x.invalid", "x.test", "box.home.arpa", "x.onion"):  # fmt: skip
                assert client.cmd(f"MAIL FROM:<root@{domain}>").code == 250
                assert client.cmd("RSET").code == 250
        assert presend.metric("presend_dns_lookup_seconds_count") == 0


def test_postmaster_without_a_domain(start: Start, client: Client, upstream: Upstream) -> None:
    """RFC 5321 4.5.1: it is valid in any case of letters; by default it is a role account."""
    assert client.cmd("MAIL FROM:<news@app.example>").code == 250
    for name in ("Postmaster", "postmaster", "POSTMASTER"):
        reply = client.cmd(f"RCPT TO:<{name}>")
        assert str(reply).startswith("550 5.7.1 ")
        assert "role_account (postmaster)" in reply.text
    for name in ("postmaste", "postmaster@", "abuse"):
        assert str(client.cmd(f"RCPT TO:<{name}>")).startswith("553 5.1.3 ")
    with dns.silent() as (host, port):
        presend = start(
            upstream, ROLE__ALLOW="postmaster", DNS_SERVERS=f"{host}:{port}", DNS__TIMEOUT="0.2"
        )
        with Client.greeted(presend.smtp_port) as other:
            assert other.transact(to=["PostMaster"], sender="").code == 250
            assert upstream.accepted[-1].addresses == ["PostMaster"]
            digest = hashlib.sha256(b"postmaster").hexdigest()
            assert presend.command("suppress", "add", digest).returncode == 0

            def suppressed() -> bool:
                assert other.cmd("MAIL FROM:<>").code == 250
                reply = other.cmd("RCPT TO:<Postmaster>")
                assert other.cmd("RSET").code == 250
                return reply.code == 550 and "suppressed" in reply.text

            eventually(suppressed, "postmaster is suppressed")
        assert presend.metric("presend_dns_lookup_seconds_count") == 0


def test_expn_tells_nothing(client: Client) -> None:
    assert client.cmd("EXPN staff").code in {252, 502}


def test_starttls_that_was_not_offered(client: Client) -> None:
    assert client.cmd("STARTTLS").code in {500, 502, 503}


def test_a_command_line_may_be_512_octets_and_no_longer(client: Client) -> None:
    longest = "NOOP ".ljust(510, "x")  # the limit includes CRLF (RFC 5321 4.5.3.1.4)
    assert client.cmd(longest).code == 250
    assert str(client.cmd(longest + "x")).startswith("500 5.5.2 ")
    assert client.transact().code == 250


def test_extensions_widen_the_limit_of_mail_and_rcpt(client: Client) -> None:
    # RFC 3461 4 adds 500 octets to each for DSN.
    client.run(f"""
        C: MAIL FROM:<news@app.example> SIZE=100 BODY=8BITMIME RET=HDRS ENVID={"e" * 100}
        S: 250 2.1.0 ...
        C: RCPT TO:<ann@example.com> NOTIFY=FAILURE ORCPT=rfc822;{"o" * 480}
        S: 250 2.1.5 ...
        C: RCPT TO:<bob@example.com> ORCPT=rfc822;{"o" * 1100}
        S: 500 5.5.2 ...
        C: RSET
        S: 250 2.0.0 ...
    """)


def test_a_line_without_end_is_refused_in_bounded_memory(presend: Presend, client: Client) -> None:
    before = presend.rss()
    for _ in range(256):
        client.send(b"x" * 65536)
    client.send(b"\r\n")
    assert str(client.reply()).startswith("500 5.5.2 ")
    assert client.cmd("NOOP").code == 250
    assert presend.rss() - before < 8 * 1024 * 1024


@pytest.mark.parametrize("line", [b"NO\rOP\r\n", b"NO\0OP\r\n", b"NOOP\xff\xfe\r\n", b"\r\n"])
def test_odd_bytes_in_a_command(client: Client, line: bytes) -> None:
    client.send(line)
    assert client.reply().code in {500, 501}
    assert client.cmd("NOOP").code == 250


def test_a_bare_lf_does_not_end_a_command(client: Client, upstream: Upstream) -> None:
    # All octets up to the next CRLF are refused, with one or two replies, and nothing is executed.
    client.send(b"MAIL FROM:<evil@app.example>\nMAIL FROM:<worse@app.example>\n")
    client.send(b"RSET\r\nVRFY ann\r\n")
    replies = [client.reply()]
    while replies[-1].code != 252:
        replies.append(client.reply())
    assert {it.code for it in replies[:-1]} <= {500, 250}
    assert replies[0].code == 500
    assert client.transact().code == 250
    assert upstream.accepted[0].sender == "news@app.example"


def test_ten_bad_commands_end_the_session(client: Client, presend: Presend) -> None:
    replies = [client.cmd("BOGUS") for _ in range(10)]
    assert [it.code for it in replies[:9]] == [500] * 9
    last = replies[9] if replies[9].code == 421 else client.reply()
    assert last.code == 421
    assert client.at_end()
    with Client.greeted(presend.smtp_port) as other:
        assert other.cmd("NOOP").code == 250


def test_bytes_after_quit_are_ignored(client: Client, upstream: Upstream) -> None:
    client.send(b"QUIT\r\nMAIL FROM:<news@app.example>\r\n")
    assert client.reply().code == 221
    assert client.at_end()
    assert not upstream.received
