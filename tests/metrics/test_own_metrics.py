"""A metric that a task brings along counts as the known ones do."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from lampbench.errors import RequestError
from lampbench.families.llm_feedback import usefulness
from lampbench.metrics import as_evaluate, interval, logged_rows, paired, score, statistic
from lampbench.metrics.constant_floors import constant_floors
from lampbench.records.predictions import PredictionLog
from lampbench.tasks import Metric, Task


def length_errors(outputs: Sequence[str], golds: Sequence[str]) -> list[int]:
    """By how many words an output is too long or too short."""
    return [abs(len(o.split()) - len(g.split())) for o, g in zip(outputs, golds, strict=True)]


def words(outputs: Sequence[str], golds: Sequence[str]) -> np.ndarray:
    """Words of the output and of the gold, [n, 2]."""
    return np.array([[len(o.split()), len(g.split())] for o, g in zip(outputs, golds, strict=True)])


def ratio(means: np.ndarray) -> np.ndarray:
    return means[..., 0] / means[..., 1]


LENGTH = Metric("length", "Length error", higher_is_better=False, rows=length_errors)
RATIO = Metric("ratio", "Length ratio", rows=words, statistic=ratio)
GOLDS = {str(i): " ".join(["word"] * (2 + i % 3)) for i in range(30)}
SAID = {str(i): " ".join(["word"] * (1 + i % 5)) for i in range(30)}


def titles(*metrics: Metric | str) -> Task:
    return Task(
        name="Titles",
        title="Titles of one's own",
        kind="generation",
        template="Title: {text}",
        item_fields=("text",),
        metrics=metrics or (LENGTH, RATIO, "rouge1"),
    )


def test_it_is_scored_beside_the_known_ones() -> None:
    result = score(titles(), SAID, GOLDS)
    assert list(result.metrics) == ["length", "ratio", "rouge1"]
    assert result.metrics["length"] == pytest.approx(
        np.mean(length_errors(list(SAID.values()), list(GOLDS.values())))
    )
    assert result.metrics["ratio"] == 1.0  # of sums, not a mean of ratios
    assert result.per_example["length"]["4"] == 2.0
    assert "ratio" not in result.per_example
    assert result.wide["ratio"]["4"] == [5.0, 3.0]


def test_its_value_is_the_statistic_of_the_mean_row_and_lies_in_its_interval() -> None:
    result = score(titles(), SAID, GOLDS)
    for key, value in result.metrics.items():
        assert statistic(key, titles())(result.rows(key).mean(axis=0)) == pytest.approx(value)
        low, high = interval(result, key, n=400)
        assert low < value < high
    better = score(titles(), GOLDS, GOLDS)
    assert paired(better, result, "length", n=200).difference == pytest.approx(-result.metrics["length"])
    assert paired(better, result, "length", n=200).p < 0.01


def test_its_rows_come_back_from_the_predictions_of_a_run(tmp_path: Path) -> None:
    result = score(titles(), SAID, GOLDS)
    path = tmp_path / "predictions.jsonl"
    with PredictionLog(path) as log:
        log.append({"id": id, "output": text} for id, text in SAID.items())
        log.finalize(list(SAID), result.logged)
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    assert lines[4]["scores"] == {"length": 2.0, "rouge1": pytest.approx(0.75), "ratio": [5.0, 3.0]}
    for key in result.metrics:
        assert logged_rows(titles(), key, lines).tolist() == result.rows(key).tolist()


def test_a_metric_of_labels_has_a_floor() -> None:
    def far(outputs: Sequence[str], golds: Sequence[str]) -> list[float]:
        return [float(abs(int(o) - int(g))) for o, g in zip(outputs, golds, strict=True)]

    distance = Metric("distance", "Distance", higher_is_better=False, rows=far)
    task = Task(
        name="Ages",
        title="Ages",
        kind="classification",
        template="Age: {text}",
        item_fields=("text",),
        labels=("10", "20", "30"),
        metrics=("accuracy", distance),
    )
    floors = constant_floors(task, {"10": 3, "20": 2, "30": 2})
    assert floors == {"accuracy": ("10", 3 / 7), "distance": ("20", 50 / 7)}


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([1.0], r"rows of metric 'own' for 2 questions have shape \(1,\), not \[2\] or \[2, d\]"),
        ([[[1.0]], [[2.0]]], r"have shape \(2, 1, 1\)"),
        ([1.0, float("nan")], "for 2 questions hold nan"),
    ],
)
def test_rows_that_nothing_can_be_computed_from_are_refused(rows: list, message: str) -> None:
    task = titles(Metric("own", "Own", rows=lambda outputs, golds: rows))
    with pytest.raises(RequestError, match=message) as error:
        score(task, {"a": "x", "b": "y"}, {"a": "x", "b": "y"})
    assert "\n" not in str(error.value)


def test_a_value_that_is_no_number_is_refused() -> None:
    with np.errstate(invalid="ignore"), pytest.raises(RequestError, match="value of metric 'ratio' is nan"):
        score(titles(RATIO), {"a": " "}, {"a": " "})


def test_a_loss_is_useful_the_less_the_larger_it_is() -> None:
    values = usefulness(titles(LENGTH), ["a", "a b", "a b c d"], ["a"] * 3)
    assert values.tolist() == pytest.approx([1, 1 / 2, 1 / 4])
    with pytest.raises(RequestError, match="Length ratio gives a single answer no score"):
        usefulness(titles(RATIO), ["a"], ["a"])


def test_the_rules_go_by_their_older_name_too() -> None:
    golds = {"a": "4"}
    by_rules = score("LaMP-3", {"a": "4 stars"}, golds, rules="pplug")
    assert by_rules == score("LaMP-3", {"a": "4 stars"}, golds, profile="pplug")
    assert (by_rules.rules, by_rules.profile, by_rules.metrics["mae"]) == ("pplug", "pplug", 0.0)


def test_without_the_package_the_evaluate_face_names_its_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "evaluate", None)
    with pytest.raises(RequestError, match=r"pip install 'lampbench\[evaluate\]'"):
        as_evaluate("LaMP-3")
