"""The kinds of answers that there are."""

from __future__ import annotations

from collections.abc import Mapping

from lampbench.metrics.base import AnswerKind
from lampbench.metrics.labels import Labels
from lampbench.metrics.ranked import RankedLists
from lampbench.metrics.ratings import Ratings
from lampbench.metrics.rouge import FreeText
from lampbench.tasks import Task

KINDS: Mapping[str, AnswerKind] = {
    "classification": Labels(),
    "rating": Ratings(),
    "generation": FreeText(),
    "ranking": RankedLists(),
}


def answer_kind(task: Task) -> AnswerKind:
    """How answers to a task are read and judged."""
    return KINDS[task.kind]
