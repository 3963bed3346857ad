"""The table of scores: a row per task and metric, a cell per method, and what of the differences is chance."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from lampbench import stats
from lampbench.report.seed_runs import SeedRuns, p_value
from lampbench.tasks import Metric, get_task
from lampbench.tasks.registry import find_metric, task_order

DIGITS = 3
"""Decimals of a metric, as in the published tables. Two values are a tie if they are printed alike."""

LEVEL = 0.05
"""Level of the tests, after correction."""


@dataclass(frozen=True)
class Cell:
    """A metric of one method on one task.

    Attributes:
        value: mean over seeds.
        low, high: 95 % interval over questions.
        seeds: number of seeds; sd: standard deviation over them, None for one.
        best: whether it is printed like the best value of the row.
        p_best: of the test against the best of the row, Holm-corrected; None for the best itself.
        p_reference: likewise against the reference.
        better: whether it is better than the reference; None where there is nothing to compare.
    """

    value: float
    low: float | None
    high: float | None
    seeds: int
    sd: float | None
    best: bool = False
    p_best: float | None = None
    p_reference: float | None = None
    better: bool | None = None


@dataclass(frozen=True)
class Row:
    """One metric on one task: a cell per column, None where the method did not run."""

    task: str
    metric: str
    n: int
    cells: tuple[Cell | None, ...]


def metric_label(task: str, key: str) -> str:
    """A metric of a task with the direction in which it is better; one that the task has no more is its key."""
    metric = find_metric(task, key)
    return key if metric is None else f"{metric.label} {'↑' if metric.higher_is_better else '↓'}"


@dataclass(frozen=True)
class _Contest:
    """Those that compete in a row: a metric on a task, the runs by column, and the column of the best."""

    task: str
    metric: Metric
    runs: Mapping[str, SeedRuns]
    best: str

    def value(self, label: str) -> float:
        return self.runs[label].value(self.metric.key)

    def opponents(self, reference: str | None) -> list[str]:
        """Those that each of the others is tested against."""
        return [self.best] if reference is None or reference not in self.runs else [self.best, reference]


_Pair = tuple[int, str, str]  # a row and two columns, in the order of their names


def scores_table(
    by_task: Mapping[str, Mapping[str, SeedRuns]], columns: Sequence[str], reference: str | None
) -> tuple[tuple[Row, ...], int]:
    """The rows of the table and the number of tests in it.

    Each column is tested against the best of its row and against the reference. All tests of a table are one
    family, because they are shown, and read, together.

    Args:
        by_task: the ranked runs by task and column.
        columns: the methods, in order.
        reference: the column that the others are tested against besides.
    """
    contests = _contests(by_task, columns)
    p = _p_values(contests, reference)
    rows = (_row(contest, number, columns, reference, p) for number, contest in enumerate(contests))
    return tuple(rows), len(p)


def _contests(by_task: Mapping[str, Mapping[str, SeedRuns]], columns: Sequence[str]) -> list[_Contest]:
    contests = []
    for task in sorted(by_task, key=task_order):
        for each in get_task(task).metrics:
            shown = by_task[task]
            runs = {c: shown[c] for c in columns if c in shown and each.key in shown[c].records[0].metrics}
            if runs:
                sign = 1 if each.higher_is_better else -1
                best = max(runs, key=lambda label: sign * runs[label].value(each.key))
                contests.append(_Contest(task, each, runs, best))
    return contests


def _p_values(contests: Sequence[_Contest], reference: str | None) -> dict[_Pair, float]:
    """The p-value of each test of the table, Holm-corrected over all of them."""
    pairs: dict[_Pair, None] = {}
    for number, contest in enumerate(contests):
        for other in contest.opponents(reference):
            pairs |= dict.fromkeys(_pair(number, label, other) for label in contest.runs if label != other)
    # Enough assignments that the smallest possible p-value can survive the correction.
    n = max(stats.RESAMPLES, round(2 * len(pairs) / LEVEL))
    raw = []
    for number, a, b in pairs:
        contest = contests[number]
        raw.append(p_value(contest.runs[a], contest.runs[b], contest.metric.key, n))
    return dict(zip(pairs, stats.holm(raw), strict=True)) if pairs else {}


def _pair(row: int, a: str, b: str) -> _Pair:
    return row, min(a, b), max(a, b)


def _row(
    contest: _Contest, number: int, columns: Sequence[str], reference: str | None, p: Mapping[_Pair, float]
) -> Row:
    cells = [
        _cell(
            contest, label, reference, {other: p.get(_pair(number, label, other)) for other in contest.runs}
        )
        if label in contest.runs
        else None
        for label in columns
    ]
    n = next(iter(contest.runs.values())).n
    return Row(contest.task, contest.metric.key, n, tuple(cells))


def _cell(contest: _Contest, label: str, reference: str | None, p: Mapping[str, float | None]) -> Cell:
    """The cell of a column; `p`: of its tests, by the other column."""
    runs, key = contest.runs[label], contest.metric.key
    value = contest.value(label)
    low, high = runs.interval(key)
    p_reference = p.get(reference) if reference is not None else None
    better = None
    if p_reference is not None and reference is not None:
        gain = value - contest.value(reference)
        better = gain > 0 if contest.metric.higher_is_better else gain < 0
    return Cell(
        value=value,
        low=low,
        high=high,
        seeds=len(runs.records),
        sd=runs.sd(key),
        best=len(contest.runs) > 1 and f"{value:.{DIGITS}f}" == f"{contest.value(contest.best):.{DIGITS}f}",
        p_best=p[contest.best],
        p_reference=p_reference,
        better=better,
    )
