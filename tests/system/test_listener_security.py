"""Access to the relay: STARTTLS and AUTH for clients, and the allowed client networks."""

import base64
import contextlib
import socket
import time
from pathlib import Path

import pytest

from tests.support.certs import Certificates
from tests.support.eventually import eventually
from tests.support.presend import Presend, Start, command
from tests.support.upstream import Upstream
from tests.support.wire import Client

USER, PASSWORD = "app", "app-secret"


def plain(user: str = USER, password: str = PASSWORD) -> str:
    """The initial response of AUTH PLAIN (RFC 4616)."""
    return base64.b64encode(f"\0{user}\0{password}".encode()).decode()


def encoded(text: str) -> str:
    """Base64, as AUTH LOGIN requires."""
    return base64.b64encode(text.encode()).decode()


def with_tls(start: Start, upstream: Upstream, certs: Certificates, **settings: str) -> Presend:
    """A presend that offers STARTTLS."""
    return start(
        upstream,
        TLS__CERT_FILE=str(certs.cert_file),
        TLS__KEY_FILE=str(certs.key_file),
        **settings,
    )


def with_auth(start: Start, upstream: Upstream, **settings: str) -> Presend:
    """A presend that requires AUTH."""
    return start(upstream, AUTH__USERNAME=USER, AUTH__PASSWORD=PASSWORD, **settings)


def test_starttls(start: Start, upstream: Upstream, certificates: Certificates) -> None:
    presend = with_tls(start, upstream, certificates, TLS__REQUIRED="true")
    with Client.greeted(presend.smtp_port) as client:
        client.run("""
            C: MAIL FROM:<news@app.example>
            S: 530 5.7.0 ...
            C: STARTTLS now
            S: 501 5...
        """)
        client.starttls(certificates.client())
        # RFC 3207 4.2: the server discards what it learned before TLS.
        assert client.cmd("MAIL FROM:<news@app.example>").code == 503
        offered = client.cmd("EHLO app.example").lines
        assert not any("STARTTLS" in line for line in offered)
        assert client.transact().code == 250
        assert client.cmd("STARTTLS").code in {500, 502, 503}
    assert b"with ESMTPS id" in b" ".join(upstream.accepted[0].body.split())


def test_commands_injected_before_tls_are_dropped(
    start: Start, upstream: Upstream, certificates: Certificates
) -> None:
    # CVE-2011-0411: commands pipelined after STARTTLS in plaintext must not be executed under TLS.
    presend = with_tls(start, upstream, certificates)
    with Client.greeted(presend.smtp_port) as client:
        client.send(b"STARTTLS\r\nMAIL FROM:<evil@app.example>\r\nRCPT TO:<eve@example.com>\r\n")
        try:
            assert client.reply().code == 220
            client.sock = certificates.client().wrap_socket(
                client.sock, server_hostname="localhost"
            )
            assert client.cmd("EHLO app.example").code == 250
            assert client.cmd("RCPT TO:<ann@example.com>").code == 503
        except OSError:
            pass  # refusing the handshake is correct too
    assert not any("evil" in line for line in upstream.commands)


def test_a_failed_handshake_ends_that_session_only(
    start: Start, upstream: Upstream, certificates: Certificates
) -> None:
    presend = with_tls(start, upstream, certificates)
    with Client.greeted(presend.smtp_port) as client:
        assert client.cmd("STARTTLS").code == 220
        client.send(b"EHLO this is no handshake\r\n\r\n")
        try:
            while client.sock.recv(4096):
                pass
        except ConnectionError:
            pass
    with Client.greeted(presend.smtp_port) as client:
        assert client.transact().code == 250


@pytest.mark.parametrize(
    "settings", [{"TLS__CERT_FILE": "/nowhere/cert.pem"}, {"TLS__REQUIRED": "1"}]
)
def test_certificate_files_that_cannot_be_used_stop_the_start(
    tmp_path: Path, upstream: Upstream, settings: dict[str, str]
) -> None:
    given = {f"PRESEND_{name}": value for name, value in settings.items()}
    given["PRESEND_UPSTREAM"] = upstream.url()
    done = command("serve", directory=tmp_path, settings=given)
    assert done.returncode == 2
    assert "tls" in done.stderr.lower()
    assert "Traceback" not in done.stderr


