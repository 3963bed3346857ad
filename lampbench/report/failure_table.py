"""The table of what went wrong: counts without which a metric is half a fact."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from lampbench.metrics.rouge import TOKENLESS
from lampbench.report.markup import Inline, Paragraph, Table, grouped, in_digits
from lampbench.report.seed_runs import SeedRuns
from lampbench.tasks.registry import task_order

FAILURES: Mapping[str, tuple[str, str]] = {
    "unparsed": ("unparsed", "unparsed: the output is no label or no rating."),
    "ambiguous": (
        "ambiguous",
        "ambiguous: unparsed, because the output names several labels and does not tell which it means.",
    ),
    "tokenless": ("tokenless", TOKENLESS),
    "tokenless_golds": ("tokenless golds", "tokenless golds: the same of the right answers."),
    "empty": ("empty", "empty: there is no output."),
    "truncated": ("prompt cut", "prompt cut: the prompt did not fit the limit."),
    "empty_profile": ("no history", "no history: the question comes with an empty profile."),
}
"""The counts of a record that a reader of its metrics should know: what the table calls them, and what they mean."""


@dataclass(frozen=True)
class FailureRow:
    """How often something went wrong on a task: per column the mean over seeds, None where it did not run."""

    task: str
    kind: str
    n: int
    counts: tuple[float | None, ...]


def failure_rows(
    by_task: Mapping[str, Mapping[str, SeedRuns]], columns: Sequence[str]
) -> tuple[FailureRow, ...]:
    """A row for each kind of failure that happened on a task."""
    rows = []
    for task in sorted(by_task, key=task_order):
        for kind in FAILURES:
            counts: list[float | None] = []
            for label in columns:
                runs = by_task[task].get(label)
                known = [r.counts[kind] for r in runs.records if kind in r.counts] if runs else []
                counts.append(statistics.fmean(known) if known else None)
            if any(counts):
                rows.append(FailureRow(task, kind, next(iter(by_task[task].values())).n, tuple(counts)))
    return tuple(rows)


def failure_table(failures: Sequence[FailureRow], methods: Sequence[str], columns: Sequence[int]) -> Table:
    """A row for each kind of failure on each task.

    Args:
        failures: of a suite.
        methods: all columns of the suite.
        columns: those that are shown.
    """
    rows: list[tuple[str, tuple[Inline | None, ...]]] = []
    for row in failures:
        counts = (in_digits(row.counts[i], 0 if _whole(row.counts[i]) else 1) for i in columns)
        rows.append((row.task, (FAILURES[row.kind][0], str(row.n), *counts)))
    return grouped(("Task", "What", "of", *(methods[i] for i in columns)), rows, left=2)


def failure_legend(failures: Iterable[FailureRow], over_seeds: bool) -> Paragraph:
    """What the kinds of failure in the table are; `over_seeds`: whether the counts are means."""
    kinds = {row.kind for row in failures}
    texts = [text for kind, (_, text) in FAILURES.items() if kind in kinds]
    return Paragraph((*texts, *(["Means over seeds."] if over_seeds else [])))


def _whole(value: float | None) -> bool:
    return value is None or value == int(value)
