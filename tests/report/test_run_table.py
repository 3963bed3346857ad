"""The table that ends a run: each row is labelled and starred by the metric of its own task, as far as it is there."""

from __future__ import annotations

from pathlib import Path

import pytest
from made_results import add_run
from own_tasks import same, write_task

from lampbench.records.choice import ChoiceRecord
from lampbench.records.record import Record
from lampbench.report.choice_table import choice_rows
from lampbench.report.comparable_runs import stand
from lampbench.report.run_table import results_table


def test_a_row_is_judged_by_the_metric_of_its_own_task(tmp_path: Path) -> None:
    tasks, results = tmp_path / "tasks", tmp_path / "results"
    write_task(tasks, "Gain", same(label="Hits"))
    write_task(tasks, "Loss", same(label="Misses", higher=False))
    records = [add_run(results, m, task, q) for task in ("Gain", "Loss") for m, q in (("a", 0.2), ("b", 0.9))]
    rows = results_table(records).splitlines()[1:3]
    assert [row.split("  ")[0] for row in rows] == ["Gain Hits ↑", "Loss Misses ↓"]
    starred = [[cell.endswith("*") for cell in row.split()[3:]] for row in rows]
    assert starred == [[False, True], [True, False]]


@pytest.fixture
def choosing(tmp_path: Path) -> Record:
    """A run of a method that chooses, on a task of somebody's own."""
    write_task(tmp_path / "tasks", "Mine", same(), '"rouge1"')
    scores = {"same": 0.25, "rouge1": 0.5}
    choice = ChoiceRecord({"a": 60}, {"a": scores}, upper=scores, lower=scores, success=1.0)
    return add_run(tmp_path / "results", "picker", "Mine", choice=choice)


def test_of_a_new_main_metric_no_bounds_are_known_and_the_other_rows_stay(
    choosing: Record, tmp_path: Path
) -> None:
    def chosen() -> list[str]:
        (runs,) = stand([choosing]).ranked
        return [row.metric for row in choice_rows({"Mine": {"picker": runs}}, ["picker"])]

    assert "best of pool    0.250" in results_table([choosing])
    assert chosen() == ["same"]
    write_task(tmp_path / "tasks", "Mine", same("new"), '"rouge1"')
    table = results_table([choosing])
    assert [line.split("  ")[0] for line in table.splitlines()[1:]] == ["Mine Same ↑", "Mine ROUGE-1 ↑"]
    assert "of pool" not in table
    assert chosen() == []


def test_of_a_task_whose_file_is_gone_the_values_are_shown_by_their_keys(
    choosing: Record, tmp_path: Path
) -> None:
    (tmp_path / "tasks" / "mine.py").unlink()
    rows = results_table([choosing]).splitlines()[1:]
    assert [row.split("  ")[0] for row in rows[:2]] == ["Mine same", "Mine ROUGE-1 ↑"]
    assert "*" not in "".join(rows)