def test_auth_is_required(start: Start, upstream: Upstream) -> None:
    presend = with_auth(start, upstream)
    with Client(presend.smtp_port) as client:
        client.reply()
        offered = client.cmd("EHLO app.example").lines
        assert any(line[4:] == "AUTH PLAIN LOGIN" for line in offered)
        client.run(f"""
            C: MAIL FROM:<news@app.example>
            S: 530 5.7.0 ...
            C: AUTH PLAIN {plain(password="wrong")}
            S: 535 5.7.8 ...
            C: AUTH PLAIN {plain(user="other")}
            S: 535 5.7.8 ...
            C: MAIL FROM:<news@app.example>
            S: 530 5.7.0 ...
            C: AUTH CRAM-MD5
            S: 504 5...
            C: AUTH PLAIN !!!
            S: 501 5...
            C: AUTH PLAIN {plain()}
            S: 235 2.7.0 ...
            C: AUTH PLAIN {plain()}
            S: 503 5.5.1 ...
        """)
        assert client.transact().code == 250
    assert b"with ESMTPA id" in b" ".join(upstream.accepted[0].body.split())
    assert PASSWORD not in presend.log
    assert plain() not in presend.log


def test_auth_login_and_continuations(start: Start, upstream: Upstream) -> None:
    presend = with_auth(start, upstream)
    with Client.greeted(presend.smtp_port) as client:
        client.run(f"""
            C: AUTH LOGIN
            S: 334 ...
            C: {encoded(USER)}
            S: 334 ...
            C: {encoded("wrong")}
            S: 535 5.7.8 ...
            C: AUTH PLAIN
            S: 334 ...
            C: *
            S: 501 5.7.0 ...
            C: AUTH LOGIN
            S: 334 ...
            C: {encoded(USER)}
            S: 334 ...
            C: {encoded(PASSWORD)}
            S: 235 2.7.0 ...
        """)
        assert client.transact().code == 250
    with Client.greeted(presend.smtp_port) as client:
        client.run(f"""
            C: AUTH PLAIN
            S: 334 ...
            C: {plain()}
            S: 235 2.7.0 ...
        """)


UNFINISHED = ["AUTH LOGIN", "AUTH PLAIN", "STARTTLS"]


def unfinished(start: Start, upstream: Upstream, certs: Certificates, **settings: str) -> Presend:
    """A presend with TLS and AUTH, for dialogues that stop in the middle."""
    account = {"AUTH__USERNAME": USER, "AUTH__PASSWORD": PASSWORD}
    return with_tls(start, upstream, certs, **account, **settings)


def test_an_unfinished_dialogue_is_idling(
    start: Start, upstream: Upstream, certificates: Certificates
) -> None:
    presend = unfinished(start, upstream, certificates, LIMITS__IDLE="0.3")
    for line in UNFINISHED[:2]:  # an unfinished TLS handshake is closed without a reply
        with Client.greeted(presend.smtp_port) as client:
            assert client.cmd(line).code == 334
            assert str(client.reply()).startswith("421 4.4.2 ")
            assert client.at_end()


def test_a_client_that_leaves_an_unfinished_dialogue(
    start: Start, upstream: Upstream, certificates: Certificates
) -> None:
    presend = unfinished(start, upstream, certificates)
    for line in UNFINISHED:
        with Client.greeted(presend.smtp_port) as client:
            client.cmd(line)
    eventually(lambda: presend.metric("presend_sessions") == 0, "no session is left")


def test_sigterm_does_not_wait_for_an_unfinished_dialogue(
    start: Start, upstream: Upstream, certificates: Certificates
) -> None:
    presend = unfinished(start, upstream, certificates, GRACE="3600")
    with contextlib.ExitStack() as stack:
        for line in UNFINISHED:
            stack.enter_context(Client.greeted(presend.smtp_port)).cmd(line)
        presend.sigterm()
        assert presend.wait() == 0


