"""The golden questions, and the prompts and rankings that the official programs make of them (golden/README.md)."""

from __future__ import annotations

import json
from functools import cache
from typing import Any

from places import GOLDEN
from transformers import AutoTokenizer

from lampbench.tasks import get_task

_FOLDER = GOLDEN / "prompts"
DATA = _FOLDER / "data"
TOKENIZER = _FOLDER / "tokenizer"


def questions(task: str) -> dict[str, dict[str, Any]]:
    """The questions of a task by id, as in the JSON."""
    path = DATA / "user" / get_task(task).official_name / "dev_questions.json"
    return {question["id"]: question for question in json.loads(path.read_text(encoding="utf-8"))}


@cache
def tokenizer() -> Any:
    """The tokenizer of the golden prompts: a small one of T5's kind, which closes every text with `</s>`."""
    return AutoTokenizer.from_pretrained(TOKENIZER)


def rankings(task: str) -> dict[str, dict[str, list[str]]]:
    """Of each question, the ids of its items best first, by ranker: `bm25`, `bm25_dated`, `recency`."""
    return {line["id"]: line for line in _lines("rankings", task)}


def prompts(task: str) -> list[dict[str, Any]]:
    """Lines with `id`, `retriever`, `k`, `max_length` and `prompt`."""
    return _lines("prompts", task)


def _lines(name: str, task: str) -> list[dict[str, Any]]:
    text = (_FOLDER / f"{name}.jsonl").read_text(encoding="utf-8")
    # Not splitlines: a text may hold other line ends than the file's own.
    lines = [json.loads(line) for line in text.rstrip("\n").split("\n")]
    return [line for line in lines if line["task"] == task]
