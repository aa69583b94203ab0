"""The gate: may this campaign send now?

The mail path asks it twice: `admit_message` before MAIL is answered, and `admit` before a group of
RCPTs goes to the upstream. `admit` reserves, `settle` gives back what was reserved and not used.
Warm-up, pacing and the circuit breaker will derive from `Gate`; the class itself admits everything.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Final, NamedTuple, TypeAlias


class Admitted(NamedTuple):
    """Send now."""

    reservation: str = ""
    """The id by which `settle` finds the reservation; "" where nothing was reserved.

    A reservation that is never settled expires: a relay may be killed.
    """


class Wait(NamedTuple):
    """Ask again after this time; the client's reply is held back meanwhile."""

    seconds: float


class NotNow(NamedTuple):
    """Do not send: the client gets 451 4.7.1 and may come back."""

    text: str
    """Which limit was reached and when to come back; it goes into the reply."""


Admission: TypeAlias = Admitted | Wait | NotNow

ADMITTED: Final = Admitted()


class Gate:
    """Admits everything."""

    def admit_message(self, campaign: str, segment: str) -> Admission:
        """Return whether a message of this campaign and segment may begin."""
        del campaign, segment
        return ADMITTED

    def admit(self, campaign: str, segment: str, provider: str, count: int) -> Admission:
        """Return whether `count` recipients at a mailbox provider may be sent to now."""
        del campaign, segment, provider, count
        return ADMITTED

    def settle(self, reservations: Sequence[str], accepted: int) -> None:
        """Take the end of a message: the upstream accepted it for `accepted` recipients."""


async def admitted(ask: Callable[[], Admission], admission: Admission) -> Admitted | NotNow:
    """Wait as long as the gate says so, asking again after each wait."""
    while isinstance(admission, Wait):
        await asyncio.sleep(admission.seconds)
        admission = ask()
    return admission
