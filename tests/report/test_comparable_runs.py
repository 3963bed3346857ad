"""Which runs may stand in one table: what most have in common decides, and the others are named with the reason."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from made_results import LLM, add_run
from own_tasks import same, write_task

from lampbench.records.record import ModelRecord, Record
from lampbench.report.comparable_runs import Standing, stand

OTHER = replace(LLM, revision="rev2")


def reasons(standing: Standing) -> dict[str, str]:
    return {aside.record.method.label: aside.reason for aside in standing.odd}


def labels(standing: Standing) -> list[str]:
    return [runs.label for runs in standing.ranked]


def test_of_two_revisions_of_an_llm_the_one_of_most_runs_stays(tmp_path: Path) -> None:
    records = [add_run(tmp_path, name) for name in ("a", "b")] + [add_run(tmp_path, "c", llm=OTHER)]
    standing = stand(records)
    assert labels(standing) == ["a", "b"]
    assert reasons(standing) == {"c": "LLM revision rev2, not rev1"}


def test_of_equally_many_the_first_in_text_order_stays_whatever_order_they_come_in(tmp_path: Path) -> None:
    records = [add_run(tmp_path, "a", llm=OTHER), add_run(tmp_path, "b")]
    for given in (records, records[::-1]):
        assert labels(stand(given)) == ["b"]


def test_methods_that_use_an_encoder_must_use_the_same_and_the_others_need_none(tmp_path: Path) -> None:
    one, two = (
        ModelRecord("some/encoder", "e1", "float32", 1),
        ModelRecord("some/encoder", "e2", "float32", 1),
    )
    records = [
        add_run(tmp_path, "a"),
        add_run(tmp_path, "b", encoder=one),
        add_run(tmp_path, "c", encoder=one),
        add_run(tmp_path, "d", encoder=two),
    ]
    standing = stand(records)
    assert labels(standing) == ["a", "b", "c"]
    assert reasons(standing) == {"d": "encoder some/encoder (e2), not some/encoder (e1)"}


def test_a_task_agrees_with_itself_and_not_with_other_tasks(tmp_path: Path) -> None:
    records = [
        add_run(tmp_path, "a", "LaMP-2"),
        add_run(tmp_path, "a", "LaMP-4"),  # other questions, another fingerprint
        add_run(tmp_path, "b", "LaMP-4"),
        add_run(tmp_path, "c", "LaMP-4", data_changes={"fingerprint": "zzz"}),
    ]
    standing = stand(records)
    assert [(runs.task, runs.label) for runs in standing.ranked] == [
        ("LaMP-2", "a"),
        ("LaMP-4", "a"),
        ("LaMP-4", "b"),
    ]
    assert reasons(standing) == {"c": "data fingerprint zzz, not print of LaMP-4"}


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"method_changes": {"config": {"k": 5}}}, "other options than seed 0"),
        ({"method_changes": {"sha256": "g"}}, "the file of the method has changed since seed 0"),
    ],
)
def test_seeds_of_one_label_are_runs_of_one_thing(
    tmp_path: Path, changes: dict[str, dict[str, object]], reason: str
) -> None:
    standing = stand([add_run(tmp_path, "a"), add_run(tmp_path, "a", seed=1, **changes)])  # type: ignore[arg-type]
    assert [len(runs.records) for runs in standing.ranked] == [1]
    assert reasons(standing) == {"a": reason}


def test_an_option_that_came_later_had_its_default_before(tmp_path: Path) -> None:
    newer = add_run(tmp_path, "a", seed=1, method_changes={"config": {"k": 4, "prompts": False}})
    standing = stand([add_run(tmp_path, "a"), newer])
    assert [len(runs.records) for runs in standing.ranked] == [2]


def test_what_did_not_end_what_was_drawn_and_what_has_no_golds_stand_aside(tmp_path: Path) -> None:
    records: list[Record] = [
        add_run(tmp_path, "whole"),
        add_run(tmp_path, "broken", status="failed", error="no memory"),
        add_run(tmp_path, "begun", status="started"),
        add_run(tmp_path, "drawn", data_changes={"limit": 60}),
        add_run(tmp_path, "hidden", metrics={}),
    ]
    standing = stand(records)
    assert labels(standing) == ["whole"]
    assert {a.record.method.name: a.reason for a in standing.failed} == {
        "broken": "no memory",
        "begun": "unfinished: the same command goes on with it",
    }
    assert [record.method.name for record in standing.limited] == ["drawn"]
    assert [record.method.name for record in standing.unscored] == ["hidden"]
    assert "drawn" in labels(stand(records, limited=True))


def test_runs_of_a_task_that_cannot_be_had_are_told_with_the_remedy_and_cost_no_others(
    tmp_path: Path,
) -> None:
    path = write_task(tmp_path / "tasks", "Mine", same())
    records = [add_run(tmp_path / "results", "a", task) for task in ("LaMP-2", "Mine")]
    assert [runs.task for runs in stand(records).ranked] == ["LaMP-2", "Mine"]
    path.write_text("def broken(:")
    path.rename(path.with_name("Mine.py"))  # a broken file goes by its own name
    standing = stand(records)
    assert [runs.task for runs in standing.ranked] == ["LaMP-2"]
    assert reasons(standing)["a"].startswith("task 'Mine' is broken: SyntaxError")
    path.with_name("Mine.py").unlink()
    assert reasons(stand(records)) == {"a": "its task is not found: name its folder with --tasks-dir"}
