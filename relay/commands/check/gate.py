"""Whether a list should be sent: expected bounces, and thresholds."""

import argparse
import math
from collections.abc import Callable, Iterator, Mapping
from typing import Final, NamedTuple

from relay.commands.check.counts import VerdictCounts
from relay.commands.check.report import Kind
from validators.reasons import Reason

CLEAN: Final = "clean"
"""In place of a reason: recipients without a finding that has a rate."""
BOUNCE_RATES: Final[Mapping[str, float]] = {
    CLEAN: 0.005,
    Reason.SYNTAX: 1.0,
    Reason.NO_DOMAIN: 1.0,
    Reason.NO_MAIL_HOST: 1.0,
    Reason.NULL_MX: 1.0,
    Reason.UNROUTABLE: 1.0,
    Reason.SUPPRESSED: 0.5,
    Reason.TYPO_DOMAIN: 0.9,
    Reason.TYPO_SUSPECT: 0.5,
    Reason.UNKNOWN_TLD: 0.9,
    Reason.PARKED_DOMAIN: 0.6,
    Reason.IMPLICIT_MX: 0.3,
    Reason.DISPOSABLE: 0.3,
    Reason.HONEYPOT_HINT: 0.5,
    Reason.RANDOM_LOCAL: 0.1,
    Reason.ROLE_ACCOUNT: 0.05,
}
"""Share of the mail to recipients with a finding that is refused for good: assumptions, since only
the sender's own bounces can tell. An operator replaces them with his own (`--bounce-rate`)."""
_Z: Final = 1.959963984540054
"""Of the normal distribution, for an interval of 95 %."""


class Estimate(NamedTuple):
    """An expected share, with its interval of 95 %; each 0 to 1."""

    share: float
    low: float
    high: float


class Limits(NamedTuple):
    """The thresholds of "send"."""

    rejected: float = 0.05
    """Most recipients that are rejected, as a share of all."""
    deferred: float = 0.05
    """The same for recipients of whom not enough is known."""
    bounces: float = 0.02
    """Largest expected share of hard bounces among the accepted recipients.

    The upper end of the interval would hold every short list."""
    risk: float = 0.05
    """Largest mean risk of the accepted recipients."""


class Threshold(NamedTuple):
    """A threshold and the value that is compared with it."""

    label: str
    value: float
    limit: float

    @property
    def held(self) -> bool:
        """Whether the value exceeds the limit."""
        return self.value > self.limit


class Decision(NamedTuple):
    """Send or hold, and by what."""

    thresholds: list[Threshold]
    empty: bool
    """There is no address that could be sent to."""

    @property
    def hold(self) -> bool:
        """Whether the list should not be sent as it is."""
        return self.empty or any(each.held for each in self.thresholds)

    def line(self) -> str:
        """Return the line for the summary."""
        if not self.hold:
            return "send: all thresholds are kept"
        return f"hold: {'; '.join(self.reasons())}"

    def reasons(self) -> Iterator[str]:
        """Yield why the list is held."""
        if self.empty:
            yield "no address is accepted"
        for each in self.thresholds:
            if each.held:
                yield f"{each.label} {each.value:.2%}, limit {each.limit:.2%}"


def decide(counts: VerdictCounts, limits: Limits, rates: Mapping[str, float]) -> Decision:
    """Compare what was counted with the thresholds."""
    accepted = counts.verdicts("accept").total()
    rejected = counts.verdicts("reject").total()
    all_of_them = max(1, counts.total)
    bounces = expected_bounces(counts, rates, accepted=True)
    return Decision(
        [
            Threshold("rejected", rejected / all_of_them, limits.rejected),
            Threshold("deferred", counts.verdicts("defer").total() / all_of_them, limits.deferred),
            Threshold("expected hard bounces", bounces.share, limits.bounces),
            Threshold("mean risk", mean_risk(counts), limits.risk),
        ],
        empty=not accepted,
    )


def mean_risk(counts: VerdictCounts) -> float:
    """Return the mean risk of the accepted recipients; 0 if there are none."""
    accepted = [(kind.risk, n) for kind, n in counts.kinds.items() if kind.verdict == "accept"]
    number = sum(n for _, n in accepted)
    return math.fsum(risk * n for risk, n in accepted) / number if number else 0.0


def expected_bounces(
    counts: VerdictCounts, rates: Mapping[str, float], *, accepted: bool
) -> Estimate:
    """Return the share of hard bounces to expect: of the accepted recipients, or of all.

    Each recipient counts with the highest rate among its findings. The interval is Wilson's (1927)
    for that share in a list of this length; it does not contain the error of the rates.
    """
    number, expected = 0, 0.0
    for kind, n in counts.kinds.items():
        if not accepted or kind.verdict == "accept":
            number += n
            expected += n * _rate(kind, rates)
    return wilson(expected, number)


def _rate(kind: Kind, rates: Mapping[str, float]) -> float:
    known = [rates[reason] for reason, _ in kind.findings if reason in rates]
    return max(known, default=rates[CLEAN])


def wilson(expected: float, number: int) -> Estimate:
    """Return a share with Wilson's score interval; all zero for no recipient."""
    if not number:
        return Estimate(0.0, 0.0, 0.0)
    share = expected / number
    square = _Z * _Z / number
    centre = share + square / 2
    spread = _Z * math.sqrt(share * (1 - share) / number + square / number / 4)
    low, high = (centre - spread) / (1 + square), (centre + spread) / (1 + square)
    return Estimate(share, max(0.0, low), min(1.0, high))


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Describe the options of the gate."""
    parser.add_argument(
        "--gate", action="store_true", help="exit with code 3 if the list should be held"
    )
    usual = Limits()
    for name, default, meaning in (
        ("--max-rejected", usual.rejected, "the share of rejected addresses"),
        ("--max-deferred", usual.deferred, "the share of deferred addresses"),
        ("--max-bounces", usual.bounces, "the expected share of hard bounces"),
        ("--max-risk", usual.risk, "the mean risk of the accepted addresses"),
    ):
        parser.add_argument(
            name,
            type=share,
            default=default,
            metavar="SHARE",
            help=f"hold if {meaning} is above this, 0 to 1 (default {default})",
        )
    parser.add_argument(
        "--bounce-rate",
        action="append",
        default=[],
        type=_rate_of(share),
        metavar="REASON=SHARE",
        help=f"expected share of hard bounces for a reason, or `{CLEAN}`; may be repeated",
    )


def limits(args: argparse.Namespace) -> Limits:
    """Return the thresholds that the user has set."""
    return Limits(args.max_rejected, args.max_deferred, args.max_bounces, args.max_risk)


def rates(args: argparse.Namespace) -> dict[str, float]:
    """Return the bounce rates by reason."""
    return {**BOUNCE_RATES, **dict(args.bounce_rate)}


def share(text: str) -> float:
    """Return a share, 0 to 1, for argparse."""
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value <= 1:
        raise argparse.ArgumentTypeError(f"{text!r}: a number from 0 to 1, such as 0.05")
    return value


def _rate_of(number: Callable[[str], float]) -> Callable[[str], tuple[str, float]]:
    def pair(text: str) -> tuple[str, float]:
        name, _, value = text.partition("=")
        if name != CLEAN and name not in set(Reason):
            known = ", ".join([CLEAN, *Reason])
            raise argparse.ArgumentTypeError(f"{name!r}: a reason is one of {known}")
        return name, number(value)

    return pair
