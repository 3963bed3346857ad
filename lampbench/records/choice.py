"""How well a method chose among answers: how often each, and the bounds of what choosing can reach."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from lampbench.metrics.scoring import Score
    from lampbench.tasks import Task

Answers = Mapping[str, str]
"""Outputs by question id."""


@dataclass(frozen=True)
class ChoiceRecord:
    """What a method chose among, and what choosing could have reached.

    Attributes:
        chosen: how often each was chosen, by name, in the order of the pool; never is 0.
        alone: metrics of each, had it been chosen always.
        upper: metrics of an oracle that chooses the best answer of every question: what no choice exceeds.
        lower: metrics of the worst answer of every question.
        success: share of the questions whose chosen answer is as good as the best one, by the main metric.

    The last four are empty where the golds or the answers that were not chosen are unknown.
    """

    chosen: dict[str, int] = field(default_factory=dict)
    alone: dict[str, dict[str, float]] = field(default_factory=dict)
    upper: dict[str, float] = field(default_factory=dict)
    lower: dict[str, float] = field(default_factory=dict)
    success: float | None = None


def weigh_choice(
    task: Task, chosen: Mapping[str, str], answers: Mapping[str, Answers], golds: Answers
) -> ChoiceRecord:
    """The record of a choice.

    The oracle of a metric that is a mean over questions is its own: it takes the best answer by that metric.
    F1 is no such mean, so its bounds are those of the answers that are best and worst by the main metric; if that
    one is none either, nothing tells which answer is best, and there are no bounds.

    Args:
        task: the task.
        chosen: name of the answer chosen, by question id.
        answers: per name, in the order of the pool, an output for every question.
        golds: the golds of the questions.
    """
    from lampbench import metrics

    scores = {name: metrics.score(task, outputs, golds) for name, outputs in answers.items()}
    alone = {name: dict(score.metrics) for name, score in scores.items()}
    main = task.metric.key
    if not all(main in score.per_example for score in scores.values()):
        return ChoiceRecord(count_chosen(chosen, answers), alone)

    def bound(best: bool) -> dict[str, float]:
        values: dict[str, float] = {}
        for metric in task.metrics:
            key = metric.key if all(metric.key in s.per_example for s in scores.values()) else main
            picked = _extreme(scores, key, task, best)
            texts = {id: answers[name][id] for id, name in picked.items()}
            values[metric.key] = metrics.score(task, texts, golds).metrics[metric.key]
        return values

    best = _extreme(scores, main, task, best=True)
    value = {name: score.per_example[main] for name, score in scores.items()}
    hits = sum(value[name][id] == value[best[id]][id] for id, name in chosen.items())
    return ChoiceRecord(
        chosen=count_chosen(chosen, answers),
        alone=alone,
        upper=bound(best=True),
        lower=bound(best=False),
        success=hits / len(chosen),
    )


def count_chosen(chosen: Mapping[str, str], pool: Mapping[str, object] | None = None) -> dict[str, int]:
    """How often each name was chosen; those of the pool first, in its order."""
    counts = Counter(chosen.values())
    return {name: counts[name] for name in [*(pool or ()), *sorted(counts)]}


def _extreme(scores: Mapping[str, Score], key: str, task: Task, best: bool) -> dict[str, str]:
    """By question id, whose answer is best (or worst) by that metric; of equals, the first of the pool."""
    direction = {metric.key: metric.higher_is_better for metric in task.metrics}
    pick: Callable[..., str] = max if direction[key] == best else min
    ids = next(iter(scores.values())).per_example[key]
    return {id: pick(scores, key=lambda name: scores[name].per_example[key][id]) for id in ids}
