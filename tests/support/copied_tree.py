"""A copy of the source tree, for tests that add a part to presend as a contributor would."""

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

_ROOT = Path(__file__).parents[2]
_NOT_COPIED = shutil.ignore_patterns(
    "__pycache__", "*.so", "images", "bench", "deploy", "system"
)  # a compiled module would not see what the test adds


class CopiedTree(NamedTuple):
    """The copy; `run` imports presend and its tests from it."""

    root: Path

    def replace(self, name: str, old: str, new: str) -> None:
        """Replace a text that occurs exactly once in a file; `name` is relative to the tree."""
        path = self.root / name
        text = path.read_text()
        assert text.count(old) == 1, f"{name} has {old!r} {text.count(old)} times"
        path.write_text(text.replace(old, new))

    def write(self, name: str, text: str) -> None:
        """Write a new file; the name is relative to the tree."""
        path = self.root / name
        assert not path.exists(), name
        path.write_text(text)

    def run(self, *words: str, **environ: str) -> subprocess.CompletedProcess[str]:
        """Run Python with these arguments, and with no settings other than those given."""
        kept = {
            name: value
            for name, value in os.environ.items()
            if name != "CAMPAIGN_ID" and not name.startswith(("PRESEND_", "COVERAGE_"))
        }
        return subprocess.run(
            [sys.executable, *words],
            cwd=self.root,
            env={**kept, "PYTHONPATH": str(self.root), **environ},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )


def copy_tree(to: Path) -> CopiedTree:
    """Copy the packages, their reference pages, and the tests of these pages."""
    for name in ("relay", "validators", "docs", "tests"):
        shutil.copytree(_ROOT / name, to / name, ignore=_NOT_COPIED)
    return CopiedTree(to)
