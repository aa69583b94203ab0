"""The closed set of values of each label, and the bounds of the histograms."""

from typing import Final, get_args

from relay.observe.events import NO_REASON, Result, Stage
from relay.observe.metrics.series import OTHER
from validators import reasons
from validators.reasons import UNKNOWN, Reason
from validators.suppression import SuppressionReason

REASONS: Final = tuple(str(reason) for reason in Reason)
NEVER_REJECTED: Final = frozenset(str(reason) for reason in UNKNOWN)
"""Reasons that say that nothing is known; no policy can make them a rejection."""

VERDICTS: Final = ("accept", "defer", "reject")
JUDGEMENTS: Final = (
    ("accept", NO_REASON),
    *(("defer", reason) for reason in REASONS),
    *(("reject", reason) for reason in REASONS if reason not in NEVER_REJECTED),
)
"""Every pair of verdict and reason there can be."""

RESULTS: Final[tuple[str, ...]] = get_args(Result)
STAGES: Final[tuple[str, ...]] = get_args(Stage)
CODES: Final = range(200, 600)
"""Reply codes (RFC 5321 4.2); a reply to be counted is never 1yz."""
HANDSHAKES: Final = ("ok", "failed")
CAUSES: Final = ("connections", "client", "draining")
"""Why a session was refused: the limit, an address that is not allowed, the stop."""
CHECKS: Final = ("syntax", *reasons.CHECKS, OTHER)
POOL_STATES: Final = ("idle", "busy", "connecting")
CACHE_RESULTS: Final = ("hit", "miss", "shared")
SUPPRESSIONS: Final = tuple(str(reason) for reason in SuppressionReason)

UNKNOWN_USER: Final = frozenset({"5.1.1", "5.1.6", "5.2.1"})
"""RFC 3463: bad mailbox address, mailbox has moved, mailbox disabled."""

REMOTE_SECONDS: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0)
"""Bounds for one round trip or a few."""
LOCAL_SECONDS: Final = (1e-05, 2.5e-05, 5e-05, 0.0001, 0.00025, 0.0005, *REMOTE_SECONDS)
"""Bounds for what may need no packet at all."""
WAIT_SECONDS: Final = (*LOCAL_SECONDS, 10.0, 30.0)
"""Bounds for a wait in a queue that is empty as a rule."""
LONG_SECONDS: Final = (*REMOTE_SECONDS, 10.0, 30.0, 60.0, 300.0, 600.0)
"""Bounds for what may take as long as the wait after the final dot (RFC 5321 4.5.3.2.6)."""
