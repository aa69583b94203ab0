"""Prints how many real domains `typo` takes for misspellings, and how many slips it notices.

    python -m tests.traps

Nothing is looked up in DNS. With DNS it notices more, since DNS speaks against most slips.
"""

import sys
from collections import Counter
from random import Random
from typing import Final, NamedTuple

from tests.traps.domains import real_domains
from tests.traps.slips import KINDS, Slip, make
from validators.checks.typo import TypoCheck
from validators.mailbox_domains import data

NUMBER: Final = 20_000
"""Slips that are made."""
SEED: Final = 11
MOST_TOUCHED: Final = 0.005
"""Greatest share of real domains that may be taken for misspellings."""
LEAST_NOTICED: Final = 0.8
"""Least share of slips that have to be noticed."""


class Measured(NamedTuple):
    """The two shares, and what is behind them."""

    real: int
    touched: list[tuple[str, str]]
    """Real domains with what was said to be meant."""
    slips: Counter[str]
    """How many were made of each kind."""
    noticed: Counter[str]
    """How many were noticed of each kind."""
    right: int
    """How many were noticed with the domain that was meant."""
    missed: list[Slip]

    @property
    def share_touched(self) -> float:
        """The share of real domains that are taken for misspellings, 0 to 1."""
        return len(self.touched) / self.real

    @property
    def share_noticed(self) -> float:
        """The share of slips that are noticed, 0 to 1."""
        return self.noticed.total() / self.slips.total()


def measure(number: int = NUMBER, seed: int = SEED) -> Measured:
    """Ask the check about every real domain, and about `number` slips."""
    find = TypoCheck().find
    domains = real_domains()
    touched = [(domain, found.detail) for domain in domains if (found := find(domain, None))]
    real = {*domains, *data().providers, *data().neighbours}
    made, noticed, right, missed = Counter[str](), Counter[str](), 0, []
    for slip in make(number, real, Random(seed)):  # noqa: S311 the same each time
        made[slip.kind] += 1
        found = find(slip.domain, None)
        if found is None:
            missed.append(slip)
        else:
            noticed[slip.kind] += 1
            right += found.detail == slip.meant
    return Measured(len(domains), touched, made, noticed, right, missed)


def main() -> None:
    """Print the figures."""
    found = measure()
    say = sys.stdout.write
    say(f"real domains: {found.real}, touched: {len(found.touched)}, {found.share_touched:.2%}\n")
    for domain, meant in found.touched:
        say(f"  {domain} (as if {meant} were meant)\n")
    say(f"typing errors: {found.slips.total()}, noticed: {found.share_noticed:.1%}\n")
    for kind, (share, _) in KINDS.items():
        rate = found.noticed[kind] / found.slips[kind]
        say(f"  {kind}, {share} % of all: {rate:.1%}\n")
    right = found.right / found.noticed.total()
    say(f"of those noticed, told what was meant: {right:.1%}\n")


if __name__ == "__main__":
    main()
