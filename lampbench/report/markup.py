"""A page of headings, paragraphs and tables, as Markdown, HTML or LaTeX. It knows nothing of what is in them.

Every text may come from a stranger (a method's name, an exception's message), so each format escapes every
text, and none of them can break out of its cell.
"""

from __future__ import annotations

import html
import re
import unicodedata
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from lampbench.errors import unknown


@dataclass(frozen=True)
class Text:
    """A piece of text: bold, or small (an interval below its value), or a literal name or command (code)."""

    text: str
    bold: bool = False
    small: bool = False
    code: bool = False


Inline: TypeAlias = "str | Text"


@dataclass(frozen=True)
class Heading:
    """A heading; level 1 is the page's own."""

    text: str
    level: int = 2


@dataclass(frozen=True)
class Paragraph:
    """Pieces of text that run on."""

    pieces: tuple[Inline, ...]


@dataclass(frozen=True)
class Facts:
    """A list of (name, text)."""

    items: tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Table:
    """A table.

    Attributes:
        header: one text per column.
        rows: per row one cell per column; None is an empty cell that says so.
        left: number of columns at the left that hold words; the others hold numbers and are aligned right.
        groups: numbers of rows before which a new group begins.
    """

    header: tuple[Inline, ...]
    rows: tuple[tuple[Inline | None, ...], ...]
    left: int = 1
    groups: frozenset[int] = frozenset()


Block: TypeAlias = "Heading | Paragraph | Facts | Table"


def grouped(header: Sequence[str], rows: Iterable[tuple[str, tuple[Inline | None, ...]]], left: int) -> Table:
    """A table of (group, other cells) with a rule above each group, whose name stands in its first row only."""
    shown: list[tuple[Inline | None, ...]] = []
    groups = set()
    last = None
    for group, cells in rows:
        if group != last:
            groups.add(len(shown))
        shown.append((group if group != last else "", *cells))
        last = group
    return Table(tuple(header), tuple(shown), left=left, groups=frozenset(groups))


def in_digits(value: float | None, decimals: int) -> str | None:
    """A number as cells show it; None for an empty cell."""
    return None if value is None else f"{value:,.{decimals}f}"


def render(page: Sequence[Block], format: str = "md") -> str:
    """The page as `md`, `html` or `latex`."""
    renderers = {"md": _markdown, "html": _html, "latex": _latex}
    if format not in renderers:
        raise unknown("format", format, renderers)
    return renderers[format](page)


def clean(text: str) -> str:
    """The text on one line, without characters that cannot be seen or that reorder it."""
    # C*: control and format characters (also those that reverse the direction); Z*: all kinds of space.
    visible = "".join(" " if unicodedata.category(c)[0] in "CZ" else c for c in text)
    return " ".join(visible.split())


def _piece(inline: Inline | None) -> Text:
    piece = Text("–") if inline is None else Text(inline) if isinstance(inline, str) else inline
    return Text(clean(piece.text), piece.bold, piece.small, piece.code)


def _joined(pieces: Sequence[Inline], written: Callable[[Inline], str]) -> str:
    """The pieces with a space between two, unless the second begins with a mark that hangs on the first."""
    text = ""
    for piece in pieces:
        plain = piece if isinstance(piece, str) else piece.text
        text += ("" if not text or plain[:1] in tuple(".,;:)") else " ") + written(piece)
    return text


# Markdown


def _markdown(page: Sequence[Block]) -> str:
    parts = []
    for block in page:
        if isinstance(block, Heading):
            parts.append(f"{'#' * block.level} {_md_text(clean(block.text))}")
        elif isinstance(block, Paragraph):
            parts.append(_filled(_joined(block.pieces, _md)))
        elif isinstance(block, Facts):
            parts.append("\n".join(f"- {_md(name)}: {_md(text)}" for name, text in block.items))
        else:
            parts.append(_md_table(block))
    return "\n\n".join(parts) + "\n"


