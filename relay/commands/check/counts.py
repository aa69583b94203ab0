"""What `presend check` counts: enough for the summary, the gate and the report.

Counts of parts of a list add up to those of the whole, so that shards can be merged.
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final, Self

from relay.commands.check.report import Facts, Kind
from validators.verdict import Action, Reason

MANY: Final = 5
"""Rows of which hardly all fail on syntax by chance."""
SOME: Final = 3
"""The same for rows of which none has even an @."""
DOMAINS: Final = 100_000
"""Domains that are counted. If a list has more bad ones, the rarest are dropped."""
SLIPS: Final = 50
"""Misspelt addresses that are kept."""
_PLACES: Final = 5
"""Lines without an address that are named."""


class VerdictCounts:
    """The recipients by what is said of them, and the domains of those that are not accepted."""

    def __init__(self) -> None:
        """Begin with no address."""
        self.total = 0
        """The number of addresses."""
        self.kinds: Counter[Kind] = Counter()
        self.domains: Counter[str] = Counter()
        """Recipients that are deferred or rejected, by domain in lower case."""
        self.typos: Counter[tuple[str, str]] = Counter()
        """Recipients by their domain and the one that was probably meant."""
        self.slips: list[tuple[int, str, str]] = []
        """The first rows with a misspelt domain: row, address, and the one that was meant."""
        self.cleaned = 0
        """Rows in which there was more than the address."""
        self.blank = 0
        """Rows without an address."""
        self.first_blank: list[int] = []
        """The lines in which the first of them begin."""
        self.dropped = 0
        """Rows that `--dedupe` has left out of the files."""
        self.unwritten = 0
        """Other rows for which there is no file."""
        self._with_at = 0

    def add(
        self, texts: Sequence[str], numbers: Sequence[int], facts: Sequence[Facts], cleaned: int = 0
    ) -> None:
        """Count a group: the addresses, their rows, and what is said of each.

        `cleaned` is the number of rows in which there was more than the address.
        """
        self.total += len(texts)
        self.cleaned += cleaned
        self._with_at += sum("@" in text for text in texts)
        for each, number in Counter(facts).items():
            self.kinds[each.kind] += number
            if each.kind.verdict == "accept" and not each.meant:
                continue
            for text, row, of_text in zip(texts, numbers, facts, strict=True):
                if of_text is not each:
                    continue
                domain = text.rpartition("@")[2].lower()
                if each.kind.verdict != "accept":
                    self.domains[domain] += 1
                if each.meant:
                    self.typos[domain, each.meant] += 1
                    self.slips.append((row, text, each.suggestion(text)))
        self._bound()

    def add_blank(self, lines: Sequence[int]) -> None:
        """Count rows without an address, which begin in these lines."""
        self.blank += len(lines)
        self.first_blank = [*self.first_blank, *lines][:_PLACES]

    def update(self, other: Self) -> None:
        """Add the counts of another part of the list."""
        self.total += other.total
        self.kinds.update(other.kinds)
        self.domains.update(other.domains)
        self.typos.update(other.typos)
        self.slips += other.slips
        self.cleaned += other.cleaned
        self.add_blank(other.first_blank)
        self.blank += other.blank - len(other.first_blank)
        self._with_at += other._with_at
        self._bound()

    def _bound(self) -> None:
        if len(self.slips) > SLIPS:
            self.slips = sorted(self.slips)[:SLIPS]
        if len(self.domains) > DOMAINS:
            self.domains = Counter(dict(self.domains.most_common(DOMAINS // 2)))
        if len(self.typos) > DOMAINS:
            self.typos = Counter(dict(self.typos.most_common(DOMAINS // 2)))

    def verdicts(self, name: str) -> Counter[str]:
        """Return the recipients with this verdict, by the deciding reason."""
        found: Counter[str] = Counter()
        for kind, number in self.kinds.items():
            if kind.verdict == name:
                found[kind.reason] += number
        return found

    def observed(self) -> Counter[str]:
        """Return the recipients by the reasons that the policy only observes."""
        found: Counter[str] = Counter()
        for kind, number in self.kinds.items():
            for reason in {why for why, action in kind.findings if action == Action.OBSERVE}:
                found[reason] += number
        return found

    @property
    def duplicates(self) -> int:
        """The number of rows whose mailbox is in an earlier row."""
        return sum(number for kind, number in self.kinds.items() if kind.duplicate)

    def wrong_column(self, better: str) -> str:
        """Return why this is hardly a list of addresses, or an empty text.

        It is not if nine of ten rows fail on syntax or are blank, and more than chance speaks for
        it: another column is `better`, there are at least MANY rows, or no row has an @.
        """
        rows = self.total + self.blank
        failed = self.verdicts("reject")[Reason.SYNTAX] + self.blank
        if not failed or failed * 10 < rows * 9:
            return ""
        if not (better or rows >= MANY or (rows >= SOME and not self._with_at)):
            return ""
        remedy = (
            f"{better} holds addresses: name it with --column"
            if better
            else "name the right column with --column, or the right file"
        )
        return (
            f"this is hardly a list of addresses: {failed:,} of {rows:,} rows hold none. {remedy}"
        )

    def summary(self, seconds: float) -> list[str]:
        """Return the counts as a few lines of text."""
        rate = f" ({self.total / seconds:,.0f} a second)" if seconds > 0 else ""
        lines = [f"{self.total:,} addresses in {seconds:,.1f} s{rate}"]
        lines.append(f"  accept  {self.verdicts('accept').total():>12,}")
        for name in ("defer", "reject"):
            reasons = self.verdicts(name)
            said = _listed(reasons)
            lines.append(f"  {name:<7} {reasons.total():>12,}  {said}".rstrip())
        lines += self._remarks()
        return lines

    def _remarks(self) -> Iterator[str]:
        observed = self.observed()
        observed.pop(Reason.DUPLICATE, None)
        if observed:
            yield f"  observed, not acted on: {_listed(observed)}"
        if self.duplicates:
            yield f"  duplicate  {self.duplicates:>9,}  the mailbox is in an earlier row"
        if self.cleaned:
            yield f"  cleaned    {self.cleaned:>9,}  more than an address in the cell: see `note`"
        if self.blank:
            places = ", ".join(map(str, self.first_blank))
            more = ", ..." if self.blank > len(self.first_blank) else ""
            yield f"  no address {self.blank:>9,}  not judged: line {places}{more}"

    def as_json(self) -> dict[str, Any]:
        """Return the counts for a file, to be read by `of_json`."""
        return {
            "total": self.total,
            "kinds": [[*kind, number] for kind, number in self.kinds.items()],
            "domains": dict(self.domains),
            "typos": [[*pair, number] for pair, number in self.typos.items()],
            "slips": self.slips,
            "cleaned": self.cleaned,
            "blank": self.blank,
            "first_blank": self.first_blank,
            "dropped": self.dropped,
            "unwritten": self.unwritten,
            "with_at": self._with_at,
        }

    @classmethod
    def of_json(cls, saved: Mapping[str, Any]) -> Self:
        """Return the counts that were saved."""
        counts = cls()
        counts.total = saved["total"]
        for verdict, reason, provider, findings, number in saved["kinds"]:
            found = tuple((why, action) for why, action in findings)
            counts.kinds[Kind(verdict, reason, provider, found)] = number
        counts.domains.update(saved["domains"])
        counts.typos.update({(given, meant): n for given, meant, n in saved["typos"]})
        counts.slips = [(row, given, meant) for row, given, meant in saved["slips"]]
        counts.cleaned, counts.blank = saved["cleaned"], saved["blank"]
        counts.first_blank = list(saved["first_blank"])
        counts.dropped, counts.unwritten = saved["dropped"], saved["unwritten"]
        counts._with_at = saved["with_at"]
        return counts


def _listed(numbers: Counter[str]) -> str:
    """List reasons, the most frequent first and then by name: the same for shards and the whole."""
    ordered = sorted(numbers.items(), key=lambda each: (-each[1], each[0]))
    return ", ".join(f"{reason} {number:,}" for reason, number in ordered)
