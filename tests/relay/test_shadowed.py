"""presend refuses to start beside another package with the name `validators`."""

import os
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Callable
from pathlib import Path

import pytest

import relay
import validators
from tests.docs.pages import ROOT

THEIRS = '"""Python Data Validation for Humans."""\n__version__ = "0.35.0"\n'


def test_the_version_is_that_of_the_package() -> None:
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    assert version == relay.VERSION == validators.PRESEND_VERSION


@pytest.fixture
def site(tmp_path: Path) -> Path:
    """A directory in which presend is installed, as pip does it."""
    site = tmp_path / "site-packages"
    copied_to(site)
    return site


def copied_to(place: Path) -> None:
    """Copy the packages as plain Python: compiled modules need more than their own files."""
    ignored = shutil.ignore_patterns("__pycache__", "*.so")
    for package in ("relay", "validators"):
        shutil.copytree(ROOT / package, place / package, ignore=ignored)


def started(*path: Path, python: str = sys.executable) -> subprocess.CompletedProcess[str]:
    """Run a command that needs `validators`, with these directories on the path."""
    return subprocess.run(
        [python, "-m", "relay", "config"],
        cwd="/",
        env={
            "PATH": os.environ["PATH"],
            "PYTHONPATH": os.pathsep.join(map(str, path)),
            "PRESEND_UPSTREAM": "smtp://127.0.0.1:1",
        },
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def ahead(site: Path) -> Path:
    """Put another package into a directory that comes first on the path."""
    (site.parent / "other" / "validators").mkdir(parents=True)
    (site.parent / "other" / "validators" / "__init__.py").write_text(THEIRS)
    return site.parent / "other"


def installed_later(site: Path) -> None:
    """Overwrite and add files, as pip does."""
    (site / "validators" / "__init__.py").write_text(THEIRS)
    (site / "validators" / "url.py").write_text("")
    (site / "validators-0.35.0.dist-info").mkdir()


def installed_before(site: Path) -> None:
    """Add files that presend did not overwrite."""
    (site / "validators" / "url.py").write_text("")
    (site / "validators-0.35.0.dist-info").mkdir()


def overwritten(site: Path) -> None:
    """Overwrite a file without a record, as a copy does."""
    (site / "validators" / "__init__.py").write_text(THEIRS)


def removed_again(site: Path) -> None:
    """Remove what was overwritten, as uninstalling the other package does."""
    (site / "validators" / "__init__.py").unlink()


def of_another_version(site: Path) -> None:
    """Leave the files of an older presend."""
    mine = f'"{validators.PRESEND_VERSION}"'
    file = site / "validators" / "__init__.py"
    file.write_text(file.read_text().replace(mine, '"0.0.9"'))


def missing(site: Path) -> None:
    """Remove the package."""
    shutil.rmtree(site / "validators")


def test_presend_alone_starts(site: Path) -> None:
    done = started(site)
    assert (done.returncode, done.stderr) == (0, "")


def test_another_package_behind_presend_harms_nobody(site: Path) -> None:
    assert started(site, ahead(site)).returncode == 0


def test_another_package_ahead(site: Path) -> None:
    other = ahead(site)
    done = started(other, site)
    assert done.returncode == 1
    assert done.stdout == ""
    fault = f"another package named validators, in {other / 'validators'}, hides presend's own"
    assert done.stderr.startswith(f"presend: {fault}. ")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (installed_later, "validators-0.35.0 is installed into the same directory"),
        (installed_before, "validators-0.35.0 is installed into the same directory"),
        (overwritten, "is not, or not only, what presend"),
        (removed_again, "is incomplete"),
        (of_another_version, "is not, or not only, what presend"),
        (missing, "is incomplete"),
    ],
)
def test_files_of_both(site: Path, change: Callable[[Path], None], said: str) -> None:
    change(site)
    done = started(site)
    assert done.returncode == 1
    assert (done.stdout, done.stderr.count("\n")) == ("", 1)
    assert said in done.stderr
    assert "Install presend into an environment of its own" in done.stderr


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("later", ["presend", "validators"])
def test_the_package_of_pypi(tmp_path: Path, later: str) -> None:
    """In a real environment, in both orders of installation, and after it is removed again."""
    source = tmp_path / "source"
    copied_to(source)
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    python = tmp_path / "venv" / "bin" / "python"
    subprocess.run([sys.executable, "-m", "venv", str(tmp_path / "venv")], check=True, timeout=120)

    def pip(*words: str) -> None:
        command = [str(python), "-m", "pip", "--quiet", "--disable-pip-version-check", *words]
        subprocess.run(command, cwd=source, check=True, timeout=300)

    def run() -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [str(tmp_path / "venv" / "bin" / "presend"), "config"],
            cwd=tmp_path,
            env={"PRESEND_UPSTREAM": "smtp://127.0.0.1:1"},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    if later == "presend":
        pip("install", "validators")
        pip("install", ".")
    else:
        pip("install", ".")
        assert run().returncode == 0
        pip("install", "validators")
    done = run()
    assert done.returncode == 1
    assert done.stderr.startswith("presend: validators-")
    assert done.stderr.count("\n") == 1
    pip("uninstall", "--yes", "validators")
    assert run().returncode in {0, 1}
    assert "Traceback" not in run().stderr
    pip("install", "--force-reinstall", "--no-deps", ".")
    assert run().returncode == 0
