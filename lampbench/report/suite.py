"""One suite as numbers: what its runs scored, what of it is chance, what they cost, and what went wrong."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from lampbench.records.record import Record
from lampbench.report.choice_table import ChoiceRow, choice_rows
from lampbench.report.comparable_runs import Standing, model_text, stand
from lampbench.report.cost_table import CostRow, cost_row
from lampbench.report.failure_table import FailureRow, failure_rows
from lampbench.report.published import Published, PublishedTable, comparable, published_tables
from lampbench.report.scores_table import Row, scores_table
from lampbench.report.seed_runs import SeedRuns
from lampbench.tasks import get_task
from lampbench.tasks.registry import task_order


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
    rows, comparisons = scores_table(by_task, columns, reference)
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
        costs=tuple(cost_row(label, [t[label] for t in by_task.values() if label in t]) for label in columns),
        choices=choice_rows(by_task, columns),
        failures=failure_rows(by_task, columns),
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
