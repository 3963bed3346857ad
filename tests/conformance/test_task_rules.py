"""`lampbench check --task`: a task's file is proved by a made-up user, and what is wrong with it is named."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from places import CHECKOUT

from lampbench.cli.app import main
from lampbench.conformance.task_rules import check_tasks
from lampbench.tasks import TASKS
from lampbench.tasks.registry import search_in

REVIEWS = re.findall(r"```python\n(.*?)```", (CHECKOUT / "README.md").read_text(encoding="utf-8"), re.DOTALL)[
    1
]
EVERYTHING = """
from lampbench.tasks.base import *


def rows(predictions, golds):
    return [[float(p == g)] for p, g in zip(predictions, golds, strict=True)]

"""


def lampbench(*words: object) -> int:
    with pytest.raises(SystemExit) as end:
        main([str(word) for word in words])
    return int(end.value.code or 0)


def with_file(folder: Path, text: str) -> Path:
    (folder / "task.py").write_text(text, encoding="utf-8")
    search_in(folder)
    return folder


def test_the_tasks_of_lampbench_keep_the_rules() -> None:
    reports = check_tasks("all")
    assert [report.name for report in reports] == list(TASKS)
    assert [report.failures for report in reports] == [[]] * len(TASKS)
    assert {"bm25 answers", "contriever answers", "recency answers", "rrf answers"} <= set(reports[0].done)


@pytest.mark.parametrize(
    ("change", "rule", "told"),
    [
        (
            'metrics=(Metric("same", "Same", higher_is_better=False, rows=rows),)',
            "right answers score better",
            "same is 1 for right answers and 0 for wrong ones, and lower is better",
        ),
        (
            'metrics=(Metric("same", "Same", rows=lambda p, g: [[float("nan")]] * len(p)),)',
            "right answers score better",
            "nan",
        ),
        (
            'metrics=(Metric("same", "Same", rows=lambda p, g: rows(p, g)[1:]),)',
            "right answers score better",
            "have shape (11, 1)",
        ),
        (
            'metrics=("rouge1",), reader=InputReader(lambda input: "", lambda input: input)',
            "an input is read",
            "the query is empty",
        ),
        (
            'metrics=("rouge1",), reader=InputReader(lambda input: input, lambda input: input)',
            "an input is read",
            "an input of another task is taken for one of this",
        ),
        (
            'metrics=("rouge1",), texts=ItemTexts(history="always the same")',
            "items are told as texts",
            "history_text, released is the same for items that have nothing in common: 'always the same'",
        ),
        (
            'metrics=("rouge1",), lesson=("Say nothing: {text}", "")',
            "items make lessons",
            "4 items make 0 lessons",
        ),
        (
            'metrics=("rouge1",), prompt=ProfilePrompt(item="an item ")',
            "a prompt holds input and items, and keeps to its length",
            "shows nothing of item asked-0",
        ),
        (
            'metrics=("rouge1",), files=OfficialFiles(is_meant=lambda name, setting: False)',
            "the audit finds nothing odd",
            "is for task 'Review-title'",
        ),
    ],
)
def test_what_is_wrong_with_a_task_is_named(tmp_path: Path, change: str, rule: str, told: str) -> None:
    with_file(tmp_path, EVERYTHING + REVIEWS.replace('metrics=("rouge1", "rougeL"),', change + ","))
    (report,) = check_tasks("Review-title")
    reasons = dict(report.failures)
    assert told in reasons[rule]
    assert not report.passed


def test_the_command_proves_a_task_and_a_method_on_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = with_file(tmp_path, REVIEWS)
    assert lampbench("check", "--task", "Review-title", "--tasks-dir", folder) == 0
    assert "Review-title: ok, 14 checks" in capsys.readouterr().out
    assert lampbench("check", "bm25", "--task", "Review-title", "--tasks-dir", folder, "--json") == 0
    (report,) = json.loads(capsys.readouterr().out)
    assert report["method"] == "bm25"
    assert report["passed"]
    assert all(rule.startswith("Review-title: ") for rule in report["done"])


def test_a_method_that_cannot_be_imported_says_nothing_of_a_task(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    tasks, methods = tmp_path / "tasks", tmp_path / "methods"
    tasks.mkdir()
    methods.mkdir()
    with_file(tasks, REVIEWS)
    text = "from lampbench.method import Method as Base\n\n\nclass Method(Base):\n    name = 'sulky'\n\n\n1 / 0\n"
    (methods / "sulky.py").write_text(text)
    assert lampbench("check", "--task", "Review-title", "--methods-dir", methods, "--tasks-dir", tasks) == 0
    assert "Review-title: ok, 14 checks" in capsys.readouterr().out


def test_a_task_of_ranked_lists_keeps_the_rules(tmp_path: Path) -> None:
    text = REVIEWS.replace('kind="generation"', 'kind="ranking"').replace(
        '"rouge1", "rougeL"', '"recall@2", "mrr"'
    )
    with_file(tmp_path, text)
    (report,) = check_tasks("Review-title")
    assert report.failures == []


def test_a_task_that_fails_ends_the_command_with_1_and_none_at_all_with_2(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = with_file(tmp_path, EVERYTHING + REVIEWS.replace('"rougeL"', '"rougeL"), lesson=("{text}", ""'))
    assert lampbench("check", "--task", "Review-title", "--tasks-dir", folder) == 1
    assert "Review-title: FAILED 1 of 14 checks\n  items make lessons: " in capsys.readouterr().out
    assert lampbench("check") == 2
    assert "error: name a method to check, or a task with --task" in capsys.readouterr().err
