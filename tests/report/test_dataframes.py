"""Records and predictions as data frames."""

from __future__ import annotations

from pathlib import Path

import pytest
from made_results import add_run
from own_tasks import same, write_task

import lampbench
from lampbench.errors import RunError
from lampbench.records.cost import Cost
from lampbench.records.record import read_record
from lampbench.records.results_folder import load_records
from lampbench.report.dataframes import predictions_frame, results_frame


def test_a_frame_has_a_row_per_run_and_metric(tmp_path: Path) -> None:
    add_run(tmp_path, "alpha", "LaMP-2", seed=0)
    add_run(tmp_path, "alpha", "LaMP-3", variant="bold", seed=1)
    frame = lampbench.results_frame(tmp_path)
    assert list(zip(frame.task, frame.method, frame.seed, frame.metric, strict=True)) == [
        ("LaMP-2", "alpha", 0, "accuracy"),
        ("LaMP-2", "alpha", 0, "f1"),
        ("LaMP-3", "alpha+bold", 1, "mae"),
        ("LaMP-3", "alpha+bold", 1, "rmse"),
    ]
    first = load_records(tmp_path)[0].metrics["accuracy"]
    assert tuple(frame.loc[0, ["value", "low", "high", "n"]]) == (first.value, first.low, first.high, first.n)


def test_seconds_do_not_depend_on_what_could_be_reused(tmp_path: Path) -> None:
    cost = Cost(seconds={"fit": 1.0, "predict": 2.0}, reused_seconds={"predict": 0.5})
    add_run(tmp_path, cost=cost)
    row = results_frame(tmp_path).iloc[0]
    assert (row.fit_seconds, row.predict_seconds) == (1.0, 2.5)


def test_a_frame_leaves_out_other_suites_and_unfinished_runs(tmp_path: Path) -> None:
    add_run(tmp_path, "alpha", suite="small")
    add_run(tmp_path, "alpha", suite="large")
    add_run(tmp_path, "beta", suite="small", status="failed")
    assert set(results_frame(tmp_path, "small").method) == {"alpha"}


def test_a_folder_without_complete_runs_gives_the_columns_alone(tmp_path: Path) -> None:
    add_run(tmp_path, status="started")
    frame = results_frame(tmp_path)
    assert frame.empty
    assert {"task", "method", "value"} <= set(frame.columns)


def test_predictions_become_one_row_per_question(tmp_path: Path) -> None:
    record = add_run(tmp_path, task="LaMP-2")
    assert record.folder is not None
    frame = predictions_frame(read_record(record.folder))
    assert len(frame) == record.data.n
    assert frame.accuracy.mean() == pytest.approx(record.metrics["accuracy"].value)
    assert {"id", "output", "ranked", "prompt_tokens", "soft_tokens", "generated_tokens"} <= set(frame)


def test_predictions_that_are_not_those_that_were_scored_make_no_frame(tmp_path: Path) -> None:
    record = add_run(tmp_path, task="LaMP-2")
    assert record.folder is not None
    path = record.folder / "predictions.jsonl"
    path.write_bytes(path.read_bytes().replace(b'"output":"', b'"output":"x', 1))
    with pytest.raises(RunError, match="is not the one that was scored"):
        predictions_frame(read_record(record.folder))


def test_predictions_need_no_task_that_is_still_there(tmp_path: Path) -> None:
    path = write_task(tmp_path / "tasks", "Mine", same())
    record = add_run(tmp_path / "results", task="Mine")
    path.unlink()
    assert len(predictions_frame(record)) == record.data.n
    record.predictions.write_text(record.predictions.read_text().replace("q000", "q999"))
    with pytest.raises(RunError, match="is not the one that was scored"):
        predictions_frame(record)
