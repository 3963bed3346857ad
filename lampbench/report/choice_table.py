"""The tables of choices: how the methods that choose between answers did, against the bounds of any choice."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from lampbench.records.choice import ChoiceRecord
from lampbench.report.markup import Inline, Paragraph, Table, grouped
from lampbench.report.scores_table import DIGITS, metric_label
from lampbench.report.seed_runs import SeedRuns
from lampbench.tasks import get_task
from lampbench.tasks.registry import task_order


@dataclass(frozen=True)
class ChoiceRow:
    """How a method chose among the answers of its pool on a task, by the task's main metric; means over seeds.

    Attributes:
        n, seeds: number of questions and of seeds.
        value: what the method scored.
        lower, upper: the worst and the best answer of the pool to every question.
        alone: the member of the pool that scores best when it is chosen always; best: its name.
        success: share of the questions whose chosen answer is as good as the best one.
        shares: how often each member was chosen, by name, as a share of the questions.
    """

    task: str
    method: str
    metric: str
    n: int
    seeds: int
    value: float
    lower: float
    alone: float
    best: str
    upper: float
    success: float
    shares: dict[str, float]


def choice_rows(
    by_task: Mapping[str, Mapping[str, SeedRuns]], columns: Sequence[str]
) -> tuple[ChoiceRow, ...]:
    """A row for each method that chooses, on each task where it is known what choosing could have reached.

    It may not be known of a task whose main metric is another one by now.
    """
    rows = []
    for task in sorted(by_task, key=task_order):
        metric = get_task(task).metric
        key = metric.key
        for label in (label for label in columns if label in by_task[task]):
            runs = by_task[task][label]
            known = [c for r in runs.records if (c := r.choice) is not None and _tells(c, key)]
            members = (
                [name for name in known[0].alone if all(name in c.alone for c in known)] if known else []
            )
            if not members or any(key not in r.metrics for r in runs.records):
                continue
            alone = {m: statistics.fmean(choice.alone[m][key] for choice in known) for m in members}
            best = (max if metric.higher_is_better else min)(members, key=lambda name: alone[name])
            chosen = {m: statistics.fmean(choice.chosen.get(m, 0) for choice in known) for m in members}
            rows.append(
                ChoiceRow(
                    task=task,
                    method=label,
                    metric=key,
                    n=runs.n,
                    seeds=len(known),
                    value=runs.value(key),
                    lower=statistics.fmean(choice.lower[key] for choice in known),
                    alone=alone[best],
                    best=best,
                    upper=statistics.fmean(choice.upper[key] for choice in known),
                    success=statistics.fmean(choice.success or 0.0 for choice in known),
                    shares={name: count / runs.n for name, count in chosen.items()},
                )
            )
    return tuple(rows)


def _tells(choice: ChoiceRecord, key: str) -> bool:
    """Whether a record tells what choosing could have reached by that metric."""
    scores = (choice.lower, choice.upper, *choice.alone.values())
    return choice.success is not None and all(key in each for each in scores)


def choice_table(choices: Sequence[ChoiceRow]) -> Table:
    """What each method scored by choosing, between the bounds."""
    header = ("Task", "Metric", "Method", "Worst", "Always one", "which", "Chosen", "Oracle", "As good as it")
    rows: list[tuple[str, tuple[Inline | None, ...]]] = []
    for row in choices:
        lower, alone, value, upper = (
            f"{value:.{DIGITS}f}" for value in (row.lower, row.alone, row.value, row.upper)
        )
        success = f"{100 * row.success:.0f} %"
        label = metric_label(row.task, row.metric)
        rows.append((row.task, (label, row.method, lower, alone, row.best, value, upper, success)))
    return grouped(header, rows, left=3)


def choice_legend() -> Paragraph:
    """How to read the tables."""
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


def share_table(choices: Sequence[ChoiceRow]) -> Table:
    """How often each method chose each member of its pool."""
    members = list(dict.fromkeys(name for row in choices for name in row.shares))
    rows: list[tuple[str, tuple[Inline | None, ...]]] = []
    for row in choices:
        shares = (f"{100 * row.shares[name]:.0f} %" if name in row.shares else None for name in members)
        rows.append((row.task, (row.method, *shares)))
    return grouped(("Task", "Method", *members), rows, left=2)
