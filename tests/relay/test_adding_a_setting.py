"""Adding a setting takes one field in a group, and its row in docs/configuration.md."""

from pathlib import Path

import pytest

from tests.docs.pages import example
from tests.support.copied_tree import CopiedTree, copy_tree

FIELD, ROW = example("setting"), example("setting_row")
USE = """
from relay.settings import ServeSettings, load_settings
print(load_settings(ServeSettings).limits.tar_pit)
"""


@pytest.fixture
def tree(tmp_path: Path) -> CopiedTree:
    """Return a tree with one more setting, `limits.tar_pit`."""
    tree = copy_tree(tmp_path)
    first = "    connections: int = count(\n        1024,"
    tree.replace("relay/settings/groups.py", first, FIELD + first)
    return tree


def test_it_can_be_set_by_environment_and_file_and_is_shown(tree: CopiedTree) -> None:
    tree.write("presend.toml", "[limits]\ntar_pit = 7\n")
    upstream = {"PRESEND_UPSTREAM": "smtp://127.0.0.1:2526"}
    file = {"PRESEND_CONFIG": "presend.toml"}
    assert tree.run("-c", USE, **upstream).stdout == "2.0\n"
    assert tree.run("-c", USE, **upstream, **file).stdout == "7.0\n"
    shown = tree.run("-m", "relay", "config", PRESEND_LIMITS__TAR_PIT="3", **file).stdout
    table = shown.split("[limits]\n")[1].split("\n\n")[0].splitlines()
    assert "tar_pit = 3.0  # environment, PRESEND_LIMITS__TAR_PIT" in table


def test_a_wrong_value_is_reported_with_its_bounds(tree: CopiedTree) -> None:
    tree.write("presend.toml", "[limits]\ntar_pit = -1\n")
    wrong = tree.run("-m", "relay", "config", PRESEND_LIMITS__TAR_PIT="slow")
    allowed = "a number from 0.001 to 60 (s)"
    assert wrong.stderr.splitlines()[1:] == [f"  PRESEND_LIMITS__TAR_PIT = 'slow': {allowed}"]
    wrong = tree.run("-m", "relay", "config", PRESEND_CONFIG="presend.toml")
    assert wrong.stderr.splitlines()[1:] == [f"  limits.tar_pit = '-1': {allowed}"]


def test_the_docs_test_demands_it(tree: CopiedTree) -> None:
    code = "from tests.docs import test_reference as t; t.test_settings()"
    assert tree.run("-c", code).stderr.endswith("AssertionError\n")
    after = "| `PRESEND_LIMITS__CONNECTIONS` "
    tree.replace("docs/configuration.md", after, ROW + after)
    assert tree.run("-c", code).stderr == ""
