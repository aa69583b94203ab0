"""Servers that system tests share. Most tests use one child, since a start takes a second."""

import contextlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.certs import Certificates
from tests.support.presend import Presend, Start
from tests.support.upstream import CREDENTIALS, Upstream
from tests.support.wire import Client


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Allow blocking calls: presend runs in a child process, outside the reach of the detector."""
    for item in items:
        if item.path.parent == Path(__file__).parent:
            item.add_marker(pytest.mark.may_block("the code under test runs in a child"))


@pytest.fixture(scope="session")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    """An authority and its certificates."""
    return Certificates(tmp_path_factory.mktemp("certificates"))


@pytest.fixture(scope="session")
def _upstream() -> Iterator[Upstream]:
    with Upstream() as server:
        yield server


@pytest.fixture(scope="session")
def _presend(_upstream: Upstream, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Presend]:
    settings = {"PRESEND_UPSTREAM": _upstream.url()}
    with Presend(tmp_path_factory.mktemp("presend"), settings) as process:
        yield process


@pytest.fixture
def upstream(_upstream: Upstream) -> Iterator[Upstream]:
    """The upstream of `presend`, without TLS; reset for each test."""
    _upstream.reset()
    yield _upstream
    _upstream.reset()


@pytest.fixture
def presend(_presend: Presend, upstream: Upstream) -> Presend:
    """A shared `presend serve` with default settings that relays to `upstream`."""
    assert upstream.port
    return _presend


@pytest.fixture
def client(presend: Presend) -> Iterator[Client]:
    """A client connected to `presend` that has sent EHLO."""
    with Client.greeted(presend.smtp_port) as connection:
        yield connection


@pytest.fixture(scope="session")
def _secure_upstream(certificates: Certificates) -> Iterator[Upstream]:
    # With a small receive buffer, a stalled body blocks the sender after little data.
    server = Upstream(tls=certificates.server(), credentials=CREDENTIALS, receive_buffer=4096)
    with server:
        yield server


@pytest.fixture(scope="session")
def secure_settings(_secure_upstream: Upstream, certificates: Certificates) -> dict[str, str]:
    """Settings for an upstream with STARTTLS and AUTH."""
    return {
        "PRESEND_UPSTREAM": _secure_upstream.url(),
        "PRESEND_UPSTREAM_PASSWORD": CREDENTIALS[1],
        "PRESEND_UPSTREAM_TLS__CA_FILE": str(certificates.ca_file),
    }


@pytest.fixture(scope="session")
def _secure_presend(
    secure_settings: dict[str, str], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Presend]:
    with Presend(tmp_path_factory.mktemp("secure"), secure_settings) as process:
        yield process


@pytest.fixture(scope="session")
def _hasty_presend(
    secure_settings: dict[str, str], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Presend]:
    timeouts = {
        f"PRESEND_UPSTREAM_TIMEOUTS__{name}": "0.5"
        for name in ("CONNECT", "COMMAND", "BODY", "FINAL")
    }
    with Presend(tmp_path_factory.mktemp("hasty"), {**secure_settings, **timeouts}) as process:
        yield process


@pytest.fixture
def secure_upstream(_secure_upstream: Upstream) -> Iterator[Upstream]:
    """The upstream of `secure_presend` and `hasty_presend`: STARTTLS and AUTH."""
    _secure_upstream.reset()
    yield _secure_upstream
    _secure_upstream.reset()


@pytest.fixture
def secure_presend(_secure_presend: Presend, secure_upstream: Upstream) -> Presend:
    """A shared `presend serve` that relays to `secure_upstream` with STARTTLS and AUTH."""
    assert secure_upstream.port
    return _secure_presend


@pytest.fixture
def hasty_presend(_hasty_presend: Presend, secure_upstream: Upstream) -> Presend:
    """A shared `presend serve` as `secure_presend`, with upstream time-outs of 0.5 s."""
    assert secure_upstream.port
    return _hasty_presend


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Start a separate `presend serve`: `start(upstream, LIMITS__IDLE="1")`."""
    with contextlib.ExitStack() as stack:

        def run(*upstreams: Upstream, directory: Path | None = None, **settings: str) -> Presend:
            given = (
                {"PRESEND_UPSTREAM": ",".join(it.url() for it in upstreams)} if upstreams else {}
            )
            for name, value in settings.items():
                given[name if name == "CAMPAIGN_ID" else f"PRESEND_{name}"] = value
            return stack.enter_context(Presend(directory or tmp_path, given))

        yield run
