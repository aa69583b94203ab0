"""Extensions that a message needs of the upstream: 8BITMIME, SMTPUTF8, SIZE, DSN."""

import smtplib

import pytest

from tests.support.presend import Presend, Start
from tests.support.upstream import Upstream
from tests.support.upstream_session import EXTENSIONS
from tests.support.wire import Client

ANN = "ann@example.com"
USER = "\u7528\u6237@example.com"


def without(*names: str) -> tuple[str, ...]:
    """The usual extensions without those named."""
    return tuple(it for it in EXTENSIONS if it.split()[0] not in names)


def mail_line(upstream: Upstream) -> str:
    """The last MAIL command that the upstream received."""
    return [line for line in upstream.commands if line.startswith("MAIL")][-1]


def test_8bitmime_passes_through(client: Client, upstream: Upstream) -> None:
    body = "Subject: x\r\n\r\nGr\u00fc\u00dfe\r\n".encode()
    client.run("""
        C: MAIL FROM:<news@app.example> BODY=8BITMIME
        S: 250 2.1.0 ...
        C: RCPT TO:<ann@example.com>
        S: 250 2.1.5 ...
        C: DATA
        S: 354 ...
    """)
    assert client.body(body).code == 250
    assert "BODY=8BITMIME" in mail_line(upstream).split()
    assert upstream.accepted[0].body.endswith(body)


def test_7bit_is_not_turned_into_8bit(client: Client, upstream: Upstream) -> None:
    assert client.transact().code == 250
    assert "8BITMIME" not in mail_line(upstream)


def test_smtputf8_passes_through(client: Client, upstream: Upstream) -> None:
    client.run("""
        C: MAIL FROM:<n\u00e9ws@app.example> SMTPUTF8 BODY=8BITMIME
        S: 250 2.1.0 ...
        C: RCPT TO:<\u7528\u6237@example.com>
        S: 250 2.1.5 ...
        C: DATA
        S: 354 ...
        X: .\\r\\n
        S: 250 ...
    """)
    message = upstream.accepted[0]
    assert (message.sender, message.addresses) == (
        "n\u00e9ws@app.example",
        ["\u7528\u6237@example.com"],
    )
    assert "SMTPUTF8" in message.parameters


def test_smtputf8_that_the_upstream_lacks(client: Client, upstream: Upstream) -> None:
    upstream.settings.extensions = without("SMTPUTF8")
    replies = client.pipeline(
        "MAIL FROM:<n\u00e9ws@app.example> SMTPUTF8", "RCPT TO:<ann@example.com>", "DATA"
    )
    refused = next(it for it in replies if it.code >= 400)
    assert (refused.code, refused.enhanced) == (553, "5.6.7")
    assert all(it.code < 300 or it.code >= 500 for it in replies)
    assert not any(line.startswith("MAIL") for line in upstream.commands)
    client.cmd("RSET")
    assert client.transact().code == 250


def test_an_ascii_envelope_needs_no_smtputf8(presend: Presend, upstream: Upstream) -> None:
    """Go's net/smtp adds the parameters to every MAIL, because the server offers them."""
    upstream.settings.extensions = without("SMTPUTF8", "8BITMIME")
    body = "Subject: Gr\u00fc\u00dfe\r\n\r\nGr\u00fc\u00dfe\r\n".encode()
    with smtplib.SMTP("127.0.0.1", presend.smtp_port, timeout=20) as client:
        client.sendmail(
            "news@app.example", [ANN, "bob@example.com"], body, ["BODY=8BITMIME", "SMTPUTF8"]
        )
    (message,) = upstream.accepted
    assert all(it.startswith("SIZE=") for it in message.parameters)
    assert message.addresses == [ANN, "bob@example.com"]
    assert message.body.endswith(body)
    header = message.body.removesuffix(body)
    assert b"with UTF8SMTP id" in b" ".join(header.split())  # how the client sent it
    assert header.isascii()


