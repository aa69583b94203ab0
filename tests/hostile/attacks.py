"""The table of attacks: one row each, with what the relay is set to and what is measured.

A row is a hostile client's conduct, the number of its sessions, and the settings that the attack
needs. The bounds apply to all rows alike (`tests/hostile/result.py`).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from tests.bench.clients import BODY_LINE
from tests.hostile import conducts
from tests.hostile.conducts import Conduct, behind_a_slow_reply, dripped, flood, unread

_TLS = {"PRESEND_TLS__CERT_FILE": "{cert}", "PRESEND_TLS__KEY_FILE": "{key}"}
_AUTH = {"PRESEND_AUTH__USERNAME": "app", "PRESEND_AUTH__PASSWORD": "not-a-secret"}
_SOON = {"PRESEND_LIMITS__IDLE": "4"}
_BEGUN = (b"MAIL FROM:<evil@hostile.example>", b"RCPT TO:<ann@d0000.mail.example>")
_RCPT = (b"RCPT TO:<ann@d0001.mail.example>",) * 20

_REFUSED = (b"RCPT TO:<postmaster@d0001.mail.example>",) * 20


@dataclass(frozen=True, slots=True)
class Attack:
    """One attack; `title` says in the report what the attackers do."""

    name: str
    title: str
    conduct: Conduct
    sessions: int = 20
    settings: Mapping[str, str] = field(default_factory=dict)
    victim: str = "127.0.0.1"
    """The victim's own address; another than the attacker's where a limit is for each address."""
    new_domains: bool = False
    """The victim's recipients are at domains that the relay has not looked up yet."""
    settles: bool = False
    """All sessions stay; the victim is measured once they are there, and not while they connect."""
    may_defer: bool = False
    """The attack uses up what the victim needs: it may get 421 or 451, and loses no message."""
    fastest: Mapping[str, float] = field(default_factory=dict)
    """Reply codes, and how many of each the attackers may get in a second."""


