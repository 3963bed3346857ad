"""The leaderboard as a page: which tables there are, what stands in them, and how to read them."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence

from lampbench.metrics.rouge import TOKENLESS
from lampbench.report.leaderboard import Leaderboard
from lampbench.report.markup import Block, Facts, Heading, Inline, Paragraph, Table, Text
from lampbench.report.published import PublishedTable, load_sources
from lampbench.report.scores_table import DIGITS, LEVEL, Cell
from lampbench.report.side_tables import ChoiceRow, CostRow
from lampbench.report.suite import AsideRow, Suite
from lampbench.tasks import metric

COLUMNS = 9
"""Methods side by side, as many as in the published table; more go into a further table."""

LONGEST = 200
"""Characters of a reason; an error message may hold a whole file."""

_KINDS = {
    "unparsed": "unparsed",
    "ambiguous": "ambiguous",
    "tokenless": "tokenless",
    "tokenless_golds": "tokenless golds",
    "empty": "empty",
    "truncated": "prompt cut",
    "empty_profile": "no history",
}


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
        blocks += [Heading("Cost", 3), _costs(suite.costs), _cost_legend()]
    if suite.choices:
        blocks += [Heading("Choosing between answers", 3), _choices(suite.choices), _choice_legend()]
        blocks.append(_shares(suite.choices))
    if suite.failures:
        blocks.append(Heading("What went wrong", 3))
        for columns in split_columns(len(suite.columns)):
            blocks.append(_failures(suite, columns))
        blocks.append(_failure_legend(suite))
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
        rows.append((first, metric_label(row.metric), *(_value(cell) for cell in shown)))
        rows.append(("", Text("95 %", small=True), *(_interval(cell) for cell in shown)))
        if any(cell and cell.seeds > 1 for cell in row.cells):
            rows.append(("", Text("seeds", small=True), *(_seeds(cell) for cell in shown)))
    header = ("Task", "Metric", *(suite.columns[i] for i in columns))
    return Table(header, tuple(rows), left=2, groups=frozenset(groups))


def metric_label(key: str) -> str:
    """The metric with the direction in which it is better."""
    known = metric(key)
    return f"{known.label} {'↑' if known.higher_is_better else '↓'}"


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


# Choices, costs and failures


def _choices(choices: Sequence[ChoiceRow]) -> Table:
    header = ("Task", "Metric", "Method", "Worst", "Always one", "which", "Chosen", "Oracle", "As good as it")
    rows: list[tuple[str, tuple[Inline | None, ...]]] = []
    for row in choices:
        lower, alone, value, upper = (
            f"{value:.{DIGITS}f}" for value in (row.lower, row.alone, row.value, row.upper)
        )
        success = f"{100 * row.success:.0f} %"
        label = metric_label(row.metric)
        rows.append((row.task, (label, row.method, lower, alone, row.best, value, upper, success)))
    return _grouped(header, rows, left=3)


def _choice_legend() -> Paragraph:
    return Paragraph(
        (
            "Chosen: what the method scores by choosing, per question, among the answers of its pool.",
            "Worst and oracle: the worst and the best answer of the pool to every question, the bounds of any "
            "choice.",
            "Always one: the member of the pool that is best when it is never left, told by hindsight.",
            "As good as it: questions whose chosen answer scores what the oracle's does.",
            "Below, how often each member is chosen. Means over seeds.",
        )
    )


def _shares(choices: Sequence[ChoiceRow]) -> Table:
    members = list(dict.fromkeys(name for row in choices for name in row.shares))
    rows: list[tuple[str, tuple[Inline | None, ...]]] = []
    for row in choices:
        shares = (f"{100 * row.shares[name]:.0f} %" if name in row.shares else None for name in members)
        rows.append((row.task, (row.method, *shares)))
    return _grouped(("Task", "Method", *members), rows, left=2)


def _grouped(
    header: Sequence[str], rows: Iterable[tuple[str, tuple[Inline | None, ...]]], left: int
) -> Table:
    """A table of (task, other cells) with a rule above each task, whose name stands in its first row only."""
    shown: list[tuple[Inline | None, ...]] = []
    groups = set()
    last = None
    for task, cells in rows:
        if task != last:
            groups.add(len(shown))
        shown.append((task if task != last else "", *cells))
        last = task
    return Table(tuple(header), tuple(shown), left=left, groups=frozenset(groups))


def _costs(costs: Sequence[CostRow]) -> Table:
    header = (
        "Method",
        "Tasks",
        "Prompt tokens",
        "Soft tokens",
        "Output tokens",
        "LLM calls",
        "Trained parameters",
        "Fit (s)",
        "Questions/s",
        "Bytes/user",
        "Peak RSS (MiB)",
    )
    with_gpu = any(cost.peak_gpu_bytes is not None for cost in costs)
    rows = []
    for cost in costs:
        row = (
            cost.method,
            str(cost.tasks),
            f"{cost.prompt_tokens:.1f}",
            f"{cost.soft_tokens:.1f}",
            f"{cost.generated_tokens:.1f}",
            f"{cost.llm_calls:.1f}",
            f"{cost.trainable_parameters:,}",
            f"{cost.fit_seconds:,.0f}",
            _number(cost.examples_per_second, 1),
            _number(cost.bytes_per_user, 0),
            _mebibytes(cost.peak_rss_bytes),
        )
        rows.append((*row, _mebibytes(cost.peak_gpu_bytes)) if with_gpu else row)
    return Table((*header, "Peak GPU (MiB)") if with_gpu else header, tuple(rows))


def _number(value: float | None, digits: int) -> str | None:
    return None if value is None else f"{value:,.{digits}f}"


def _mebibytes(value: int | None) -> str | None:
    return _number(None if value is None else value / 2**20, 0)


def _cost_legend() -> Paragraph:
    return Paragraph(
        (
            "Tokens and calls are per question; calls include those for training data, and those whose answers "
            "were made for another method or seed before and only looked up.",
            "Fit: seconds over all tasks. It and questions/s count such answers with the time they once took.",
            "Bytes/user: what is kept for one user between two questions.",
            "Seconds, rates and memory are those of the machine that each record names, as busy as it then was, "
            "and on as many threads as",
            Text("environment.threads", code=True),
            "of the record says, if it is there; so small differences between methods are not to be read as "
            "differences of the methods.",
        )
    )


def _failures(suite: Suite, columns: range) -> Table:
    rows: list[tuple[str, tuple[Inline | None, ...]]] = []
    for row in suite.failures:
        counts = (_number(row.counts[i], 0 if _whole(row.counts[i]) else 1) for i in columns)
        rows.append((row.task, (_KINDS[row.kind], str(row.n), *counts)))
    return _grouped(("Task", "What", "of", *(suite.columns[i] for i in columns)), rows, left=2)


def _whole(value: float | None) -> bool:
    return value is None or value == int(value)


def _failure_legend(suite: Suite) -> Paragraph:
    known = {
        "unparsed": "unparsed: the output is no label or no rating.",
        "ambiguous": "ambiguous: unparsed, because the output names several labels and does not tell which it means.",
        "tokenless": TOKENLESS,
        "tokenless_golds": "tokenless golds: the same of the right answers.",
        "empty": "empty: there is no output.",
        "truncated": "prompt cut: the prompt did not fit the limit.",
        "empty_profile": "no history: the question comes with an empty profile.",
    }
    kinds = {row.kind for row in suite.failures}
    mean = any(cell and cell.seeds > 1 for row in suite.rows for cell in row.cells)
    texts = [text for kind, text in known.items() if kind in kinds]
    return Paragraph((*texts, *(["Means over seeds."] if mean else [])))


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
        values = ", ".join(f"{metric_label(key)} {value:.{DIGITS}f}" for key, value in aside.metrics)
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
            rows.append((name if name != task else "", metric_label(key), *cells))
            task = name
        header = ("Task", "Metric", *(method for method, _, _ in shown))
        blocks.append(Table(header, tuple(rows), left=2, groups=frozenset(groups)))
    return blocks


def _short(model: str) -> str:
    return model.rpartition("/")[2]
