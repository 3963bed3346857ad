"""The metrics of a task behind the interface of Hugging Face's `evaluate`, for code that speaks it.

Importing this module imports `evaluate` and `datasets`, which takes seconds: go through metrics.as_evaluate.
"""

from __future__ import annotations

from typing import Any

import datasets
import evaluate

from lampbench.errors import unknown
from lampbench.metrics.rules import PROFILES, score
from lampbench.tasks import Task


class LampMetric(evaluate.Metric):
    """The official metrics of one LaMP task as an evaluate.Metric; `options` are those of its constructor."""

    def __init__(self, task: Task, profile: str = "official", **options: Any) -> None:
        if profile not in PROFILES:
            raise unknown("profile", profile, PROFILES)
        self.task = task
        self.profile = profile
        super().__init__(config_name=f"{task.official_name}-{profile}", **options)

    def _info(self) -> evaluate.MetricInfo:
        return evaluate.MetricInfo(
            description=f"{self.task.name}, {self.task.title}: "
            + ", ".join(metric.label for metric in self.task.metrics)
            + " by the rules of the LaMP benchmark.",
            citation="Salemi et al. LaMP: When Large Language Models Meet Personalization. arXiv:2304.11406",
            inputs_description="predictions: output texts. references: gold texts, one per prediction.",
            features=datasets.Features(
                {"predictions": datasets.Value("string"), "references": datasets.Value("string")}
            ),
            reference_urls=["https://lamp-benchmark.github.io"],
        )

    def _compute(self, predictions: list[str], references: list[str]) -> dict[str, float]:
        """Values per metric key; example ids are positions."""
        outputs = {str(i): text for i, text in enumerate(predictions)}
        golds = {str(i): text for i, text in enumerate(references)}
        return score(self.task, outputs, golds, self.profile).metrics