def test_guessing_passwords_ends_the_session(start: Start, upstream: Upstream) -> None:
    presend = with_auth(start, upstream, LIMITS__BAD_COMMANDS="4")
    with Client.greeted(presend.smtp_port) as client:
        codes = [client.cmd(f"AUTH PLAIN {plain(password='wrong')}").code for _ in range(4)]
        assert codes == [535] * 4
        assert client.reply().code == 421


def test_one_password_a_second_is_tried_from_one_address(start: Start, upstream: Upstream) -> None:
    presend = with_auth(start, upstream)
    guess = f"AUTH PLAIN {plain(password='wrong')}\r\n".encode()
    began = time.monotonic()
    with contextlib.ExitStack() as clients:
        for _ in range(100):
            client = clients.enter_context(Client.greeted(presend.smtp_port))
            client.send(guess * 5)
        tried = presend.metric("presend_auth_total", result="failed")
        seconds = time.monotonic() - began
    assert 3 <= tried <= 4 + seconds
    assert presend.metric("presend_auth_total", result="refused") > 50
    line = presend.wait_for_line(lambda line: "authenticate" in str(line.get("message")))
    assert "127.0.0.1" in line["message"]


def refused(client: Client) -> None:
    """Assert that the banner is 554 or 550 5.7.1, and that the connection is then closed."""
    reply = client.reply()
    assert reply.code in {550, 554}
    assert reply.enhanced == "5.7.1"
    assert client.at_end()


