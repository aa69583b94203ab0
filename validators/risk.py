"""The risk that mail to a recipient harms the sender, from the findings on the recipient.

Each reason has a weight, in log odds (the natural logarithm of the odds ratio). The weights of the
findings are added to PRIOR, as in naive Bayes: findings are taken for independent. The sum is
turned into a number from 0 to 1. It orders recipients and adds up evidence; it is no measured
probability, and never says that an address is a trap.
"""

import math
from collections.abc import Iterable
from typing import Final

from validators.reasons import Reason

PRIOR: Final = -4.0
"""Log odds of a recipient without findings: a risk of 0.018."""
_LIMIT: Final = 30.0


def risk(reasons: Iterable[Reason]) -> float:
    """Return the risk, 0 to 1, of a recipient with findings of these reasons."""
    odds = PRIOR + sum(reason.row.weight for reason in reasons)
    return 1.0 / (1.0 + math.exp(-max(-_LIMIT, min(odds, _LIMIT))))


def ordered(reasons: Iterable[Reason]) -> list[Reason]:
    """Return the reasons that add to the risk, the weightiest first."""
    return sorted((each for each in reasons if each.row.weight > 0), key=lambda r: -r.row.weight)
