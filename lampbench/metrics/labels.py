"""Labels, by the official rule of LaMP: strip, then an exact, case-sensitive look-up.

Any other text is a miss for its gold label and a false positive for none. Macro-F1 is over all labels of the
task; an absent label counts 0 (LaMP-Benchmark/LaMP, eval/evaluation.py).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import numpy as np

from lampbench import stats
from lampbench.errors import RequestError
from lampbench.metrics.base import AnswerKind, Answers, Rule, Texts
from lampbench.tasks import Task


def accuracy_rows(answers: Answers) -> list[float]:
    """1 for the right label, else 0.

    A gold outside the labels matches an output outside the labels: so the official script has it.
    """
    return [float(gold == output) for gold, output in zip(answers.golds, answers.outputs, strict=True)]


def f1_rows(labels: Sequence[tuple[int, int]], n_labels: int) -> stats.FloatArray:
    """Label indicators of (gold, predicted) pairs, `[n, 2 * n_labels]`: hits, then gold plus predicted."""
    gold, predicted = np.array(labels, dtype=np.int64).reshape(-1, 2).T
    each = np.arange(n_labels)
    is_gold = gold[:, None] == each
    is_predicted = predicted[:, None] == each
    return np.hstack([is_gold & is_predicted, is_gold.astype(np.float64) + is_predicted])


def macro_f1(means: stats.FloatArray) -> stats.FloatArray:
    """Macro-F1 from means (or sums) of f1_rows, `[..., 2 * n_labels]` -> `[...]`; an absent label counts 0.

    F1 of one label is 2 hits / (golds + predictions), which is 2PR / (P + R) without its divisions by zero.
    """
    hits, marked = np.split(means, 2, axis=-1)
    return np.divide(2 * hits, marked, out=np.zeros_like(hits), where=marked > 0).mean(axis=-1)


class Labels(AnswerKind):
    """One of the task's labels, read as its position in `task.labels`; -1 is any other text.

    By PPlug's rules the white space around it counts.
    """

    noun = "labels"
    rules: ClassVar = {
        "accuracy": Rule(accuracy_rows),
        "f1": Rule(
            lambda answers: f1_rows(
                list(zip(answers.golds, answers.outputs, strict=True)), len(answers.task.labels)
            ),
            macro_f1,
            of_labels=True,
        ),
    }

    def golds(self, task: Task, texts: Sequence[str], rules: str = "official") -> list[int]:
        position = {label: i for i, label in enumerate(task.labels)}
        if rules == "official":
            texts = [text.strip() for text in texts]
        return [position.get(text, -1) for text in texts]

    def read(self, task: Task, texts: Texts, golds: Sequence[int], rules: str = "official") -> Answers:
        outputs = self.golds(task, texts.outputs, rules)
        return Answers(task, texts, outputs, golds, outputs.count(-1), golds.count(-1))

    def check(self, answers: Answers) -> None:
        if answers.unknown_golds < len(answers.golds):
            return
        task, example = answers.task, answers.texts.golds[0][:40]
        older = f", or of {task.files.older_golds}" if task.files.older_golds else ""
        raise RequestError(
            f"{task.name}: no gold is among its {len(task.labels)} labels (the first is '{example}'); "
            f"are these golds of another task{older}?"
        )

    def gold_finding(self, task: Task, text: str) -> str | None:
        return None if text.strip() in task.labels else "foreign_golds"
