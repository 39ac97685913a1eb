"""What reports are made of: paragraphs, tables and pictures, and how they read in Markdown."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Table:
    """Rows under columns; empty cells are unknown."""

    title: str
    columns: Sequence[str]
    rows: Sequence[Sequence[Any]]

    def cells(self) -> list[list[str]]:
        """What stands in it."""
        return [list(map(cell, row)) for row in self.rows]


@dataclass(frozen=True, slots=True)
class Pictures:
    """SVG elements, side by side where there is room; Markdown leaves them out."""

    pictures: Sequence[str]


Block = str | Table | Pictures
"""A paragraph, a table, pictures."""


def named(title: str, first: str, rows: Mapping[str, Mapping[str, Any]], keys: Sequence[str]) -> Table:
    """A table of name → figures, with a column for each key that any of them has."""
    keys = [key for key in keys if any(row.get(key) is not None for row in rows.values())]
    columns = [first, *(key.replace("_", " ") for key in keys)]
    return Table(title, columns, [[name.replace("_", " "), *(row.get(key) for key in keys)] for name, row in rows.items()])


def interval(row: Mapping[str, Any] | None, form: str = "{:.3g} ({:.3g} to {:.3g})") -> str | None:
    """A share, a difference or a ratio with its interval; `None` where nothing was measured."""
    middle = next((row[key] for key in ("share", "by", "median") if key in row), None) if row else None
    return None if row is None or middle is None or row["low"] is None else form.format(middle, row["low"], row["high"])


def markdown(blocks: Sequence[Block]) -> list[str]:
    """Lines of Markdown; pictures are left out."""
    lines: list[str] = []
    for block in blocks:
        if isinstance(block, str):
            lines += [block, ""]
        elif isinstance(block, Table):
            rows = [block.columns, ["---"] * len(block.columns), *block.cells()]
            lines += [f"### {block.title}", ""] if block.title else []
            lines += [f"| {' | '.join(text.replace('|', chr(92) + '|') for text in row)} |" for row in rows] + [""]
    return lines


def cell(value: Any) -> str:
    """A value for a table: three figures that count, empty where unknown."""
    if value is None:
        return ""
    if isinstance(value, bool | str):
        return str(value)
    if isinstance(value, int):
        return f"{value:,}"
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"
