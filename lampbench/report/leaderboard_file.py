"""The file of a leaderboard: written, and told from one that is stale or somebody else's.

The same records give the same bytes on every machine. How it looks is decided in `lampbench.report.page`,
`csv_export` and `markup`.
"""

from __future__ import annotations

import difflib
import re
from pathlib import Path

from lampbench.errors import RequestError, unknown
from lampbench.files.atomic_write import write_atomic
from lampbench.files.folders import expanded
from lampbench.report import markup
from lampbench.report.csv_export import as_csv
from lampbench.report.leaderboard import Leaderboard
from lampbench.report.page import page

FORMATS = ("md", "csv", "latex", "html")

_OWN = re.compile(
    r"^(?:(?:# |<h1>|\\section\*\{)Leaderboard(?:</h1>|\})?\n+(?:<p>)?"
    r"Made by (?:`|<code>|\\texttt\{)lampbench leaderboard|part,suite,task,method,)",
    re.MULTILINE,
)
"""How a page or a CSV of any version begins, below a preamble or the marks of an unfinished merge."""


def render(board: Leaderboard, format: str = "md") -> str:
    """The leaderboard as text: `md`, `csv` (one number per line), `latex` (needs booktabs) or `html` (one
    page).

    Raises:
        RequestError: another format.
    """
    if format not in FORMATS:
        raise unknown("format", format, FORMATS)
    if format == "csv":
        return as_csv(board)
    return markup.render(page(board), format)


def write_leaderboard(path: str | Path, board: Leaderboard, format: str | None = None) -> Path:
    """Writes the leaderboard; the format is that of the file's name unless given.

    Raises:
        RequestError: the format is unclear, the folder is not there, or something else lies at that place.
        RunError: the file cannot be written.
    """
    path = expanded(path)
    text = render(board, format or format_of(path))
    if not path.parent.is_dir():
        raise RequestError(f"--output {path}: no such folder {path.parent}; make it first")
    if path.is_symlink():  # /dev/stdout is one: the link would be replaced, not what it leads to
        raise RequestError(f"--output {path} is a link: name the file itself; - prints the leaderboard")
    if path.exists() and not _own(path):
        raise RequestError(
            f"--output {path}: what is there was not made by lampbench leaderboard; name another file, or "
            "remove it first"
        )
    write_atomic(path, text)
    return path


def default_output(results: str | Path, suite: str | None = None) -> Path:
    """Where the leaderboard of these results goes unless somebody says: leaderboard.md is that of the whole folder
    `results` beside it, and any other is printed (`-`).
    """
    whole = suite is None and expanded(results).resolve() == Path("results").resolve()
    return Path("leaderboard.md" if whole else "-")


def _own(path: Path) -> bool:
    """Whether nothing but a leaderboard is lost when the file is replaced."""
    if not path.is_file():  # a folder, or a device, which would be replaced too
        return False
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            start = file.read(10_000)  # the preamble of a page has a fifth of it
    except OSError as error:
        raise RequestError(f"cannot read {path}: {error.strerror or error}") from error
    return not start.strip() or _OWN.search(start) is not None


def check_leaderboard(path: str | Path, board: Leaderboard, format: str | None = None) -> str:
    """What the file would lose and gain if it were written again, as a diff; empty if it is up to date.

    Raises:
        RequestError: the file cannot be read.
    """
    path = expanded(path)
    try:
        old = path.read_bytes().decode("utf-8", errors="replace")
    except OSError as error:
        raise RequestError(f"cannot read {path}: {error.strerror or error}") from error
    new = render(board, format or format_of(path))
    if old == new:
        return ""
    rows = difflib.unified_diff(
        old.splitlines(keepends=True), new.splitlines(keepends=True), str(path), "what the records say", n=0
    )
    return "".join(row if row.endswith("\n") else f"{row}\n" for row in rows)


def format_of(path: str | Path) -> str:
    """The format that a file's name asks for."""
    suffixes = {".md": "md", ".csv": "csv", ".tex": "latex", ".html": "html", ".htm": "html"}
    suffix = Path(path).suffix.lower()
    if suffix not in suffixes:
        raise RequestError(f"{path}: the format is unclear; say --format, one of {', '.join(FORMATS)}")
    return suffixes[suffix]
