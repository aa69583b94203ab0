"""Build hook: compiles the mail path with mypyc, for the image and for the benchmark.

Hatchling runs it where HATCH_BUILD_HOOKS_ENABLE is set, which takes a C compiler and the headers of
Python; without, the wheel is plain Python. docs/decisions/compiled.md says why. Nothing is written
beside the sources, so a working tree never holds a compiled module that hides a later change.
"""

import shutil
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface


class Compile(BuildHookInterface):  # type: ignore[type-arg] # generic in name only
    """Adds a compiled module beside each one of the packages that pyproject.toml names."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Compile into a directory that lasts until the wheel is written."""
        if version == "editable":
            return
        self._place = TemporaryDirectory()
        place = Path(self._place.name)
        for package in ("relay", "validators"):
            shutil.copytree(Path(self.root, package), place / package)
        command = [sys.executable, "-m", "mypyc", "--ignore-missing-imports"]
        command += self._modules(place)
        done = subprocess.run(command, cwd=place, capture_output=True, text=True, check=False)  # noqa: S603
        if done.returncode:
            self.app.abort(f"mypyc failed:\n{done.stdout}{done.stderr}")
        for module in place.rglob("*.so"):
            if "build" not in module.relative_to(place).parts:
                build_data["force_include"][str(module)] = str(module.relative_to(place))
        build_data["pure_python"] = False
        build_data["infer_tag"] = True

    def _modules(self, place: Path) -> list[str]:
        """Return the modules of the packages to compile, less the exceptions."""
        found = list(self.config["modules"])
        for package in self.config["packages"]:
            paths = place.joinpath(package).rglob("*.py")
            found += [str(path.relative_to(place)) for path in paths]
        left_out = tuple(self.config["except"])
        return sorted(
            module
            for module in found
            if not module.startswith(left_out) and Path(module).name != "__init__.py"
        )

    def finalize(self, version: str, *_: object) -> None:
        """Clean up."""
        if version != "editable":
            self._place.cleanup()
