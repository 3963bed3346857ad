"""What always giving the same answer scores: below that, a method has learned nothing."""

from __future__ import annotations

from collections.abc import Mapping

from lampbench.metrics.rules import parse_rating
from lampbench.tasks import Task


def constant_floors(task: Task, labels: Mapping[str, int]) -> dict[str, tuple[str, float]]:
    """What the best constant answer scores: metric to (the answer, its value).

    For classification the majority label's accuracy. For ratings the best of the task's labels for MAE and
    for RMSE, which need not be the same one; a gold that is no rating to the metrics is left out. Free text
    has no constant worth naming.

    Args:
        task: the task.
        labels: how often each gold occurs.
    """
    if task.kind == "classification" and (total := sum(labels.values())):
        best = max(task.labels, key=lambda label: labels.get(label, 0))
        return {"accuracy": (best, labels.get(best, 0) / total)}
    if task.kind == "rating":
        ratings = [(parse_rating(label), n) for label, n in labels.items()]
        golds = [(rating, n) for rating, n in ratings if rating is not None]
        if total := sum(n for _, n in golds):

            def loss(answer: str, power: int) -> float:
                mean = sum(n * abs(float(answer) - gold) ** power for gold, n in golds) / total
                return float(mean ** (1 / power))

            answers = {"mae": 1, "rmse": 2}
            floors = {}
            for name, power in answers.items():
                value, answer = min((loss(label, power), label) for label in task.labels)
                floors[name] = (answer, value)
            return floors
    return {}
