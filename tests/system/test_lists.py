"""Lists of the operator that change while serve runs, and a careful start."""

import signal
from pathlib import Path

from tests.support.eventually import eventually
from tests.support.presend import Start, command
from tests.support.upstream import Upstream
from tests.support.wire import Client, Reply


def answer(client: Client, recipient: str) -> Reply:
    """Return the reply to RCPT in a transaction of its own."""
    assert client.cmd("MAIL FROM:<news@app.example>").code == 250
    reply = client.cmd(f"RCPT TO:<{recipient}>")
    assert client.cmd("RSET").code == 250
    return reply


def test_a_changed_list_takes_effect(start: Start, upstream: Upstream, tmp_path: Path) -> None:
    suppressed, roles = tmp_path / "suppressed", tmp_path / "roles"
    suppressed.write_text("example.net\n")
    roles.write_text("# nobody\n")
    presend = start(
        upstream, LISTS__SUPPRESSED_DOMAINS=str(suppressed), LISTS__ROLE_ALLOW=str(roles)
    )
    with Client.greeted(presend.smtp_port) as client:
        assert answer(client, "ann@example.net").code == 550
        assert answer(client, "support@example.com").code == 550
        suppressed.write_text("# nobody\n")
        roles.write_text("support\n")
        eventually(lambda: answer(client, "ann@example.net").code == 250, "no longer suppressed")
        eventually(lambda: answer(client, "support@example.com").code == 250, "an allowed role")
        assert answer(client, "abuse@example.com").code == 550
        roles.write_text("support\nbroken entry@\n")
        presend.process.send_signal(signal.SIGHUP)
        presend.wait_for_line(lambda it: "was not read again" in it.get("message", ""))
        assert answer(client, "support@example.com").code == 250
        reloads = "presend_list_reloads_total"
        assert presend.metric(reloads, list="role_allow", result="failed") == 1
        assert presend.metric("presend_list_entries", list="role_allow") == 1


def test_a_start_with_a_broken_list_is_refused(upstream: Upstream, tmp_path: Path) -> None:
    broken = tmp_path / "list"
    broken.write_text("a b\n")
    settings = {"PRESEND_UPSTREAM": upstream.url(), "PRESEND_LISTS__DISPOSABLE": str(broken)}
    for words in (["serve"], ["check", "--no-dns"]):
        done = command(*words, directory=tmp_path, settings=settings)
        assert done.returncode == 2
        assert f"PRESEND_LISTS__DISPOSABLE = {str(broken)!r}: a list: line 1: 'a b'" in done.stderr


def test_a_careful_start_refuses_syntax_and_suppressed_only(
    start: Start, upstream: Upstream
) -> None:
    presend = start(upstream, MODE="observe", POLICY__HONEYPOT_LOCAL="reject")
    assert presend.command("suppress", "add", "gone@example.com").returncode == 0
    with Client.greeted(presend.smtp_port) as client:
        eventually(lambda: answer(client, "gone@example.com").code == 550, "suppressed")
        assert answer(client, "a..b@example.com").code == 553
        assert answer(client, "postmaster@example.com").code == 250
        assert presend.metric("presend_observed_total", reason="role_account") == 1
        assert answer(client, "spamtrap@example.com").code == 550


def test_observed_facts_add_up_to_a_refusal(start: Start, upstream: Upstream) -> None:
    presend = start(upstream, RISK__REJECT="0.5", RISK__DEFER="0.15")
    with Client.greeted(presend.smtp_port) as client:
        assert answer(client, "ann@example.com").code == 250
        deferred = answer(client, "ann.nospam@example.com")
        assert (deferred.code, deferred.enhanced) == (451, "4.7.1")
        refused = answer(client, "xk7qz2vf9tq4.nospam@example.com")
        assert (refused.code, refused.enhanced) == (550, "5.7.1")
        assert "the risk is too high: risk (0.82: honeypot_hint, random_local)" in refused.text
