"""Adding a metric takes one declaration in the part that counts it, and a row in the docs."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.docs.pages import example

ROOT = Path(__file__).parents[2]
PART = "relay/stores/metrics.py"
DECLARATION, REGISTRATION = "\n\n" + example("declaration"), example("registration")
INIT = "        self._errors = registry.counter(STORE_ERRORS)\n"
ROW = "| `presend_examples_total` | counter | `shape` | examples | Examples. |\n"
LABEL = "| `shape` | `round`, `square` |\n"
QUERY = "\nHow many examples are there?\n\n```promql\nrate(presend_examples_total[5m])\n```\n"
RENDER = """
import asyncio
from tests.support.registered import unstarted
async def main():
    async with unstarted() as relay:
        print(relay.process.registry.render()[0].decode())
asyncio.run(main())
"""


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """A copy of the project with one more metric."""
    for name in ("relay", "validators", "tests/docs", "tests/support", "docs"):
        shutil.copytree(
            ROOT / name, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__", "*.so")
        )
    (tmp_path / "tests/relay").mkdir()
    for name in ("tests/__init__.py", "tests/conftest.py", "tests/relay/test_metrics.py"):
        shutil.copy(ROOT / name, tmp_path / name)
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    part = tmp_path / PART
    text = part.read_text()
    assert INIT in text
    part.write_text(text.replace(INIT, INIT + REGISTRATION) + DECLARATION)
    return tmp_path


def run(copy: Path, *arguments: str) -> tuple[int, str]:
    done = subprocess.run(
        [sys.executable, *arguments], cwd=copy, capture_output=True, text=True, check=False
    )
    return done.returncode, done.stdout + done.stderr


def test_a_declared_metric_is_exposed_and_the_docs_must_name_it(copy: Path) -> None:
    code, page = run(copy, "-c", RENDER)
    assert code == 0, page
    assert 'presend_examples_total{shape="round"} 1.0' in page
    assert 'presend_examples_total{shape="square"} 0.0' in page

    docs = ("-m", "pytest", "-q", "-p", "no:cacheprovider", "-k", "page", "tests/relay")
    code, said = run(copy, *docs)
    assert code == 1, said
    assert "presend_examples_total" in said
    assert "test_the_page_describes_every_metric" in said
    assert "test_queries_of_the_page_are_valid_and_ask_for_every_metric" in said

    page_on_metrics = copy / "docs/metrics.md"
    text = page_on_metrics.read_text()
    row = "| `presend_store_errors_total`"
    text = text.replace(row, ROW + row).replace("\n| `check` |", f"\n{LABEL}| `check` |")
    page_on_metrics.write_text(text + QUERY)
    code, said = run(copy, *docs)
    assert code == 0, said
