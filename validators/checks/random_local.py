"""Recipients whose local part looks made by a machine: `xk7qz2vf9t`, `a8d7f3b2c1e94f60`.

Scripts that fill sign-up forms, and some makers of traps, write such local parts. The test is how
well their letters follow each other (a model of pairs of letters, learnt from
data/local_part_words.txt), and how often letters and digits alternate.
"""

import math
import re
from collections import Counter
from collections.abc import Sequence
from importlib import resources
from itertools import pairwise
from typing import ClassVar, Final

from validators.address import Address
from validators.checks import Inputs
from validators.checks.private_relay import is_relay
from validators.verdict import CLEAR, Finding, Findings, Reason

SHORTEST: Final = 9
"""Characters of a local part that is looked at: in fewer there is no telling."""
_CANDIDATE: Final = re.compile(
    r"[bcdfghjklmnpqrstvwxz]{5}"  # so many consonants in a row
    r"|\d[a-z]+\d+[a-z]"  # letters and digits in turn
    r"|[jqxz][bcdfghjkmnpqrstvwxz]|[bcdfghjkmpqrtvwxz][jqxz]"  # pairs that are rare in words
)
"""What a local part has to have before the model is asked: most have none of it."""
_HEXADECIMAL: Final = re.compile(r"(?=.*\d.*\d.*\d)(?=.*[a-f].*[a-f])[0-9a-f]{12,}\Z")
_SEPARATORS: Final = re.compile(r"[._\-+]+")
_CHANGES: Final = 5
"""Changes between letters and digits in one word: `a1b2c3` has five."""
UNLIKELY: Final = -6.0
"""Mean log2 probability of the pairs of a word, below which its letters look random."""
_LETTERS: Final = re.compile(r"[a-z]{2,}")
"""Letters that follow each other."""
_ENOUGH: Final = 6
"""How many of these a word needs for its mean to count."""
_FOUND = Finding(Reason.RANDOM_LOCAL)


class RandomLocalCheck:
    """States RANDOM_LOCAL; aliases of forwarding services are made by machines, and exempt."""

    name = "random_local"
    unknown: ClassVar[Reason | None] = None

    def examine(self, group: Sequence[Address]) -> Findings:
        """Return a finding for each local part that looks made by a machine."""
        search = _CANDIDATE.search
        for address in group:
            if search(address.local.lower()):
                break
        else:  # most groups have nobody who needs a closer look
            return CLEAR
        found = [
            _FOUND
            if looks_random(address.canonical.rpartition("@")[0]) and not is_relay(address.domain)
            else None
            for address in group
        ]
        return found if any(found) else CLEAR


def looks_random(local: str) -> bool:
    """Return whether a local part, in lower case, looks made by a machine."""
    if len(local) < SHORTEST or not _CANDIDATE.search(local):
        return False
    if _HEXADECIMAL.match(local):
        return True
    return any(_word_looks_random(word) for word in _SEPARATORS.split(local))


def _word_looks_random(word: str) -> bool:
    if len(word) < SHORTEST or not word.isascii():
        return False
    changes = sum(one.isdigit() != two.isdigit() for one, two in pairwise(word))
    if changes >= _CHANGES:
        return True
    return sum(map(len, _LETTERS.findall(word))) >= _ENOUGH and mean(word) < UNLIKELY


def mean(word: str) -> float:
    """Return the mean log2 probability of the pairs of letters of a word, 0 if it has none.

    The beginning and the end of the word count as letters. Digits do not, nor letters written
    twice: people decorate names with both.
    """
    pairs, lowest = _MODEL
    found = [
        pairs.get(a + b, lowest)
        for a, b in pairwise(f"^{word}$")
        if a != b and not a.isdigit() and not b.isdigit()
    ]
    return sum(found) / len(found) if found else 0.0


def _learnt() -> tuple[dict[str, float], float]:
    """Return the log2 probabilities of the pairs of letters in words, and that of all others."""
    file = resources.files("validators.data").joinpath("local_part_words.txt")
    lines = (line for line in file.read_text("utf-8").splitlines() if not line.startswith("#"))
    counted = Counter(
        a + b for line in lines for word in line.split() for a, b in pairwise(f"^{word}$")
    )
    firsts: Counter[str] = Counter()
    for pair, times in counted.items():
        firsts[pair[0]] += times
    half = 0.5  # of a pair that did not occur
    pairs = {
        pair: math.log2((times + half) / (firsts[pair[0]] + half * 27))
        for pair, times in counted.items()
    }
    typical = sum(firsts.values()) / len(firsts)
    return pairs, math.log2(half / (typical + half * 27))


_MODEL: Final = _learnt()


def build(_: Inputs) -> RandomLocalCheck:
    """Return the check."""
    return RandomLocalCheck()
