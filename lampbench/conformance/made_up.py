"""Data of a made-up task: users whose histories are words that nothing else says, in the official files."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from lampbench.tasks import Task
from lampbench.tasks.wording import slots_in

SIZES = {"train": 8, "dev": 5}  # questions by split
HISTORY = 4  # items of a user

Question = dict[str, Any]


def write_made_up(folder: Path, task: Task) -> None:
    """Write train and dev split of a task, of the user setting."""
    place = folder / "user" / task.official_name
    place.mkdir(parents=True, exist_ok=True)
    for split, n in SIZES.items():
        numbers = [f"{split}{i}" for i in range(n)]
        questions = [question(task, number) for number in numbers]
        golds = [{"id": number, "output": answer(task, i, number)} for i, number in enumerate(numbers)]
        contents = {"questions": questions, "outputs": {"task": task.official_name, "golds": golds}}
        for kind, content in contents.items():
            (place / f"{split}_{kind}.json").write_text(json.dumps(content), encoding="utf-8")


def question(task: Task, id: str) -> Question:
    """A question with a history of its user."""
    profile = [item(task, i, f"{id}-{i}") for i in range(HISTORY)]
    return {"id": id, "input": asked(task, id), "profile": profile, "user_id": f"user of {id}"}


def item(task: Task, place: int, id: str) -> dict[str, str]:
    """An item; every field has words of its own, but for a label or rating."""
    fields = {name: sentence(name, id) for name in task.item_fields}
    if task.output_field is not None:
        fields[task.output_field] = answer(task, place, id)
    return {"id": id, **fields, "date": f"2020-01-{place + 1:02}"}


def asked(task: Task, id: str) -> str:
    """An input: the template with words of its own in each slot."""
    return task.template.format(**{name: sentence(name, id) for name in slots_in(task.template)})


def answer(task: Task, place: int, id: str) -> str:
    """An answer of the task's kind; those of neighbouring places differ."""
    if task.labels:
        return task.labels[place % len(task.labels)]
    if task.kind == "ranking":
        return "\n".join(sentence(f"choice{rank}", id) for rank in range(3))
    return sentence("answer", id)


def sentence(name: str, id: str) -> str:
    """Six words that only this text has, of letters alone, so that tokenizers may know them."""
    own = "".join(chr(ord("a") + int(c)) if c.isdigit() else c for c in id.lower() if c.isalnum())
    return " ".join(f"{name.replace('_', '').lower()}{own}{ending}" for ending in "uvwxyz")
