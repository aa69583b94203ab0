"""The output of `presend check`: a JSON object for each address, and a summary."""

from collections import Counter
from collections.abc import Sequence
from json.encoder import encode_basestring_ascii as quoted
from typing import Final

from validators.pipeline import Judgement
from validators.verdict import ACCEPT, Accept, Action, Reason

_ACCEPTED: Final = '", "verdict": "accept", "reason": null, "detail": "", "findings": []}\n'


def line(judged: Judgement) -> str:
    """Return the line for one address, end of line included: ASCII, whatever the address is."""
    text = judged.text
    if judged.verdict is ACCEPT and not judged.findings:
        if text.isascii() and '"' not in text and "\\" not in text and text.isprintable():
            return f'{{"address": "{text}{_ACCEPTED}'
        return f'{{"address": {quoted(text)[:-1]}{_ACCEPTED}'
    verdict = judged.verdict
    reason, detail = (
        ("null", '""')
        if isinstance(verdict, Accept)
        else (quoted(verdict.reason), quoted(verdict.detail))
    )
    findings = ", ".join(
        f'{{"reason": {quoted(finding.reason)}, "action": {quoted(action)}, '
        f'"detail": {quoted(finding.detail)}}}'
        for finding, action in judged.findings
    )
    return (
        f'{{"address": {quoted(text)}, "verdict": "{verdict.name}", "reason": {reason}, '
        f'"detail": {detail}, "findings": [{findings}]}}\n'
    )


MANY: Final = 5
"""Rows of which hardly all fail on syntax by chance."""
SOME: Final = 3
"""The same for rows of which none has even an @."""


class VerdictCounts:
    """The number of verdicts by reason, and of facts that were only observed."""

    def __init__(self) -> None:
        """Begin with no address."""
        self._total = 0
        self._decided: Counter[tuple[str, str]] = Counter()
        self._observed: Counter[str] = Counter()
        self._with_at = 0

    def add(self, judged: Sequence[Judgement]) -> None:
        """Count the verdicts of a group."""
        self._total += len(judged)
        for each in judged:
            self._with_at += "@" in each.text
            if each.findings:
                verdict = each.verdict
                if not isinstance(verdict, Accept):
                    self._decided[verdict.name, verdict.reason] += 1
                for reason in {f.reason for f, act in each.findings if act is Action.OBSERVE}:
                    self._observed[reason] += 1

    @property
    def total(self) -> int:
        """Return the number of addresses."""
        return self._total

    def wrong_column(self, blank: int, better: str) -> str:
        """Return why this is hardly a list of addresses, or an empty text.

        It is not if nine of ten rows fail on syntax or are `blank`, and more than chance speaks for
        it: another column is `better`, there are at least MANY rows, or no row has an @.
        """
        rows = self._total + blank
        failed = self._decided["reject", Reason.SYNTAX] + blank
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

    def summary(self, seconds: float, blank: int, first_blank: Sequence[int]) -> list[str]:
        """Return the counts as a few lines of text.

        `blank` is the number of rows without an address, `first_blank` where some of them are.
        """
        rate = f" ({self._total / seconds:,.0f} a second)" if seconds > 0 else ""
        lines = [f"{self._total:,} addresses in {seconds:,.1f} s{rate}"]
        accepted = self._total - self._decided.total()
        lines.append(f"  accept  {accepted:>12,}")
        for name in ("defer", "reject"):
            reasons = {key[1]: n for key, n in self._decided.most_common() if key[0] == name}
            said = ", ".join(f"{reason} {n:,}" for reason, n in reasons.items())
            lines.append(f"  {name:<7} {sum(reasons.values()):>12,}  {said}".rstrip())
        if self._observed:
            said = ", ".join(f"{reason} {n:,}" for reason, n in self._observed.most_common())
            lines.append(f"  observed, not acted on: {said}")
        if blank:
            places = ", ".join(map(str, first_blank)) + (
                ", ..." if blank > len(first_blank) else ""
            )
            lines.append(f"  no address {blank:>9,}  not judged: line {places}")
        return lines
