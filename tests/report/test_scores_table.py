"""The table of scores: who is best, what of a difference is chance, and how many tests that took."""

from __future__ import annotations

from pathlib import Path

import pytest
from made_results import add_run
from own_tasks import same, write_task

from lampbench import stats
from lampbench.report.comparable_runs import stand
from lampbench.report.scores_table import DIGITS, Row, metric_label, scores_table
from lampbench.report.seed_runs import SeedRuns, p_value

COLUMNS = ("none", "fair", "good")


@pytest.fixture
def by_task(tmp_path: Path) -> dict[str, dict[str, SeedRuns]]:
    """Three methods on a task of labels, of which the second did not run on a task of ratings."""
    records = [
        add_run(tmp_path, name, "LaMP-2", quality, n=120)
        for name, quality in zip(COLUMNS, (0.3, 0.35, 0.9), strict=True)
    ]
    records += [add_run(tmp_path, "none", "LaMP-3", 0.2), add_run(tmp_path, "good", "LaMP-3", 0.9)]
    found: dict[str, dict[str, SeedRuns]] = {}
    for runs in stand(records).ranked:
        found.setdefault(runs.task, {})[runs.label] = runs
    return found


def row_of(rows: tuple[Row, ...], metric: str) -> Row:
    return next(row for row in rows if row.metric == metric)


def test_each_column_is_tested_against_the_best_and_the_reference_once(
    by_task: dict[str, dict[str, SeedRuns]],
) -> None:
    rows, tests = scores_table(by_task, COLUMNS, "none")
    assert [(row.task, row.metric) for row in rows] == [
        *(("LaMP-2", "accuracy"), ("LaMP-2", "f1")),
        *(("LaMP-3", "mae"), ("LaMP-3", "rmse")),
    ]
    # Of three columns good-none, good-fair and fair-none; of two only good-none.
    assert tests == 2 * 3 + 2 * 1
    assert scores_table(by_task, COLUMNS, None)[1] == 2 * 2 + 2 * 1


def test_p_values_are_holms_over_the_whole_table(by_task: dict[str, dict[str, SeedRuns]]) -> None:
    rows, _ = scores_table(by_task, COLUMNS, None)
    pairs = [("LaMP-2", key, label) for key in ("accuracy", "f1") for label in ("none", "fair")]
    pairs += [("LaMP-3", key, "none") for key in ("mae", "rmse")]
    raw = [p_value(by_task[t][label], by_task[t]["good"], key, stats.RESAMPLES) for t, key, label in pairs]
    shown = [
        cell.p_best
        for t, key, label in pairs
        if (cell := row_of(tuple(r for r in rows if r.task == t), key).cells[COLUMNS.index(label)])
    ]
    assert shown == stats.holm(raw)


def test_the_better_one_is_lower_where_lower_is_better(by_task: dict[str, dict[str, SeedRuns]]) -> None:
    rows, _ = scores_table(by_task, COLUMNS, "none")
    errors = row_of(rows, "mae").cells
    assert errors[1] is None  # it did not run there
    assert errors[0] is not None
    assert errors[2] is not None
    assert errors[2].value < errors[0].value
    assert (errors[2].best, errors[0].best, errors[2].better, errors[0].better) == (True, False, True, None)
    shares = row_of(rows, "accuracy").cells
    assert [cell.best for cell in shares if cell] == [False, False, True]


def test_two_that_are_printed_alike_are_both_the_best(tmp_path: Path) -> None:
    records = [add_run(tmp_path, name, quality=0.5) for name in ("a", "b")]
    by_task = {"LaMP-2": {runs.label: runs for runs in stand(records).ranked}}
    cells = scores_table(by_task, ("a", "b"), None)[0][0].cells
    assert [f"{cell.value:.{DIGITS}f}" for cell in cells if cell] == [f"{cells[0].value:.{DIGITS}f}"] * 2  # type: ignore[union-attr]
    assert [cell.best for cell in cells if cell] == [True, True]


def test_one_alone_is_not_the_best_of_anything(tmp_path: Path) -> None:
    by_task = {"LaMP-2": {"a": stand([add_run(tmp_path, "a")]).ranked[0]}}
    rows, tests = scores_table(by_task, ("a",), None)
    assert tests == 0
    assert [cell.best for row in rows for cell in row.cells if cell] == [False, False]


def test_a_label_tells_the_direction() -> None:
    assert (metric_label("LaMP-3", "mae"), metric_label("LaMP-2", "accuracy")) == ("MAE ↓", "Accuracy ↑")


def test_a_label_is_that_of_the_task_and_runs_no_other_file(tmp_path: Path) -> None:
    write_task(tmp_path, "Gain", same(label="Hits"))
    write_task(tmp_path, "Loss", same(label="Misses", higher=False))
    ran = tmp_path / "ran"
    other = write_task(tmp_path, "Other", same())
    other.write_text(f"open({str(ran)!r}, 'w').close()\n{other.read_text()}")
    assert [metric_label(task, "same") for task in ("Gain", "Loss")] == ["Hits ↑", "Misses ↓"]
    assert not ran.exists()
    metric_label("Other", "same")
    assert ran.exists()
