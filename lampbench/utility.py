"""How good one answer is, as a number from 0 to 1: what a method learns from that learns from the LLM's answers.

ROPG and RSPG (arXiv:2404.05970) reward a retriever by the task's main metric on a single answer: accuracy and
ROUGE-1 as they are, and the rating error turned round (equation 8), so that more is better for every task.
"""

from __future__ import annotations

from collections.abc import Mapping

from lampbench import metrics
from lampbench.tasks import Task


def utilities(task: Task, outputs: Mapping[str, str], golds: Mapping[str, str]) -> dict[str, float]:
    """The utility of each output by question id; 1 is perfect.

    Of a rating it is (w − |gold − rating|) / w, where w is the largest error possible for that gold. A number
    beyond the scale is worth 0, like the worst on it and like a text that is no number.

    Args:
        task: the task.
        outputs: generated texts by question id.
        golds: the golds of the same questions.
    """
    values = metrics.score(task, outputs, golds).per_example[task.metric.key]
    if task.kind != "rating":
        return dict(values)
    scale = [float(label) for label in task.labels]
    worst = {id: max(float(golds[id]) - min(scale), max(scale) - float(golds[id])) for id in values}
    return {id: max(0.0, (worst[id] - error) / worst[id]) for id, error in values.items()}
