"""Is the difference between two methods real? Paired tests on the questions that both have answered."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from lampbench import stats
from lampbench.errors import RequestError, unknown
from lampbench.records.record import Record
from lampbench.records.results_folder import load_records
from lampbench.report.comparable_runs import stand
from lampbench.report.scores_table import DIGITS, LEVEL, metric_label
from lampbench.report.seed_runs import SeedRuns, paired
from lampbench.tasks import get_task
from lampbench.terminal import printable


@dataclass(frozen=True)
class ComparisonRow:
    """Two methods on one metric of one task.

    Attributes:
        a, b: their values, as means over their seeds.
        difference: a minus b; low, high: its 95 % bootstrap interval. It is a statistic of the scores
            averaged over seeds, which for RMSE and F1 with several seeds is not quite the difference of the
            two means.
        p: of the two-sided paired randomization test; p_holm: corrected over all rows.
        better: the better method, `a` or `b`; None if that cannot be told (p_holm of 0.05 or more).
        n: number of questions.
        users: number of users, where questions were grouped by user; else None.
        seeds: number of seeds of a and of b.
    """

    task: str
    metric: str
    a: float
    b: float
    difference: float
    low: float
    high: float
    p: float
    p_holm: float
    better: str | None
    n: int
    users: int | None
    seeds: tuple[int, int]


@dataclass(frozen=True)
class Comparison:
    """Two methods of one suite.

    Attributes:
        suite, a, b: suite and methods.
        rows: by task and metric.
        left_out: (task, reason) of tasks that both were asked about and that could not be compared.
    """

    suite: str
    a: str
    b: str
    rows: tuple[ComparisonRow, ...]
    left_out: tuple[tuple[str, str], ...] = ()


def compare(
    results: str | Path,
    a: str,
    b: str,
    tasks: Sequence[str] | None = None,
    suite: str | None = None,
) -> Comparison:
    """Compare two methods on the tasks that both have run on.

    Args:
        results: the results folder.
        a, b: `name` or `name+variant`.
        tasks: only these; they must all be there.
        suite: where to look; may be left out if the two meet in one suite only.

    Raises:
        RequestError: a method, task or suite is not there, the two meet in no suite or in several, or nothing
            can be compared.
    """
    if a == b:
        raise RequestError(f"cannot compare '{a}' with itself")
    records = load_records(results, suite)
    for label in (a, b):
        if all(r.method.label != label for r in records):
            raise unknown("method with runs", label, sorted({r.method.label for r in records}))
    wanted = None if tasks is None else [get_task(task).name for task in tasks]
    records = [r for r in records if wanted is None or r.task in wanted]
    found = _meeting(records, a, b)
    ranked, reasons = _comparable(records, found, a, b)
    for task in wanted or ():
        if task not in ranked and task not in reasons:
            raise RequestError(f"suite '{found}' has no complete runs of both '{a}' and '{b}' on {task}")
    if not ranked:
        told = "; ".join(f"{task}: {reason}" for task, reason in reasons.items())
        raise RequestError(
            f"'{a}' and '{b}' cannot be compared in suite '{found}': {told or 'no complete runs'}"
        )
    rows = [
        _row(metric.key, one, other, metric.higher_is_better)
        for task, (one, other) in ranked.items()
        for metric in get_task(task).metrics
        if metric.key in one.records[0].metrics and metric.key in other.records[0].metrics
    ]
    corrected = stats.holm([row.p for row in rows])
    rows = [
        replace(row, p_holm=p, better=row.better if p < LEVEL else None)
        for row, p in zip(rows, corrected, strict=True)
    ]
    return Comparison(found, a, b, tuple(rows), tuple(reasons.items()))


def comparison_table(comparison: Comparison, width: int = 80) -> str:
    """The comparison as text: the table itself in 80 columns, the lines below it wrapped at `width`.

    The methods are called A and B, because names with variants are as long as the table is wide.
    """
    rows = [("", "A", "B", "A − B", "95 % interval", "p", "p (Holm)", "n")]
    rows += [
        (
            f"{row.task} {metric_label(row.task, row.metric)}",
            f"{row.a:.{DIGITS}f}",
            f"{row.b:.{DIGITS}f}",
            _signed(row.difference),
            f"{_signed(row.low)}, {_signed(row.high)}",
            p_text(row.p),
            f"{p_text(row.p_holm)} {row.better.upper() if row.better else ' '}",
            str(row.n),
        )
        for row in comparison.rows
    ]
    sizes = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = [
        "  ".join(
            [row[0].ljust(sizes[0]), *(cell.rjust(n) for cell, n in zip(row[1:], sizes[1:], strict=True))]
        )
        for row in rows
    ]
    users = [row.users for row in comparison.rows if row.users is not None]
    unit = f"{max(users):,} users, because a user asks several questions" if users else "n questions"
    legend = [
        f"A: {comparison.a}. B: {comparison.b}. Suite: {comparison.suite}.",
        f"A letter after p (Holm) is the better one, told where that p is below {LEVEL}. Two-sided paired "
        f"randomization test over {unit}; 95 % bootstrap interval of the difference.",
    ]
    if any(max(row.seeds) > 1 for row in comparison.rows):
        legend[-1] += " Scores are averaged over seeds."
    legend += [f"Left out: {task}: {reason}." for task, reason in comparison.left_out]
    filled = (textwrap.fill(printable(text), width, break_on_hyphens=False) for text in legend)
    return "\n".join([*lines, "", *filled])


def p_text(p: float) -> str:
    """A p-value as tables print it."""
    return "<0.001" if p < 0.001 else f"{p:.3f}"


def _signed(value: float) -> str:
    text = f"{value:+.{DIGITS}f}"
    return f"{0:.{DIGITS}f}" if float(text) == 0 else text.replace("-", "−")


def _meeting(records: Sequence[Record], a: str, b: str) -> str:
    """The one suite in which both have run on the same task."""
    places = [{(r.suite, r.task) for r in records if r.method.label == label} for label in (a, b)]
    suites = sorted({suite for suite, _ in places[0] & places[1]})
    if not suites:
        raise RequestError(f"'{a}' and '{b}' have no task in common in any suite: run both on one")
    if len(suites) > 1:
        raise RequestError(f"'{a}' and '{b}' meet in several suites: say --suite, one of {', '.join(suites)}")
    return suites[0]


def _comparable(
    records: Sequence[Record], suite: str, a: str, b: str
) -> tuple[dict[str, tuple[SeedRuns, SeedRuns]], dict[str, str]]:
    """(pairs by task, reasons by task). The two methods must agree with each other, not with the suite."""
    ours = [r for r in records if r.suite == suite and r.method.label in (a, b)]
    ranked: dict[str, tuple[SeedRuns, SeedRuns]] = {}
    reasons: dict[str, str] = {}
    for task in dict.fromkeys(r.task for r in ours):
        on_task = [r for r in ours if r.task == task]
        if len({r.method.label for r in on_task}) < 2:
            continue
        standing = stand(on_task, limited=True)
        runs = {found.label: found for found in standing.ranked}
        asides = [*standing.odd, *standing.failed]
        if a in runs and b in runs:
            ranked[task] = runs[a], runs[b]
        elif asides:
            one = asides[0]
            reasons[task] = f"{one.record.method.label}, seed {one.record.seed}: {one.reason}"
        else:
            reasons[task] = "there are no golds to score against"
    return ranked, reasons


def _row(metric: str, a: SeedRuns, b: SeedRuns, higher_is_better: bool) -> ComparisonRow:
    test = paired(a, b, metric)
    return ComparisonRow(
        task=a.task,
        metric=metric,
        a=a.value(metric),
        b=b.value(metric),
        difference=test.difference,
        low=test.low,
        high=test.high,
        p=test.p,
        p_holm=test.p,
        better="a" if (test.difference > 0) == higher_is_better else "b",
        n=test.n_examples,
        users=test.n_units if a.users is not None else None,
        seeds=(len(a.records), len(b.records)),
    )
