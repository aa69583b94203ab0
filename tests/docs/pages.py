"""Reading our own Markdown: tables, links, headings, examples, and transcripts that can be run."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"

_FENCE = re.compile(r"^ {0,3}(```+|~~~+)")
_LINK = re.compile(r"\]\(([^)\s]+)\)")
_EXAMPLE = re.compile(r"^<!-- example: (\w+) -->\n```\w+\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_MARK = re.compile(r"^<!-- ((?:not )?run\b.*) -->$")
_SHELLS = ("console", "sh", "bash", "shell")
_BETWEEN_CELLS = re.compile(r"(?<!\\)\|")


class Transcript(NamedTuple):
    """A block that shows commands: what is typed, and in a `console` block what comes back.

    `mark` is the comment above the block: "run", "run: dev" (while `presend serve --dev` runs),
    "run: PyPI" (installs packages), "not run: REASON", or "". `language` is "" for an indented
    block.
    """

    page: str
    line: int
    mark: str
    language: str
    steps: tuple[tuple[str, str], ...]

    @property
    def text(self) -> str:
        """All commands, as a shell script."""
        return "\n".join(command for command, _ in self.steps)


def pages() -> list[Path]:
    """Every page, the README first."""
    top = [ROOT / "README.md", ROOT / "CHANGELOG.md", *sorted((ROOT / ".github").glob("*.md"))]
    return [*top, *sorted(DOCS.rglob("*.md"))]


def prose(page: Path) -> Iterator[tuple[int, str]]:
    """Yield the lines of a page outside its fenced blocks, with their numbers."""
    fence = ""
    for number, line in enumerate(page.read_text().splitlines(), 1):
        mark = _FENCE.match(line)
        if mark and not fence:
            fence = mark[1]
        elif mark and line.strip().startswith(fence):
            fence = ""
        elif not fence:
            yield number, line


def links(page: Path) -> Iterator[tuple[int, str]]:
    """Yield the targets of a page's inline links."""
    for number, line in prose(page):
        for target in _LINK.findall(re.sub(r"`[^`]*`", "", line)):
            yield number, target


def anchors(page: Path) -> set[str]:
    """The fragments that headings of a page answer to, as code hosts make them."""
    found: set[str] = set()
    for _, line in prose(page):
        if line.startswith("#"):
            title = line.lstrip("#").strip().lower()
            found.add(re.sub(r"[^\w\- ]", "", title).replace(" ", "-"))
    return found


def rows(page: Path, heading: str, *, section: str = "") -> list[dict[str, str]]:
    r"""Return the rows of every table whose first column is headed `heading`, cells by column.

    `section` limits them to those under that heading. Backticks round a whole cell are taken off;
    `\|` is a bar.
    """
    found: list[dict[str, str]] = []
    columns: list[str] = []
    within = not section
    for _, line in prose(page):
        if line.startswith("#"):
            within = not section or line.lstrip("#").strip() == section
        if not within or not line.startswith("|"):
            columns = []
            continue
        cells = [_plain(cell) for cell in _BETWEEN_CELLS.split(line.strip())[1:-1]]
        if not columns:
            columns = cells
        elif columns[0] == heading and not set("".join(cells)) <= set("-: "):
            assert len(cells) == len(columns), f"{page.name}: {line}"
            found.append(dict(zip(columns, cells, strict=True)))
    return found


def example(name: str, page: Path = DOCS / "extending.md") -> str:
    """Return the block of code below the comment `<!-- example: NAME -->`."""
    found: dict[str, str] = dict(_EXAMPLE.findall(page.read_text()))
    return found[name]


def _plain(cell: str) -> str:
    text = cell.strip().replace("\\|", "|")
    whole = re.fullmatch(r"`([^`]*)`", text)
    return whole[1] if whole else text


def transcripts(page: Path) -> Iterator[Transcript]:
    """Yield the blocks of a page that show commands in a fence, and all indented blocks.

    A fence may be indented, as part of a list.
    """
    lines = iter(enumerate(page.read_text().splitlines(), 1))
    mark, blank = "", True
    for number, line in lines:
        found = _MARK.match(line)
        if line.lstrip().startswith("```"):
            block = list(_fenced(lines, len(line) - len(line.lstrip())))
            language = line.strip("` ")
            if language in _SHELLS:
                steps = _steps(block) if language == "console" else (("\n".join(block), ""),)
                yield Transcript(page.name, number, mark, language, steps)
            mark, blank = "", True
        elif line.startswith("    ") and blank:
            text = "\n".join((line[4:], *_indented(lines)))
            yield Transcript(page.name, number, mark, "", ((text, ""),))
            mark = ""
        else:
            mark = found[1] if found else mark if not line else ""
            blank = not line


def _indented(lines: Iterator[tuple[int, str]]) -> Iterator[str]:
    for _, text in lines:
        if not text.startswith("    "):
            return
        yield text[4:]


def _fenced(lines: Iterator[tuple[int, str]], indent: int) -> Iterator[str]:
    for _, text in lines:
        if text.strip() == "```":
            return
        yield text[indent:]


def _steps(block: list[str]) -> tuple[tuple[str, str], ...]:
    """Split a block at its `$ ` lines; a backslash at a line's end goes on with the next one."""
    steps: list[tuple[str, list[str]]] = []
    typing = False
    for line in block:
        if line.startswith("$ "):
            steps.append((line[2:], []))
        elif typing:
            command, output = steps[-1]
            steps[-1] = (f"{command}\n{line}", output)
        else:
            steps[-1][1].append(line)
        typing = (typing or line.startswith("$ ")) and line.endswith("\\")
    return tuple((command, "\n".join(output)) for command, output in steps)
