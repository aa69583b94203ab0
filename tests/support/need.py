"""The server programs that some tests run against, and the Debian package that has each.

    postfix = need.program("postfix")       # a path, or the test is skipped with the reason

`python tests/support/need.py` prints the packages that are missing, one a line; `make test`
installs those where it may. This module therefore imports only the standard library at its top.
"""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterator

PACKAGES = {
    "postfix": "postfix",
    "smtp-sink": "postfix",
    "smtp-source": "postfix",
    "swaks": "swaks",
    "unbound": "unbound",
    "nsd": "nsd",
    "dovecot": "dovecot-core",
    "prometheus": "prometheus",
    "promtool": "prometheus",
}
"""Program to Debian package. CI has every one of them."""

OPTIONAL = {"node": "nodejs", "npm": "npm"}
"""Used when at hand, never installed: too large for what they add. Even CI may lack them."""

OPTIONAL_SKIP = "not at hand (optional)"

SBIN = "/usr/local/sbin:/usr/sbin:/sbin"
"""Where servers are; a user's PATH often lacks it."""


def find(name: str) -> str | None:
    """Return the path of a program, or None."""
    return shutil.which(name) or shutil.which(name, path=SBIN)


def program(name: str) -> str:
    """Return the path of a program, or skip the calling test with what to install.

    Raises:
        KeyError: the program is in neither table, so nobody could tell how to get it.
    """
    package = PACKAGES.get(name) or OPTIONAL[name]
    path = find(name)
    if path is None:
        import pytest

        missing = OPTIONAL_SKIP if name in OPTIONAL else "missing"
        pytest.skip(f"program {name} {missing}; Debian: apt-get install {package}")
    return path


def missing() -> Iterator[str]:
    """Yield the Debian packages that would have to be installed for every test to run."""
    yield from sorted({package for name, package in PACKAGES.items() if find(name) is None})


if __name__ == "__main__":
    sys.stdout.writelines(f"{package}\n" for package in missing())
