"""docs/validators.md and the code name the same things."""

import tomllib
from pathlib import Path

from validators.verdict import Reason

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "validators.md").read_text("utf-8")


def rows(heading: str) -> list[list[str]]:
    """Return the rows of the first table below a heading."""
    lines = PAGE.partition(f"{heading}\n")[2].splitlines()
    table = [line.strip("|").split("|") for line in lines if line.startswith("|")]
    return [[cell.strip() for cell in row] for row in table]


def test_every_reason_belongs_to_a_check() -> None:
    table = PAGE.partition("## syntax")[0]
    assert {reason for reason in Reason if f"`{reason}`" in table} == set(Reason)


def test_every_canonical_form_is_told() -> None:
    text = (ROOT / "validators" / "data" / "canonical_forms.toml").read_text("utf-8")
    told = [row[0] for row in rows("### Canonical forms")[2:8]]
    assert told == list(tomllib.loads(text))