def _md_table(table: Table) -> str:
    rows = [[_md(cell) for cell in row] for row in (table.header, *table.rows)]
    widths = [max(3, *(len(row[i]) for row in rows)) for i in range(len(table.header))]

    def line(cells: list[str]) -> str:
        padded = (
            text.ljust(width) if i < table.left else text.rjust(width)
            for i, (text, width) in enumerate(zip(cells, widths, strict=True))
        )
        return f"| {' | '.join(padded)} |"

    rule = ["-" * w if i < table.left else "-" * (w - 1) + ":" for i, w in enumerate(widths)]
    return "\n".join([line(rows[0]), line(rule), *(line(row) for row in rows[1:])])


def _md(inline: Inline | None) -> str:
    piece = _piece(inline)
    if piece.code:
        # Nothing but a backtick or a bar can end a code span in a cell.
        return "`" + piece.text.replace("`", "'").replace("|", "¦") + "`"
    text = _md_text(piece.text)
    return f"**{text}**" if piece.bold and text else text


def _md_text(text: str) -> str:
    # "p < 0.05" opens no tag and "A & B" is no entity; they stay readable in the raw text.
    text = re.sub(r"&(?=[#\w])", "&amp;", text)
    text = re.sub(r"<(?=[A-Za-z/!?])", "&lt;", text)
    text = re.sub(r"([\\`*~\[\]|$])", r"\\\1", text)
    # Within a word an underscore is harmless, and escaping it would make names hard to read.
    return re.sub(r"(?<!\w)_|_(?!\w)", r"\\_", text)


def _filled(text: str, width: int = 110) -> str:
    """Lines of at most `width`, broken at spaces outside code spans."""
    words = re.findall(r"(?:`[^`]*`|[^\s`])+", text)
    lines = [""]
    for word in words:
        if lines[-1] and len(lines[-1]) + 1 + len(word) > width:
            lines.append(word)
        else:
            lines[-1] = f"{lines[-1]} {word}".strip()
    # A line must not begin like a list item, a heading or a quotation.
    return "\n".join(_LINE_START.sub(_escaped_start, line) for line in lines)


_LINE_START = re.compile(r"^(?:[-+=]+(?=\s|$)|#+(?=\s|$)|>|\d+[.)](?=\s|$))")


def _escaped_start(match: re.Match[str]) -> str:
    start = match.group()
    return f"{start[:-1]}\\{start[-1]}" if start[0].isdigit() else f"\\{start}"


# HTML

_STYLE = """
:root { color-scheme: light dark; --rule: #c8c8c8; --quiet: #666; }
@media (prefers-color-scheme: dark) { :root { --rule: #555; --quiet: #aaa; } }
body { font: 15px/1.5 system-ui, sans-serif; max-width: 78rem; margin: 2rem auto; padding: 0 1rem; }
h1, h2, h3 { line-height: 1.25; margin: 2em 0 .6em; }
h1 { margin-top: 0; }
p, ul { max-width: 48rem; }
.table { overflow-x: auto; margin: 1rem 0 1.5rem; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; }
th, td { padding: .2rem .7rem; text-align: right; vertical-align: baseline; white-space: nowrap; }
th { border-bottom: 1px solid; font-weight: 600; }
.word { text-align: left; white-space: normal; max-width: 42rem; }
.word:first-child { white-space: nowrap; }
tr.group > * { border-top: 1px solid var(--rule); }
tbody tr:first-child > * { border-top: none; }
tbody tr:last-child > * { border-bottom: 1px solid; }
small { color: var(--quiet); font-size: 85%; }
""".strip()


def _html(page: Sequence[Block]) -> str:
    titles = [block.text for block in page if isinstance(block, Heading)]
    parts = []
    for block in page:
        if isinstance(block, Heading):
            parts.append(f"<h{block.level}>{html.escape(clean(block.text))}</h{block.level}>")
        elif isinstance(block, Paragraph):
            parts.append(f"<p>{_joined(block.pieces, _html_inline)}</p>")
        elif isinstance(block, Facts):
            items = (f"<li>{_html_inline(name)}: {_html_inline(text)}</li>" for name, text in block.items)
            parts.append("<ul>\n" + "\n".join(items) + "\n</ul>")
        else:
            parts.append(_html_table(block))
    title = html.escape(clean(titles[0])) if titles else ""
    head = (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{title}</title>\n<style>\n{_STYLE}\n</style>\n</head>\n<body>\n"
    )
    return head + "\n".join(parts) + "\n</body>\n</html>\n"


