"""The runs of one method with several seeds: seeds and questions are two sources of chance, kept apart."""

from __future__ import annotations

from pathlib import Path

import pytest
from made_results import add_run

from lampbench.errors import RequestError
from lampbench.report.seed_runs import SeedRuns, p_value, paired, read_log


def runs_of(
    results: Path, method: str, task: str, quality: float, seeds: int = 1, **options: object
) -> SeedRuns:
    records = [
        add_run(results, method, task, quality, seed=seed, **options)  # type: ignore[arg-type]
        for seed in range(seeds)
    ]
    logs = []
    for record in records:
        log, problem = read_log(record)
        assert problem is None
        logs.append(log)
    return SeedRuns(tuple(records), tuple(logs))


@pytest.mark.parametrize(("task", "metric"), [("LaMP-2", "accuracy"), ("LaMP-2", "f1"), ("LaMP-3", "rmse")])
@pytest.mark.parametrize("users", [None, [f"u{i // 2}" for i in range(60)], ["u", "v"] * 30])
def test_the_quick_p_value_is_that_of_the_full_test(
    tmp_path: Path, task: str, metric: str, users: list[str] | None
) -> None:
    a = runs_of(tmp_path, "a", task, 0.6, seeds=2, users=users)
    b = runs_of(tmp_path, "b", task, 0.4, users=users)
    full = paired(a, b, metric, n=2000)
    assert p_value(a, b, metric, n=2000) == full.p
    assert full.exact == (users is not None and len(set(users)) == 2)


def test_the_order_of_the_two_does_not_matter(tmp_path: Path) -> None:
    a, b = runs_of(tmp_path, "a", "LaMP-3", 0.6), runs_of(tmp_path, "b", "LaMP-3", 0.4)
    assert p_value(a, b, "mae") == p_value(b, a, "mae")


def test_questions_are_paired_by_id_whatever_the_order_of_the_file(tmp_path: Path) -> None:
    a, b = runs_of(tmp_path, "a", "LaMP-2", 0.6), runs_of(tmp_path, "b", "LaMP-2", 0.4)
    turned = SeedRuns(b.records, (dict(reversed(b.logs[0].items())),))
    assert paired(a, turned, "accuracy") == paired(a, b, "accuracy")


def test_other_questions_cannot_be_paired(tmp_path: Path) -> None:
    a, b = runs_of(tmp_path, "a", "LaMP-2", 0.6), runs_of(tmp_path, "b", "LaMP-2", 0.4, n=50)
    for test in (paired, p_value):
        with pytest.raises(RequestError, match="questions of b"):
            test(a, b, "accuracy")


def test_equal_seeds_have_no_spread_and_the_interval_of_one(tmp_path: Path) -> None:
    one = runs_of(tmp_path, "a", "LaMP-2", 0.5)
    twice = SeedRuns(one.records * 2, one.logs * 2)
    assert twice.sd("f1") == 0
    assert one.sd("f1") is None
    from lampbench import metrics, stats

    rows = one.mean_rows("f1", one.ids)
    alone = stats.bootstrap_interval(rows, metrics.statistic("f1"))
    assert twice.interval("f1") == pytest.approx(alone)


def test_predictions_without_scores_are_told(tmp_path: Path) -> None:
    record = add_run(tmp_path, predictions_sha256=None)
    path = record.predictions
    path.write_text(path.read_text().replace('"labels"', '"marks"'))
    from dataclasses import replace

    _, problem = read_log(replace(record, predictions_sha256=None))
    assert problem == "its predictions.jsonl lacks the scores for f1"
