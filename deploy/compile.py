"""Build hook for hatchling: compiles the mail path with mypyc, for the image and for the benchmark.

The hook runs only if HATCH_BUILD_HOOKS_ENABLE is set; otherwise the wheel contains plain Python.
It needs a C compiler and Python's header files. docs/decisions/compiled.md gives the reasons.
Compiled modules are written to a temporary directory and never beside the sources, where they would
hide later changes of a source file.
"""

import shutil
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface


class Compile(BuildHookInterface):  # type: ignore[type-arg] # generic in name only
    """Adds compiled modules to the wheel, for the packages that pyproject.toml lists."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Compile into a temporary directory, which `finalize` removes."""
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
        """Return the paths of the modules to compile, relative to `place`, without exceptions."""
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
        """Remove the temporary directory."""
        if version != "editable":
            self._place.cleanup()
