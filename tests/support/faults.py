"""Fault injection for the test upstream: stages, faults and plans.

A plan is a function that the upstream calls at each stage of each session: `plan(Stage.RCPT)`
returns a Fault, or None for normal behaviour. Plans are called from several threads.
"""

import random
import threading
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum, auto


class Stage(StrEnum):
    """The points of an SMTP session at which an upstream can fail."""

    CONNECT = auto()
    BANNER = auto()
    EHLO = auto()
    STARTTLS = auto()
    HANDSHAKE = auto()
    AUTH = auto()
    MAIL = auto()
    RCPT = auto()
    DATA = auto()
    BODY = auto()
    FINAL = auto()
    RSET = auto()
    QUIT = auto()


class Kind(StrEnum):
    """The ways in which an upstream can fail."""

    CLOSE = auto()  # FIN
    RESET = auto()  # RST
    STALL = auto()  # no answer, connection open
    GARBAGE = auto()  # bytes that are not an SMTP reply
    ENDLESS = auto()  # a reply line without an end
    REPLY = auto()  # a reply other than the usual one; 421 also closes the connection
    TRICKLE = auto()  # the usual reply, sent one byte at a time


@dataclass(frozen=True, slots=True)
class Fault:
    """One misbehaviour; `reply` is the wire text of Kind.REPLY, with its CRLF."""

    kind: Kind
    reply: bytes = b""

    def __str__(self) -> str:
        return self.kind if not self.reply else f"{self.kind}-{self.reply[:3].decode()}"


CLOSE = Fault(Kind.CLOSE)
RESET = Fault(Kind.RESET)
STALL = Fault(Kind.STALL)
GARBAGE = Fault(Kind.GARBAGE)
ENDLESS = Fault(Kind.ENDLESS)
TRICKLE = Fault(Kind.TRICKLE)
SHUTTING_DOWN = Fault(Kind.REPLY, b"421 4.3.2 Shutting down\r\n")
BUSY = Fault(Kind.REPLY, b"451 4.3.0 Try later\r\n")
REFUSED = Fault(Kind.REPLY, b"554 5.7.1 Not today\r\n")

Plan = Callable[[Stage], Fault | None]


def reply(text: str) -> Fault:
    """A fault that sends this reply instead of the usual one; newlines separate its lines."""
    return Fault(Kind.REPLY, b"".join(f"{line}\r\n".encode() for line in text.split("\n")))


def healthy(_stage: Stage) -> Fault | None:
    """A plan without faults."""
    return None


def always(stage: Stage, fault: Fault) -> Plan:
    """A plan with this fault whenever the stage is reached."""
    return lambda at: fault if at is stage else None


def once(stage: Stage, fault: Fault, *, after: int = 0) -> Plan:
    """A plan with this fault once, after the stage was reached `after` times without it."""
    lock = threading.Lock()
    passed = 0

    def plan(at: Stage) -> Fault | None:
        nonlocal passed
        if at is not stage:
            return None
        with lock:
            passed += 1
            return fault if passed == after + 1 else None

    return plan


def at_random(rng: random.Random, rate: float, faults: tuple[Fault, ...]) -> Plan:
    """A plan with any of these faults at any stage, with probability `rate` per stage."""
    lock = threading.Lock()

    def plan(_stage: Stage) -> Fault | None:
        with lock:
            return rng.choice(faults) if rng.random() < rate else None

    return plan
