"""A population in which one item of every history is always right: what a retriever should learn to find."""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest
from lamp_files import INPUTS, write_split
from tiny_encoder import MEAN, write_tiny_encoder

from lampbench.mini.tiny_models import write_tiny_llm
from lampbench.models.frozen_llm import FrozenLLM
from lampbench.models.requests import Generation, Request

SIGNS = ("amber", "birch", "cedar", "delta")
FILLERS = tuple("red green blue small large old new fast slow warm cold wet dry soft hard long".split())

PRESET = """
summary = "planted"
llm = "{folder}/llm"
encoder = "{folder}/encoder"
data = "{folder}/data"
setting = "user"
max_input_tokens = 80
beams = 1

[max_new_tokens]
default = 5

[options]
k = 1
"""


def plant(folder: Path, train: int = 48, dev: int = 16, n_items: int = 6) -> Path:
    """Write LaMP-3 questions about one of four signs, models that know all words, and a preset.

    Every history has one item with the sign of the question and no other item with any sign. `answer` is right
    with that item in the prompt, and wrong without.
    """
    rng = random.Random(0)

    def words(n: int) -> str:
        return " ".join(rng.choices(FILLERS, k=n))

    for split, n in (("train", train), ("dev", dev)):
        questions, golds = [], {}
        for number in range(n):
            sign, id = SIGNS[number % len(SIGNS)], f"{split}{number}"
            right = rng.randrange(n_items)
            profile = [
                {
                    "id": f"{id}-{'right' if i == right else i}",
                    "text": f"{sign} {words(3)}" if i == right else words(4),
                    "score": "3",
                    "date": "2020-01-01",
                }
                for i in range(n_items)
            ]
            questions.append(
                {"id": id, "input": INPUTS["LaMP-3"].format(f"{sign} {words(3)}")} | {"profile": profile}
            )
            golds[id] = "5"
        write_split(folder / "data", "LaMP-3", questions, golds, split)
    vocabulary = [*SIGNS, *FILLERS]
    write_tiny_encoder(
        folder / "encoder", words=vocabulary, pooling=MEAN, modules=("Transformer", "Pooling"), dropout=0.0
    )
    write_tiny_llm(folder / "llm", [INPUTS["LaMP-3"], "is the score for", *vocabulary])
    preset = folder / "planted.toml"
    preset.write_text(PRESET.format(folder=folder), encoding="utf-8")
    return preset


def answering(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Let the LLM answer by the rule; returns the prompts that it gets, as it gets them."""
    asked: list[str] = []

    def stream(self: FrozenLLM, requests: Iterable[Request], **limits: Any) -> Iterator[Generation]:
        for request in requests:
            asked.append(request.prompt)
            yield Generation(answer(request.prompt), len(request.prompt.split()), 0, 1, False, 0.01)

    monkeypatch.setattr(FrozenLLM, "stream", stream)
    return asked


def answer(prompt: str) -> str:
    """5, which is right, if an item in front of the question has the question's sign."""
    items, question = prompt.rsplit("What is the score", 1)
    return "5" if any(sign in items and sign in question for sign in SIGNS) else "1"
