"""The layout as the imports have it: rooms, who imports whom, and a picture of both.

A room is a package or a module of relay/, relay/smtp/ or validators/. The picture leaves out an
arrow that others imply; `table` lists every import. `python -m tests.docs.architecture` writes
both.
"""

import ast
import functools
import html
import itertools
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final, TypeAlias

from tests.docs.pages import ROOT

PICTURE: Final = ROOT / "docs" / "images" / "layout.svg"
_BY_NAME: Final = {"relay.cli": {"relay.commands"}}
"""Imports by a name in a table, which no import statement shows."""
_NOT_ROOMS: Final = {"relay", "relay.__main__", "relay.smtp", "validators", "validators.data"}

_HEIGHT, _GAP, _RISE, _MARGIN = 34, 26, 74, 20
_CHARACTER, _PADDING, _LANE = 7.4, 22, 18  # all coordinates are whole: alike on every Python
_COLOURS: Final = {"relay": "#dbe9f6", "relay.smtp": "#cfe8d5", "validators": "#fbe6c8"}

Graph: TypeAlias = Mapping[str, set[str]]
Lane: TypeAlias = tuple[str, str, int]
"""Where an arrow passes a layer in which it neither begins nor ends: from, to, layer."""
Place: TypeAlias = str | Lane


def _room(module: str) -> str:
    """Return the room of a module, or "" if the module belongs to none."""
    parts = module.split(".")
    room = ".".join(parts[: 3 if parts[:2] == ["relay", "smtp"] else 2])
    return "" if room in _NOT_ROOMS else room


def _imported(tree: ast.AST, modules: Mapping[str, Path]) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            for alias in node.names:
                below = f"{node.module}.{alias.name}"
                yield below if below in modules else node.module


@functools.cache
def rooms() -> Graph:
    """Return for each room the rooms it imports."""
    modules = {
        ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): path
        for package in ("relay", "validators")
        for path in sorted((ROOT / package).rglob("*.py"))
    }
    found: dict[str, set[str]] = {}
    for module, path in modules.items():
        room = _room(module)
        if not room:
            continue
        below = found.setdefault(room, set(_BY_NAME.get(room, ())))
        for name in _imported(ast.parse(path.read_text()), modules):
            if name.partition(".")[0] in {"relay", "validators"}:
                below.update({_room(name)} - {room, ""})
    return found


def table() -> str:
    """Return the rooms and their imports as a Markdown table."""
    lines = ["| room | imports |", "|---|---|"]
    graph, ranks = rooms(), _ranks(rooms())
    for room in sorted(graph, key=lambda room: (room.partition(".")[0], -ranks[room], room)):
        below = ", ".join(f"`{name}`" for name in sorted(graph[room]))
        lines.append(f"| `{room}` | {below or 'none'} |")
    return "\n".join(lines)


def layers() -> str:
    """Return the layers that import-linter holds, the highest first."""
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]
    lines = []
    for contract in contracts["contracts"]:
        if contract["type"] == "layers":
            (container,) = contract["containers"]
            names = [layer.replace("(", "").replace(")", "") for layer in contract["layers"]]
            lines += [f"{container}:", *(f"    {name}" for name in names)]
    return "\n".join(["```text", *lines, "```"])


def _ranks(graph: Graph) -> dict[str, int]:
    """Return the layer of each room, 0 for the lowest: importers stand above what they import.

    A room that imports nothing stands right below the lowest of its importers.
    """

    @functools.cache
    def rank(room: str) -> int:
        return max((rank(below) + 1 for below in graph[room]), default=0)

    importers = {name: [room for room in graph if name in graph[room]] for name in graph}
    return {
        room: rank(room) if graph[room] else min(map(rank, importers[room])) - 1 for room in graph
    }


def _reduced(graph: Graph) -> Graph:
    """Leave out each import that others imply."""

    @functools.cache
    def below(room: str) -> frozenset[str]:
        return frozenset(graph[room]).union(*(below(name) for name in graph[room]))

    return {
        room: {name for name in names if not any(name in below(other) for other in names)}
        for room, names in graph.items()
    }


