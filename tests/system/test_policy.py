"""The policy: four actions on the same finding; the campaign as a label."""

from tests.support.presend import Start
from tests.support.upstream import Upstream
from tests.support.wire import Client

ROLE = "postmaster@example.com"


def test_observe_counts_and_lets_pass(start: Start, upstream: Upstream) -> None:
    presend = start(upstream, POLICY__ROLE_ACCOUNT="observe")
    with Client.greeted(presend.smtp_port) as client:
        assert client.transact(to=[ROLE]).code == 250
    assert upstream.accepted[0].addresses == [ROLE]
    assert presend.metric("presend_observed_total", reason="role_account") == 1
    assert presend.metric("presend_recipients_total", verdict="accept") == 1


def test_off_is_as_if_the_check_were_not_there(start: Start, upstream: Upstream) -> None:
    presend = start(upstream, POLICY__ROLE_ACCOUNT="off")
    with Client.greeted(presend.smtp_port) as client:
        assert client.transact(to=[ROLE]).code == 250
    assert presend.metric("presend_observed_total", reason="role_account") == 0


def test_defer(start: Start, upstream: Upstream) -> None:
    presend = start(upstream, POLICY__ROLE_ACCOUNT="defer")
    with Client.greeted(presend.smtp_port) as client:
        reply = client.transact(to=[ROLE])
        assert (reply.code, reply.enhanced) == (451, "4.7.1")
        assert "role_account" in reply.text
    assert presend.metric("presend_recipients_total", verdict="defer", reason="role_account") == 1


def test_role_accounts_of_ones_own_may_be_allowed(start: Start, upstream: Upstream) -> None:
    presend = start(upstream, ROLE__ALLOW="postmaster@example.com,info")
    with Client.greeted(presend.smtp_port) as client:
        assert client.transact(to=[ROLE, "info@example.net"]).code == 250
        refused = client.transact(to=["postmaster@example.net"])
        assert (refused.code, refused.enhanced) == (550, "5.7.1")


def test_address_forms_that_the_operator_allows(start: Start, upstream: Upstream) -> None:
    presend = start(
        upstream, SYNTAX__ALLOW_QUOTED_LOCAL="true", SYNTAX__ALLOW_DOMAIN_LITERAL="true"
    )
    to = ['"a b > c"@example.com', "ann@[192.0.2.1]"]
    with Client.greeted(presend.smtp_port) as client:
        client.cmd("MAIL FROM:<news@app.example>")
        assert client.cmd(f"RCPT TO:<{to[0]}>").code == 250
        assert client.cmd(f"RCPT TO:<{to[1]}>").code in {250, 550}  # 192.0.2.1: RFC 5737
    assert any(to[0] in line for line in upstream.commands)


def test_the_campaign_is_the_label(start: Start, upstream: Upstream) -> None:
    presend = start(upstream, CAMPAIGN_ID="spring-sale")
    assert presend.metric("presend_recipients_total", campaign="spring-sale") == 0.0
    with Client.greeted(presend.smtp_port) as client:
        assert client.transact().code == 250
    assert presend.metric("presend_recipients_total", campaign="spring-sale") == 1