ATTACKS: Sequence[Attack] = (
    Attack("noop", "20 sessions pipeline NOOP", flood(b"NOOP")),
    Attack("mail-rset", "20 sessions pipeline MAIL, RSET", flood(_BEGUN[0], b"RSET")),
    Attack("rcpt", "20 sessions pipeline MAIL, 20 RCPT, RSET", flood(_BEGUN[0], *_RCPT, b"RSET")),
    Attack(
        "rcpt-refused",
        "20 sessions pipeline MAIL, 20 RCPT to role accounts, RSET",
        flood(_BEGUN[0], *_REFUSED, b"RSET"),
    ),
    Attack("messages", "20 sessions send messages without a pause", conducts.messages),
    Attack("verbs", "20 sessions pipeline EHLO, HELP, VRFY", flood(b"EHLO x", b"HELP", b"VRFY a")),
    Attack("unknown", "20 sessions pipeline unknown commands, and return", flood(b"XYZZY")),
    Attack("connections", "20 clients connect and QUIT without a pause", conducts.connections),
    Attack("idle", "1,000 sessions say EHLO and nothing more", conducts.idle, 1000, _SOON),
    Attack(
        "connections-full",
        "1,100 sessions say EHLO and nothing more: more than limits.connections",
        conducts.idle,
        1100,
        may_defer=True,
    ),
    Attack("dripped-command", "200 sessions send one octet a second", dripped(b"NOOP ", 1), 200),
    Attack(
        "dripped-content",
        "15 sessions send content, one octet a second",
        dripped(b"news", 1, content=True),
        15,
    ),
    Attack(
        "slow-content",
        "15 sessions send content, 70 octets a second",
        dripped(BODY_LINE, 0.25, content=True, step=18),
        15,
    ),
    Attack(
        "stalled-content",
        "1,000 sessions send content to an upstream that does not read, and stop",
        conducts.stalled_content,
        1000,
        {"PRESEND_POOL__CONNECTIONS": "1002"},
        settles=True,
    ),
    Attack(
        "pipeline-noop",
        "100 sessions pipeline 60,000 NOOP behind a slow RCPT",
        behind_a_slow_reply(b"NOOP", 60_000),
        100,
        {"PRESEND_POOL__CONNECTIONS": "102"},
    ),
    Attack(
        "pipeline-ehlo",
        "100 sessions pipeline 60,000 EHLO behind a slow RCPT",
        behind_a_slow_reply(b"EHLO x", 60_000),
        100,
        {"PRESEND_POOL__CONNECTIONS": "102"},
    ),
    Attack(
        "pipeline-unread",
        "100 sessions pipeline 60,000 EHLO behind a slow RCPT, and read no reply",
        behind_a_slow_reply(b"EHLO x", 60_000, reading=False),
        100,
        {"PRESEND_POOL__CONNECTIONS": "102"},
    ),
    Attack(
        "pipeline-rcpt",
        "100 sessions pipeline 60,000 RCPT behind a slow RCPT",
        behind_a_slow_reply(b"RCPT TO:<a@d0001.mail.example>", 60_000),
        100,
        {"PRESEND_POOL__CONNECTIONS": "102"},
    ),
    Attack(
        "silent-dns",
        "100 sessions send 1,000 recipients at domains whose name server is silent",
        conducts.silent_domains,
        100,
    ),
    Attack(
        "silent-dns-new",
        "the same, while the victim's domains are new as well",
        conducts.silent_domains,
        100,
        new_domains=True,
        may_defer=True,
    ),
    Attack("unread", "100 sessions pipeline NOOP and read no reply", unread(b"NOOP"), 100),
    Attack("unread-ehlo", "100 sessions pipeline EHLO and read no reply", unread(b"EHLO x"), 100),
    Attack(
        "auth",
        "20 sessions guess passwords",
        conducts.guesses,
        20,
        _AUTH,
        "127.0.0.2",
        fastest={"535": 20},
    ),
    Attack("http-idle-100", "100 connections to :9100 say nothing", conducts.idle_http, 100),
    Attack("http-idle-1000", "1,000 connections to :9100 say nothing", conducts.idle_http, 1000),
    Attack("http-slow", "100 requests to :9100 at one octet a second", conducts.slow_request, 100),
    Attack(
        "http-unread",
        "100 clients request /metrics and do not read",
        conducts.unread_responses,
        100,
    ),
    Attack("http-flood", "20 clients request /metrics without a pause", conducts.metrics),
    Attack("http-post", "20 clients send an endless body to :9100", conducts.endless_body),
    Attack("endless-line", "5 sessions send content without a line end", conducts.endless_line, 5),
    Attack(
        "endless-command", "20 sessions send a command without a line end", conducts.endless_command
    ),
    Attack("tiny-chunks", "10 sessions send BDAT chunks of one octet", conducts.tiny_chunks, 10),
    Attack(
        "half-handshakes",
        "200 sessions begin TLS and stop",
        conducts.half_a_handshake,
        200,
        {**_TLS, **_SOON},
    ),
    Attack(
        "handshakes",
        "20 clients complete STARTTLS and go, without a pause",
        conducts.handshakes,
        20,
        _TLS,
    ),
    Attack(
        "upstream-mute",
        "10 messages whose final dot the upstream does not answer",
        conducts.upstream_that(b"mute"),
        10,
    ),
    Attack(
        "upstream-full",
        "30 messages whose final dot the upstream does not answer: more than pool.connections",
        conducts.upstream_that(b"mute"),
        30,
        {"PRESEND_POOL__WAIT": "2"},
        may_defer=True,
    ),
    Attack(
        "upstream-garble",
        "10 sessions whose RCPT the upstream answers with garbage",
        conducts.upstream_that(b"garble"),
        10,
    ),
    Attack(
        "upstream-cut",
        "10 sessions at whose RCPT the upstream hangs up",
        conducts.upstream_that(b"cut"),
        10,
    ),
)
