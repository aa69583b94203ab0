"""The HTTP port and the log: what they show, and personal data they must not show."""

import json
import urllib.request
from pathlib import Path

import pytest

from tests.support.eventually import eventually
from tests.support.presend import Presend, Start, command
from tests.support.upstream import Upstream
from tests.support.wire import Client


def test_health(presend: Presend) -> None:
    assert presend.get("/livez")[0] == 200
    status, body = presend.get("/readyz")
    assert (status, json.loads(body)["ready"]) == (200, True)
    assert presend.get("/nowhere")[0] == 404


def test_the_status_page_is_self_contained(presend: Presend, client: Client) -> None:
    client.transact(to=["ann@example.com", "postmaster@example.com"])
    status, page = presend.get("/")
    assert status == 200
    assert page.lower().lstrip().startswith("<!doctype html>")
    for shown in ("default", "role_account", "127.0.0.1"):
        assert shown in page
    for outside in ("<script src", '<link rel="stylesheet"', "@import", "url(http"):
        assert outside not in page
    assert "ann@" not in page


def test_metrics_tell_what_happened(start: Start, upstream: Upstream) -> None:
    presend = start(upstream)
    with Client.greeted(presend.smtp_port) as client:
        assert presend.metric("presend_sessions") == 1
        assert client.transact(to=["ann@example.com"]).code == 250
        client.cmd("MAIL FROM:<news@app.example>")
        client.cmd("RCPT TO:<550-gone@example.com>")
        client.cmd("RSET")
    count = presend.metric
    assert count("presend_messages_total", result="relayed") == 1
    assert count("presend_recipients_total", verdict="accept", reason="none") == 2
    assert count("presend_upstream_replies_total", stage="rcpt", code="250") == 1
    assert count("presend_upstream_replies_total", stage="rcpt", code="550") == 1
    assert count("presend_upstream_replies_total", stage="final", code="250") == 1
    assert count("presend_unknown_users_total") == 1
    assert count("presend_upstream_handshakes_total", result="ok") == 1
    assert count("presend_transaction_seconds_count") >= 1
    assert count("presend_validation_seconds_count") >= 1
    assert count("presend_build_info") == 1
    eventually(
        lambda: count("presend_upstream_connections", state="busy") == 0, "no busy connection"
    )
    assert count("presend_upstream_connections", state="idle") == 1
    eventually(lambda: count("presend_sessions") == 0, "no session")


def test_labels_never_hold_an_address_or_a_domain(presend: Presend, client: Client) -> None:
    client.transact(to=["550-very-private@example.com"])
    text = presend.get("/metrics")[1]
    for private in ("very-private", "example.com", "app.example"):
        assert private not in text


@pytest.mark.parametrize("mask", ["true", "false"])
def test_local_parts_are_masked_in_the_log(start: Start, upstream: Upstream, mask: str) -> None:
    presend = start(upstream, LOG__MASK=mask)
    to = ["very-private@example.com", "550-very-private@example.com"]
    with Client.greeted(presend.smtp_port) as client:
        assert client.transact(sender="secret-sender@app.example", to=to[:1]).code == 250
        client.transact(sender="secret-sender@app.example", to=to[1:])
    presend.stop()
    assert ("very-private" in presend.log) is (mask == "false")
    assert ("secret-sender" in presend.log) is (mask == "false")
    assert "@example.com" in presend.log
    recipients = [it for it in presend.events if it.get("event") == "recipient"]
    assert [it["upstream_code"] for it in recipients] == [250, 550]
    assert len({it["message_id"] for it in recipients}) == 2


def test_every_log_line_is_json(start: Start, upstream: Upstream) -> None:
    presend = start(upstream)
    with Client.greeted(presend.smtp_port) as client:
        client.transact()
        client.send(b'\x00\xff\r\n"}{\r\n')
    presend.stop()
    assert all(isinstance(json.loads(line), dict) for line in presend.lines)


def test_the_log_as_text(start: Start, upstream: Upstream, tmp_path: object) -> None:
    done = start(upstream).command("config")
    assert tmp_path
    assert done.returncode == 0
    assert f"127.0.0.1:{upstream.port}" in done.stdout


def test_the_refusal_and_the_log_share_an_id(presend: Presend, client: Client) -> None:
    client.cmd("MAIL FROM:<news@app.example>")
    reply = client.cmd("RCPT TO:<postmaster@example.com>")
    client.cmd("RSET")
    line = presend.wait_for_line(
        lambda it: it.get("event") == "recipient" and f"[{it.get('message_id')}]" in reply.text
    )
    assert (line["verdict"], line["reason"]) == ("reject", "role_account")


def test_sessions_end_when_clients_vanish(presend: Presend) -> None:
    for _ in range(20):
        with Client.greeted(presend.smtp_port) as client:
            client.send(b"MAIL FROM:<news@app.example>\r\nRCPT TO:<ann@exa")
    eventually(lambda: presend.metric("presend_sessions") == 0, "no session is left")


def test_localhost_means_every_loopback_address_for_smtp_and_http(
    start: Start, upstream: Upstream
) -> None:
    presend = start(upstream, LISTEN="localhost:0", HTTP_LISTEN="localhost:0")
    line = presend.wait_for_event("listening")
    for protocol in ("smtp", "http"):
        hosts = [address.rpartition(":")[0] for address in line[protocol]]
        assert hosts in (["127.0.0.1", "[::1]"], ["127.0.0.1"])  # the latter without IPv6
    for address in line["http"]:
        with urllib.request.urlopen(f"http://{address}/livez", timeout=10) as answer:
            assert answer.status == 200


@pytest.mark.parametrize("setting", ["PRESEND_LISTEN", "PRESEND_HTTP_LISTEN"])
def test_a_port_that_is_taken_ends_the_start_with_its_setting(
    presend: Presend, tmp_path: Path, setting: str
) -> None:
    taken = f"127.0.0.1:{presend.http_port}"
    listen = {"PRESEND_LISTEN": "127.0.0.1:0", "PRESEND_HTTP_LISTEN": "127.0.0.1:0", setting: taken}
    listen["PRESEND_UPSTREAM"] = "smtp://127.0.0.1:1"
    done = command("serve", directory=tmp_path, settings=listen)
    assert done.returncode == 1
    sentence = f"presend: cannot listen on {taken} ({setting}): Address already in use"
    assert done.stderr.splitlines() == [sentence]
