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