def own_address() -> str:
    """An address of this machine that is not loopback, from which clients connect."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.99", 9))  # chooses the source address, sends nothing
        except OSError:
            pytest.skip("needs a network interface besides loopback")
        return str(probe.getsockname()[0])


def test_a_client_outside_the_allowed_networks(start: Start, upstream: Upstream) -> None:
    presend = start(upstream, ALLOW_CLIENTS="198.51.100.0/24")
    with Client(presend.smtp_port, source=own_address()) as client:
        refused(client)
    with Client.greeted(presend.smtp_port) as client:
        assert client.transact().code == 250
    assert presend.metric("presend_sessions_refused_total", cause="client") == 1


@pytest.mark.parametrize(
    ("settings", "key"),
    [
        ({"PRESEND_LISTEN": "0.0.0.0:0"}, "ALLOW_CLIENTS"),
        ({"PRESEND_LISTEN": "[::]:0"}, "ALLOW_CLIENTS"),
        ({"PRESEND_LISTEN": "0.0.0.0:0", "PRESEND_ALLOW_CLIENTS": "0.0.0.0/0"}, "ALLOW_CLIENTS"),
        ({"PRESEND_ALLOW_CLIENTS": "not-a-network"}, "ALLOW_CLIENTS"),
        ({"PRESEND_UPSTREAM": ""}, "UPSTREAM"),
        ({"PRESEND_UPSTREAM": "http://127.0.0.1"}, "UPSTREAM"),
        ({"PRESEND_LIMITS__IDLE": "soon"}, "IDLE"),
        ({"PRESEND_POLICY__NULL_MX": "ignore"}, "NULL_MX"),
        ({"PRESEND_POLICY__DNS_UNAVAILABLE": "reject"}, "DNS_UNAVAILABLE"),
        ({"PRESEND_LISTN": "127.0.0.1:0"}, "PRESEND_LISTEN"),
        ({"PRESEND_STORE": "mysql://x"}, "STORE"),
    ],
)
def test_wrong_settings_stop_the_start(
    tmp_path: Path, upstream: Upstream, settings: dict[str, str], key: str
) -> None:
    given = {"PRESEND_LISTEN": "127.0.0.1:0", "PRESEND_UPSTREAM": upstream.url(), **settings}
    done = command("serve", directory=tmp_path, settings=given)
    assert done.returncode == 2, done.stderr
    assert key.lower() in done.stderr.lower()
    assert "Traceback" not in done.stderr


def test_a_listener_on_every_address_with_an_allow_list(start: Start, upstream: Upstream) -> None:
    presend = start(upstream, LISTEN="0.0.0.0:0", ALLOW_CLIENTS="127.0.0.0/8")
    with Client.greeted(presend.smtp_port) as client:
        assert client.transact().code == 250


def refused_settings(directory: Path, toml: str, *words: str, **environ: str) -> str:
    """Run a command with this file, which it has to refuse; return what it says."""
    file = directory / "presend.toml"
    file.write_text(toml)
    done = command(*words, directory=directory, settings={"PRESEND_CONFIG": str(file), **environ})
    assert done.returncode == 2, done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    return done.stdout + done.stderr


@pytest.mark.parametrize(
    ("lines", "key"),
    [
        ('[auth]\nusername = ""', "auth.username"),
        ('[auth]\nusername = ""\npassword = ""', "auth.password"),
        ('[auth]\nusername = "app"\npassword = ""', "auth.password"),
        ('[auth]\nusername = "app"\npassword_file = "empty"', "auth.password_file"),
        ('[auth]\nusername = "app"\npassword_file = ""', "auth.password_file"),
        ('upstream_password = ""', "upstream_password"),
        ('upstream_password_file = "empty"', "upstream_password_file"),
        ('campaign_id = ""', "campaign_id"),
        ('hostname = ""', "hostname"),
        ('store = ""', "store"),
        ('[tls]\ncert_file = ""', "tls.cert_file"),
        ('[upstream_tls]\nca_file = ""', "upstream_tls.ca_file"),
        ('trusted_domains = [""]', "trusted_domains"),
        ('[role]\nallow = [" "]', "role.allow"),
    ],
)
def test_an_empty_value_in_the_file_stops_the_start(
    tmp_path: Path, upstream: Upstream, lines: str, key: str
) -> None:
    """Before, an empty user name switched AUTH off where the start took it for switched on."""
    (tmp_path / "empty").write_text("\n")
    wide = f'listen = "0.0.0.0:0"\nallow_clients = "0.0.0.0/1"\nupstream = "{upstream.url()}"\n'
    said = refused_settings(tmp_path, wide + lines, "serve", PRESEND_STORE="")
    assert f"{key} = " in said
    assert "empty" in said or key in {"campaign_id", "hostname", "store"}


def test_an_empty_variable_counts_as_not_set(start: Start, upstream: Upstream) -> None:
    presend = start(
        upstream, AUTH__USERNAME="", AUTH__PASSWORD="", UPSTREAM_PASSWORD="", CAMPAIGN_ID=""
    )
    with Client.greeted(presend.smtp_port) as client:
        assert client.transact().code == 250


def test_many_wide_networks_are_refused_as_one_is(tmp_path: Path, upstream: Upstream) -> None:
    networks = ",".join(f"{number}.0.0.0/8" for number in range(0, 224, 2))
    given = {"PRESEND_LISTEN": "0.0.0.0:0", "PRESEND_ALLOW_CLIENTS": networks}
    done = command(
        "serve", directory=tmp_path, settings={**given, "PRESEND_UPSTREAM": upstream.url()}
    )
    assert done.returncode == 2
    assert "no more public addresses than one" in done.stderr


MARK = "Kx7-hunter2-marker"


@pytest.mark.parametrize("words", [("config",), ("serve",), ("check", "--no-dns", "/dev/null")])
@pytest.mark.parametrize(
    "lines",
    [
        f'upstream = "smtps://u@h?password={MARK}"',
        f'auth = "{MARK}"',
        f'upstream = {{password = "{MARK}"}}',
        f'upstream = [["{MARK}"]]',
        f'store = "redis://u:{MARK}@h/0"',
        f'upstream_password_file = "{MARK}"',
    ],
)
def test_no_command_prints_a_secret(tmp_path: Path, lines: str, words: tuple[str, ...]) -> None:
    assert MARK not in refused_settings(tmp_path, lines, *words, PRESEND_STORE="")


def test_a_store_on_the_command_line_is_masked_too(tmp_path: Path) -> None:
    store = f"redis://u:{MARK}@h/0"
    done = command("suppress", "list", "--store", store, directory=tmp_path, settings={})
    assert done.returncode == 2
    assert "sqlite:///PATH" in done.stderr
    assert MARK not in done.stderr
