"""The runs of one method on one task, one per seed, with what they scored on each question.

Seeds and questions are two sources of chance, and they are kept apart: the value of a metric is the mean over
seeds, `sd` is its spread over seeds, and `interval` and `paired` are about the questions, with the seeds as
they are.
"""

from __future__ import annotations

import hashlib
import statistics
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from lampbench import metrics, stats
from lampbench.errors import RunError
from lampbench.records.predictions import Line, read_predictions
from lampbench.records.record import Record
from lampbench.tasks.registry import why_absent

# A record's value is computed in another order of summation than the one from its predictions.
_TOLERANCE = 1e-9


@dataclass(frozen=True)
class SeedRuns:
    """Complete, scored runs of one method on one task.

    Attributes:
        records: one per seed, by seed.
        logs: the predictions of each, by question id.
    """

    records: tuple[Record, ...]
    logs: tuple[dict[str, Line], ...]

    @property
    def task(self) -> str:
        """Name of the task."""
        return self.records[0].task

    @property
    def label(self) -> str:
        """The method as tables show it."""
        return self.records[0].method.label

    @property
    def n(self) -> int:
        """Number of questions."""
        return len(self.logs[0])

    @cached_property
    def ids(self) -> list[str]:
        """The questions, in an order that does not depend on the files."""
        return sorted(self.logs[0])

    @cached_property
    def users(self) -> list[Hashable] | None:
        """The user of each question; None where no user asks twice: questions are then independent."""
        users = [self.logs[0][id].get("user") for id in self.ids]
        known = [user for user in users if user is not None]
        return users if len(set(known)) < len(known) else None

    def value(self, metric: str) -> float:
        """Mean over seeds."""
        return statistics.fmean(record.metrics[metric].value for record in self.records)

    def sd(self, metric: str) -> float | None:
        """Standard deviation over seeds (n - 1); None for a single seed."""
        values = [record.metrics[metric].value for record in self.records]
        return statistics.stdev(values) if len(values) > 1 else None

    def interval(self, metric: str) -> tuple[float | None, float | None]:
        """95 % bootstrap interval over questions (over users, where they repeat) of the mean over seeds."""
        if len(self.records) == 1:
            only = self.records[0].metrics[metric]
            return only.low, only.high
        rows = self._rows(metric)
        n, seeds, d = rows.shape
        one = metrics.statistic(metric, self.task)

        def mean_over_seeds(means: stats.FloatArray) -> stats.FloatArray:
            return one(means.reshape(*means.shape[:-1], seeds, d)).mean(axis=-1)

        return stats.bootstrap_interval(rows.reshape(n, seeds * d), mean_over_seeds, groups=self.users)

    def mean_rows(self, metric: str, ids: Sequence[str]) -> stats.FloatArray:
        """Per question what the metric is a statistic of, averaged over seeds: `[n, d]`, like `ids`."""
        place = {id: i for i, id in enumerate(self.ids)}
        return self._rows(metric).mean(axis=1)[[place[id] for id in ids]]

    def _rows(self, metric: str) -> stats.FloatArray:
        """`[n, seeds, d]`, in the order of self.ids."""
        return np.stack(
            [metrics.logged_rows(self.task, metric, [log[id] for id in self.ids]) for log in self.logs],
            axis=1,
        )


def paired(a: SeedRuns, b: SeedRuns, metric: str, n: int = stats.RESAMPLES) -> stats.PairedTest:
    """Paired randomization test of a against b, each averaged over its seeds, on the questions that both
    answered.

    Args:
        a, b: runs on the same task and the same questions.
        metric: a metric of the task.
        n: number of assignments drawn.

    Raises:
        RequestError: they did not answer the same questions.
    """
    metrics.check_ids(b.logs[0], a.logs[0], f"the questions of {b.label}", f"those of {a.label}")
    return stats.paired_test_statistic(
        a.mean_rows(metric, a.ids),
        b.mean_rows(metric, a.ids),
        metrics.statistic(metric, a.task),
        groups=a.users,
        n=n,
    )


def p_value(a: SeedRuns, b: SeedRuns, metric: str, n: int = stats.RESAMPLES) -> float:
    """The p-value of `paired`, alone: without the interval of the difference, which takes most of its time.

    A table makes hundreds of tests and shows none of their intervals.
    """
    metrics.check_ids(b.logs[0], a.logs[0], f"the questions of {b.label}", f"those of {a.label}")
    return stats.randomization_p(
        a.mean_rows(metric, a.ids),
        b.mean_rows(metric, a.ids),
        metrics.statistic(metric, a.task),
        groups=a.users,
        n=n,
    )


def read_log(record: Record) -> tuple[dict[str, Line], str | None]:
    """The predictions of a complete run, and what is wrong with them (None: they give its metrics).

    Where its task is not there, nothing tells how they give them, and the file alone is looked at.
    """
    path = record.predictions
    try:
        log = read_predictions(path)
        sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
    except (RunError, OSError):
        return {}, f"its {path.name} is missing or cannot be read"
    if record.predictions_sha256 is not None and sha256 != record.predictions_sha256:
        return log, f"its {path.name} is not the one that was scored"
    if why_absent(record.task) is not None:
        return log, None
    for key, recorded in record.metrics.items():
        try:
            rows = metrics.logged_rows(record.task, key, list(log.values()))
        except (KeyError, TypeError, ValueError):
            return log, f"its {path.name} lacks the scores for {key}"
        value = float(metrics.statistic(key, record.task)(rows.mean(axis=0))) if len(rows) else float("nan")
        if not abs(value - recorded.value) <= _TOLERANCE * max(1.0, abs(value)):
            return log, f"its record says {key} {recorded.value:.4g} and its {path.name} {value:.4g}"
    return log, None
