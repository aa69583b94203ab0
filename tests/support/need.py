"""The server programs that some tests need, and the Debian package that contains each.

    postfix = need.program("postfix")       # a path, or the test is skipped with the reason

`python tests/support/need.py` prints the missing packages, one per line, and with the argument
`image` those of `make image`; `.ci/programs` installs them. At module level this file therefore
imports only the standard library.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping

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
    "bash": "bash",
    "fish": "fish",
    "zsh": "zsh",
    "chromium": "chromium",
}
"""Program to Debian package. CI has every one of them."""

IMAGE_PACKAGES = {
    "podman": "podman",
    "runc": "runc",
    "catatonit": "catatonit",  # the first process of a pod
    "debootstrap": "debootstrap",
}
"""Program to Debian package, of the programs that `make image` needs besides."""

PERL_MODULES = {"swaks": ("Net::SSLeay", "libnet-ssleay-perl")}
"""Program to a Perl module that the tests need it to have, and the package of that module."""

OPTIONAL = {"node": "nodejs", "npm": "npm"}
"""Programs used if present and never installed, because of their size; CI may lack them too."""

OPTIONAL_SKIP = "not at hand (optional)"

SBIN = "/usr/local/sbin:/usr/sbin:/sbin"
"""Directories of server programs, which are often missing in the PATH of a user."""


def find(name: str) -> str | None:
    """Return the path of a program, or None."""
    return shutil.which(name) or shutil.which(name, path=SBIN)


def program(name: str) -> str:
    """Return the path of a program; if it is missing, skip the test and name its package.

    Raises:
        KeyError: the program is in neither PACKAGES nor OPTIONAL.
    """
    packages = list(_missing_for(name))
    path = find(name)
    if path is None or packages:
        import pytest

        missing = OPTIONAL_SKIP if name in OPTIONAL else "missing"
        pytest.skip(f"program {name} {missing}; Debian: apt-get install {' '.join(packages)}")
    return path


def missing(packages: Mapping[str, str] = PACKAGES) -> Iterator[str]:
    """Yield the Debian packages that would have to be installed for every test to run."""
    yield from sorted({package for name in packages for package in _missing_for(name)})


def _missing_for(name: str) -> Iterator[str]:
    if find(name) is None:
        yield {**PACKAGES, **IMAGE_PACKAGES, **OPTIONAL}[name]
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
    wanted = IMAGE_PACKAGES if sys.argv[1:] == ["image"] else PACKAGES
    sys.stdout.writelines(f"{package}\n" for package in missing(wanted))
