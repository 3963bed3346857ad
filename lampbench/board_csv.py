"""The leaderboard as CSV: every number of the page on a line of its own."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Iterator

from lampbench.choice_rows import ChoiceRow
from lampbench.leaderboard import Leaderboard
from lampbench.suite import Row, Suite
from lampbench.tables import clean

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
            yield from _csv_result(suite, row)
        for cost in suite.costs:
            for name, value in vars(cost).items():
                if name != "method" and value is not None:
                    quantity = {"quantity": name, "value": _rounded(value)}
                    yield {"part": "cost", "suite": suite.name, "method": cost.method, **quantity}
        for choice in suite.choices:
            yield from _csv_choice(suite, choice)
        for failure in suite.failures:
            for method, count in zip(suite.columns, failure.counts, strict=True):
                if count is not None:
                    place = {"suite": suite.name, "task": failure.task, "method": method}
                    quantity = {"quantity": failure.kind, "value": count, "n": failure.n}
                    yield {"part": "count", **place, **quantity}
        for part in ("limited", "odd", "unscored", "failed"):
            for aside in getattr(suite, part):
                place = {"part": part, "suite": suite.name, "task": aside.task, "method": aside.method}
                about = {"reason": aside.reason, "seed": aside.seed}
                for key, value in aside.metrics or (("", ""),):
                    yield {**place, "quantity": key, "value": _rounded(value), **about}
    for table in board.published:
        for task, key, values in table.rows:
            for (method, llm, encoder), value in zip(table.columns, values, strict=True):
                if value is not None:
                    place = {"part": "published", "task": task, "method": method, "quantity": key}
                    about = {"source": table.source, "setting": table.setting, "split": table.split}
                    yield {**place, "value": value, **about, "llm": llm, "encoder": encoder}


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


def _csv_result(suite: Suite, row: Row) -> Iterable[dict[str, object]]:
    for method, cell in zip(suite.columns, row.cells, strict=True):
        if cell is not None:
            known = {name: _rounded(value) for name, value in vars(cell).items() if value is not None}
            known.pop("better", None)
            place = {"part": "measured", "suite": suite.name, "task": row.task, "method": method}
            yield {**place, "quantity": row.metric, "n": row.n, **known}


def _csv_choice(suite: Suite, choice: ChoiceRow) -> Iterable[dict[str, object]]:
    place = {"part": "choice", "suite": suite.name, "task": choice.task, "method": choice.method}
    values = {f"{choice.metric} {bound}": getattr(choice, bound) for bound in ("lower", "alone", "upper")}
    values["success"] = choice.success
    values |= {f"share {name}": share for name, share in choice.shares.items()}
    for name, value in values.items():
        yield {**place, "quantity": name, "value": _rounded(value), "seeds": choice.seeds, "n": choice.n}
