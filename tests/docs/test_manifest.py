"""The README's manifest is one that Kubernetes takes."""

import re

import kubernetes_validate
import pytest
import yaml

from tests.docs import pages


@pytest.mark.parametrize("version", ["1.29", "1.33", "1.37"])
def test_manifest_is_valid(version: str) -> None:
    block = re.search(
        r"^```yaml\n(.*?)^```$", (pages.ROOT / "README.md").read_text(), re.MULTILINE | re.DOTALL
    )
    assert block
    manifest = yaml.safe_load(block[1])
    kubernetes_validate.validate(manifest, version, strict=True)
