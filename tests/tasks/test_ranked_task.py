"""A task whose answers are ranked lists, with a metric of its own beside known ones, from data to leaderboard."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest

from lampbench import load_records
from lampbench.cli.app import main
from lampbench.errors import RequestError
from lampbench.runner.preset import FOLDER as PRESETS
from lampbench.runner.preset import load_preset
from lampbench.tasks import get_task
from lampbench.tasks.registry import search_in

TASK = '''"""Books that a reader takes up next, best guess first."""

import numpy as np

from lampbench.tasks.base import Metric, Task, answers


def hit_in_first(predictions, golds):
    first = [(answers(text)[:1], answers(gold)) for text, gold in zip(predictions, golds, strict=True)]
    return np.array([[float(any(title in right for title in said))] for said, right in first])


TASK = Task(
    name="Next-book",
    title="Books to read next",
    kind="ranking",
    template="What does a reader of {title} read next? One title per line.",
    item_fields=("title",),
    metrics=("recall@2", "ndcg@2", "mrr", Metric("hit", "First is right", rows=hit_in_first)),
    max_new_tokens=17,
)
'''
TITLES = ["Emma", "Ulysses", "Dune", "Walden", "Candide", "Faust"]


def lampbench(*words: object) -> None:
    with pytest.raises(SystemExit) as end:
        main([str(word) for word in words])
    assert end.value.code == 0


@pytest.fixture
def places(tmp_path: Path) -> Path:
    """A folder with the task in `tasks`, and its data in `data`."""
    data = tmp_path / "data" / "user" / "Next-book"
    for folder in (tmp_path / "tasks", data):
        folder.mkdir(parents=True)
    (tmp_path / "tasks" / "books.py").write_text(TASK)
    questions, golds = [], []
    for number, title in enumerate(TITLES):
        profile = [{"id": f"{number}-{i}", "title": other} for i, other in enumerate(TITLES[:number])]
        asked = f"What does a reader of {title} read next? One title per line."
        questions.append({"id": f"q{number}", "input": asked, "profile": profile})
        following = TITLES[(number + 1) % 6], TITLES[(number + 2) % 6]
        golds.append({"id": f"q{number}", "output": "\n".join(following)})
    (data / "dev_questions.json").write_text(json.dumps(questions))
    (data / "dev_outputs.json").write_text(json.dumps({"task": "Next-book", "golds": golds}))
    return tmp_path


def test_a_ranked_list_is_scored_line_by_line(places: Path, capsys: pytest.CaptureFixture[str]) -> None:
    guesses = [{"id": f"q{i}", "output": f"{TITLES[(i + 2) % 6]}\n{TITLES[i]}"} for i in range(6)]
    guesses[0]["output"] = "Walden\nUlysses"
    file = places / "guesses.json"
    file.write_text(json.dumps({"task": "Next-book", "golds": guesses}))
    golds = places / "data" / "user" / "Next-book" / "dev_outputs.json"
    lampbench("score", file, golds, "--tasks-dir", places / "tasks", "--json")
    values = json.loads(capsys.readouterr().out)["tasks"]["Next-book"]["metrics"]
    assert values["recall@2"] == 0.5
    assert values["mrr"] == pytest.approx((5 * 1 + 1 / 2) / 6)
    assert values["hit"] == pytest.approx(5 / 6)


def test_a_metric_of_a_task_reaches_the_leaderboard_with_interval_and_test(
    places: Path, tiny_llm: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    results, board = places / "results", places / "board.csv"
    tasks = ("--tasks-dir", places / "tasks")
    models = ("--llm", tiny_llm, "--data", places / "data", "--setting", "user", "--results", results)
    lampbench("run", "--method", "adhoc,bm25", "--task", "Next-book", "--quiet", *models, *tasks)
    for record in load_records(results):
        assert list(record.metrics) == ["recall@2", "ndcg@2", "mrr", "hit"]
        assert record.generation["max_new_tokens"] == 17
        assert record.spec is not None
        assert len(record.spec["task_file"]) == 32
    capsys.readouterr()
    lampbench("compare", "adhoc", "bm25", "--results", results, "--json", *tasks)
    pairs = json.loads(capsys.readouterr().out)
    assert "hit" in json.dumps(pairs)
    lampbench("leaderboard", "--results", results, "--output", board, *tasks)
    rows = [row for row in csv.DictReader(board.open()) if row["part"] == "measured"]
    assert {row["quantity"] for row in rows} == {"recall@2", "ndcg@2", "mrr", "hit"}
    assert all(row["low"] and row["high"] for row in rows)


def test_records_of_a_task_that_is_not_found_are_told_by_its_name(places: Path) -> None:
    search_in(places / "tasks")
    assert get_task("Next-book").kind == "ranking"
    search_in(())
    with pytest.raises(RequestError, match="unknown task 'Next-book'"):
        get_task("Next-book")


def test_a_run_is_one_of_the_task_as_its_file_was(
    places: Path, tiny_llm: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = places / "tasks" / "books.py"
    models = ("--llm", tiny_llm, "--data", places / "data", "--setting", "user")
    words = ("run", "--method", "adhoc", "--task", "Next-book", *models, "--results", places / "results")
    told = []
    for text in (TASK, f"# A remark.\n{TASK}", TASK.replace("First is right", "First"), None):
        if text is not None:
            file.write_text(text)
        lampbench(*words, "--tasks-dir", places / "tasks")
        told.append(capsys.readouterr().err)
    (record,) = load_records(places / "results")
    again = ["task file" in err for err in told]
    assert again == [False, False, True, False]
    assert record.spec is not None
    assert record.spec["task_file"] in told[2]


def test_a_preset_that_names_the_task_says_how_long_an_answer_may_be(places: Path) -> None:
    search_in(places / "tasks")
    file = places / "mine.toml"
    text = (PRESETS / "mini.toml").read_text(encoding="utf-8")
    assert "[max_new_tokens]\n" in text
    task = get_task("Next-book")
    assert load_preset("mini").new_tokens(task) == 17
    file.write_text(text.replace("[max_new_tokens]\n", "[max_new_tokens]\nNext-book = 9\n"))
    assert load_preset(str(file)).new_tokens(task) == 9
