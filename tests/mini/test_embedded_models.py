"""The embedded models: small, honest about unknown words, and able to use the right person's history."""

from __future__ import annotations

import math
import random
from pathlib import Path
from typing import Any

import pytest

from lampbench.mini import ENCODER_FOLDER, FOLDER, LLM_FOLDER
from lampbench.mini.generator import Knobs, user_questions
from lampbench.mini.tokenizer import build_tokenizer, vocabulary
from lampbench.mini.warmup import EXERCISES, INSTRUCTION_WORDS
from lampbench.tasks import TASKS
from lampbench.tasks.lamp2 import TAGS

WORDS = [f"word{letter}" for letter in "abcdefghijklmnopqrst"]


@pytest.fixture(scope="module")
def entries() -> list[str]:
    return vocabulary()


def sizes(folder: Path) -> dict[str, int]:
    """Parameters by tensor."""
    from safetensors import safe_open

    found = {}
    for file in folder.rglob("*.safetensors"):
        with safe_open(file, "pt") as weights:
            for name in weights.keys():  # noqa: SIM118 (not a dictionary)
                found[name] = math.prod(weights.get_slice(name).get_shape())
    return found


def test_the_models_keep_to_their_size() -> None:
    for folder, limit in ((LLM_FOLDER, 8_000_000), (ENCODER_FOLDER, 5_000_000)):
        assert 500_000 < sum(sizes(folder).values()) <= limit
    assert sum(file.stat().st_size for file in FOLDER.rglob("*") if file.is_file()) <= 24_000_000


def test_the_sizes_that_are_told_are_those_of_the_weights() -> None:
    told = " ".join((FOLDER / "README.md").read_text(encoding="utf-8").split())
    encoder = sizes(ENCODER_FOLDER)
    vector = sum(size for name, size in encoder.items() if "pooler" not in name)
    assert vector < sum(encoder.values())
    assert f"A T5 of {sum(sizes(LLM_FOLDER).values()):,} parameters" in told
    assert f"a BERT of {sum(encoder.values()):,} (" in told
    assert f"Without its pooler, which has no part in the vector, the BERT has {vector:,}." in told


def test_the_shipped_tokenizers_are_the_ones_the_code_builds(entries: list[str]) -> None:
    from transformers import AutoTokenizer

    for folder, for_encoder in ((LLM_FOLDER, False), (ENCODER_FOLDER, True)):
        built, shipped = (
            build_tokenizer(entries, for_encoder=for_encoder),
            AutoTokenizer.from_pretrained(folder),
        )
        text = "Breaking: Thornton, sci-fi [1] and zyxomma!"
        assert built(text)["input_ids"] == shipped(text)["input_ids"]
        assert built.get_vocab() == shipped.get_vocab()


def test_words_of_the_generator_are_one_token_each_and_other_words_are_spelled(entries: list[str]) -> None:
    tokenizer = build_tokenizer(entries, for_encoder=False)
    for task in TASKS:
        question = user_questions(task, "77", 1, Knobs(seed=31))[0]
        ids = tokenizer(question.input)["input_ids"]
        assert tokenizer.unk_token_id not in ids
        assert ids[-1] == tokenizer.eos_token_id
        assert not any(token.startswith("##") for token in tokenizer.convert_ids_to_tokens(ids))
    spelled = tokenizer("quixotically")["input_ids"]
    assert len(spelled) == len("quixotically") + 1
    assert tokenizer.decode(spelled, skip_special_tokens=True) == "quixotically"


def test_labels_survive_the_round_trip(entries: list[str]) -> None:
    tokenizer = build_tokenizer(entries, for_encoder=False)
    for label in (*TAGS, "[1]", "[2]", "1", "2", "3", "4", "5"):
        assert tokenizer.decode(tokenizer(label)["input_ids"], skip_special_tokens=True) == label


@pytest.mark.parametrize("exercise", EXERCISES, ids=lambda function: function.__name__.strip("_"))
def test_every_exercise_can_be_solved_from_its_text(exercise, entries: list[str]) -> None:
    rng = random.Random(5)
    known = set(entries)
    for _ in range(50):
        example = exercise(WORDS, rng)
        for word in example.answer.split():
            assert word in example.prompt
        said = [word.strip('",:') for word in example.prompt.split()]
        assert all(word in WORDS or word in INSTRUCTION_WORDS or word in known or word == "" for word in said)


@pytest.fixture(scope="module")
def embedded_llm() -> tuple[Any, Any]:
    from transformers import AutoModelForSeq2SeqLM, AutoTokenizer

    model = AutoModelForSeq2SeqLM.from_pretrained(LLM_FOLDER, dtype="float32")
    return model, AutoTokenizer.from_pretrained(LLM_FOLDER)


@pytest.mark.parametrize("task", list(TASKS))
def test_the_right_history_beats_a_strangers(task: str, embedded_llm: tuple[Any, Any]) -> None:
    """Without this, a benchmark of retrieval on this model would be empty."""
    from lampbench.mini.train_llm import evaluate

    scores = evaluate(*embedded_llm, n=150, tasks=[task])[task]
    sign = 1 if TASKS[task].metric.higher_is_better else -1
    assert sign * (scores["own"] - scores["other"]) > 0.03
    assert sign * (scores["own"] - scores["none"]) > 0.02
