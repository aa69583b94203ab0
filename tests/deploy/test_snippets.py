"""Builds every kustomization that docs/kubernetes.md shows, as a user would who has copied it."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.deploy.manifests import DEPLOY, HERE, ROOT, kustomize, label

PAGE = (ROOT / "docs/kubernetes.md").read_text(encoding="utf-8")
FIELDS = {"resources", "components", "configMapGenerator", "patches", "images"}
SNIPPETS = [
    (PAGE.count("\n", 0, block.start()) + 2, parsed)
    for block in re.finditer(r"^```yaml\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
    if (parsed := yaml.safe_load(block[1])).keys() & FIELDS
]
DIGEST = "sha256:" + "0" * 64


def completed(snippet: dict[str, Any], folder: Path) -> dict[str, Any]:
    """Return the kustomization with local paths, and with what the page leaves out around it."""
    root = "../" * len(folder.parts) + str(DEPLOY.relative_to("/"))

    def local(path: str) -> str:
        path = re.sub(r"^https://github\.com/.*//deploy/k8s/(.*)\?ref=.*$", r"\1", path)
        return f"{root}/{path}"

    merges = any(item.get("behavior") for item in snippet.get("configMapGenerator", []))
    whole = snippet | {
        field: [local(path) for path in snippet[field]]
        for field in ("resources", "components")
        if field in snippet
    }
    if "resources" not in snippet and merges:
        whole["resources"] = [local("campaign/overlays/campaign-x")]
    elif "resources" not in snippet:
        applications = HERE / "kustomize/applications/applications.yaml"
        (folder / "applications.yaml").write_text(applications.read_text("utf-8"), "utf-8")
        whole["resources"] = ["applications.yaml"]
        whole.setdefault("components", [local("components/sidecar")])
    for image in snippet.get("images", []):
        image["digest"] = DIGEST  # the page has "sha256:..."
    for generator in snippet.get("configMapGenerator", []):
        for name in generator.get("files", []):
            (folder / name).write_bytes(
                b"\x1f\x8b\x08\xff" if name.endswith(".gz") else b"a file\n"
            )
    return whole


def test_the_page_shows_kustomizations() -> None:
    assert len(SNIPPETS) >= 8


@pytest.mark.parametrize(
    ("line", "snippet"), SNIPPETS, ids=[f"line {line}" for line, _ in SNIPPETS]
)
def test_a_kustomization_of_the_page_can_be_built(
    line: int, snippet: dict[str, Any], tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp(f"line{line}")
    whole = completed(snippet, folder)
    (folder / "kustomization.yaml").write_text(yaml.safe_dump(whole), encoding="utf-8")
    built = kustomize(folder)
    for generator in snippet.get("configMapGenerator", []):
        for literal in generator.get("literals", []):
            assert literal.partition("=")[2] in built, literal
    for patch in snippet.get("patches", []):
        kind = patch.get("target", {}).get("kind")
        found = [label(item) for item in yaml.safe_load_all(built) if item["kind"] == kind]
        assert kind is None or found, "kustomize says nothing about a patch without a target"
