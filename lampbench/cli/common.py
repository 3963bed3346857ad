"""What the commands have in common: options, and printing tables of plain text that fit the terminal, or JSON."""

from __future__ import annotations

import json
import re
import shutil
import sys
import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from lampbench.terminal import printable, printable_lines

Json = Annotated[bool, typer.Option("--json", help="print JSON in place of a table")]
Results = Annotated[Path, typer.Option("--results", help="the folder of records and predictions")]
MethodsDir = Annotated[
    list[Path] | None,
    typer.Option("--methods-dir", metavar="DIR", help="a folder with more methods; may be repeated"),
]


def _search_tasks(folders: list[Path] | None) -> list[Path] | None:
    from lampbench.tasks.registry import search_in

    search_in(folders)
    return folders


TasksDir = Annotated[
    list[Path] | None,
    typer.Option(
        "--tasks-dir",
        metavar="DIR",
        help="a folder with more tasks; may be repeated",
        callback=_search_tasks,
        is_eager=True,
    ),
]
"""Names of tasks are looked up by whatever reads them, so the option acts as soon as it is read."""


def print_json(value: Any) -> None:
    """The value as JSON, two spaces deep; characters that act on a terminal are escaped, as JSON does it."""
    whole = (sys.stdout.encoding or "").lower().replace("-", "").startswith("utf")
    text = json.dumps(value, indent=2, ensure_ascii=not whole, allow_nan=False)
    print("\n".join(_json_line(line) for line in text.split("\n")))


def _json_line(line: str) -> str:
    if line.isprintable():
        return line
    # Outside its strings JSON is ASCII, so what is left to escape stands in one.
    return "".join(c if printable(c) == c else json.dumps(c)[1:-1] for c in line)


def print_text(text: str = "", end: str = "\n") -> None:
    """Lines of text, whatever is in them."""
    print(printable_lines(text), end=end)


def print_table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Rows in columns; the last column wraps at the width of the terminal."""
    print(table(header, rows, width()))


def width() -> int:
    """Columns of the terminal; 80 where there is none, so that files look the same everywhere."""
    return shutil.get_terminal_size((80, 24)).columns if sys.stdout.isatty() else 80


def table(header: Sequence[str], rows: Sequence[Sequence[str]], width: int) -> str:
    """Rows in columns two spaces apart, under a header.

    Args:
        header: names of the columns.
        rows: texts, as many as there are columns.
        width: columns of the terminal: the last column wraps at it, but keeps at least 20.
    """
    rows = [[_cell(text) for text in row] for row in rows]
    sizes = [max(len(row[i]) for row in (header, *rows)) for i in range(len(header))]
    indent = sum(sizes[:-1]) + 2 * (len(sizes) - 1)
    room = max(20, width - indent)
    lines = []
    for row in (header, *rows):
        start = "".join(f"{cell:<{size}}  " for cell, size in zip(row[:-1], sizes[:-1], strict=True))
        wrapped = textwrap.wrap(row[-1], room, break_on_hyphens=False) or [""]
        lines += [(start + wrapped[0]).rstrip(), *(" " * indent + part for part in wrapped[1:])]
    return "\n".join(lines)


def _cell(text: str) -> str:
    """The text on one line."""
    return printable(re.sub(r"[\t\n\r\f\v]+", " ", text))
