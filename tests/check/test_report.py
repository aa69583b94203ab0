"""The page of `--report`: its content, and how it looks in Chromium."""

import re
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from relay.commands.check.counts import VerdictCounts
from relay.commands.check.gate import BOUNCE_RATES, Limits, decide
from relay.commands.check.page import render
from relay.commands.check.report import Facts
from tests.support.checking import Check
from tests.support.chromium import Chromium, browser

pytestmark = pytest.mark.may_block("a command may wait for the file it reads")

CONTRAST = """
(() => {
  const channel = (v) => (v /= 255, v <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
  const light = (c) => 0.2126 * channel(c[0]) + 0.7152 * channel(c[1]) + 0.0722 * channel(c[2]);
  const parse = (text) => text.match(/[\\d.]+/g).map(Number);
  const behind = (e) => {
    for (; e; e = e.parentElement) {
      const c = parse(getComputedStyle(e).backgroundColor);
      if (c.length < 4 || c[3] > 0) return c;
    }
    return [255, 255, 255];
  };
  let least = 99;
  for (const e of document.querySelectorAll("h1, h2, p, th, td, caption, text")) {
    if (!e.textContent.trim()) continue;
    const style = getComputedStyle(e);
    const a = light(parse(e.tagName == "text" ? style.fill : style.color)), b = light(behind(e));
    least = Math.min(least, (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05));
  }
  return least;
})()
"""
"""The least contrast of any text, by WCAG 2.1: 4.5 or more is level AA."""


def example() -> str:
    """Return the page of a list with a bit of everything, and with long and hostile names."""
    counts = VerdictCounts()
    providers = ("gmail", "microsoft", "yahoo", "other")
    for number, provider in enumerate(providers):
        add(counts, "accept", "", [], provider, 91_000 // (number + 1))
        add(counts, "reject", "no_domain", [("no_domain", "reject", "")], provider, 700 + number)
    add(counts, "defer", "dns_unavailable", [("dns_unavailable", "defer", "")], "other", 120)
    for given, meant in (("gmial.com", "gmail.com"), ("hotmial.com", "hotmail.com")):
        found = [("typo_suspect", "observe", meant), ("disposable", "observe", "")]
        add(counts, "accept", "", found, "other", 40, given)
    long = "a" * 60 + "." + "b" * 60 + ".example"
    add(counts, "reject", "syntax", [("syntax", "reject", "x")], "other", 30, long)
    hostile = "<script>document.title=1</script>"
    add(counts, "reject", "syntax", [("syntax", "reject", "x")], "other", 10, hostile)
    counts.blank, counts.cleaned = 12, 7
    decision = decide(counts, Limits(), BOUNCE_RATES)
    return render("customers<b>.csv", counts, BOUNCE_RATES, decision, "")


def add(
    counts: VerdictCounts,
    verdict: str,
    reason: str,
    findings: list[tuple[str, str, str]],
    provider: str,
    number: int,
    domain: str = "example.com",
) -> None:
    facts = Facts(verdict, reason, "", findings, provider)
    counts.add([f"a@{domain}"] * number, range(number), [facts] * number)


@pytest.fixture(scope="module")
def page() -> Iterator[Path]:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "report.html"
        path.write_text(example(), "utf-8")
        yield path


def test_the_page_of_a_list(
    check: Check, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    path = tmp_path / "report.html"
    text = "email\nann@gmial.com\nann@example.com\npostmaster@example.com\nb@@example.com\n"
    assert check(text.encode(), "--report", str(path)) == 0
    assert "hold: rejected 50.00%" in capsys.readouterr().err
    shown = path.read_text("utf-8")
    for words in (
        "@gmial.com",
        "@gmail.com",
        "ann@gmail.com",
        "role_account",
        "typo_suspect",
        "Hold",
        "25.0 %",
    ):
        assert words in shown
    assert check(text.encode(), "--report", str(path)) == 1
    assert "--force overwrites it" in capsys.readouterr().err


def test_everything_is_escaped_and_inside(page: Path) -> None:
    text = page.read_text("utf-8")
    assert "<script" not in text
    assert "&lt;script&gt;" in text
    assert "customers&lt;b&gt;.csv" in text
    assert not re.search(r"(src|href)=|url\(|@import", text)


def test_an_empty_list_has_a_page() -> None:
    counts = VerdictCounts()
    text = render("x", counts, BOUNCE_RATES, decide(counts, Limits(), BOUNCE_RATES), "no DNS")
    assert "No address is accepted" in text
    assert "not reliable: no DNS" in text


async def looked_at(chromium: Chromium) -> dict[str, Any]:
    return {
        "contrast": await chromium.evaluate(CONTRAST),
        "overflow": await chromium.evaluate(
            "document.documentElement.scrollWidth - document.documentElement.clientWidth"
        ),
        "cut": await chromium.evaluate(
            "[...document.querySelectorAll('section')].filter("
            "e => e.scrollWidth > e.clientWidth).map(e => e.innerText.slice(0, 30))"
        ),
        "nameless": await chromium.evaluate(
            "[...document.querySelectorAll('svg')].filter("
            "e => e.getAttribute('role') != 'img' || !e.getAttribute('aria-label')).length"
        ),
    }


async def test_in_chromium(page: Path, tmp_path: Path) -> None:
    """No horizontal scrolling, no request, names for charts, and contrast, in every appearance."""
    async with browser(tmp_path) as chromium:
        for width in (1280, 768, 390, 320):
            for dark in (False, True):
                await chromium.show(page, width=width, dark=dark)
                found = await looked_at(chromium)
                assert found["contrast"] >= 4.5, (width, dark)
                assert found == {
                    "contrast": found["contrast"], "overflow": 0, "cut": [], "nameless": 0,
                }, (width, dark)  # fmt: skip
        await chromium.show(page, width=800, dark=True, media="print")
        background = await chromium.evaluate("getComputedStyle(document.body).backgroundColor")
        assert background == "rgb(255, 255, 255)"
        assert (await looked_at(chromium))["contrast"] >= 4.5
        sections = await chromium.evaluate(
            "[...document.querySelectorAll('section')].filter("
            "e => !document.getElementById(e.getAttribute('aria-labelledby'))).length"
        )
        assert sections == 0
        assert set(chromium.requests) == {page.as_uri()}
