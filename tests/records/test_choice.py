"""How well a method chose among answers, and where that is shown."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from made_results import add_run

from lampbench.cli.listing import record_rows
from lampbench.records.choice import ChoiceRecord, weigh_choice
from lampbench.records.record import read_record
from lampbench.report.run_table import results_table
from lampbench.tasks import get_task

RATINGS = {
    "one": {"a": "5", "b": "1", "c": "3"},
    "two": {"a": "4", "b": "3", "c": "3"},
    "three": {"a": "1", "b": "2", "c": "3"},
}
GOLDS = {"a": "5", "b": "3", "c": "3"}


def test_the_bounds_take_the_best_and_the_worst_answer_of_each_question() -> None:
    choice = weigh_choice(get_task("LaMP-3"), {"a": "two", "b": "two", "c": "three"}, RATINGS, GOLDS)
    assert choice.chosen == {"one": 0, "two": 2, "three": 1}
    assert choice.upper == {"mae": 0.0, "rmse": 0.0}  # 5, 3, 3
    assert choice.lower == pytest.approx({"mae": 6 / 3, "rmse": (20 / 3) ** 0.5})  # 1, 1, 3: errors 4, 2, 0
    assert {name: metrics["mae"] for name, metrics in choice.alone.items()} == pytest.approx(
        {"one": 2 / 3, "two": 1 / 3, "three": 5 / 3}
    )
    assert choice.success == pytest.approx(2 / 3)  # not on a; on c all are equally good


def test_the_bounds_of_f1_are_those_of_the_answers_best_and_worst_by_accuracy() -> None:
    answers = {"one": {"a": "comedy", "b": "comedy"}, "two": {"a": "action", "b": "action"}}
    golds = {"a": "comedy", "b": "action"}
    choice = weigh_choice(get_task("LaMP-2"), {"a": "one", "b": "one"}, answers, golds)
    assert choice.upper == pytest.approx({"accuracy": 1.0, "f1": 2 / 15})  # 2 of 15 labels occur
    assert choice.lower == {"accuracy": 0.0, "f1": 0.0}
    assert choice.alone["one"]["accuracy"] == choice.success == 0.5


def test_each_rouge_has_an_oracle_of_its_own() -> None:
    answers = {"words": {"a": "d c b a"}, "order": {"a": "a b x y"}}
    choice = weigh_choice(get_task("LaMP-4"), {"a": "words"}, answers, {"a": "a b c d"})
    assert choice.upper == pytest.approx({"rouge1": 1.0, "rougeL": 0.5})
    assert choice.lower == pytest.approx({"rouge1": 0.5, "rougeL": 0.25})


def test_a_choice_is_kept_in_the_record_and_shown(tmp_path: Path) -> None:
    choice = ChoiceRecord(
        chosen={"alpha": 40, "gamma": 20},
        alone={"alpha": {"accuracy": 0.5, "f1": 0.25}, "gamma": {"accuracy": 0.25, "f1": 0.125}},
        upper={"accuracy": 0.75, "f1": 0.5},
        lower={"accuracy": 0.125, "f1": 0.0},
        success=0.875,
    )
    record = add_run(tmp_path, "picker", choice=choice)
    again = read_record(tmp_path / "small" / "LaMP-2" / "picker" / "seed0")
    assert again.choice == choice
    rows = dict(record_rows(again))
    assert rows["choice.chosen.gamma"] == "20"
    assert rows["choice.upper.accuracy"] == "0.75"
    assert rows["choice.success"] == "0.875"

    other = add_run(tmp_path, "alpha")
    table = results_table([record, replace(record, seed=1), other]).splitlines()
    assert table[0].split() == ["picker", "alpha"]
    bounds = {line.split("   ")[1].strip(): line.split()[-2:] for line in table if "of pool" in line}
    assert bounds == {"best of pool": ["0.750", "-"], "worst of pool": ["0.125", "-"]}
    assert "of pool" not in results_table([other])
