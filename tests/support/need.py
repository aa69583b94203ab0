"""The server programs that some tests run against, and the Debian package that has each.

    postfix = need.program("postfix")       # a path, or the test is skipped with the reason

`python tests/support/need.py` prints the packages that are missing, one a line; `make test`
installs those where it may. This module therefore imports only the standard library at its top.
"""

from __future__ import annotations

import shutil
import subprocess
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
    "curl": "curl",
}
"""Program to Debian package. CI has every one of them."""

PERL_MODULES = {"swaks": ("Net::SSLeay", "libnet-ssleay-perl")}
"""Program to a Perl module that it cannot do its work here without, and the package of that."""

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
    packages = list(_missing_for(name))
    path = find(name)
    if path is None or packages:
        import pytest

        missing = OPTIONAL_SKIP if name in OPTIONAL else "missing"
        pytest.skip(f"program {name} {missing}; Debian: apt-get install {' '.join(packages)}")
    return path


def missing() -> Iterator[str]:
    """Yield the Debian packages that would have to be installed for every test to run."""
    yield from sorted({package for name in PACKAGES for package in _missing_for(name)})


def _missing_for(name: str) -> Iterator[str]:
    if find(name) is None:
        yield PACKAGES.get(name) or OPTIONAL[name]
    if name in PERL_MODULES:
        module, package = PERL_MODULES[name]
        if not _perl_has(module):
            yield package


def _perl_has(module: str) -> bool:
    perl = find("perl")
    return (
        perl is not None
        and not subprocess.run(
            [perl, f"-M{module}", "-e1"], stderr=subprocess.DEVNULL, check=False
        ).returncode
    )


if __name__ == "__main__":
    sys.stdout.writelines(f"{package}\n" for package in missing())
