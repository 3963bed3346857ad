"""The benchmark's metrics, by its official rules, with the score of every example kept.

The rules are those of the official evaluation script of LaMP (LaMP-Benchmark/LaMP, eval/evaluation.py):

* labels (LaMP-1, 2): strip, then an exact, case-sensitive look-up. Any other text is a miss for its gold
  label and a false positive for none. Macro-F1 is over all labels of the task; an absent label counts 0.
* rating (LaMP-3): strip, then `float`, neither rounded nor clipped. Where that fails, the end of the scale
  that is farther from the gold.
* text (LaMP-4, 5, 7): strip, then ROUGE-1 and ROUGE-L F-measure of the `rouge_score` package, no stemming. Its
  tokenizer keeps a-z and 0-9 only, so texts in other scripts score 0, equal or not; they are counted.

Two deviations, where the script gives no usable number: `nan` and `inf` count as unparsable ratings, and
ROUGE is the plain mean over examples, where the script has the median of an unseeded bootstrap of that mean.
The two differ by up to 4e-4 on 1,500 examples; rouge_bootstrap_mid computes the latter.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Literal, get_args

import numpy as np

from lampbench import stats
from lampbench.errors import RequestError, unknown
from lampbench.tasks import Task, get_task

if TYPE_CHECKING:
    import evaluate
    from rouge_score.rouge_scorer import RougeScorer

Profile = Literal["official", "pplug"]
PROFILES: tuple[str, ...] = get_args(Profile)

TOKENLESS = "tokenless: ROUGE keeps a-z and 0-9 only, by the official rule; a text without them scores 0."
"""What people are told where such texts were counted (rouge_score 0.1.2, tokenize.py)."""

_TOKEN = re.compile("[a-z0-9]")

# A larger rating counts as unparsed, like inf: the sum of its square over a test set would overflow.
_LARGEST_RATING = 1e150


@dataclass(frozen=True)
class Score:
    """The score of one set of predictions.

    Attributes:
        task: name of the task, such as `LaMP-3`.
        profile: the rules that were applied.
        metrics: value per metric key, with the task's main metric first.
        per_example: per metric key the value of each example by id, in the order of the golds. `mae` holds
            absolute and `rmse` *squared* errors, so that metrics["rmse"] is the root of their mean. `f1` is
            not here: it is no mean over examples (see rows).
        counts: `n`; `unparsed`: outputs that are no label or no rating, 0 for text; `empty`: outputs without
            any text, which for labels and ratings are unparsed as well; `unknown_golds`: golds that are no
            label; for text `tokenless` and `tokenless_golds`: see is_tokenless.
        labels: for label tasks, (gold, predicted) position in task.labels by id, -1 for any other text; else
            empty.
    """

    task: str
    profile: str
    metrics: dict[str, float]
    per_example: dict[str, dict[str, float]]
    counts: dict[str, int]
    labels: dict[str, tuple[int, int]] = field(default_factory=dict, repr=False)

    def rows(self, metric: str) -> stats.FloatArray:
        """What resampling needs for that metric: rows `[n, d]`, in the order of per_example.

        statistic(metric) of their column means is metrics[metric].

        Raises:
            RequestError: the score has no such metric.
        """
        if metric not in self.metrics:
            raise unknown(f"metric of {self.task}", metric, self.metrics)
        if metric == "f1":
            return f1_rows(list(self.labels.values()), len(get_task(self.task).labels))
        return np.array(list(self.per_example[metric].values()), dtype=np.float64)[:, None]


def score(
    task: str | Task,
    predictions: Mapping[str, str],
    golds: Mapping[str, str],
    profile: str = "official",
) -> Score:
    """Scores predictions against golds.

    Args:
        task: a task or its name.
        predictions: output text by example id.
        golds: gold text by example id; the ids must be those of the predictions, the order is free.
        profile: `official`, or `pplug`: the rules of the released PPlug code (main_profile.py), which do not
            strip, give LaMP-1 no F1, and read a rating from the first numeric character, or as 1 where there
            is none. Its golds are decoded from token ids and may lose characters that T5 lacks; here they are
            the file's.

    Returns:
        A Score.

    Raises:
        RequestError: unknown task or profile, ids that do not match, nothing to score, an output or gold that
            is no text, a gold rating that is no number, or golds of which not one is a label of the task.
    """
    task = get_task(task)
    if profile not in PROFILES:
        raise unknown("profile", profile, PROFILES)
    check_ids(predictions, golds, f"{task.name} predictions")
    if not golds:
        raise RequestError(f"{task.name}: nothing to score, there are no golds")
    pairs = {
        id: (_text(predictions[id], task, id, "prediction"), _text(gold, task, id, "gold"))
        for id, gold in golds.items()
    }
    by_kind: dict[str, Callable[[Task, dict[str, tuple[str, str]], str], Score]] = {
        "classification": _score_labels,
        "rating": _score_ratings,
        "generation": _score_texts,
    }
    return by_kind[task.kind](task, pairs, profile)


def statistic(metric: str) -> stats.Statistic:
    """The function from column means of Score.rows(metric) to the metric's value."""
    return {"f1": macro_f1, "rmse": stats.root_mean}.get(metric, stats.mean)


