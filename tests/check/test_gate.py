"""`--gate`: send or hold, by thresholds and expected bounces."""

import argparse

import pytest

from relay.commands.check import gate
from relay.commands.check.counts import VerdictCounts
from relay.commands.check.report import Facts
from tests.support.checking import Check

pytestmark = pytest.mark.may_block("a command may wait for the file it reads")

GOOD = "".join(f"u{n}@example.com\n" for n in range(400))


def counts(**numbers: int) -> VerdictCounts:
    """Return counts with so many recipients by reason; `clean` ones have no finding."""
    found = VerdictCounts()
    for reason, number in numbers.items():
        if reason == gate.CLEAN:
            facts = Facts("accept", "", "", [], "other")
        else:
            facts = Facts("reject", reason, "", [(reason, "reject", "")], "other")
        found.add(["a@example.com"] * number, range(number), [facts] * number)
    return found


@pytest.mark.parametrize(
    ("text", "words", "code", "said"),
    [
        (GOOD, [], 0, "send: all thresholds are kept"),
        ("ann@example.com\n", [], 0, "send: all thresholds are kept"),
        (GOOD + "postmaster@example.com\n" * 40, [], 3, "hold: rejected 9.09%, limit 5.00%"),
        (GOOD + "postmaster@example.com\n" * 40, ["--max-rejected", "0.1"], 0, "send"),
        (GOOD, ["--max-risk", "0.01"], 3, "mean risk 1.80%, limit 1.00%"),
        (GOOD, ["--bounce-rate", "clean=0.1"], 3, "expected hard bounces 10.00%, limit 2.00%"),
        (GOOD, ["--bounce-rate", "clean=0.1", "--max-bounces", "0.2"], 0, "send"),
        ("postmaster@example.com\n", ["--max-rejected", "1"], 3, "no address is accepted"),
        ("", [], 3, "hold: no address is accepted"),
    ],
)
def test_send_or_hold(
    check: Check,
    capsys: pytest.CaptureFixture[str],
    text: str,
    words: list[str],
    code: int,
    said: str,
) -> None:
    assert check(text.encode(), "--gate", *words) == code
    assert said in capsys.readouterr().err
    assert check(text.encode(), *words) == 0
    assert "hold" not in capsys.readouterr().err


def test_a_list_that_failed_is_not_a_gate_that_holds(check: Check) -> None:
    assert check(b"one\ntwo\nthree\n", "--gate") == 1


@pytest.mark.parametrize("word", ["--max-risk=2", "--max-risk=x", "--bounce-rate=odd=0.1"])
def test_wrong_options(word: str, capsys: pytest.CaptureFixture[str]) -> None:
    parser = argparse.ArgumentParser()
    gate.add_arguments(parser)
    with pytest.raises(SystemExit):
        parser.parse_args([word])
    assert word.partition("=")[2].partition("=")[0] in capsys.readouterr().err


def test_expected_bounces() -> None:
    rates = {**gate.BOUNCE_RATES, gate.CLEAN: 0.01}
    found = counts(clean=900, no_domain=100)
    everyone = gate.expected_bounces(found, rates, accepted=False)
    accepted = gate.expected_bounces(found, rates, accepted=True)
    assert everyone.share == pytest.approx(0.109)
    assert accepted.share == pytest.approx(0.01)
    assert accepted.low < accepted.share < accepted.high


@pytest.mark.parametrize(
    ("expected", "number", "low", "high"),
    [
        (10, 100, 0.0552, 0.1744),  # Newcombe (1998): Wilson's interval without correction
        (0, 20, 0.0, 0.1611),
        (1, 29, 0.0061, 0.1718),
        (0, 0, 0.0, 0.0),
    ],
)
def test_wilson(expected: float, number: int, low: float, high: float) -> None:
    found = gate.wilson(expected, number)
    assert found.low == pytest.approx(low, abs=5e-4)
    assert found.high == pytest.approx(high, abs=5e-4)


def test_counts_are_the_same_after_a_file() -> None:
    found = counts(clean=3, no_domain=2)
    found.blank, found.first_blank = 1, [7]
    again = VerdictCounts.of_json(found.as_json())
    assert again.as_json() == found.as_json()
    assert again.kinds == found.kinds
    again.update(found)
    assert again.total == 10
    assert again.verdicts("reject")["no_domain"] == 4


def test_the_rates_are_documented() -> None:
    from tests.docs import pages

    documented = {
        name.strip("`"): float(row["rate"])
        for row in pages.rows(pages.DOCS / "commands.md", "finding", section="Send or hold")
        for name in row["finding"].split(", ")
    }
    assert documented == gate.BOUNCE_RATES
