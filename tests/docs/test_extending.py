"""docs/extending.md shows what the tests add, and each section names its test.

The tests of the check, the store, the setting, the metric and the command read their code from the
page.
"""

import inspect
import re

import pytest

from tests.docs import pages

PAGE = pages.DOCS / "extending.md"
TESTS = re.findall(r"Test: `(tests/\S+\.py)`", PAGE.read_text())


def test_each_section_names_its_test() -> None:
    sections = [line for _, line in pages.prose(PAGE) if line.startswith("## ")]
    assert len(TESTS) == len(sections) == 6
    for section, test in zip(sections, TESTS, strict=True):
        assert section.rpartition(" ")[2] in test


@pytest.mark.parametrize("test", TESTS)
def test_the_named_test_adds_what_the_page_shows(test: str) -> None:
    source = (pages.ROOT / test).read_text()
    assert "example(" in source or test.endswith("test_adding_a_section.py")


def test_the_section_of_the_status_page_is_the_one_that_is_added() -> None:
    from tests.relay import test_adding_a_section as added

    assert inspect.getsource(added.warm_up) == pages.example("section")
    assert pages.example("section_registration") in inspect.getsource(added)