def _html_table(table: Table) -> str:
    def row(cells: Sequence[Inline | None], tag: str, start: str = "<tr>") -> str:
        kinds = [' class="word"' if i < table.left else "" for i in range(len(cells))]
        columns = [f"<{tag}{k}>{_html_inline(c)}</{tag}>" for k, c in zip(kinds, cells, strict=True)]
        return f"{start}{''.join(columns)}</tr>"

    body = [
        row(cells, "td", '<tr class="group">' if i in table.groups else "<tr>")
        for i, cells in enumerate(table.rows)
    ]
    head = row(table.header, "th")
    inner = "\n".join(["<thead>", head, "</thead>", "<tbody>", *body, "</tbody>"])
    return f'<div class="table"><table>\n{inner}\n</table></div>'


def _html_inline(inline: Inline | None) -> str:
    piece = _piece(inline)
    text = html.escape(piece.text)
    if not text:
        return text
    for wanted, tag in ((piece.code, "code"), (piece.small, "small"), (piece.bold, "strong")):
        text = f"<{tag}>{text}</{tag}>" if wanted else text
    return text


# LaTeX

_LATEX = {
    "\\": r"\textbackslash{}",
    "{": r"\{",
    "}": r"\}",
    "&": r"\&",
    "%": r"\%",
    "$": r"\$",
    "#": r"\#",
    "_": r"\_",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    '"': r"\textquotedbl{}",
    "'": r"\textquotesingle{}",
    "`": r"\textasciigrave{}",
    # At the start of a row a bracket would be taken for an option of the line break before it.
    "[": "{[}",
    "]": "{]}",
    "↑": r"$\uparrow$",
    "↓": r"$\downarrow$",
    "≈": r"$\approx$",
    "≥": r"$\geq$",
    "×": r"$\times$",
    "±": r"$\pm$",
    "−": r"$-$",
    "†": r"\dag{}",
    "‡": r"\ddag{}",
    "–": "--",
    "—": "---",
    "…": r"\dots{}",
}


def _latex(page: Sequence[Block]) -> str:
    levels = {1: "section", 2: "subsection", 3: "subsubsection"}
    parts = [r"% Needs \usepackage{booktabs}, \usepackage{textcomp} and \usepackage[T1]{fontenc}."]
    for block in page:
        if isinstance(block, Heading):
            parts.append(f"\\{levels.get(block.level, 'paragraph')}*{{{_tex(clean(block.text))}}}")
        elif isinstance(block, Paragraph):
            parts.append(_joined(block.pieces, _tex_inline))
        elif isinstance(block, Facts):
            items = [f"  \\item {_tex(clean(name))}: {_tex(clean(text))}" for name, text in block.items]
            parts.append("\n".join([r"\begin{itemize}", *items, r"\end{itemize}"]))
        else:
            parts.append(_tex_table(block))
    return "\n\n".join(parts) + "\n"


def _tex_table(table: Table) -> str:
    columns = "l" * table.left + "r" * (len(table.header) - table.left)
    lines = [rf"\begin{{tabular}}{{{columns}}}", r"\toprule", _tex_row(table.header), r"\midrule"]
    for i, row in enumerate(table.rows):
        if i in table.groups and i > 0:
            lines.append(r"\midrule")
        lines.append(_tex_row(row))
    lines += [r"\bottomrule", r"\end{tabular}"]
    return "\n".join([r"\begin{center}", r"\small", *lines, r"\end{center}"])


def _tex_row(row: Sequence[Inline | None]) -> str:
    return " & ".join(_tex_inline(cell) for cell in row) + r" \\"


def _tex_inline(inline: Inline | None) -> str:
    piece = _piece(inline)
    text = _tex(piece.text)
    for wanted, command in ((piece.code, "texttt"), (piece.small, "footnotesize"), (piece.bold, "textbf")):
        if wanted and text:
            text = f"{{\\{command} {text}}}" if command == "footnotesize" else f"\\{command}{{{text}}}"
    return text


def _tex(text: str) -> str:
    return "".join(_LATEX.get(character, character) for character in text)