def interval(
    score: Score,
    metric: str,
    groups: Mapping[str, Hashable] | None = None,
    n: int = stats.RESAMPLES,
    seed: int = 0,
    level: float = 0.95,
) -> tuple[float, float]:
    """Bootstrap interval of a metric over examples; with `groups` (user by example id) over users.

    F1 is computed anew on every resample of (gold, predicted) pairs. A rare label may be missing from a
    resample and then counts 0, as in the official rule, so on small sets the interval of F1 lies a little
    low.
    """
    users = None if groups is None else _groups_of(score, groups)
    return stats.bootstrap_interval(score.rows(metric), statistic(metric), n, seed, level, users)


def paired(
    a: Score,
    b: Score,
    metric: str,
    groups: Mapping[str, Hashable] | None = None,
    n: int = stats.RESAMPLES,
    seed: int = 0,
    level: float = 0.95,
) -> stats.PairedTest:
    """Paired randomization test of two scores of the same task on the same examples; see stats.paired_test.

    Raises:
        RequestError: another task, profile or other examples.
    """
    if (a.task, a.profile) != (b.task, b.profile):
        raise RequestError(f"cannot compare {a.task} ({a.profile} rules) with {b.task} ({b.profile} rules)")
    key = next(iter(a.per_example))
    check_ids(b.per_example[key], a.per_example[key], "the second score", "the first")
    place = {id: i for i, id in enumerate(b.per_example[key])}
    return stats.paired_test_statistic(
        a.rows(metric),
        b.rows(metric)[[place[id] for id in a.per_example[key]]],
        statistic(metric),
        groups=None if groups is None else _groups_of(a, groups),
        seed=seed,
        n=n,
        level=level,
    )


def f1_rows(labels: list[tuple[int, int]], n_labels: int) -> stats.FloatArray:
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


def rouge_bootstrap_mid(score: Score, metric: str, n: int = 1000, seed: int = 0) -> float:
    """ROUGE as the official script aggregates it: the median of `n` resampled means, here with a fixed seed.

    It is for comparison with published numbers only; those moved by up to 4e-4 from run to run.

    Raises:
        RequestError: the score has no such metric.
    """
    rows = score.rows(metric)
    samples = stats.bootstrap_samples(np.hstack([rows, np.ones_like(rows)]), statistic(metric), n, seed)
    return float(np.median(samples))


def as_evaluate(task: str | Task, profile: str = "official", **options: Any) -> evaluate.Metric:
    """The task's metrics as an `evaluate.Metric`; nothing is downloaded.

    compute(predictions=[...], references=[...]) takes texts in the same order and returns the value per
    metric key. `options` go to evaluate.Metric, such as cache_dir, num_process and experiment_id.

    >>> as_evaluate("LaMP-3").compute(predictions=["4", "1"], references=["5", "1"])["mae"]  # doctest: +SKIP
    0.5
    """
    from lampbench.metrics.hf_evaluate import LampMetric

    return LampMetric(get_task(task), profile, **options)


def check_ids(
    predictions: Mapping[str, object],
    golds: Mapping[str, object],
    predictions_name: str = "the predictions",
    golds_name: str = "the golds",
) -> None:
    """Makes sure that there is one prediction for each gold and no other.

    Raises:
        RequestError: says how many ids are missing and how many are extra, and names the first ones.
    """
    missing = [id for id in golds if id not in predictions]
    extra = [id for id in predictions if id not in golds]
    if not missing and not extra:
        return
    complaints = []
    if missing:
        complaints.append(f"{len(missing)} of {len(golds)} ids are missing ({_first(missing)})")
    if extra:
        complaints.append(f"{len(extra)} of {len(predictions)} ids are not in {golds_name} ({_first(extra)})")
    hint = "; is it another split or setting?" if len(missing) == len(golds) else ""
    raise RequestError(f"{predictions_name} against {golds_name}: {' and '.join(complaints)}{hint}")


def _first(ids: list[str]) -> str:
    return ", ".join(str(id) for id in ids[:3]) + (", …" if len(ids) > 3 else "")


def _groups_of(score: Score, groups: Mapping[str, Hashable]) -> list[Hashable]:
    ids = next(iter(score.per_example.values()))
    missing = [id for id in ids if id not in groups]
    if missing:
        raise RequestError(
            f"{score.task}: {len(missing)} examples have no entry in groups ({_first(missing)})"
        )
    return [groups[id] for id in ids]


def _text(value: object, task: Task, id: str, role: str) -> str:
    """Text as it is, a number as its text (some golds in circulation are numbers), nothing else."""
    if isinstance(value, str):
        return value
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return str(value)
    raise RequestError(f"{task.name}: the {role} of example '{id}' is {type(value).__name__}, not text")


