"""`python -m tests.hostile`: attack a relay, print what others noticed, write docs/security.md."""

import argparse
import contextlib
import signal
import sys
import tempfile
from pathlib import Path

from tests.bench.report import updated
from tests.hostile import report
from tests.hostile.attacks import ATTACKS
from tests.hostile.measure import Rig, measure
from tests.hostile.result import Result

SECONDS = 10.0


def arguments() -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(prog="python -m tests.hostile", description=__doc__)
    names = [attack.name for attack in ATTACKS]
    parser.add_argument("--only", type=lambda text: text.split(","), default=names, metavar="NAMES")
    parser.add_argument("--seconds", type=float, default=SECONDS, help="of each attack")
    parser.add_argument("--plain", action="store_true", help="presend as plain Python")
    parser.add_argument("--out", type=Path, metavar="DIRECTORY", help="with security.md")
    given = parser.parse_args()
    if unknown := set(given.only) - set(names):
        parser.error(f"unknown: {', '.join(sorted(unknown))}; known: {', '.join(names)}")
    if given.out and set(given.only) != set(names):
        parser.error("--out takes all attacks: the page has a row for each")
    return given


def main(given: argparse.Namespace) -> int:
    """Run the attacks and print the report; return 1 if a bound was missed."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # the servers are stopped then too
    results: list[Result] = []
    with contextlib.ExitStack() as stack:
        base = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="presend-hostile-")))
        rig = Rig(base, stack, plain=given.plain)
        try:
            for attack in ATTACKS:
                if attack.name in given.only:
                    sys.stderr.write(f"{attack.name}: {attack.title}\n")
                    results.append(measure(attack, rig, given.seconds))
        finally:
            sys.stdout.write(report.text(results, given.seconds) if results else "")
    if given.out:
        page = given.out / "security.md"
        page.write_text(updated(page.read_text(), report.text(results, given.seconds)))
    return int(any(any(each.missed()) for each in results))


if __name__ == "__main__":
    sys.exit(main(arguments()))
