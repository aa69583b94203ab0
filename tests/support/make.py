"""Running make from a test, which `make test` may have started."""

import os
import subprocess
from pathlib import Path

ROOT = Path(__file__).parents[2]


def environment() -> dict[str, str]:
    """The environment without what make hands to a make below it: variables, flags, its level."""
    handed = {"ALL", "ARGS", "COVERAGE", "NO_INSTALL", "PYTHON"}
    return {
        name: value
        for name, value in os.environ.items()
        if name not in handed and not name.startswith(("MAKE", "MFLAGS"))
    }


def make(*words: str, directory: Path = ROOT) -> str:
    """Run make; return what it prints. Raises CalledProcessError if it fails."""
    done = subprocess.run(
        ["make", *words],
        cwd=directory,
        env=environment(),
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    return done.stdout
