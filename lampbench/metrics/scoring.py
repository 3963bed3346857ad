"""Scores of predictions by the benchmark's rules, with the score of every example kept.

How an answer is read and judged depends on its kind: `labels`, `ratings`, `rouge` and `ranked` say how. Values are
plain means over examples, or functions of such means, so that intervals and tests follow by themselves.
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, TypeVar, get_args

import numpy as np

from lampbench import stats
from lampbench.errors import RequestError, some, unknown
from lampbench.metrics.base import Answers, Rows, Rule, Texts, as_array
from lampbench.metrics.known import KINDS, answer_kind
from lampbench.tasks import Task, get_task

Rules = Literal["official", "pplug"]
RULES: tuple[str, ...] = get_args(Rules)

T = TypeVar("T")


@dataclass(frozen=True)
class Score:
    """The score of one set of predictions.

    Attributes:
        task: name of the task, such as `LaMP-3`.
        rules: the name of the rules that were applied.
        metrics: value per metric key, with the task's main metric first.
        per_example: per metric key the value of each example by id, in the order of the golds. `mae` holds
            absolute and `rmse` *squared* errors, so that metrics["rmse"] is the root of their mean. A metric that
            is no function of one mean, such as `f1`, is not here (see rows).
        counts: `n`; `unparsed`: outputs that are no answer of the task's kind, 0 for text; `empty`: outputs
            without any text, which but for text are unparsed as well; `unknown_golds`: golds that are no label;
            for text `tokenless` and `tokenless_golds`: see is_tokenless.
        labels: for label tasks, (gold, predicted) position in task.labels by id, -1 for any other text; else
            empty.
        wide: the rows by id of a metric that has several numbers per example, where `labels` do not tell them.
        ids: of the examples, in the order of the golds.
        judged: rows of every metric.
        statistics: the function from the means of their columns to the value.
    """

    task: str
    rules: str
    metrics: dict[str, float]
    per_example: dict[str, dict[str, float]]
    counts: dict[str, int]
    labels: dict[str, tuple[int, int]] = field(default_factory=dict, repr=False)
    wide: dict[str, dict[str, list[float]]] = field(default_factory=dict, repr=False)
    ids: tuple[str, ...] = field(default=(), repr=False)
    judged: Mapping[str, Rows] = field(default_factory=dict, repr=False, compare=False)
    statistics: Mapping[str, stats.Statistic] = field(default_factory=dict, repr=False, compare=False)

    @property
    def profile(self) -> str:
        """Another name of `rules`."""
        return self.rules

    def rows(self, metric: str) -> stats.FloatArray:
        """What resampling needs for that metric: rows `[n, d]`, in the order of the golds.

        statistic(metric) of their column means is metrics[metric].

        Raises:
            RequestError: the score has no such metric.
        """
        self._known(metric)
        return as_array(self.judged[metric])

    def statistic(self, metric: str) -> stats.Statistic:
        """The function from column means of rows(metric) to the metric's value.

        Raises:
            RequestError: the score has no such metric.
        """
        self._known(metric)
        return self.statistics[metric]

    @property
    def logged(self) -> dict[str, dict[str, Any]]:
        """What predictions.jsonl keeps beside `labels`: number or numbers of each example, by metric and id."""
        return {**self.per_example, **self.wide}

    def _known(self, metric: str) -> None:
        if metric not in self.metrics:
            raise unknown(f"metric of {self.task}", metric, self.metrics)


def score(
    task: str | Task,
    predictions: Mapping[str, str],
    golds: Mapping[str, str],
    rules: str = "official",
    *,
    profile: str | None = None,
) -> Score:
    """Scores predictions against golds.

    Args:
        task: a task or its name.
        predictions: output text by example id.
        golds: gold text by example id; the ids must be those of the predictions, the order is free.
        rules: `official`, or `pplug`: the rules of the released PPlug code (main_profile.py), which do not strip,
            and read a rating from the first numeric character, or as 1 where there is none; a task says which of
            its metrics they lack. PPlug's golds are decoded from token ids and may lose characters that T5 lacks;
            here they are the file's.
        profile: another name of `rules`.

    Returns:
        A Score.

    Raises:
        RequestError: unknown task or rules, ids that do not match, nothing to score, an output or gold that is no
            text, a gold that nothing can be scored by, or golds of which not one is a label of the task.
    """
    task = get_task(task)
    rules = rules_named(profile or rules)
    check_ids(predictions, golds, f"{task.name} predictions")
    ids = list(golds)
    texts = Texts(
        [_text(predictions[id], task, id, "prediction") for id in ids],
        [_text(gold, task, id, "gold") for id, gold in golds.items()],
    )
    return _judged(_read(task, ids, texts, rules), ids, rules)


def check_golds(task: str | Task, golds: Mapping[str, str]) -> None:
    """Makes sure that predictions can be scored against these golds, whatever they will be.

    Raises:
        RequestError: as `score` would.
    """
    task = get_task(task)
    texts = list(golds.values())
    _read(task, list(golds), Texts(texts, texts), "official")


def _read(task: Task, ids: Sequence[str], texts: Texts, rules: str) -> Answers:
    if not ids:
        raise RequestError(f"{task.name}: nothing to score, there are no golds")
    kind = answer_kind(task)
    golds = kind.golds(task, texts.golds, rules)
    if None in golds:
        place = golds.index(None)
        shown = " ".join(texts.golds[place].split())[:40]
        raise RequestError(f"{task.name}: the gold of example '{ids[place]}' is '{shown}', {kind.no_gold}")
    answers = kind.read(task, texts, golds, rules)
    kind.check(answers)
    return answers


def _judged(answers: Answers, ids: Sequence[str], rules: str) -> Score:
    task, dropped = answers.task, answers.task.unscored.get(rules, ())
    judges = {m.key: answer_kind(task).rule(m) for m in task.metrics if m.key not in dropped}
    judged = {key: rule.rows(answers) for key, rule in judges.items()}

    def by_id(values: Iterable[T]) -> dict[str, T]:
        return dict(zip(ids, values, strict=True))

    return Score(
        task.name,
        rules,
        {key: _value(task, key, judged[key], rule) for key, rule in judges.items()},
        {key: by_id(rows) for key, rows in judged.items() if isinstance(rows, list)},
        answers.counts,
        by_id(zip(answers.golds, answers.outputs, strict=True)) if task.kind == "classification" else {},
        {
            key: by_id(rows.tolist())
            for key, rows in judged.items()
            if not isinstance(rows, list) and not judges[key].of_labels
        },
        tuple(ids),
        judged,
        {key: rule.statistic for key, rule in judges.items()},
    )


def _value(task: Task, key: str, rows: Rows, rule: Rule) -> float:
    if isinstance(rows, list):
        # fsum: exact whatever the order of the examples.
        value = rule.statistic(np.array([math.fsum(rows) / len(rows)]))
    else:
        value = rule.statistic(rows.sum(axis=0) if rule.of_labels else rows.mean(axis=0))
    if not np.isfinite(value):
        raise RequestError(f"{task.name}: the value of metric '{key}' is {value}")
    return float(value)


def rules_named(rules: str) -> str:
    """The name of scoring rules.

    Raises:
        RequestError: there are none of that name.
    """
    if rules not in RULES:
        raise unknown("rules", rules, RULES)
    return rules


def statistic(metric: str, task: str | Task | None = None) -> stats.Statistic:
    """The function from column means of Score.rows(metric) to the metric's value.

    Args:
        metric: its key.
        task: whose metric it is; None: it is one that lampbench knows.
    """
    if task is not None:
        return _rule(get_task(task), metric).statistic
    known = (kind.rules[metric] for kind in KINDS.values() if metric in kind.rules)
    return next((rule.statistic for rule in known), stats.mean)


def logged_rows(task: str | Task, metric: str, lines: Sequence[Mapping[str, Any]]) -> stats.FloatArray:
    """Score.rows(metric) as the lines of predictions.jsonl tell it, in their order.

    Raises:
        KeyError, TypeError, ValueError: a line lacks the scores for it.
    """
    task = get_task(task)
    rule = _rule(task, metric)
    if rule.of_labels:
        labels = [(int(gold), int(output)) for gold, output in (line["labels"] for line in lines)]
        golds, outputs = zip(*labels, strict=True) if labels else ((), ())
        return as_array(rule.rows(Answers(task, Texts((), ()), outputs, golds)))
    values = (line["scores"][metric] for line in lines)
    return as_array([[*map(float, value)] if isinstance(value, list) else [float(value)] for value in values])


def _rule(task: Task, key: str) -> Rule:
    """The rule of the task's metric of that key.

    A record may hold a metric that its task has no longer: all that is known of it are the examples' scores.
    """
    metric = next((metric for metric in task.metrics if metric.key == key), key)
    try:
        return answer_kind(task).rule(metric)
    except RequestError:
        return Rule(lambda answers: [])


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
    return stats.bootstrap_interval(score.rows(metric), score.statistic(metric), n, seed, level, users)


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
        RequestError: another task, other rules or other examples.
    """
    if (a.task, a.rules) != (b.task, b.rules):
        raise RequestError(f"cannot compare {a.task} ({a.rules} rules) with {b.task} ({b.rules} rules)")
    place = {id: i for i, id in enumerate(b.ids)}
    check_ids(place, dict.fromkeys(a.ids), "the second score", "the first")
    return stats.paired_test_statistic(
        a.rows(metric),
        b.rows(metric)[[place[id] for id in a.ids]],
        a.statistic(metric),
        groups=None if groups is None else _groups_of(a, groups),
        seed=seed,
        n=n,
        level=level,
    )