def _counts(pairs: Mapping[str, tuple[str, str]], unparsed: int, unknown_golds: int = 0) -> dict[str, int]:
    empty = sum(not prediction.strip() for prediction, _ in pairs.values())
    return {"n": len(pairs), "unparsed": unparsed, "empty": empty, "unknown_golds": unknown_golds}


def _score_labels(task: Task, pairs: dict[str, tuple[str, str]], profile: str) -> Score:
    position = {label: i for i, label in enumerate(task.labels)}

    def look_up(text: str) -> int:
        return position.get(text.strip() if profile == "official" else text, -1)

    labels = {id: (look_up(gold), look_up(prediction)) for id, (prediction, gold) in pairs.items()}
    unknown_golds = sum(gold == -1 for gold, _ in labels.values())
    if unknown_golds == len(labels):
        example = next(iter(pairs.values()))[1][:40]
        raise RequestError(
            f"{task.name}: no gold is among its {len(task.labels)} labels (the first is '{example}'); "
            "are these golds of another task, or of the deprecated LaMP-2 on news?"
        )
    # A gold outside the labels matches a prediction outside the labels: so the official script has it.
    accuracy = {id: float(gold == predicted) for id, (gold, predicted) in labels.items()}
    metrics = {"accuracy": _mean(accuracy)}
    if profile == "official" or task.number != 1:
        metrics["f1"] = float(macro_f1(f1_rows(list(labels.values()), len(task.labels)).sum(axis=0)))
    unparsed = sum(predicted == -1 for _, predicted in labels.values())
    return Score(
        task.name, profile, metrics, {"accuracy": accuracy}, _counts(pairs, unparsed, unknown_golds), labels
    )


def official_rating(prediction: str, gold: float) -> tuple[float, bool]:
    """(rating, parsed) by the official rule: unreadable text is the end of the scale far from the gold."""
    rating = parse_rating(prediction)
    if rating is not None:
        return rating, True
    # The middle of the scale is equally far from both ends; the script then takes 5.
    return (1.0 if abs(1.0 - gold) > abs(5.0 - gold) else 5.0), False


def pplug_rating(prediction: str) -> tuple[float, bool]:
    """(rating, parsed) by PPlug's rule: the first numeric character, or 1 where there is none.

    A fraction or a superscript is numeric too and stops the released program; here it is not a rating.
    """
    first = next((character for character in prediction if character.isnumeric()), "")
    return (float(int(first)), True) if first.isdecimal() else (1.0, False)


def parse_rating(text: str) -> float | None:
    """A rating as the official rule reads it; None if it is no number, or none that a mean can be taken of."""
    try:
        value = float(text.strip())
    except ValueError:
        return None
    # Also False for nan.
    return value if abs(value) < _LARGEST_RATING else None


def _score_ratings(task: Task, pairs: dict[str, tuple[str, str]], profile: str) -> Score:
    absolute: dict[str, float] = {}
    squared: dict[str, float] = {}
    unparsed = 0
    official = profile == "official"
    for id, (prediction, gold_text) in pairs.items():
        gold = parse_rating(gold_text)
        if gold is None:
            raise RequestError(f"{task.name}: the gold of example '{id}' is '{gold_text[:40]}', not a rating")
        rating, parsed = official_rating(prediction, gold) if official else pplug_rating(prediction)
        unparsed += not parsed
        absolute[id] = abs(rating - gold)
        squared[id] = (rating - gold) ** 2
    metrics = {"mae": _mean(absolute), "rmse": math.sqrt(_mean(squared))}
    return Score(task.name, profile, metrics, {"mae": absolute, "rmse": squared}, _counts(pairs, unparsed))


def _score_texts(task: Task, pairs: dict[str, tuple[str, str]], profile: str) -> Score:
    scorer = _rouge_scorer()
    per_example: dict[str, dict[str, float]] = {metric.key: {} for metric in task.metrics}
    for id, (prediction, gold) in pairs.items():
        # Stripping, as the official script does, is left to ROUGE's own tokenizer.
        rouge = scorer.score(gold, prediction)
        for key, values in per_example.items():
            values[id] = float(rouge[key].fmeasure)
    metrics = {key: _mean(values) for key, values in per_example.items()}
    counts = _counts(pairs, unparsed=0) | {
        "tokenless": sum(is_tokenless(prediction) for prediction, _ in pairs.values()),
        "tokenless_golds": sum(is_tokenless(gold) for _, gold in pairs.values()),
    }
    return Score(task.name, profile, metrics, per_example, counts)


def is_tokenless(text: str) -> bool:
    """Whether ROUGE sees nothing of a text that is not empty; see TOKENLESS."""
    return _TOKEN.search(text.lower()) is None and bool(text.strip())


@lru_cache(maxsize=1)
def _rouge_scorer() -> RougeScorer:
    # Imported here because it brings nltk, which takes seconds and which no label task needs.
    from rouge_score.rouge_scorer import RougeScorer

    return RougeScorer(["rouge1", "rougeL"], use_stemmer=False)


def _mean(values: Mapping[str, float]) -> float:
    # fsum: exact whatever the order of the examples.
    return math.fsum(values.values()) / len(values)
