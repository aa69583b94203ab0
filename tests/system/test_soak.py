"""Thousands of messages with random faults and kill -9: those answered 250 arrive unchanged.

The seed is printed; PRESEND_TEST_SEED=N repeats a run's choices.
"""

import os
import random
import threading
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests.support import faults
from tests.support.presend import Presend
from tests.support.upstream import Upstream
from tests.support.wire import Client, stuffed

MESSAGES = 2400
CLIENTS = 6
KILLS = 3
FAULTS = (
    faults.CLOSE,
    faults.RESET,
    faults.GARBAGE,
    faults.SHUTTING_DOWN,
    faults.BUSY,
    faults.REFUSED,
    faults.TRICKLE,
    faults.STALL,
)
SETTINGS = {
    # Short, so that STALL does not delay the test; a healthy reply takes much less.
    "PRESEND_UPSTREAM_TIMEOUTS__CONNECT": "1",
    "PRESEND_UPSTREAM_TIMEOUTS__COMMAND": "1",
    "PRESEND_UPSTREAM_TIMEOUTS__BODY": "1",
    "PRESEND_UPSTREAM_TIMEOUTS__FINAL": "1",
    "PRESEND_POOL__BACKOFF": "0.01",
    "PRESEND_POOL__CONNECTIONS": "6",
}


@dataclass
class Campaign:
    """What the clients sent: every message by subject, and the subjects answered 250."""

    sent: dict[bytes, bytes] = field(default_factory=dict)
    answered: list[bytes] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)
    progress: threading.Condition = field(default_factory=threading.Condition)
    presend: Presend | None = None
    stopping: bool = False


def message(rng: random.Random, subject: bytes) -> bytes:
    """A message of random length and content, which must arrive octet for octet."""
    lines = [
        b"." * rng.randrange(4) + rng.randbytes(rng.randrange(60)).translate(None, b"\r\n\0")
        for _ in range(rng.choice([0, 1, 5, 40, 400]))
    ]
    return b"Subject: " + subject + b"\r\n\r\n" + b"".join(line + b"\r\n" for line in lines)


def client_of(campaign: Campaign) -> Client | None:
    """A connection to the current presend, or None while none runs."""
    with campaign.lock:
        presend = campaign.presend
    if presend is None:
        return None
    try:
        return Client.greeted(presend.smtp_port)
    except (OSError, AssertionError):
        return None


def attempt(client: Client, rng: random.Random, body: bytes) -> bool:
    """Run one transaction, step by step, pipelined or cut off; return whether it got 250."""
    to = [f"r{it}@example.com" for it in range(rng.choice([1, 1, 2, 5]))]
    lines = ["MAIL FROM:<news@app.example>", *(f"RCPT TO:<{it}>" for it in to), "DATA"]
    replies = client.pipeline(*lines) if rng.random() < 0.5 else [client.cmd(it) for it in lines]
    if replies[-1].code != 354:
        client.cmd("RSET")
        return False
    data = stuffed(body)
    if rng.random() < 0.03:
        client.send(data[: rng.randrange(len(data) - 2)])
        raise ConnectionError
    start = 0
    while start < len(data):
        size = rng.choice([1, 700, 70_000])
        client.send(data[start : start + size])
        start += size
    reply = client.reply()
    if reply.code != 250:
        assert reply.code in {451, 554}, reply
    return reply.code == 250


def sender(campaign: Campaign, number: int, seed: int) -> None:
    """One application: sends its share of the messages, each until it is answered 250."""
    rng = random.Random(seed + number)  # noqa: S311 - choices, not secrets
    client: Client | None = None
    for index in range(MESSAGES // CLIENTS):
        subject = b"%d.%d" % (number, index)
        body = message(rng, subject)
        campaign.sent[subject] = body
        for _ in range(1000):
            if campaign.stopping:
                return
            client = client or client_of(campaign)
            if client is None:
                threading.Event().wait(0.02)
                continue
            try:
                done = attempt(client, rng, body)
            except OSError:
                client.close()
                client = None
                continue
            if done:
                with campaign.progress:
                    campaign.answered.append(subject)
                    campaign.progress.notify_all()
                break
        if client and rng.random() < 0.1:
            client.close()
            client = None
    if client:
        client.close()


def split(body: bytes) -> tuple[bytes, bytes]:
    """The subject, and the message without presend's Received header."""
    start = body.index(b"\r\nSubject: ") + 2
    return body[start + 9 : body.index(b"\r\n", start)], body[start:]


@pytest.mark.slow
@pytest.mark.timeout(180)
def test_what_was_answered_250_is_there(tmp_path: Path) -> None:
    seed = int(os.environ.get("PRESEND_TEST_SEED") or random.randrange(2**32))  # noqa: S311
    print(f"PRESEND_TEST_SEED={seed}")  # noqa: T201
    with Upstream() as upstream:
        campaign = Campaign()
        settings = {**SETTINGS, "PRESEND_UPSTREAM": upstream.url()}
        campaign.presend = Presend(tmp_path, settings)
        upstream.settings.plan = faults.at_random(random.Random(seed), 0.01, FAULTS)  # noqa: S311
        threads = [
            threading.Thread(target=sender, args=(campaign, it, seed)) for it in range(CLIENTS)
        ]
        for thread in threads:
            thread.start()
        try:
            for kill in range(1, KILLS + 1):
                with campaign.progress:
                    assert campaign.progress.wait_for(
                        lambda: len(campaign.answered) >= MESSAGES * kill // (KILLS + 1),  # noqa: B023
                        60,
                    )
                campaign.presend.kill()
                assert "Traceback" not in campaign.presend.log
                fresh = Presend(tmp_path, settings)
                with campaign.lock:
                    campaign.presend = fresh
            for thread in threads:
                thread.join(90)
                assert not thread.is_alive()
        finally:
            campaign.stopping = True
            campaign.presend.stop()
        judge(campaign, upstream)


def judge(campaign: Campaign, upstream: Upstream) -> None:
    """Every message answered 250 arrived as sent; nothing arrived that was not sent."""
    arrived: dict[bytes, int] = {}
    for received in upstream.received:  # without its final reply a message is not marked `accepted`
        subject, body = split(received.body)
        assert body == campaign.sent[subject], subject
        if received.accepted:
            arrived[subject] = arrived.get(subject, 0) + 1
    missing = [it for it in campaign.answered if it not in arrived]
    assert not missing, missing
    assert len(campaign.answered) >= 2000
    assert len(set(campaign.answered)) == len(campaign.answered)
