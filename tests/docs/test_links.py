"""No link of the documentation leads nowhere."""

from pathlib import Path

import pytest

from tests.docs import pages


@pytest.mark.parametrize("page", pages.pages(), ids=lambda page: page.name)
def test_links_resolve(page: Path) -> None:
    broken = []
    for line, target in pages.links(page):
        if "://" in target or target.startswith("mailto:"):
            continue
        path, _, fragment = target.partition("#")
        file = (page.parent / path).resolve() if path else page
        if not file.exists() or (fragment and fragment not in pages.anchors(file)):
            broken.append(f"{page.name}:{line}: {target}")
    assert not broken


def test_every_page_can_be_found_from_the_readme() -> None:
    seen: set[Path] = set()
    waiting = [pages.ROOT / "README.md"]
    while waiting:
        page = waiting.pop()
        if page.is_dir():
            waiting.extend(page.glob("*.md"))
        if page in seen or page.suffix != ".md" or not page.is_file():
            continue
        seen.add(page)
        targets = (target.partition("#")[0] for _, target in pages.links(page))
        waiting.extend((page.parent / target).resolve() for target in targets if target)
    assert not set(pages.pages()) - seen - {pages.ROOT / "CHANGELOG.md"}
