"""One suite as numbers: what its runs scored, what of it is chance, what they cost, and what went wrong."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass

from lampbench import stats
from lampbench.choice_rows import ChoiceRow, choice_rows
from lampbench.published import Published, PublishedTable, comparable, published_tables
from lampbench.record import Record
from lampbench.seed_runs import SeedRuns, p_value
from lampbench.standing import Standing, model_text, stand
from lampbench.tasks import Metric, get_task
from lampbench.tasks.registry import task_order

DIGITS = 3
"""Decimals of a metric, as in the published tables. Two values are a tie if they are printed alike."""

LEVEL = 0.05
"""Level of the tests, after correction."""

FAILURES = ("unparsed", "ambiguous", "tokenless", "tokenless_golds", "empty", "truncated", "empty_profile")
"""The counts of a record that a reader of its metrics should know."""


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
class AsideRow:
    """A run that is not ranked, why, and what it scored."""

    task: str
    method: str
    seed: int
    reason: str
    metrics: tuple[tuple[str, float], ...] = ()

    @property
    def run(self) -> str:
        """The run as the page names it."""
        return f"{self.task} {self.method}, seed {self.seed}"


@dataclass(frozen=True)
class Suite:
    """One suite: runs that differ in their method only.

    Attributes:
        name: its folder below the results.
        facts: what is equal in all ranked runs, as (name, text).
        official: whether the questions are as many as the benchmark's own on every task.
        columns: the methods, in order.
        reference: the column that the others are tested against; None if no method is clearly the one.
        comparisons: size of the family of tests.
        by_user: whether questions were grouped by user.
        beside: published numbers for the same setting, split and LLM.
    """

    name: str
    facts: tuple[tuple[str, str], ...]
    official: bool
    columns: tuple[str, ...]
    reference: str | None
    comparisons: int
    by_user: bool
    rows: tuple[Row, ...]
    beside: tuple[PublishedTable, ...] = ()
    costs: tuple[CostRow, ...] = ()
    choices: tuple[ChoiceRow, ...] = ()
    failures: tuple[FailureRow, ...] = ()
    limited: tuple[AsideRow, ...] = ()
    failed: tuple[AsideRow, ...] = ()
    odd: tuple[AsideRow, ...] = ()
    unscored: tuple[AsideRow, ...] = ()


def build_suite(
    name: str, records: Sequence[Record], numbers: Sequence[Published] = (), reference: str | None = None
) -> Suite:
    """What the records of one suite say together.

    Args:
        name: of the suite.
        records: all its records.
        numbers: published numbers; those that are comparable stand beside it.
        reference: the method that the others are tested against. Unless it is given and ranked here, it is
            the one whose record says that it reads no profile and trains nothing, if there is exactly one.
    """
    standing = stand(records)
    columns = _columns(standing.ranked)
    by_task: dict[str, dict[str, SeedRuns]] = {}
    for runs in standing.ranked:
        by_task.setdefault(runs.task, {})[runs.label] = runs
    reference = reference if reference in columns else _reference(standing.ranked)
    rows, comparisons = _rows(by_task, columns, reference)
    ranked = [record for runs in standing.ranked for record in runs.records]
    return Suite(
        name=name,
        facts=_facts(ranked),
        official=all(r.data.n == get_task(r.task).counts.get((r.data.setting, r.data.split)) for r in ranked),
        columns=columns,
        reference=reference,
        comparisons=comparisons,
        by_user=any(runs.users is not None for runs in standing.ranked),
        rows=rows,
        beside=tuple(published_tables(p for p in numbers if any(comparable(p, r) for r in ranked))),
        costs=tuple(_cost(label, [t[label] for t in by_task.values() if label in t]) for label in columns),
        choices=choice_rows(by_task, columns),
        failures=_failures(by_task, columns),
        limited=_asides(standing, "limited"),
        failed=_asides(standing, "failed"),
        odd=_asides(standing, "odd"),
        unscored=_asides(standing, "unscored"),
    )


def _columns(ranked: Sequence[SeedRuns]) -> tuple[str, ...]:
    """Labels, by the order that methods ask for, then by name; a variant stands after its method."""
    methods = {runs.label: runs.records[0].method for runs in ranked}

    def place(label: str) -> tuple[bool, int, str, str]:
        method = methods[label]
        return method.order is None, method.order or 0, method.name, method.variant or ""

    return tuple(sorted(methods, key=place))


def _reference(ranked: Sequence[SeedRuns]) -> str | None:
    methods = [runs.records[0].method for runs in ranked]
    labels = {
        method.label
        for method in methods
        if method.reads_profile is False and not method.trainable_parameters and not method.variant
    }
    return labels.pop() if len(labels) == 1 else None


def _rows(
    by_task: dict[str, dict[str, SeedRuns]], columns: tuple[str, ...], reference: str | None
) -> tuple[tuple[Row, ...], int]:
    """The rows of the table and the number of tests in it.

    Each column is tested against the best of its row and against the reference. All tests of a table are one
    family, because they are shown, and read, together.
    """
    plan: list[tuple[str, Metric, dict[str, SeedRuns], str]] = []
    pairs: list[tuple[int, str, str]] = []  # (row, method, method)
    for task in sorted(by_task, key=task_order):
        for metric in get_task(task).metrics:
            shown = by_task[task]
            runs = {c: shown[c] for c in columns if c in shown and metric.key in shown[c].records[0].metrics}
            if not runs:
                continue
            sign = 1 if metric.higher_is_better else -1
            best = max(runs, key=lambda label: sign * runs[label].value(metric.key))
            against = [best] if reference is None or reference not in runs else [best, reference]
            both = (_pair(len(plan), a, b) for b in against for a in runs if a != b)
            pairs += dict.fromkeys(both)
            plan.append((task, metric, runs, best))
    # Enough assignments that the smallest possible p-value can survive the correction.
    n = max(stats.RESAMPLES, round(2 * len(pairs) / LEVEL))
    raw = [p_value(plan[row][2][a], plan[row][2][b], plan[row][1].key, n) for row, a, b in pairs]
    p = dict(zip(pairs, stats.holm(raw), strict=True)) if pairs else {}

    def p_of(row: int, a: str, b: str | None) -> float | None:
        return None if b is None else p.get(_pair(row, a, b))

    rows = []
    for i, (task, metric, runs, best) in enumerate(plan):
        top = f"{runs[best].value(metric.key):.{DIGITS}f}"
        cells: list[Cell | None] = []
        for label in columns:
            if label not in runs:
                cells.append(None)
                continue
            value = runs[label].value(metric.key)
            low, high = runs[label].interval(metric.key)
            against_reference = p_of(i, label, reference)
            better = None
            if against_reference is not None and reference is not None:
                gain = value - runs[reference].value(metric.key)
                better = gain > 0 if metric.higher_is_better else gain < 0
            cells.append(
                Cell(
                    value=value,
                    low=low,
                    high=high,
                    seeds=len(runs[label].records),
                    sd=runs[label].sd(metric.key),
                    best=len(runs) > 1 and f"{value:.{DIGITS}f}" == top,
                    p_best=p_of(i, label, best),
                    p_reference=against_reference,
                    better=better,
                )
            )
        rows.append(Row(task, metric.key, next(iter(runs.values())).n, tuple(cells)))
    return tuple(rows), len(pairs)


def _pair(row: int, a: str, b: str) -> tuple[int, str, str]:
    return row, min(a, b), max(a, b)


def _facts(ranked: Sequence[Record]) -> tuple[tuple[str, str], ...]:
    """What the ranked runs have in common, in words."""
    if not ranked:
        return ()
    one = ranked[0]
    size = f", {one.llm.parameters:,} parameters" if one.llm.parameters else ""
    precision = f", {one.llm.dtype}" if one.llm.dtype else ""
    facts = [("LLM", f"{model_text(one.llm)}{precision}{size}, frozen")]
    for role in ("encoder", "retriever"):
        models = {model_text(getattr(r, role)) for r in ranked if getattr(r, role) is not None}
        facts += [(role, ", ".join(sorted(models)))] if models else []
    facts.append(("data", f"{one.data.name}, {one.data.setting} setting, {one.data.split} split"))
    tasks = {r.task: r for r in ranked}
    questions = [f"{task} {tasks[task].data.n:,}" for task in sorted(tasks, key=task_order)]
    facts.append(("questions", ", ".join(questions)))
    prints = [f"{task} {tasks[task].data.fingerprint[:12]}" for task in sorted(tasks, key=task_order)]
    facts.append(("fingerprints", ", ".join(prints)))
    limits = [f"version {one.prompt_version}"]
    words = {
        "max_input_tokens": "at most {} tokens",
        "beams": "{} beams",
        "chat_template": "in the LLM's chat template",
        "extract": "answers extracted by {}",
    }
    for name, value in one.generation.items():
        if name != "max_new_tokens":
            limits.append(words.get(name, name + " {}").format(value))
    facts.append(("prompt", ", ".join(limits)))
    new = {task: tasks[task].generation.get("max_new_tokens") for task in sorted(tasks, key=task_order)}
    if any(new.values()):
        same = f"at most {next(iter(new.values()))} tokens"
        each = ", ".join(f"{task} {limit}" for task, limit in new.items())
        facts.append(("output", same if len(set(new.values())) == 1 else f"tokens at most: {each}"))
    versions = ", ".join(sorted({r.environment.lampbench for r in ranked}))
    changed = sum(
        bool(r.environment.git_dirty or (r.training is not None and r.training.git_dirty)) for r in ranked
    )
    note = f"; {changed} of {len(ranked)} runs from a checkout with uncommitted changes" if changed else ""
    facts.append(("lampbench", versions + note))
    return tuple(facts)


def _cost(label: str, tasks: Sequence[SeedRuns]) -> CostRow:
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


def _failures(by_task: dict[str, dict[str, SeedRuns]], columns: tuple[str, ...]) -> tuple[FailureRow, ...]:
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


def _asides(standing: Standing, kind: str) -> tuple[AsideRow, ...]:
    rows: list[AsideRow] = []
    for entry in getattr(standing, kind):
        record = entry if isinstance(entry, Record) else entry.record
        reason = {
            "limited": f"{record.data.n} questions drawn at random",
            "unscored": f"{record.data.n} questions without golds",
        }.get(kind) or entry.reason
        metrics = tuple((key, metric.value) for key, metric in record.metrics.items())
        rows.append(AsideRow(record.task, record.method.label, record.seed, reason, metrics))
    return tuple(sorted(rows, key=lambda row: (task_order(row.task), row.run, row.reason)))
