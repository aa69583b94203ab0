"""Adding a store takes one module and one row in each table, as relay/stores/protocol.py says.

The test adds a store with asynchronous methods, as a store over the network has, to a copy of the
project, and runs the contract suite and `presend check` with it.
"""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.docs.pages import example

ROOT = Path(__file__).parents[2]

MODULE = '''
"""Suppressions in a dictionary, every look-up of which waits."""

import asyncio

from relay.stores.memory import MemoryStore
from validators.suppression import ALL, Kind, Suppression, SuppressionReason


def open_url(url, campaign, clock):
    store = DictionaryStore(MemoryStore(campaign=campaign, clock=clock))
    for value in filter(None, url.removeprefix("dictionary:").split(",")):
        entry = Suppression(Kind.ADDRESS, value, ALL, SuppressionReason.TRAP, "url", 0.0)
        store.inner.add([entry])
    return store


class DictionaryStore:
    def __init__(self, inner):
        self.inner = inner
        self.counts, self.healthy = inner.counts, inner.healthy
        self.refresh, self.close = inner.refresh, inner.close

    async def find(self, group):
        await asyncio.sleep(0)
        return self.inner.find(group)

    async def add(self, entries):
        await asyncio.sleep(0)
        return self.inner.add(entries)

    async def import_entries(self, entries, *, merged=None):
        await asyncio.sleep(0)
        return self.inner.import_entries(entries, merged=merged)

    async def remove(self, kind, value, scope=None):
        await asyncio.sleep(0)
        return self.inner.remove(kind, value, scope)

    async def lookup(self, address):
        await asyncio.sleep(0)
        return self.inner.lookup(address)

    async def entries(self, *, scope=None, reason=None):
        for entry in self.inner.entries(scope=scope, reason=reason):
            await asyncio.sleep(0)
            yield entry
'''
ROW, TEST_ROW = example("store_url"), example("contract_url")


def add_row(path: Path, table: str, row: str) -> None:
    """Add a row to a table: a dictionary that begins on a line with its name."""
    text = path.read_text()
    line = next(line for line in text.splitlines() if line.startswith(table))
    path.write_text(text.replace(line, line + "\n" + row.rstrip(), 1))


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A copy of the project with one more kind of store."""
    ignore = shutil.ignore_patterns("__pycache__")
    for name in ("relay", "validators", "tests/contracts", "tests/support"):
        shutil.copytree(ROOT / name, tmp_path / name, ignore=ignore)
    for name in ("pyproject.toml", "tests/conftest.py", "tests/__init__.py"):
        shutil.copy(ROOT / name, tmp_path / name)
    (tmp_path / "tests/contracts/test_adding_a_store.py").unlink()
    (tmp_path / "relay/stores/dictionary.py").write_text(MODULE)
    add_row(tmp_path / "relay/settings/store_urls.py", "STORE_URLS", ROW)
    add_row(tmp_path / "tests/contracts/conftest.py", "URLS", TEST_ROW)
    return tmp_path


def run(tree: Path, *words: str, **settings: str) -> subprocess.CompletedProcess[str]:
    """Run a module of Python on the copy."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("PRESEND_")}
    return subprocess.run(
        [sys.executable, "-m", *words],
        cwd=tree,
        env=kept | settings | {"PYTHONPATH": str(tree)},
        input="gone@example.com\nann@example.com\n",
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


def test_the_contract_suite_holds_for_an_added_store(tree: Path) -> None:
    words = ("-k", "dictionary", "-p", "no:cacheprovider", "-p", "no:randomly", "-q")
    done = run(tree, "pytest", *words, "tests/contracts")
    assert done.returncode == 0, done.stdout
    assert " passed" in done.stdout


def test_an_added_store_is_read_for_each_recipient(tree: Path) -> None:
    url = "dictionary:gone@example.com"
    done = run(tree, "relay", "check", "--no-dns", PRESEND_STORE=url)
    assert done.returncode == 0, done.stderr
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    assert [(it["verdict"], it["reason"]) for it in lines] == [
        ("reject", "suppressed"),
        ("accept", None),
    ]


def test_its_form_is_named_where_a_url_is_wrong(tree: Path) -> None:
    done = run(tree, "relay", "check", "--no-dns", PRESEND_STORE="nosql://x")
    assert done.returncode == 2
    assert "dictionary:[ADDRESS,...]" in done.stderr
