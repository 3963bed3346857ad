"""What always giving the same answer scores: below that, a method has learned nothing."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from lampbench.metrics.base import Texts
from lampbench.metrics.known import answer_kind
from lampbench.tasks import Task


def constant_floors(task: Task, golds: Mapping[str, int]) -> dict[str, tuple[str, float]]:
    """What the best constant answer scores: metric to (the answer, its value).

    It is the best of the task's labels for each metric that gives every example a score, and need not be the same
    label for all. A gold that nothing can be scored by is left out. Free text has no constant worth naming.

    Args:
        task: the task.
        golds: how often each gold occurs.
    """
    kind = answer_kind(task)
    read = dict(zip(golds, kind.golds(task, list(golds)), strict=True))
    texts = [text for text in golds if read[text] is not None]
    total = sum(golds[text] for text in texts)
    floors: dict[str, tuple[str, float]] = {}
    for label in task.labels if total else ():
        constant = Texts([label] * len(texts), texts)
        answers = kind.read(task, constant, [read[text] for text in texts])
        for metric in task.metrics:
            rule = kind.rule(metric)
            rows = rule.rows(answers)
            if not isinstance(rows, list):
                continue
            mean = sum(golds[text] * row for text, row in zip(texts, rows, strict=True)) / total
            value = float(rule.statistic(np.array([mean])))
            sign = 1 if metric.higher_is_better else -1
            if metric.key not in floors or sign * value > sign * floors[metric.key][1]:
                floors[metric.key] = (label, value)
    return floors
