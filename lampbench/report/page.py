"""The leaderboard as a page: which tables there are, what stands in them, and how to read them."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence

from lampbench.report.choice_table import choice_legend, choice_table, share_table
from lampbench.report.cost_table import cost_legend, cost_table
from lampbench.report.failure_table import failure_legend, failure_table
from lampbench.report.leaderboard import Leaderboard
from lampbench.report.markup import Block, Facts, Heading, Inline, Paragraph, Table, Text
from lampbench.report.published import PublishedTable, load_sources
from lampbench.report.scores_table import DIGITS, LEVEL, Cell, metric_label
from lampbench.report.suite import AsideRow, Suite

COLUMNS = 9
"""Methods side by side, as many as in the published table; more go into a further table."""

LONGEST = 200
"""Characters of a reason; an error message may hold a whole file."""


def page(board: Leaderboard) -> list[Block]:
    """The blocks of the page."""
    blocks: list[Block] = [
        Heading("Leaderboard", 1),
        Paragraph(
            (
                "Made by",
                Text("lampbench leaderboard", code=True),
                "from the records of the runs; do not edit it.",
                "In each suite everything but the method is the same.",
                "Measured and published numbers are kept apart.",
            )
        ),
    ]
    for suite in board.suites:
        blocks += suite_blocks(suite)
    if board.published:
        blocks += _published(board.published)
    return blocks


def suite_blocks(suite: Suite) -> list[Block]:
    """The part of the page that is about one suite."""
    blocks: list[Block] = [Heading(f"Suite {suite.name}")]
    if suite.rows:
        blocks += [Paragraph(("Equal in all runs of this table:",)), Facts(suite.facts)]
        if not suite.official:
            note = "These are not all questions of an official LaMP split: compare within this suite only."
            blocks.append(Paragraph((note,)))
        for columns in split_columns(len(suite.columns)):
            blocks.append(_results(suite, columns))
        blocks.append(_legend(suite))
    for table in suite.beside:
        blocks.append(Heading("Published for the same setting, split and LLM", 3))
        blocks += _published_table(table)
    if suite.costs:
        blocks += [Heading("Cost", 3), cost_table(suite.costs), cost_legend()]
    if suite.choices:
        blocks += [Heading("Choosing between answers", 3), choice_table(suite.choices), choice_legend()]
        blocks.append(share_table(suite.choices))
    if suite.failures:
        blocks.append(Heading("What went wrong", 3))
        for columns in split_columns(len(suite.columns)):
            blocks.append(failure_table(suite.failures, suite.columns, columns))
        over_seeds = any(cell and cell.seeds > 1 for row in suite.rows for cell in row.cells)
        blocks.append(failure_legend(suite.failures, over_seeds))
    blocks += _asides("Not comparable", "Complete, but different in something that must be equal.", suite.odd)
    blocks += _asides("Limited runs", "On a sample of the questions, so not ranked.", suite.limited)
    blocks += _asides("Without golds", "Nothing to score: their outputs are to be handed in.", suite.unscored)
    blocks += _asides("Failed or unfinished", None, suite.failed)
    return blocks


def split_columns(n: int, most: int = COLUMNS) -> list[range]:
    """The columns in blocks of nearly equal size, none larger than `most`."""
    blocks = -(-n // most)
    bounds = [n * i // blocks for i in range(blocks + 1)] if blocks else []
    return [range(a, b) for a, b in itertools.pairwise(bounds)]


# Results


def _results(suite: Suite, columns: range) -> Table:
    rows: list[tuple[Inline | None, ...]] = []
    groups = set()
    task = None
    for row in suite.rows:
        shown = [row.cells[i] for i in columns]
        if row.task != task:
            groups.add(len(rows))
        first = row.task if row.task != task else ""
        task = row.task
        rows.append((first, metric_label(row.task, row.metric), *(_value(cell) for cell in shown)))
        rows.append(("", Text("95 %", small=True), *(_interval(cell) for cell in shown)))
        if any(cell and cell.seeds > 1 for cell in row.cells):
            rows.append(("", Text("seeds", small=True), *(_seeds(cell) for cell in shown)))
    header = ("Task", "Metric", *(suite.columns[i] for i in columns))
    return Table(header, tuple(rows), left=2, groups=frozenset(groups))


def _value(cell: Cell | None) -> Inline | None:
    if cell is None:
        return None
    return Text(f"{cell.value:.{DIGITS}f}{marks(cell)}", bold=cell.best)


def marks(cell: Cell) -> str:
    """`≈`: cannot be told from the best; `†`, `‡`: better, worse than the reference; else nothing."""
    equal = "≈" if cell.p_best is not None and cell.p_best >= LEVEL and not cell.best else ""
    if cell.p_reference is None or cell.p_reference >= LEVEL:
        return equal
    return equal + ("†" if cell.better else "‡")


def _interval(cell: Cell | None) -> Inline | None:
    if cell is None or cell.low is None or cell.high is None:
        return "" if cell is None else None
    return Text(f"{cell.low:.{DIGITS}f}–{cell.high:.{DIGITS}f}", small=True)


def _seeds(cell: Cell | None) -> Inline | None:
    if cell is None:
        return ""
    return Text(f"±{cell.sd:.{DIGITS}f} ({cell.seeds})" if cell.sd is not None else "1", small=True)


def _legend(suite: Suite) -> Paragraph:
    pieces: list[Inline] = []
    if any(cell and cell.low is not None for row in suite.rows for cell in row.cells):
        unit = "users, because a user asks several questions" if suite.by_user else "questions"
        pieces.append(f"95 %: bootstrap interval over {unit}.")
    if any(cell and cell.seeds > 1 for row in suite.rows for cell in row.cells):
        pieces.append("seeds: standard deviation over seeds and their number; the value is their mean.")
    if suite.comparisons:
        pieces.append(f"Bold: best of the row at {DIGITS} decimals.")
        pieces.append(f"≈: cannot be told from the best (p ≥ {LEVEL}).")
        if suite.reference is not None:
            pieces += [
                "† and ‡: better and worse than",
                Text(suite.reference, code=True),
                f"(p < {LEVEL}).",
            ]
        pieces.append("Two-sided paired randomization tests with Holm's correction over the")
        pieces.append(f"{suite.comparisons} comparisons of this suite.")
    return Paragraph(tuple(pieces))


def _asides(title: str, note: str | None, asides: Sequence[AsideRow]) -> list[Block]:
    if not asides:
        return []
    blocks: list[Block] = [Heading(title, 3)]
    if note is not None:
        blocks.append(Paragraph((note,)))
    scored = any(aside.metrics for aside in asides)
    rows: list[tuple[Inline | None, ...]] = []
    for aside in asides:
        why = aside.reason if len(aside.reason) <= LONGEST else f"{aside.reason[: LONGEST - 1]}…"
        values = ", ".join(
            f"{metric_label(aside.task, key)} {value:.{DIGITS}f}" for key, value in aside.metrics
        )
        rows.append((aside.run, why, values or None) if scored else (aside.run, why))
    header = ("Run", "Why", "Scores") if scored else ("Run", "Why")
    return [*blocks, Table(header, tuple(rows), left=len(header))]


# Published numbers


def _published(tables: Iterable[PublishedTable]) -> list[Block]:
    note = (
        "As printed in their sources, not measured here. Prompts, limits and scoring differ between sources "
        "and from ours; compare across tables with care."
    )
    blocks: list[Block] = [Heading("Published numbers"), Paragraph((note,))]
    for table in tables:
        blocks.append(Heading(f"{_title(table)}: {table.setting} setting, {table.split} split", 3))
        blocks += _published_table(table, titled=True)
    return blocks


def _title(table: PublishedTable) -> str:
    source = load_sources().get(table.source)
    return source.title if source else table.source


def _published_table(table: PublishedTable, titled: bool = False) -> list[Block]:
    """A published table with its source; `titled`: the heading above has its title."""
    source = load_sources().get(table.source)
    about: list[Inline] = []
    if source is not None:
        title = "" if titled else f"{source.title}, "
        about += [f"Source: {title}{source.where}.", *filter(None, [source.note])]
    llms, encoders = ({column[i] for column in table.columns} - {""} for i in (1, 2))
    if len(llms) == 1:
        about.append(f"LLM: {next(iter(llms))}.")
    if len(encoders) == 1:
        about.append(f"Encoder, where there is one: {next(iter(encoders))}.")
    blocks: list[Block] = [Paragraph(tuple(about))] if about else []
    for columns in split_columns(len(table.columns)):
        shown = [table.columns[i] for i in columns]
        rows: list[tuple[Inline | None, ...]] = []
        if len(llms) > 1:
            rows.append(("", "LLM", *(_short(llm) or None for _, llm, _ in shown)))
        if len(encoders) > 1:
            rows.append(("", "Encoder", *(_short(encoder) or None for _, _, encoder in shown)))
        groups, task = set(), None
        for name, key, values in table.rows:
            if name != task:
                groups.add(len(rows))
            cells = (None if values[i] is None else f"{values[i]:.{DIGITS}f}" for i in columns)
            rows.append((name if name != task else "", metric_label(name, key), *cells))
            task = name
        header = ("Task", "Metric", *(method for method, _, _ in shown))
        blocks.append(Table(header, tuple(rows), left=2, groups=frozenset(groups)))
    return blocks


def _short(model: str) -> str:
    return model.rpartition("/")[2]
