"""The SASL exchange of AUTH, line by line (RFC 4954 4)."""

import base64

import pytest

from relay.reply import TABLE
from relay.settings.clients import Credentials
from relay.smtp.server.auth import exchange

ACCOUNT = Credentials("ann", "secret")
USER, PASSWORD = base64.b64encode(b"ann"), base64.b64encode(b"secret")


def replies(argument: bytes, *responses: bytes) -> list[object]:
    """Return the challenges, and the last reply."""
    running = exchange(ACCOUNT, argument)
    said: list[object] = []
    given: bytes | None = None
    for response in (*responses, b""):
        try:
            said.append(running.send(given))
        except StopIteration as end:
            return [*said, end.value]
        given = response
    return said


@pytest.mark.parametrize(
    ("argument", "responses", "last"),
    [
        (b"LOGIN", [USER, PASSWORD], "AUTHENTICATED"),
        (b"login " + USER, [PASSWORD], "AUTHENTICATED"),
        (b"LOGIN =", [PASSWORD], "AUTH_FAILED"),
        (b"LOGIN", [b"=", PASSWORD], "AUTH_ABORTED"),
        (b"LOGIN", [USER, b"="], "AUTH_ABORTED"),
        (b"LOGIN", [b"*"], "AUTH_ABORTED"),
        (b"PLAIN", [base64.b64encode(b"\0ann\0secret")], "AUTHENTICATED"),
        (b"PLAIN " + base64.b64encode(b"\0ann\0wrong"), [], "AUTH_FAILED"),
        (b"PLAIN =", [], "AUTH_ABORTED"),
        (b"PLAIN !!!", [], "AUTH_ABORTED"),
        (b"CRAM-MD5", [], "BAD_MECHANISM"),
    ],
)
def test_an_exchange(argument: bytes, responses: list[bytes], last: str) -> None:
    assert replies(argument, *responses)[-1] is TABLE[last]


def test_a_response_is_empty_only_where_the_client_sends_nothing() -> None:
    """An equals sign stands for no octets in an initial response, and nowhere else."""
    assert replies(b"LOGIN", b"=")[-1] is TABLE["AUTH_ABORTED"]
    assert replies(b"LOGIN", b"", PASSWORD)[-1] is TABLE["AUTH_FAILED"]