@pytest.mark.parametrize("pipelined", [False, True], ids=["one by one", "pipelined"])
def test_only_the_address_that_needs_smtputf8_is_refused(
    client: Client, upstream: Upstream, *, pipelined: bool
) -> None:
    upstream.settings.extensions = without("SMTPUTF8")
    commands = [
        "MAIL FROM:<news@app.example> SMTPUTF8",
        *(f"RCPT TO:<{it}>" for it in (USER, ANN, USER, USER, "bob@example.com", USER)),
        "DATA",
    ]
    replies = client.pipeline(*commands) if pipelined else [client.cmd(it) for it in commands]
    codes = [it.code for it in replies]
    assert codes == [250, 553, 250, 553, 553, 250, 553, 354]
    assert {it.enhanced for it in replies if it.code == 553} == {"5.6.7"}
    assert client.body(b"x\r\n").code == 250
    assert upstream.accepted[0].addresses == [ANN, "bob@example.com"]
    assert mail_line(upstream) == "MAIL FROM:<news@app.example>"


def test_no_recipient_is_left_without_smtputf8(client: Client, upstream: Upstream) -> None:
    upstream.settings.extensions = without("SMTPUTF8", "PIPELINING")
    codes = [
        it.code
        for it in client.pipeline(
            "MAIL FROM:<news@app.example> SMTPUTF8",
            f"RCPT TO:<{USER}>",
            f"RCPT TO:<{USER}>",
            "DATA",
        )
    ]
    assert codes == [250, 553, 553, 554]
    assert not any(line.startswith(("MAIL", "DATA")) for line in upstream.commands)
    assert client.cmd(f"RCPT TO:<{ANN}>").code == 250
    assert client.cmd("DATA").code == 354
    assert client.body(b"x\r\n").code == 250
    assert upstream.accepted[0].addresses == [ANN]


@pytest.mark.parametrize(
    ("sender", "recipients"),
    [("n\u00e9ws@app.example", (ANN,)), ("news@app.example", (ANN, USER))],
    ids=["sender", "recipient"],
)
def test_an_upstream_of_the_list_that_offers_smtputf8_takes_the_message(
    start: Start, upstream: Upstream, sender: str, recipients: tuple[str, ...]
) -> None:
    upstream.settings.extensions = without("SMTPUTF8")
    mail = [f"MAIL FROM:<{sender}> SMTPUTF8", *(f"RCPT TO:<{it}>" for it in recipients)]
    with Upstream() as second:
        presend = start(upstream, second, POOL__BACKOFF="0.01")
        with Client.greeted(presend.smtp_port) as client:
            for _ in range(2):
                assert client.transact().code == 250  # the first upstream takes what it can
                assert [it.code for it in client.pipeline(*mail, "DATA")][-1] == 354
                assert client.body(b"x\r\n").code == 250
            assert [it.addresses for it in second.accepted] == [list(recipients)] * 2
            assert len(upstream.accepted) == 2
            assert "SMTPUTF8" in second.accepted[0].parameters

            second.refuse()
            replies = client.pipeline(*mail)
            assert (replies[-1].code, replies[-1].enhanced) == (451, "4.6.7")
            assert replies[1].code == (250 if sender.isascii() else 451)
            client.cmd("RSET")

            second.settings.extensions = without("SMTPUTF8")
            second.listen()
            client.pipeline(*mail)
            client.cmd("RSET")
            replies = client.pipeline(*mail)  # now both are known not to offer it
            assert (replies[-1].code, replies[-1].enhanced) == (553, "5.6.7")
            client.cmd("RSET")
            assert client.transact().code == 250