def rouge_bootstrap_mid(score: Score, metric: str, n: int = 1000, seed: int = 0) -> float:
    """ROUGE as the official script aggregates it: the median of `n` resampled means, here with a fixed seed.

    It is for comparison with published numbers only; those moved by up to 4e-4 from run to run.

    Raises:
        RequestError: the score has no such metric.
    """
    rows = score.rows(metric)
    samples = stats.bootstrap_samples(np.hstack([rows, np.ones_like(rows)]), score.statistic(metric), n, seed)
    return float(np.median(samples))


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
        complaints.append(f"{len(missing)} of {len(golds)} ids are missing ({some(missing)})")
    if extra:
        complaints.append(f"{len(extra)} of {len(predictions)} ids are not in {golds_name} ({some(extra)})")
    hint = "; is it another split or setting?" if len(missing) == len(golds) else ""
    raise RequestError(f"{predictions_name} against {golds_name}: {' and '.join(complaints)}{hint}")


def _groups_of(score: Score, groups: Mapping[str, Hashable]) -> list[Hashable]:
    missing = [id for id in score.ids if id not in groups]
    if missing:
        raise RequestError(f"{score.task}: {len(missing)} examples have no entry in groups ({some(missing)})")
    return [groups[id] for id in score.ids]


def _text(value: object, task: Task, id: str, role: str) -> str:
    """Text as it is, a number as its text (some golds in circulation are numbers), nothing else."""
    if isinstance(value, str):
        return value
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return str(value)
    raise RequestError(f"{task.name}: the {role} of example '{id}' is {type(value).__name__}, not text")
