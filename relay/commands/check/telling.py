"""What `presend check` and `presend check merge` tell at the end, and their exit code."""

import argparse
import time
from typing import Final

from relay.commands import DONE, FAILED, HOLD, say
from relay.commands.check import gate, split
from relay.commands.check.counts import VerdictCounts

_REPEAT: Final = "The result is incomplete: check the list again where DNS works"


def told(
    args: argparse.Namespace,
    name: str,
    counts: VerdictCounts,
    better: str,
    fault: str,
    started: float,
    report: split.NewFile | None,
) -> int:
    """Tell the summary, and return the exit code."""
    say(*counts.summary(time.perf_counter() - started))
    decision = gate.decide(counts, gate.limits(args), gate.rates(args))
    wrong = "" if args.shard else counts.wrong_column(better)  # a part may have few rows
    if report is not None:
        from relay.commands.check.page import render

        shown = render(name, counts, gate.rates(args), decision, fault or wrong, args.review_risk)
        report.file.write(shown)
        report.finish()
    if args.gate or args.report:
        say(decision.line())
    if wrong:
        say(f"presend: {name}: {wrong}")
    if fault:
        say(f"presend: DNS was not believed: {fault}. {_REPEAT}")
    if wrong or fault:
        return FAILED
    return HOLD if args.gate and decision.hold else DONE
