"""The table of costs: what each method of a suite needs, and how to read it."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass

from lampbench.report.markup import Paragraph, Table, Text, in_digits
from lampbench.report.seed_runs import SeedRuns


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


def cost_table(costs: Sequence[CostRow]) -> Table:
    """A row for each method."""
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
            in_digits(cost.examples_per_second, 1),
            in_digits(cost.bytes_per_user, 0),
            _mebibytes(cost.peak_rss_bytes),
        )
        rows.append((*row, _mebibytes(cost.peak_gpu_bytes)) if with_gpu else row)
    return Table((*header, "Peak GPU (MiB)") if with_gpu else header, tuple(rows))


def cost_legend() -> Paragraph:
    """How to read the table."""
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


def _mebibytes(value: int | None) -> str | None:
    return in_digits(None if value is None else value / 2**20, 0)