def _ordered(arrows: list[list[Place]], ranks: Mapping[str, int]) -> list[list[Place]]:
    """Return the layers, the highest first, ordered so that few arrows cross."""
    above: dict[Place, list[Place]] = {}
    under: dict[Place, list[Place]] = {}
    level: dict[Place, int] = dict(ranks.items())
    for way in arrows:
        for upper, lower in itertools.pairwise(way):
            under.setdefault(upper, []).append(lower)
            above.setdefault(lower, []).append(upper)
        level.update((place, place[2]) for place in way if not isinstance(place, str))
    found = [
        sorted((place for place in level if level[place] == rank), key=str)
        for rank in range(max(level.values()), -1, -1)
    ]
    for turn in range(24):
        upwards = turn % 2
        near = under if upwards else above
        for number in range(len(found))[:: -1 if upwards else 1]:
            at = {
                place: index / max(len(layer) - 1, 1)
                for layer in found
                for index, place in enumerate(layer)
            }
            found[number].sort(key=functools.partial(_mean, near=near, at=at))
    return found


def _mean(place: Place, near: Mapping[Place, list[Place]], at: Mapping[Place, float]) -> float:
    """Return the mean position of the neighbours, rounded: Python 3.12 adds floats otherwise."""
    neighbours = near.get(place) or [place]
    return round(sum(at[each] for each in neighbours) / len(neighbours), 6)


def _width(place: Place) -> int:
    return 2 * round(len(place) * _CHARACTER / 2) + _PADDING if isinstance(place, str) else _LANE


def picture() -> str:
    """Return the layout as SVG: importers above what they import."""
    graph, ranks = _reduced(rooms()), _ranks(rooms())
    arrows: list[list[Place]] = [
        [room, *((room, name, rank) for rank in range(ranks[room] - 1, ranks[name], -1)), name]
        for room in sorted(graph)
        for name in sorted(graph[room])
    ]
    order = _ordered(arrows, ranks)
    widths = [sum(_width(place) + _GAP for place in layer) - _GAP for layer in order]
    centre: dict[Place, tuple[int, int]] = {}
    for number, layer in enumerate(order):
        left = _MARGIN + (max(widths) - widths[number]) // 2
        for place in layer:
            centre[place] = (left + _width(place) // 2, _MARGIN + number * _RISE + _HEIGHT // 2)
            left += _width(place) + _GAP
    width = max(widths) + 2 * _MARGIN
    height = (len(order) - 1) * _RISE + _HEIGHT + 2 * _MARGIN
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}"',
            'font-family="sans-serif" font-size="13" role="img">',
            "<title>The rooms of presend and the imports between them</title>",
            '<defs><marker id="head" viewBox="0 0 8 8" refX="8" refY="4" orient="auto"',
            'markerWidth="7" markerHeight="7">',
            '<path d="M0 0L8 4L0 8z" fill="#667"/></marker></defs>',
            f'<rect width="{width}" height="{height}" fill="#fff"/>',
            *(_arrow([centre[place] for place in way]) for way in arrows),
            *(_box(room, *centre[room]) for room in sorted(graph)),
            "</svg>\n",
        ]
    )


def _arrow(points: list[tuple[int, int]]) -> str:
    """Draw an arrow from box to box; it is vertical where it crosses a layer."""
    half, bend = _HEIGHT // 2, (_RISE - _HEIGHT) // 2
    path = f"M{points[0][0]} {points[0][1] + half}"
    for number, ((x0, y0), (x1, y1)) in enumerate(itertools.pairwise(points)):
        start, end = y0 + half, y1 - half
        path += f"C{x0} {start + bend} {x1} {end - bend} {x1} {end}"
        if number < len(points) - 2:
            path += f"V{y1 + half}"
    return f'<path d="{path}" fill="none" stroke="#667" marker-end="url(#head)"/>'


def _box(room: str, x: int, y: int) -> str:
    package = "relay.smtp" if room.startswith("relay.smtp.") else room.partition(".")[0]
    width = _width(room)
    return (
        f'<rect x="{x - width // 2}" y="{y - _HEIGHT // 2}" width="{width}"'
        f' height="{_HEIGHT}" rx="5" fill="{_COLOURS[package]}" stroke="#889"/>'
        f'<text x="{x}" y="{y + 5}" text-anchor="middle">{html.escape(room)}</text>'
    )
