"""The process of the hostile clients: `python -m tests.hostile.attacker NAME SMTP-PORT HTTP-PORT`.

It attacks until SIGTERM, or LONGEST at most, and then prints its tally as one line of JSON.
"""

import asyncio
import contextlib
import json
import os
import signal
import sys

import uvloop

from tests.hostile.attacks import ATTACKS
from tests.hostile.conducts import Conduct
from tests.hostile.line import Gone, Tally, Target

LONGEST = 300.0  # seconds
_AGAIN = 0.05  # seconds until a client that was sent away returns
_NICE = 5  # the attacker leaves the processor to the relay and the victim, as if on another machine


async def client(conduct: Conduct, target: Target) -> None:
    """Attack, and come back whenever the relay has ended the session."""
    ends = target.tally.ends
    try:
        while True:
            try:
                await conduct(target)
            except Gone as gone:
                ends[str(gone)] += 1
            except OSError:
                ends["closed"] += 1
            await asyncio.sleep(_AGAIN)
    except asyncio.CancelledError:
        ends["open"] += 1
        raise


async def attack(conduct: Conduct, sessions: int, target: Target) -> None:
    """Run all sessions until SIGTERM."""
    over = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, over.set)
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(LONGEST), asyncio.TaskGroup() as group:
            clients = [group.create_task(client(conduct, target)) for _ in range(sessions)]
            sys.stdout.write("attacking\n")
            sys.stdout.flush()
            await over.wait()
            for each in clients:
                each.cancel()


def main(name: str, smtp: str, http: str) -> None:
    """Run the attack of that name."""
    os.nice(_NICE)
    chosen = next(each for each in ATTACKS if each.name == name)
    tally = Tally()
    uvloop.run(attack(chosen.conduct, chosen.sessions, Target(int(smtp), int(http), tally)))
    sys.stdout.write(f"{json.dumps({'ends': tally.ends, 'replies': tally.replies})}\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
