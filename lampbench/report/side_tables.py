"""What stands beside the scores of a suite: what its methods cost, how they chose, and what went wrong."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from lampbench.report.seed_runs import SeedRuns
from lampbench.tasks import get_task
from lampbench.tasks.registry import task_order

FAILURES = ("unparsed", "ambiguous", "tokenless", "tokenless_golds", "empty", "truncated", "empty_profile")
"""The counts of a record that a reader of its metrics should know."""


@dataclass(frozen=True)
class CostRow:
    """What a method costs, over the tasks it ran on.

    Attributes:
        tasks: number of tasks.
        prompt_tokens, soft_tokens, generated_tokens: per question.
        llm_calls: generations that the method needs, per question; made for it or for another one before.
        trainable_parameters: of one run; the most, where tasks differ.
        fit_seconds: sum over tasks, of the mean over seeds; reused generations with the time they once took.
        examples_per_second: questions per second of predicting, over all tasks; likewise.
        bytes_per_user: mean over tasks.
        peak_rss_bytes, peak_gpu_bytes: the most of any run.
    """

    method: str
    tasks: int
    prompt_tokens: float
    soft_tokens: float
    generated_tokens: float
    llm_calls: float
    trainable_parameters: int
    fit_seconds: float
    examples_per_second: float | None
    bytes_per_user: float | None
    peak_rss_bytes: int | None
    peak_gpu_bytes: int | None


@dataclass(frozen=True)
class FailureRow:
    """How often something went wrong on a task: per column the mean over seeds, None where it did not run."""

    task: str
    kind: str
    n: int
    counts: tuple[float | None, ...]


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
    """A row for each method that chooses, on each task where it is known what choosing could have reached."""
    rows = []
    for task in sorted(by_task, key=task_order):
        metric = get_task(task).metric
        for label in (label for label in columns if label in by_task[task]):
            runs = by_task[task][label]
            known = [r.choice for r in runs.records if r.choice is not None and r.choice.success is not None]
            if not known:
                continue
            members = [name for name in known[0].alone if all(name in choice.alone for choice in known)]
            alone = {m: statistics.fmean(choice.alone[m][metric.key] for choice in known) for m in members}
            best = (max if metric.higher_is_better else min)(members, key=lambda name: alone[name])
            chosen = {m: statistics.fmean(choice.chosen.get(m, 0) for choice in known) for m in members}
            rows.append(
                ChoiceRow(
                    task=task,
                    method=label,
                    metric=metric.key,
                    n=runs.n,
                    seeds=len(known),
                    value=runs.value(metric.key),
                    lower=statistics.fmean(choice.lower[metric.key] for choice in known),
                    alone=alone[best],
                    best=best,
                    upper=statistics.fmean(choice.upper[metric.key] for choice in known),
                    success=statistics.fmean(choice.success or 0.0 for choice in known),
                    shares={name: count / runs.n for name, count in chosen.items()},
                )
            )
    return tuple(rows)


def cost_row(label: str, tasks: Sequence[SeedRuns]) -> CostRow:
    """What a method costs, from its runs on each task."""
    records = [record for runs in tasks for record in runs.records]
    costs = [record.cost for record in records]
    questions = max(1, sum(cost.examples for cost in costs))
    timed = [(c.examples, c.examples_per_second) for c in costs if c.examples_per_second]
    kept = [cost.bytes_per_user for cost in costs if cost.bytes_per_user is not None]
    fit = [statistics.fmean(record.cost.full_seconds("fit") for record in runs.records) for runs in tasks]
    return CostRow(
        method=label,
        tasks=len(tasks),
        prompt_tokens=sum(cost.prompt_tokens for cost in costs) / questions,
        soft_tokens=sum(cost.soft_tokens for cost in costs) / questions,
        generated_tokens=sum(cost.generated_tokens for cost in costs) / questions,
        llm_calls=sum(cost.llm_calls + cost.reused_generations for cost in costs) / questions,
        trainable_parameters=max(record.method.trainable_parameters for record in records),
        fit_seconds=sum(fit),
        examples_per_second=sum(n for n, _ in timed) / sum(n / rate for n, rate in timed) if timed else None,
        bytes_per_user=statistics.fmean(kept) if kept else None,
        peak_rss_bytes=max((c.peak_rss_bytes for c in costs if c.peak_rss_bytes is not None), default=None),
        peak_gpu_bytes=max((c.peak_gpu_bytes for c in costs if c.peak_gpu_bytes is not None), default=None),
    )


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
