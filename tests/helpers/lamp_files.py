"""Data in the official format, made in a test."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from lampbench.tasks import get_task

INPUTS = {
    "LaMP-2": "Which tag does this movie relate to? description: {}",
    "LaMP-3": "What is the score of the following review? review: {}",
    "LaMP-4": "Generate a headline for the following article: {}",
}


def item(task: str, id: str, text: str, **more: Any) -> dict[str, Any]:
    """An item whose every field is made of `text`; a rating is always 5."""
    fields = {name: f"{name} of {text}" for name in get_task(task).item_fields}
    if "score" in fields:
        fields["score"] = "5"
    return {"id": id, **fields, **more}


def question(task: str, id: str, n_items: int = 2, **more: Any) -> dict[str, Any]:
    """A question of that task with `n_items` items of its own."""
    profile = [item(task, f"{id}-{i}", f"item {i} of {id}") for i in range(n_items)]
    return {"id": id, "input": INPUTS[task].format(f"text of {id}"), "profile": profile, **more}


def write_json(path: Path, value: object) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value), encoding="utf-8")
    return path


def write_split(
    folder: Path,
    task: str,
    questions: list[Any],
    golds: dict[str, Any] | None = None,
    split: str = "dev",
    setting: str = "user",
) -> Path:
    """The two files of a split under `folder`; without `golds`, every question has the gold 4."""
    stem = folder / setting / get_task(task).official_name
    write_json(stem / f"{split}_questions.json", questions)
    if golds is None:
        golds = {record["id"]: "4" for record in questions if isinstance(record, dict) and "id" in record}
    entries = [{"id": id, "output": output} for id, output in golds.items()]
    write_json(stem / f"{split}_outputs.json", {"task": get_task(task).official_name, "golds": entries})
    return folder
