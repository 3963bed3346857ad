"""The leaderboard as CSV: every number of the page on a line of its own."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator

from lampbench.report.choice_table import ChoiceRow
from lampbench.report.cost_table import CostRow
from lampbench.report.failure_table import FailureRow
from lampbench.report.leaderboard import Leaderboard
from lampbench.report.markup import clean
from lampbench.report.published import PublishedTable
from lampbench.report.scores_table import Row
from lampbench.report.suite import AsideRow, Suite

CSV_HEADER = (
    "part",
    "suite",
    "task",
    "method",
    "quantity",
    "value",
    "low",
    "high",
    "sd",
    "seeds",
    "n",
    "best",
    "p_best",
    "p_reference",
    "source",
    "setting",
    "split",
    "llm",
    "encoder",
    "reason",
    "seed",
)


def as_csv(board: Leaderboard) -> str:
    """The numbers, one per line, to ten decimals; `part` says of which kind."""
    out = io.StringIO()
    writer = csv.DictWriter(out, CSV_HEADER, restval="", lineterminator="\n")
    writer.writeheader()
    for row in _rows(board):
        writer.writerow({name: _harmless(value) for name, value in row.items()})
    return out.getvalue()


def _rows(board: Leaderboard) -> Iterator[dict[str, object]]:
    for suite in board.suites:
        for row in suite.rows:
            yield from _results(suite, row)
        for cost in suite.costs:
            yield from _costs(suite, cost)
        for choice in suite.choices:
            yield from _choices(suite, choice)
        for failure in suite.failures:
            yield from _failures(suite, failure)
        for part in ("limited", "odd", "unscored", "failed"):
            for aside in getattr(suite, part):
                yield from _asides(suite, part, aside)
    for table in board.published:
        yield from _published(table)


def _harmless(value: object) -> object:
    """A text as what it is: a spreadsheet takes one that begins like a formula for one, and runs it.

    A quotation mark before it is the usual remedy (https://owasp.org/www-community/attacks/CSV_Injection).
    Numbers stay as they are.
    """
    if not isinstance(value, str):
        return value
    text = clean(value)
    return f"'{text}" if text.startswith(_FORMULA) else text


_FORMULA = ("=", "+", "-", "@", "＝", "＋", "－", "＠")


def _rounded(value: object) -> object:
    """Ten decimals: what lies beyond depends on the order in which a machine sums."""
    return round(value, 10) if isinstance(value, float) else value


def _results(suite: Suite, row: Row) -> Iterator[dict[str, object]]:
    for method, cell in zip(suite.columns, row.cells, strict=True):
        if cell is not None:
            known = {name: _rounded(value) for name, value in vars(cell).items() if value is not None}
            known.pop("better", None)
            place = {"part": "measured", "suite": suite.name, "task": row.task, "method": method}
            yield {**place, "quantity": row.metric, "n": row.n, **known}


def _choices(suite: Suite, choice: ChoiceRow) -> Iterator[dict[str, object]]:
    place = {"part": "choice", "suite": suite.name, "task": choice.task, "method": choice.method}
    values = {f"{choice.metric} {bound}": getattr(choice, bound) for bound in ("lower", "alone", "upper")}
    values["success"] = choice.success
    values |= {f"share {name}": share for name, share in choice.shares.items()}
    for name, value in values.items():
        yield {**place, "quantity": name, "value": _rounded(value), "seeds": choice.seeds, "n": choice.n}


def _costs(suite: Suite, cost: CostRow) -> Iterator[dict[str, object]]:
    for name, value in vars(cost).items():
        if name != "method" and value is not None:
            place = {"part": "cost", "suite": suite.name, "method": cost.method}
            yield {**place, "quantity": name, "value": _rounded(value)}


def _failures(suite: Suite, failure: FailureRow) -> Iterator[dict[str, object]]:
    for method, count in zip(suite.columns, failure.counts, strict=True):
        if count is not None:
            place = {"part": "count", "suite": suite.name, "task": failure.task, "method": method}
            yield {**place, "quantity": failure.kind, "value": count, "n": failure.n}


def _asides(suite: Suite, part: str, aside: AsideRow) -> Iterator[dict[str, object]]:
    place = {"part": part, "suite": suite.name, "task": aside.task, "method": aside.method}
    about = {"reason": aside.reason, "seed": aside.seed}
    for key, value in aside.metrics or (("", ""),):
        yield {**place, "quantity": key, "value": _rounded(value), **about}


def _published(table: PublishedTable) -> Iterator[dict[str, object]]:
    for task, key, values in table.rows:
        for (method, llm, encoder), value in zip(table.columns, values, strict=True):
            if value is not None:
                place = {"part": "published", "task": task, "method": method, "quantity": key}
                about = {"source": table.source, "setting": table.setting, "split": table.split}
                yield {**place, "value": value, **about, "llm": llm, "encoder": encoder}
