"""The report: two tables, for a terminal and for docs/security.md."""

from collections import Counter
from collections.abc import Iterator, Sequence

from tests.bench.report import aligned, described, machine
from tests.hostile.result import MEMORY, SLOWEST, Result

WHAT = ("attack", "what it does")
VICTIM = (
    "attack",
    "alone, ms",
    "beside, ms",
    "under attack, ms",
    "slowdown",
    "delivered",
    "result",
)
RELAY = ("attack", "probes, ms", "failed", "memory, MiB", "lost / unlogged", "attackers")


def text(results: Sequence[Result], seconds: float) -> str:
    """Return the whole report in Markdown."""
    missed = sum(1 for each in results if any(each.missed()))
    parts = [
        aligned(WHAT, [(f"`{each.attack.name}`", each.attack.title) for each in results]),
        aligned(VICTIM, [tuple(_victim(each)) for each in results]),
        aligned(RELAY, [tuple(_relay(each)) for each in results]),
        (
            f"{len(results)} attacks of {seconds:g} s each, {missed} of them outside a bound "
            f"(slowdown {SLOWEST:g}, every message delivered, every probe answered, "
            f"{MEMORY:g} MiB, no acknowledged message lost or missing in the log, no "
            f"traceback)."
        ),
        described(machine()),
    ]
    return "\n\n".join(parts) + "\n"


def _victim(result: Result) -> Iterator[str]:
    yield f"`{result.attack.name}`"
    yield f"{_ms(result.before.median)} / {_ms(result.before.worst)}"
    yield f"{_ms(result.beside.median)} / {_ms(result.beside.worst)}"
    under = result.under
    yield f"{_ms(under.median)} / {_ms(under.most)} / {_ms(under.worst)}"
    yield f"{result.slowdown:.1f}"
    yield f"{result.delivered:,}" + "".join(_counts(result.failures, ", {} times {}"))
    yield "missed: " + ", ".join(result.missed()) if any(result.missed()) else "met"


def _relay(result: Result) -> Iterator[str]:
    yield f"`{result.attack.name}`"
    yield f"{_ms(result.probes.median)} / {_ms(result.probes.worst)}"
    yield f"{result.failed_probes:,}"
    yield f"{result.peak:.0f}"
    yield f"{result.lost} / {result.unlogged}"
    ends = ", ".join(_counts(result.tally.ends, "{} {}"))
    replies = ", ".join(_counts(result.tally.replies, "{} times {}"))
    yield f"{ends}; {replies}" if replies else ends


def _counts(counts: Counter[str], form: str) -> Iterator[str]:
    for name, times in counts.most_common(4):
        yield form.format(f"{times:,}", name)


def _ms(seconds: float) -> str:
    if not seconds:
        return "-"
    milliseconds = seconds * 1000
    return f"{milliseconds:,.{0 if milliseconds >= 100 else 1}f}"
