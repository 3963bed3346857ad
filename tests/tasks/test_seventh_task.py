"""A seventh task from its data to the leaderboard, with no file of lampbench touched: the example of the README."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from lampbench.cli.app import main

README = Path(__file__).parents[2] / "README.md"
TASK = re.findall(r"```python\n(.*?)```", README.read_text(encoding="utf-8"), re.DOTALL)[1]


def question(number: int) -> tuple[dict[str, object], dict[str, str]]:
    things = [("lamp", "Bright"), ("chair", "Sturdy"), ("kettle", "Loud")]
    items = [
        {"id": f"{number}-{i}", "text": f"The {thing} came on day {number}.", "title": f"{word} {thing}"}
        for i, (thing, word) in enumerate(things)
    ]
    asked = f"Write a title for the following review: This {things[number % 3][0]} does what it should."
    gold = f"{things[number % 3][1]} {things[number % 3][0]}"
    return {"id": f"q{number}", "input": asked, "profile": items}, {"id": f"q{number}", "output": gold}


def write_data(folder: Path) -> None:
    folder.mkdir(parents=True)
    for split, numbers in {"train": range(6), "dev": range(6, 12)}.items():
        questions, golds = zip(*map(question, numbers), strict=True)
        (folder / f"{split}_questions.json").write_text(json.dumps(questions))
        (folder / f"{split}_outputs.json").write_text(json.dumps({"task": "Review-title", "golds": golds}))


def test_a_seventh_task_runs_from_its_data_to_the_leaderboard(
    tmp_path: Path, tiny_llm: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def lampbench(*words: object) -> str:
        with pytest.raises(SystemExit) as end:
            main([*map(str, words), "--tasks-dir", str(tmp_path / "tasks")])
        out, err = capsys.readouterr()
        assert end.value.code == 0, err
        return out

    (tmp_path / "tasks").mkdir()
    (tmp_path / "tasks" / "review_title.py").write_text(TASK)
    data, results, board = tmp_path / "data", tmp_path / "results", tmp_path / "board.md"
    write_data(data / "user" / "Review-title")
    assert "Review-title  ROUGE-1 ROUGE-L  Personalized review titles" in lampbench("list", "tasks")
    audit = lampbench("data", "audit", "--data", data, "--setting", "user", "--task", "Review-title")
    assert re.search(r"questions +6 +6", audit)
    models = ("--llm", tiny_llm, "--data", data, "--setting", "user", "--results", results, "--quiet")
    table = lampbench("run", "--method", "adhoc,bm25", "--task", "Review-title", *models)
    assert re.search(r"Review-title +ROUGE-1 ", table)
    golds = data / "user" / "Review-title" / "dev_outputs.json"
    assert "ROUGE-L" in lampbench("score", golds, golds)
    assert "Review-title" in lampbench("compare", "adhoc", "bm25", "--results", results)
    lampbench("leaderboard", "--results", results, "--output", board)
    assert re.search(r"^\| Review-title +\| ROUGE-1 ", board.read_text(), re.MULTILINE)