def test_a_later_recipient_that_needs_smtputf8_is_put_off(start: Start, upstream: Upstream) -> None:
    """MAIL has gone to an upstream that does not offer it; another one can take it next time."""
    upstream.settings.extensions = without("SMTPUTF8")
    with Upstream() as second:
        presend = start(upstream, second)
        with Client.greeted(presend.smtp_port) as client:
            client.run(f"""
                C: MAIL FROM:<news@app.example> SMTPUTF8
                S: 250 2.1.0 ...
                C: RCPT TO:<{ANN}>
                S: 250 2.1.5 ...
                C: RCPT TO:<{USER}>
                S: 451 4.6.7 ...
                C: DATA
                S: 354 ...
                X: .\\r\\n
                S: 250 ...
                C: MAIL FROM:<news@app.example> SMTPUTF8
                S: 250 2.1.0 ...
                C: RCPT TO:<{USER}>
                S: 250 2.1.5 ...
                C: DATA
                S: 354 ...
                X: .\\r\\n
                S: 250 ...
            """)
        assert [it.addresses for it in upstream.accepted] == [[ANN]]
        assert [it.addresses for it in second.accepted] == [[USER]]


def test_a_connection_with_smtputf8_that_is_lost_is_replaced_by_one_with_it(
    start: Start, upstream: Upstream
) -> None:
    upstream.settings.extensions = without("SMTPUTF8")
    with Upstream() as second:
        presend = start(upstream, second)
        with Client.greeted(presend.smtp_port) as client:
            for loses in (False, True):
                client.cmd("MAIL FROM:<news@app.example> SMTPUTF8")
                assert client.cmd(f"RCPT TO:<{USER}>").code == 250
                second.refuse() if loses else second.drop()
                reply = client.cmd(f"RCPT TO:<{ANN}>")
                assert reply.code == (451 if loses else 250)
                client.cmd("RSET")
        assert not upstream.received


def test_a_utf8_address_without_smtputf8_is_bad_syntax(client: Client) -> None:
    client.run("""
        C: MAIL FROM:<news@app.example>
        S: 250 2.1.0 ...
        C: RCPT TO:<\u7528\u6237@example.com>
        S: 553 5...
        C: RCPT TO:<ann@example.com>
        S: 250 2.1.5 ...
    """)


def test_an_upstream_with_no_extensions_at_all(client: Client, upstream: Upstream) -> None:
    upstream.settings.extensions = ()
    client.run("""
        C: MAIL FROM:<news@app.example> SIZE=100 RET=HDRS ENVID=e1
        S: 250 2.1.0 ...
        C: RCPT TO:<ann@example.com> NOTIFY=NEVER
        S: 250 2.1.5 ...
        C: DATA
        S: 354 ...
        X: .\\r\\n
        S: 250 ...
    """)
    (message,) = upstream.accepted
    assert (message.parameters, message.recipients) == ((), (("ann@example.com", ()),))


def test_dsn_parameters_pass_through(client: Client, upstream: Upstream) -> None:
    client.run("""
        C: MAIL FROM:<news@app.example> RET=HDRS ENVID=QQ314159+3D
        S: 250 2.1.0 ...
        C: RCPT TO:<ann@example.com> NOTIFY=SUCCESS,FAILURE ORCPT=rfc822;Ann+2B@Example.com
        S: 250 2.1.5 ...
        C: RCPT TO:<bob@example.com> NOTIFY=NEVER
        S: 250 2.1.5 ...
        C: RCPT TO:<eve@example.com>
        S: 250 2.1.5 ...
        C: DATA
        S: 354 ...
        X: .\\r\\n
        S: 250 ...
    """)
    (message,) = upstream.accepted
    assert {"RET=HDRS", "ENVID=QQ314159+3D"} <= set(message.parameters)
    assert [set(parameters) for _, parameters in message.recipients] == [
        {"NOTIFY=SUCCESS,FAILURE", "ORCPT=rfc822;Ann+2B@Example.com"},
        {"NOTIFY=NEVER"},
        set(),
    ]


def test_size_is_declared_to_the_upstream(client: Client, upstream: Upstream) -> None:
    # presend adds a Received field, so the size passed on is at least the declared one.
    client.cmd("MAIL FROM:<news@app.example> SIZE=1000")
    client.cmd("RCPT TO:<ann@example.com>")
    sizes = [it for it in mail_line(upstream).split() if it.startswith("SIZE=")]
    assert not sizes or int(sizes[0].removeprefix("SIZE=")) >= 1000


