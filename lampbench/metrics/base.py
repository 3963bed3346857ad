"""What a kind of answer is: how outputs and golds are read, what is counted, and which metrics judge them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, ClassVar, NamedTuple

import numpy as np
import numpy.typing as npt

from lampbench import stats
from lampbench.errors import RequestError, unknown
from lampbench.tasks import Metric, Task

Float32s = npt.NDArray[np.float32]


class Texts(NamedTuple):
    """The outputs and golds of some questions as they came, in one order."""

    outputs: Sequence[str]
    golds: Sequence[str]


@dataclass(frozen=True)
class Answers:
    """Outputs and golds as their kind reads them: place i of every sequence is one question.

    Attributes:
        task: what was asked.
        texts: outputs and golds as they came.
        outputs: what is judged of each output.
        golds: what it is judged by.
        unparsed: how many outputs are no answer of the kind.
        unknown_golds: how many golds are none.
        more: further counts that a reader of the metrics should know.
    """

    task: Task
    texts: Texts
    outputs: Sequence[Any]
    golds: Sequence[Any]
    unparsed: int = 0
    unknown_golds: int = 0
    more: Mapping[str, int] = field(default_factory=dict)

    @property
    def counts(self) -> dict[str, int]:
        """`n`, `unparsed`, `empty` (outputs without any text), `unknown_golds`, and what else is counted."""
        empty = sum(not text.strip() for text in self.texts.outputs)
        counts = {"n": len(self.outputs), "unparsed": self.unparsed, "empty": empty}
        return {**counts, "unknown_golds": self.unknown_golds, **self.more}


Rows = list[float] | stats.FloatArray
"""Of a metric: a number per question, or several `[n, d]`."""


class Rule(NamedTuple):
    """How a metric judges answers.

    Attributes:
        rows: answers to rows.
        statistic: the metric's value from the means of their columns, `[..., d]` -> `[...]`.
        of_labels: whether rows are whole numbers that the labels tell, and the statistic of their sums is that of
            their means.
    """

    rows: Callable[[Any], Rows]
    statistic: stats.Statistic = stats.mean
    of_labels: bool = False


class AnswerKind:
    """One way in which answers are judged; `Task.kind` names it.

    Attributes:
        noun: what such answers are called in messages.
        no_gold: what a gold is by which nothing can be scored, such as "not a rating".
        free: whether answers are in words of one's own, so that a gold found in a history is a leak; a label is
            bound to occur there.
        rules: the metrics that it knows, by key.
    """

    noun: ClassVar[str]
    no_gold: ClassVar[str] = ""
    free: ClassVar[bool] = False
    rules: ClassVar[Mapping[str, Rule]]

    def golds(self, task: Task, texts: Sequence[str], rules: str = "official") -> list[Any]:
        """What outputs are judged by, per gold; None: nothing can be scored by that text.

        Args:
            task: what was asked.
            texts: the golds.
            rules: the name of the scoring rules; see `lampbench.metrics.score`.
        """
        raise NotImplementedError

    def read(self, task: Task, texts: Texts, golds: Sequence[Any], rules: str = "official") -> Answers:
        """The answers in the outputs, beside their golds, as `golds` returns them."""
        raise NotImplementedError

    def check(self, answers: Answers) -> None:
        """Refuse golds that cannot be those of the task.

        Raises:
            RequestError: says what they look like.
        """

    def gold_finding(self, task: Task, text: str) -> str | None:
        """What an audit counts such a gold as, where it is odd but can be scored by."""
        return None

    def rule(self, metric: Metric | str) -> Rule:
        """The rule of a metric: the one that it brings along, or the known one of its key.

        Raises:
            RequestError: it brings none, and none of that key judges such answers.
        """
        if isinstance(metric, Metric) and metric.rows is not None:
            return Rule(partial(_own_rows, metric), metric.statistic or stats.mean)
        key = metric if isinstance(metric, str) else metric.key
        if key not in self.rules:
            raise unknown(f"metric of {self.noun}", key, self.rules)
        return self.rules[key]

    def rewards(self, task: Task, values: Float32s, golds: Sequence[str]) -> Float32s:
        """How good answers are, from 0 to 1, given the score of each in the task's main metric, `[n]` -> `[n]`.

        Where more is better, it is that score. A loss v of which no more is known makes 1 / (1 + v).
        """
        return values if task.metric.higher_is_better else np.float32(1) / (1 + values)


def _own_rows(metric: Metric, answers: Answers) -> Rows:
    """Rows by a metric's own rule, checked: the statistics need finite numbers, one row per question."""
    assert metric.rows is not None
    rows = np.asarray(metric.rows(answers.texts.outputs, answers.texts.golds), dtype=np.float64)
    n = len(answers.outputs)
    if rows.ndim not in (1, 2) or len(rows) != n:
        wrong = f"have shape {rows.shape}, not [{n}] or [{n}, d]"
    elif not np.isfinite(rows).all():
        wrong = f"hold {rows[~np.isfinite(rows)][0]}"
    else:
        return rows if rows.ndim == 2 and rows.shape[1] > 1 else rows.ravel().tolist()
    raise RequestError(f"{answers.task.name}: the rows of metric '{metric.key}' for {n} questions {wrong}")


def as_array(rows: npt.ArrayLike) -> stats.FloatArray:
    """Rows as `[n, d]`."""
    array = np.asarray(rows, dtype=np.float64)
    return array if array.ndim == 2 else array.reshape(-1, 1)
