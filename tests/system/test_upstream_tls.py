"""TLS and AUTH to the upstream: certificates are verified, without fallback to plaintext."""

import ssl
from pathlib import Path

import pytest

from tests.support import faults
from tests.support.certs import Certificates
from tests.support.faults import Stage
from tests.support.presend import Presend, Start
from tests.support.upstream import CREDENTIALS, Upstream
from tests.support.wire import Client


def start_for(
    start: Start, server: Upstream, certificates: Certificates, **settings: str
) -> Presend:
    """A presend that trusts the authority."""
    return start(
        server,
        UPSTREAM_PASSWORD=CREDENTIALS[1],
        UPSTREAM_TLS__CA_FILE=str(certificates.ca_file),
        **settings,
    )


def test_starttls_and_auth(secure_presend: Presend, secure_upstream: Upstream) -> None:
    with Client.greeted(secure_presend.smtp_port) as client:
        assert client.transact().code == 250
    verbs = [line.split(" ", 1)[0] for line in secure_upstream.commands]
    assert verbs[:5] == ["EHLO", "STARTTLS", "EHLO", "AUTH", "MAIL"]
    assert secure_upstream.commands[0] == "EHLO relay.example"


def test_an_upstream_that_knows_only_auth_login(
    secure_presend: Presend, secure_upstream: Upstream
) -> None:
    secure_upstream.settings.mechanisms = "LOGIN"
    with Client.greeted(secure_presend.smtp_port) as client:
        assert client.transact().code == 250
    assert any(line.startswith("AUTH LOGIN") for line in secure_upstream.commands)


def test_smtps(start: Start, certificates: Certificates) -> None:
    with Upstream(tls=certificates.server(), implicit_tls=True, credentials=CREDENTIALS) as server:
        presend = start_for(start, server, certificates)
        with Client.greeted(presend.smtp_port) as client:
            assert client.transact().code == 250
        assert len(server.accepted) == 1


@pytest.mark.parametrize("implicit", [False, True], ids=["starttls", "smtps"])
@pytest.mark.parametrize("wrong", ["stranger", "misnamed"])
def test_a_wrong_certificate_is_never_accepted(
    start: Start, certificates: Certificates, wrong: str, *, implicit: bool
) -> None:
    context: ssl.SSLContext = getattr(certificates, wrong)()
    with Upstream(tls=context, implicit_tls=implicit, credentials=CREDENTIALS) as server:
        presend = start_for(start, server, certificates)
        with Client.greeted(presend.smtp_port) as client:
            reply = client.transact()
            assert (reply.code, reply.enhanced) == (451, "4.4.1")
            assert client.cmd("NOOP").code == 250
        line = presend.wait_for_line(lambda it: it.get("level") == "error")
        assert "certificate" in str(line).lower()
        assert not any(it.startswith(("MAIL", "AUTH")) for it in server.commands)


def test_certificate_checks_can_be_switched_off(start: Start, certificates: Certificates) -> None:
    with Upstream(tls=certificates.stranger(), credentials=CREDENTIALS) as server:
        presend = start_for(start, server, certificates, UPSTREAM_TLS__VERIFY="false")
        with Client.greeted(presend.smtp_port) as client:
            assert client.transact().code == 250


def test_an_upstream_that_does_not_offer_starttls(start: Start) -> None:
    with Upstream(credentials=CREDENTIALS) as server:
        url = server.url(scheme="smtp+starttls")
        presend = start(UPSTREAM=url, UPSTREAM_PASSWORD=CREDENTIALS[1])
        with Client.greeted(presend.smtp_port) as client:
            reply = client.transact()
            assert reply.code == 451
            assert "starttls" in reply.text.lower()
        assert not any(it.startswith(("MAIL", "AUTH")) for it in server.commands)


@pytest.mark.parametrize("fault", [faults.BUSY, faults.REFUSED], ids=str)
def test_a_refused_starttls_is_not_passed_over(
    secure_presend: Presend, secure_upstream: Upstream, fault: faults.Fault
) -> None:
    secure_upstream.settings.plan = faults.always(Stage.STARTTLS, fault)
    with Client.greeted(secure_presend.smtp_port) as client:
        assert client.transact().code == 451
    assert not any(it.startswith(("MAIL", "AUTH")) for it in secure_upstream.commands)


def test_a_wrong_password(start: Start, certificates: Certificates) -> None:
    with Upstream(tls=certificates.server(), credentials=(CREDENTIALS[0], "another")) as server:
        presend = start_for(start, server, certificates)
        with Client.greeted(presend.smtp_port) as client:
            reply = client.transact()
            assert reply.code == 451
            assert "auth" in reply.text.lower()
            assert CREDENTIALS[1] not in str(reply)
        assert not any(it.startswith("MAIL") for it in server.commands)
        assert presend.get("/readyz")[0] in {200, 503}


def test_the_password_from_a_file(start: Start, certificates: Certificates, tmp_path: Path) -> None:
    path = tmp_path / "password"
    path.write_text(CREDENTIALS[1] + "\n")
    with Upstream(tls=certificates.server(), credentials=CREDENTIALS) as server:
        presend = start(
            server,
            UPSTREAM_PASSWORD_FILE=str(path),
            UPSTREAM_TLS__CA_FILE=str(certificates.ca_file),
        )
        with Client.greeted(presend.smtp_port) as client:
            assert client.transact().code == 250


def test_bytes_injected_before_tls_are_not_taken_for_replies(
    secure_presend: Presend, secure_upstream: Upstream
) -> None:
    # CVE-2021-38371 and similar: plaintext after the 220 was injected by an attacker.
    secure_upstream.settings.plan = faults.always(
        Stage.STARTTLS, faults.reply("220 Go ahead\n250-evil\n250 AUTH PLAIN")
    )
    with Client.greeted(secure_presend.smtp_port) as client:
        reply = client.transact()
    assert reply.code in {250, 451}
    in_clear = secure_upstream.sessions[0].commands
    assert in_clear[:2] == ["EHLO relay.example", "STARTTLS"]
    assert reply.code == 451 or in_clear[2] == "EHLO relay.example"


def test_no_secret_is_shown_anywhere(secure_presend: Presend, secure_upstream: Upstream) -> None:
    secret = CREDENTIALS[1]
    with Client.greeted(secure_presend.smtp_port) as client:
        assert client.transact().code == 250
        secure_upstream.settings.plan = faults.always(Stage.AUTH, faults.REFUSED)
        secure_upstream.drop()
        assert client.transact().code == 451
    for path in ("/", "/metrics", "/livez", "/readyz"):
        assert secret not in secure_presend.get(path)[1]
    config = secure_presend.command("config")
    assert (config.returncode, secret in config.stdout + config.stderr) == (0, False)
    assert secret not in Path(f"/proc/{secure_presend.process.pid}/cmdline").read_text()
    assert secret not in secure_presend.log
