"""docs/validators.md lists the canonical forms. tests/docs/test_reference.py checks the rest."""

import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "validators.md").read_text("utf-8")


def rows(heading: str) -> list[list[str]]:
    """Return the rows of the first table below a heading."""
    lines = PAGE.partition(f"{heading}\n")[2].splitlines()
    table = [line.strip("|").split("|") for line in lines if line.startswith("|")]
    return [[cell.strip() for cell in row] for row in table]


def test_every_canonical_form_is_told() -> None:
    text = (ROOT / "validators" / "data" / "canonical_forms.toml").read_text("utf-8")
    told = [row[0] for row in rows("### Canonical forms")[2:8]]
    assert told == list(tomllib.loads(text))
