"""Comparing two methods: paired, grouped by user, corrected, and only where everything else was equal."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from made_results import LLM, add_run

from lampbench.errors import RequestError
from lampbench.report.compare import compare, comparison_table, p_text
from lampbench.stats import holm
from lampbench.tasks import TASKS


def test_rows_are_the_metrics_of_the_common_tasks_with_a_minus_b(tmp_path: Path) -> None:
    for task in ("LaMP-3", "LaMP-2"):
        one = add_run(tmp_path, "a", task, 0.9)
        other = add_run(tmp_path, "b", task, 0.3)
    add_run(tmp_path, "a", "LaMP-1", 0.9)
    found = compare(tmp_path, "a", "b")
    assert [(row.task, row.metric) for row in found.rows] == [
        ("LaMP-2", "accuracy"),
        ("LaMP-2", "f1"),
        ("LaMP-3", "mae"),
        ("LaMP-3", "rmse"),
    ]
    row = next(row for row in found.rows if row.metric == "accuracy")
    expected = one.metrics["accuracy"].value - other.metrics["accuracy"].value
    assert row.difference == pytest.approx(expected)
    assert row.low < row.difference < row.high
    assert (row.n, row.users, row.seeds) == (60, None, (1, 1))


def test_the_better_one_is_named_by_the_direction_of_the_metric(tmp_path: Path) -> None:
    for task in ("LaMP-2", "LaMP-3"):
        add_run(tmp_path, "a", task, 0.95)
        add_run(tmp_path, "b", task, 0.05)
    assert {row.better for row in compare(tmp_path, "a", "b").rows} == {"a"}
    assert {row.better for row in compare(tmp_path, "b", "a").rows} == {"b"}


def test_equal_methods_cannot_be_told_apart(tmp_path: Path) -> None:
    add_run(tmp_path, "a")
    add_run(tmp_path, "b")
    for row in compare(tmp_path, "a", "b").rows:
        assert (row.difference, row.p, row.p_holm, row.better) == (0, 1, 1, None)


def test_p_values_are_corrected_over_all_rows_shown(tmp_path: Path) -> None:
    for task in ("LaMP-1", "LaMP-2", "LaMP-3"):
        add_run(tmp_path, "a", task, 0.6, seed=0)
        add_run(tmp_path, "b", task, 0.4, seed=0)
    rows = compare(tmp_path, "a", "b").rows
    assert [row.p_holm for row in rows] == holm([row.p for row in rows])
    few = compare(tmp_path, "a", "b", tasks=["lamp2"]).rows
    assert [row.task for row in few] == ["LaMP-2", "LaMP-2"]
    assert few[0].p == rows[0].p
    assert few[0].p_holm <= rows[0].p_holm


def test_questions_are_grouped_by_user_where_users_repeat(tmp_path: Path) -> None:
    users = ["u"] * 30 + ["v"] * 30
    add_run(tmp_path, "a", quality=0.95, users=users)
    add_run(tmp_path, "b", quality=0.05, users=users)
    row = compare(tmp_path, "a", "b").rows[0]
    assert row.users == 2
    assert row.p >= 0.5
    assert row.better is None


def test_seeds_are_averaged_before_testing(tmp_path: Path) -> None:
    runs = [add_run(tmp_path, "a", seed=seed, quality=0.5) for seed in range(3)]
    other = add_run(tmp_path, "b", quality=0.3)
    row = compare(tmp_path, "a", "b").rows[0]
    mean = sum(run.metrics["accuracy"].value for run in runs) / 3
    assert row.a == pytest.approx(mean)
    assert row.difference == pytest.approx(mean - other.metrics["accuracy"].value)
    assert row.seeds == (3, 1)


def test_limited_runs_on_the_same_sample_can_be_compared(tmp_path: Path) -> None:
    for name in ("a", "b"):
        add_run(tmp_path, name, data_changes={"limit": 60})
    assert len(compare(tmp_path, "a", "b").rows) == 2


def test_a_difference_in_the_llm_ends_the_comparison_with_the_reason(tmp_path: Path) -> None:
    add_run(tmp_path, "a")
    add_run(tmp_path, "b", llm=replace(LLM, revision="rev2"))
    with pytest.raises(RequestError, match="LLM revision rev2, not rev1"):
        compare(tmp_path, "a", "b")


def test_a_task_that_cannot_be_compared_is_left_out_with_the_reason(tmp_path: Path) -> None:
    for task in ("LaMP-2", "LaMP-3"):
        add_run(tmp_path, "a", task)
        add_run(tmp_path, "b", task)
    add_run(tmp_path, "b", "LaMP-3", status="failed", error="no memory")
    found = compare(tmp_path, "a", "b")
    assert {row.task for row in found.rows} == {"LaMP-2"}
    assert found.left_out == (("LaMP-3", "b, seed 0: no memory"),)
    assert "no memory" in comparison_table(found)


def test_a_wrong_request_is_told_in_one_line(tmp_path: Path) -> None:
    add_run(tmp_path, "alpha", "LaMP-2")
    add_run(tmp_path, "beta", "LaMP-3")
    with pytest.raises(RequestError, match="did you mean 'alpha'"):
        compare(tmp_path, "alfa", "beta")
    with pytest.raises(RequestError, match="with itself"):
        compare(tmp_path, "alpha", "alpha")
    with pytest.raises(RequestError, match="no task in common"):
        compare(tmp_path, "alpha", "beta")
    with pytest.raises(RequestError, match="unknown task"):
        compare(tmp_path, "alpha", "beta", tasks=["LaMP-9"])


def test_methods_that_meet_in_two_suites_need_the_suite_named(tmp_path: Path) -> None:
    for suite in ("one", "two"):
        for name in ("a", "b"):
            add_run(tmp_path, name, suite=suite)
    with pytest.raises(RequestError, match="one of one, two"):
        compare(tmp_path, "a", "b")
    assert compare(tmp_path, "a", "b", suite="two").suite == "two"


def test_a_task_asked_for_must_have_been_run(tmp_path: Path) -> None:
    for name in ("a", "b"):
        add_run(tmp_path, name)
    add_run(tmp_path, "a", "LaMP-3")
    with pytest.raises(RequestError, match="both 'a' and 'b' on LaMP-3"):
        compare(tmp_path, "a", "b", tasks=["LaMP-2", "LaMP-3"])


def test_a_comparison_is_printed_in_80_columns(tmp_path: Path) -> None:
    long = "random-profile+learning_rate=0.0001+warmup=0.05"
    for task in TASKS:
        add_run(tmp_path, "a", task, 0.95)
        add_run(tmp_path, "b", task, 0.05, variant=long)
    found = compare(tmp_path, "a", f"b+{long}")
    found = replace(found, rows=tuple(replace(row, n=15_000) for row in found.rows))
    lines = comparison_table(found).splitlines()
    assert max(map(len, lines)) <= 80
    row = found.rows[0]
    assert lines[1].split() == [
        *("LaMP-1", "Accuracy", "↑", f"{row.a:.3f}", f"{row.b:.3f}", f"+{row.difference:.3f}"),
        *(f"+{row.low:.3f},", f"+{row.high:.3f}", "<0.001", p_text(row.p_holm), "A", "15000"),
    ]
    assert f"B: b+{long}." in " ".join(lines)
    assert "A" not in comparison_table(compare(tmp_path, f"b+{long}", "a")).splitlines()[1].split()


def test_no_letter_stands_where_the_better_one_cannot_be_told(tmp_path: Path) -> None:
    add_run(tmp_path, "a")
    add_run(tmp_path, "b")
    row = comparison_table(compare(tmp_path, "a", "b")).splitlines()[1]
    assert row.split()[-3:] == ["1.000", "1.000", "60"]


def test_a_small_p_value_is_not_printed_as_zero() -> None:
    assert p_text(0.0001) == "<0.001"
    assert p_text(0.0314) == "0.031"
