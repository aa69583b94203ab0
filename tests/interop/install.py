"""Installation of the programs that the rows need: Debian, npm and PyPI packages.

Debian's packages are installed on the machine, as root, and only if no package has to be removed.
npm's and PyPI's are installed under var/interop, in the versions that the rows name.
"""

import contextlib
import os
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.support.presend import ROOT

CACHE = ROOT / "var" / "interop"
NPM = CACHE / "npm"
PYTHON = CACHE / "python"
_LIMIT = 600.0  # seconds for an installation


class NotTriedError(Exception):
    """A row cannot be tried on this machine; the message is the reason."""


@dataclass(frozen=True, slots=True)
class Needs:
    """What a row needs: packages by kind. A PyPI or npm package is named with its version.

    Debian packages are given as `package`, or as `program=package`, which is satisfied by a program
    of that name from elsewhere.
    """

    debian: Sequence[str] = ()
    npm: Sequence[str] = ()
    pypi: Sequence[str] = ()


def install(needs: Needs, *, allowed: bool) -> None:
    """Install what is missing. Raises NotTriedError if that fails or is not allowed."""
    debian = [each.partition("=")[2] or each for each in needs.debian if not _debian_has(each)]
    npm = [each for each in needs.npm if not _npm_has(each)]
    pypi = [each for each in needs.pypi if not _pypi_has(each)]
    missing = [*debian, *npm, *pypi]
    if missing and not allowed:
        raise NotTriedError(f"not installed: {', '.join(missing)}")
    if debian:
        _apt(debian)
    if npm:
        npm_program = shutil.which("npm")
        if npm_program is None:
            raise NotTriedError("npm is not installed")
        NPM.mkdir(parents=True, exist_ok=True)
        options = ("--no-audit", "--no-fund", "--loglevel=error", "--ignore-scripts")
        run([npm_program, "install", *options, "--prefix", str(NPM), *npm])
    if pypi:
        uv = str(ROOT / ".venv" / "bin" / "uv")
        if not (PYTHON / "bin" / "python").exists():
            run([uv, "venv", "--quiet", str(PYTHON)])
        run([uv, "pip", "install", "--quiet", "--python", str(PYTHON / "bin" / "python"), *pypi])


def run(words: Sequence[str]) -> None:
    """Run an installing command. Raises NotTriedError with the end of its output."""
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    try:
        done = subprocess.run(
            words,
            env=environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=_LIMIT,
            check=False,
        )
    except subprocess.TimeoutExpired as late:
        raise NotTriedError(f"{words[0]} took over {_LIMIT:.0f} s") from late
    if done.returncode:
        last = (done.stderr or done.stdout).strip().splitlines()[-1:]
        raise NotTriedError(f"{Path(words[0]).name} failed: {' '.join(last)}")


def need_root() -> None:
    """Raise NotTriedError unless this is root on Debian."""
    if os.geteuid() != 0 or shutil.which("apt-get") is None:
        raise NotTriedError("needs root on Debian")


def update() -> None:
    """Fetch the lists of Debian packages, once in a run."""
    if not _updated:
        run(["apt-get", "-qq", "update"])
        _updated.append(True)


_updated: list[bool] = []


def _apt(packages: Sequence[str]) -> None:
    need_root()
    update()
    # Exit code 101 of policy-rc.d makes Debian's packages install without starting services.
    policy = Path("/usr/sbin/policy-rc.d")
    ours = not policy.exists()
    if ours:
        policy.write_text("#!/bin/sh\nexit 101\n")
        policy.chmod(0o755)
    try:
        options = ("-qq", "-y", "--no-install-recommends", "--no-remove")
        run(["apt-get", *options, "install", *packages])
    finally:
        if ours:
            policy.unlink()


def _debian_has(package: str) -> bool:
    if "=" in package:
        return shutil.which(package.partition("=")[0]) is not None
    if shutil.which("dpkg-query") is None:
        return False
    done = subprocess.run(
        ["dpkg-query", "--show", "--showformat=${db:Status-Status}", package],
        capture_output=True,
        text=True,
        check=False,
    )
    return done.stdout == "installed"


def _npm_has(package: str) -> bool:
    name, _, version = package.rpartition("@")
    with contextlib.suppress(OSError):
        return (
            f'"version": "{version}"' in (NPM / "node_modules" / name / "package.json").read_text()
        )
    return False


def _pypi_has(package: str) -> bool:
    name, _, version = package.partition("==")
    pattern = f"lib/python3*/site-packages/{name.replace('-', '_')}-{version}.dist-info"
    return any(PYTHON.glob(pattern))