def test_extensions_are_known_anew_for_each_connection(client: Client, upstream: Upstream) -> None:
    upstream.settings.extensions = without("SMTPUTF8")
    assert client.transact().code == 250
    upstream.reset()
    client.run("""
        C: MAIL FROM:<n\u00e9ws@app.example> SMTPUTF8
        S: 250 2.1.0 ...
        C: RCPT TO:<ann@example.com>
        S: 250 2.1.5 ...
    """)


BAD_MAIL = (
    b"ENVID=a\x01b", b"ENVID=a\x7fb", b"ENVID=\xff", b"ENVID=a=b", b"ENVID=a+b", b"ENVID=a+0Ab",
    b"ENVID=a+0D", b"ENVID=+80", b"ENVID=\xc3\xa4", b"RET=NONE", b"AUTH=a\x01",
)  # fmt: skip
BAD_RCPT = (
    b"NOTIFY=SOMETIMES", b"NOTIFY=NEVER,SUCCESS", b"NOTIFY=SUCCESS,", b"NOTIFY=\x01",
    b"NOTIFY=SUCCESS\x1b[2J", b"NOTIFY=\xff", b"ORCPT=rfc822;a\x01@b", b"ORCPT=a@example.com",
    b"ORCPT=rfc822;\xe4", b"ORCPT=rfc822;a+0D+0ABcc:x", b"ORCPT=rfc 822;a", b"ORCPT=;a",
    b"ORCPT=rfc822;a=b", b"ORCPT=utf-8;\xc3\xa4@b",
)  # fmt: skip


def test_dsn_parameters_that_are_not_valid(client: Client, upstream: Upstream) -> None:
    """Control and 8-bit octets went upstream as they came."""
    for parameter in BAD_MAIL:
        client.send(b"MAIL FROM:<news@app.example> " + parameter + b"\r\n")
        assert str(client.reply()).startswith("501 5.5.4 "), parameter
        assert client.transact().code == 250  # too many bad commands in a row would end the session
    for parameter in BAD_RCPT:
        assert client.cmd("MAIL FROM:<news@app.example>").code == 250
        client.send(b"RCPT TO:<ann@example.com> " + parameter + b"\r\n")
        assert str(client.reply()).startswith("501 5.5.4 "), parameter
        assert client.cmd("RSET").code == 250
        assert client.transact().code == 250
    assert all(line.isascii() and line.isprintable() for line in upstream.commands)


def test_dsn_parameters_that_are_valid(client: Client, upstream: Upstream) -> None:
    mail = "MAIL FROM:<news@app.example> RET=hdrs ENVID=QQ314159+2B+20x"
    rcpts = (
        "RCPT TO:<ann@example.com> NOTIFY=Success,DELAY,failure ORCPT=rfc822;Bob+2Bx@example.org",
        "RCPT TO:<bob@example.com> NOTIFY=NEVER ORCPT=x400;/C+3DDE/",
    )
    assert client.cmd(mail).code == 250
    for rcpt in rcpts:
        assert client.cmd(rcpt).code == 250
    assert client.cmd("RSET").code == 250
    assert [line for line in upstream.commands if "RCPT" in line][-2:] == list(rcpts)
    assert mail.partition(" ENVID")[2] in mail_line(upstream)
    assert client.cmd("MAIL FROM:<news@app.example> SMTPUTF8").code == 250
    rcpt = "RCPT TO:<ann@example.com> ORCPT=utf-8;\u00e4@example.org"
    assert client.cmd(rcpt).code == 250
    assert client.cmd("RSET").code == 250


def test_the_name_in_ehlo_in_our_received_header(client: Client, upstream: Upstream) -> None:
    client.send(b"EHLO a\x01b\x1b\x7f\xff\xc3\xa4(c)\r\n")
    assert client.reply().code == 250
    assert client.transact().code == 250
    assert upstream.accepted[-1].body.startswith(b"Received: from a?b??????c? ([127.0.0.1])")
