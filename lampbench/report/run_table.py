"""The table that ends a run: methods as columns, tasks and metrics as rows, in 80 columns."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from statistics import mean

from lampbench.errors import RequestError
from lampbench.metrics.rouge import TOKENLESS
from lampbench.records.record import Record
from lampbench.report.scores_table import metric_label
from lampbench.tasks import get_task
from lampbench.tasks.registry import find_metric
from lampbench.terminal import printable

BOUNDS = {"best of pool": "upper", "worst of pool": "lower"}
"""Rows of methods that choose among answers, and where their records have them."""

FAILURES = ("unparsed", "ambiguous", "tokenless", "tokenless_golds", "empty")
"""Rows of counts, shown where something was counted."""

LEGEND = "*: best of its row, untested; lampbench compare A B tests a difference"


def results_table(records: Sequence[Record], width: int = 80) -> str:
    """The results of some runs, the mean over seeds, the best of each row marked with *.

    A last line says what the mark is, because a star is easily taken for a significant difference.
    A metric says little without its failures: where outputs could not be parsed, a row tells how many. Where a
    method chooses among answers, rows tell its main metric had it always chosen the best or the worst one.
    Methods that do not fit into the width go on below.
    """
    tasks = list(dict.fromkeys(record.task for record in records))
    labels = list(dict.fromkeys(record.method.label for record in records))
    names: list[tuple[str, str]] = []
    for task in tasks:
        names += [(task, key) for key in _metrics(records, task)]
        if any(_bound(r, "upper") is not None for r in records if r.task == task):
            names += [(task, bound) for bound in BOUNDS]
        names += [(task, count) for count in FAILURES if _counted(records, task, count)]
    first = max([len(_row_name(*name)) for name in names], default=0)
    blocks: list[list[str]] = [[]]
    used = first
    heads = {label: f"{printable(label):>7}" for label in labels}
    for label in labels:
        size = len(heads[label]) + 2
        if blocks[-1] and used + size > width:
            blocks.append([])
            used = first
        blocks[-1].append(label)
        used += size
    parts = []
    for block in blocks:
        lines = [" " * first + "".join(f"  {heads[label]}" for label in block)]
        for name in names:
            cells = _row(records, *name, labels)
            shown = "".join(f"  {cells[label]:>{len(heads[label])}}" for label in block)
            lines.append(f"{_row_name(*name):<{first}}{shown}")
        parts.append("\n".join(lines))
    if any("*" in part for part in parts):
        parts.append(textwrap.fill(LEGEND, width))
    if any(name.startswith("tokenless") for _, name in names):
        parts.append(textwrap.fill(TOKENLESS, width))
    return "\n\n".join(parts)


def _metrics(records: Sequence[Record], task: str) -> list[str]:
    """The keys of the task's metrics; of a task whose file is gone by now, those that its runs have."""
    try:
        return [metric.key for metric in get_task(task).metrics]
    except RequestError:
        return list(dict.fromkeys(key for record in records if record.task == task for key in record.metrics))


def _bound(record: Record, which: str) -> float | None:
    """What the best or worst choice scores by the main metric; None if the record does not tell."""
    main = next(iter(_metrics([record], record.task)), None)
    bounds: Mapping[str, float] = getattr(record.choice, which, {})
    return bounds.get(main) if main is not None else None


def _row_name(task: str, name: str) -> str:
    if name in FAILURES or name in BOUNDS:
        return f"{task}   {name.replace('_', ' ')}"
    return f"{task} {metric_label(task, name)}"


def _row(records: Sequence[Record], task: str, name: str, labels: Sequence[str]) -> dict[str, str]:
    """A cell per method."""
    here = {label: [r for r in records if r.task == task and r.method.label == label] for label in labels}
    if name in FAILURES:
        totals = {label: sum(r.counts.get(name, 0) for r in runs) for label, runs in here.items()}
        return {label: f"{totals[label]} " if here[label] else "- " for label in labels}
    if name in BOUNDS:
        bounds = {
            label: [bound for r in runs if (bound := _bound(r, BOUNDS[name])) is not None]
            for label, runs in here.items()
        }
        return {label: f"{mean(found):.3f} " if found else "- " for label, found in bounds.items()}
    values = {
        label: round(mean(run.metrics[name].value for run in runs), 3)  # as printed: equal ones are all best
        for label, runs in here.items()
        if runs and all(name in run.metrics for run in runs)
    }
    metric = find_metric(task, name)
    best = (
        None if metric is None else (max if metric.higher_is_better else min)(values.values(), default=None)
    )
    cells = {
        label: f"{value:.3f}{'*' if value == best and len(values) > 1 else ' '}"
        for label, value in values.items()
    }
    return {label: cells.get(label, "- ") for label in labels}


def _counted(records: Sequence[Record], task: str, name: str) -> bool:
    return any(record.counts.get(name, 0) for record in records if record.task == task)
