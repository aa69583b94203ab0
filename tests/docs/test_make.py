"""`make help` names every target and variable, and `make image` says what it lacks."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.docs import pages
from tests.support.make import make

MAKEFILE = (pages.ROOT / "Makefile").read_text()


def test_help_lists_the_targets() -> None:
    targets = {line.split()[1] for line in make("help").splitlines() if "  make " in line}
    assert targets == set(re.findall(r"^([a-z]+):", MAKEFILE, re.MULTILINE))


def test_make_below_make_is_not_told_of_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """`make test ALL=1` hands MAKELEVEL, MAKEFLAGS and ALL to the tests."""
    plain = make("--dry-run", "test")
    monkeypatch.setenv("MAKELEVEL", "1")
    monkeypatch.setenv("MAKEFLAGS", "w -- ALL=1 ARGS=-x")
    monkeypatch.setenv("ALL", "1")
    assert make("--dry-run", "test") == plain
    assert '-m "not slow"' in plain


def test_help_lists_the_variables() -> None:
    """Variables of the Makefile that it does not set itself, and those of the scripts it calls."""
    named = set(re.findall(r"^  ([A-Z_]+)=", make("help"), re.MULTILINE))
    used = set(re.findall(r"\$[({](?:if )?\$?[({]?([A-Z_]{2,})\b", MAKEFILE))
    for script in ("setup", "programs"):
        used |= set(re.findall(r"\$\{([A-Z_]+):-", (pages.ROOT / ".ci" / script).read_text()))
    own = set(re.findall(r"^([A-Z_]+) :=", MAKEFILE, re.MULTILINE))
    assert named == used - own - {"MAKEFILE_LIST", "CI"}


@pytest.mark.parametrize("user", ["root", "another"])
def test_image_names_what_is_missing(tmp_path: Path, user: str) -> None:
    """The programs are looked up in a PATH without them; those in /usr/sbin are always found."""
    for name in ("dirname", "sh", "tr"):
        (tmp_path / name).symlink_to(shutil.which(name) or name)
    (tmp_path / "id").write_text(f"#!/bin/sh\necho {0 if user == 'root' else 1000}\n")
    (tmp_path / "id").chmod(0o755)
    done = subprocess.run(
        [pages.ROOT / ".ci/programs", "image"],
        env={"PATH": str(tmp_path), "NO_INSTALL": "1"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 1
    assert done.stdout == ""
    beginning = "needs root, and these Debian" if user == "another" else "needs these Debian"
    assert re.fullmatch(rf"image: this {beginning} packages: [a-z ]+\n", done.stderr)
    assert {"catatonit", "podman"} <= set(done.stderr.split())
