"""Extensions that a message needs of the upstream: 8BITMIME, SMTPUTF8, SIZE, DSN."""

from tests.support.upstream import Upstream
from tests.support.upstream_session import EXTENSIONS
from tests.support.wire import Client


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
