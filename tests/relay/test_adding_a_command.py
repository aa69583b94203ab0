"""Adding a command takes a module and a row in the table of relay/cli.py."""

from pathlib import Path

import pytest

from tests.docs.pages import example
from tests.support.copied_tree import CopiedTree, copy_tree

MODULE, ROW = example("command"), example("command_row")


@pytest.fixture
def tree(tmp_path: Path) -> CopiedTree:
    """Return a tree with one more command, `presend explain ADDRESS`."""
    tree = copy_tree(tmp_path)
    tree.write("relay/commands/explain.py", MODULE)
    tree.replace(
        "relay/cli.py",
        "COMMANDS: Final = (\n",
        "COMMANDS: Final = (\n" + ROW,
    )
    return tree


def test_it_is_in_the_help_of_its_group_and_is_dispatched(tree: CopiedTree) -> None:
    shown = tree.run("-m", "relay", "--help").stdout
    group = shown.split("judge recipients:\n")[1].split("\n\n")[0]
    assert ["explain", "explain", "a", "verdict"] in [line.split() for line in group.splitlines()]
    done = tree.run("-m", "relay", "explain", "ann@example.com", CAMPAIGN_ID="spring")
    assert (done.returncode, done.stdout) == (3, "ann@example.com spring\n")
    wrong = tree.run("-m", "relay", "explain", "ann@example.com", PRESEND_GRACE="soon")
    assert wrong.returncode == 2
    assert "PRESEND_GRACE = 'soon': a number from 0 to 3600 (s)" in wrong.stderr


def test_the_docs_test_demands_it(tree: CopiedTree) -> None:
    code = "from tests.docs import test_commands as t; t.test_commands_and_arguments()"
    assert tree.run("-c", code).stderr.endswith("AssertionError\n")
    with (tree.root / "docs" / "commands.md").open("a") as page:
        page.write(
            "\n## `presend explain`\n\n| argument | meaning |\n|---|---|\n| `ADDRESS` | x |\n"
        )
    assert tree.run("-c", code).stderr == ""
