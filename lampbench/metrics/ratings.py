"""Ratings, by the official rule of LaMP: strip, then `float`, neither rounded nor clipped.

Where that fails, the rating is the end of the scale that is farther from the gold (LaMP-Benchmark/LaMP,
eval/evaluation.py). One deviation, where the script gives no usable number: `nan` and `inf` count as unreadable.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import numpy as np

from lampbench import stats
from lampbench.metrics.base import AnswerKind, Answers, Float32s, Rule, Texts
from lampbench.tasks import Task

# A larger rating counts as unparsed, like inf: the sum of its square over a test set would overflow.
_LARGEST = 1e150


def parse_rating(text: str) -> float | None:
    """A rating as the official rule reads it; None if it is no number, or none that a mean can be taken of."""
    try:
        value = float(text.strip())
    except ValueError:
        return None
    # Also False for nan.
    return value if abs(value) < _LARGEST else None


def official_rating(prediction: str, gold: float, low: float = 1.0, high: float = 5.0) -> tuple[float, bool]:
    """(rating, parsed) by the official rule: unreadable text is the end of the scale far from the gold."""
    rating = parse_rating(prediction)
    if rating is not None:
        return rating, True
    # The middle of the scale is equally far from both ends; the script then takes the upper one.
    return (low if abs(low - gold) > abs(high - gold) else high), False


def pplug_rating(prediction: str) -> tuple[float, bool]:
    """(rating, parsed) by PPlug's rule: the first numeric character, or 1 where there is none.

    A fraction or a superscript is numeric too and stops the released program; here it is not a rating.
    """
    first = next((character for character in prediction if character.isnumeric()), "")
    return (float(int(first)), True) if first.isdecimal() else (1.0, False)


def scale(task: Task) -> tuple[float, float]:
    """The ends of the task's scale: its first and its last label."""
    return float(task.labels[0]), float(task.labels[-1])


def _errors(answers: Answers) -> list[float]:
    return [abs(rating - gold) for rating, gold in zip(answers.outputs, answers.golds, strict=True)]


def _squared_errors(answers: Answers) -> list[float]:
    return [(rating - gold) ** 2 for rating, gold in zip(answers.outputs, answers.golds, strict=True)]


class Ratings(AnswerKind):
    """A number on the scale from the first to the last of the task's labels."""

    noun = "ratings"
    no_gold = "not a rating"
    rules: ClassVar = {"mae": Rule(_errors), "rmse": Rule(_squared_errors, stats.root_mean)}

    def golds(self, task: Task, texts: Sequence[str], rules: str = "official") -> list[float | None]:
        return [parse_rating(text) for text in texts]

    def read(self, task: Task, texts: Texts, golds: Sequence[float], rules: str = "official") -> Answers:
        low, high = scale(task)
        if rules == "official":
            pairs = zip(texts.outputs, golds, strict=True)
            read = [official_rating(output, gold, low, high) for output, gold in pairs]
        else:
            read = [pplug_rating(output) for output in texts.outputs]
        unparsed = sum(not parsed for _, parsed in read)
        return Answers(task, texts, [rating for rating, _ in read], golds, unparsed)

    def gold_finding(self, task: Task, text: str) -> str | None:
        return None if text.strip() in task.labels else "foreign_golds"

    def rewards(self, task: Task, values: Float32s, golds: Sequence[str]) -> Float32s:
        """A rating ŷ for y counts (w - |y - ŷ|) / w, where w is the distance of y from the farther end.

        That is 1 for the right one and 0 for the farthest (arXiv:2404.05970, eq. 8); one off the scale is no
        worse than that.
        """
        if task.metric.key != "mae":
            return super().rewards(task, values, golds)
        low, high = scale(task)
        ratings = np.array([float(gold) for gold in golds], dtype=np.float32)
        widest = np.maximum(np.abs(low - ratings), np.abs(high - ratings))
        return ((widest - values) / widest).clip(min=0)
