"""The SASL exchange of AUTH, line by line (RFC 4954 4), and the wait after wrong passwords."""

import base64

import pytest

from relay.reply import TABLE
from relay.settings.clients import Credentials
from relay.smtp.server.auth import exchange
from relay.smtp.server.guesses import Guesses

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


class _Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def _guesses(seconds: float, peer: str = "192.0.2.1") -> tuple[int, int]:
    """Return how many guesses are checked, and how many are refused, if 100 a second are made."""
    clock = _Clock()
    guesses = Guesses(clock)
    checked = refused = 0
    due: list[float] = []
    for _ in range(int(seconds * 100)):
        clock.now += 0.01
        wait = guesses.wait(peer)
        if wait is None:
            refused += 1
        else:
            due.append(clock.now + wait)
        ended = [time for time in due if time <= clock.now]
        due = [time for time in due if time > clock.now]
        for _ in ended:
            guesses.failed(peer)
        checked += len(ended)
    return checked, refused


def test_one_guess_a_second_from_one_address() -> None:
    checked, refused = _guesses(60.0)
    assert checked <= 64
    assert refused > 5000


def test_an_ipv6_site_is_one_address() -> None:
    guesses = Guesses(_Clock())
    for _ in range(4):
        guesses.failed("2001:db8:0:1::1")
    assert guesses.wait("2001:db8:0:1:ffff::2") == 1.0
    assert guesses.wait("2001:db8:0:2::1") == 0.0


def test_failures_are_forgotten() -> None:
    clock = _Clock()
    guesses = Guesses(clock)
    for _ in range(4):
        guesses.failed("192.0.2.1")
    clock.now += 600.0
    assert guesses.wait("192.0.2.1") == 0.0
    guesses.failed("192.0.2.1")
    assert guesses.wait("192.0.2.1") == 0.0


def test_as_many_addresses_as_one_likes_take_bounded_memory() -> None:
    guesses = Guesses(_Clock())
    for n in range(10_000):
        guesses.failed(f"192.0.{n // 250}.{n % 250}")
    assert len(guesses._records) <= 4096
