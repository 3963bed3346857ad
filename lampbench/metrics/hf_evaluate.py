"""The metrics of a task behind the interface of Hugging Face's `evaluate`, for code that speaks it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from lampbench.errors import RequestError
from lampbench.metrics.scoring import rules_named, score
from lampbench.tasks import Task, get_task

if TYPE_CHECKING:
    import evaluate


def as_evaluate(
    task: str | Task, rules: str = "official", *, profile: str | None = None, **options: Any
) -> evaluate.Metric:
    """The task's metrics as an `evaluate.Metric`; nothing is downloaded.

    compute(predictions=[...], references=[...]) takes texts in the same order and returns the value per
    metric key. `profile` is another name of `rules`; `options` go to evaluate.Metric, such as cache_dir,
    num_process and experiment_id.

    >>> as_evaluate("LaMP-3").compute(predictions=["4", "1"], references=["5", "1"])["mae"]  # doctest: +SKIP
    0.5

    Raises:
        RequestError: unknown task or rules, or `evaluate` is not installed.
    """
    judged, rules = get_task(task), rules_named(profile or rules)
    try:
        # Imported here because they take seconds.
        import datasets
        import evaluate
    except ImportError as error:
        raise RequestError(
            f"as_evaluate needs the package '{error.name}': pip install 'lampbench[evaluate]'"
        ) from None

    class LampMetric(evaluate.Metric):
        """The metrics of one task; example ids are positions."""

        def _info(self) -> evaluate.MetricInfo:
            text = datasets.Value("string")
            return evaluate.MetricInfo(
                description=f"{judged.name}, {judged.title}: {', '.join(m.label for m in judged.metrics)}"
                " by the rules of the LaMP benchmark.",
                citation="Salemi et al. LaMP: When Large Language Models Meet Personalization. arXiv:2304.11406",
                inputs_description="predictions: output texts. references: gold texts, one per prediction.",
                features=datasets.Features({"predictions": text, "references": text}),
                reference_urls=["https://lamp-benchmark.github.io"],
            )

        def _compute(self, predictions: list[str], references: list[str]) -> dict[str, float]:
            outputs, golds = (
                {str(place): text for place, text in enumerate(texts)} for texts in (predictions, references)
            )
            return score(judged, outputs, golds, rules).metrics

    return LampMetric(config_name=f"{judged.official_name}-{rules}", **options)
