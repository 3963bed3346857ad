"""The whole road on texts that are hard, and on real ones where they are at hand; the models' weights are random.

The scores mean nothing; that every file, length and character gets through is the point.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from itertools import product
from pathlib import Path

import golden_prompts
import pytest
import torch
from tiny_encoder import MEAN, write_tiny_encoder
from torch import nn
from transformers import AutoTokenizer, T5Config, T5ForConditionalGeneration

from lampbench.method.registry import list_methods
from lampbench.runner.run import run
from lampbench.tasks import TASKS

# How little each trained method may train to be one that has trained.
TRAINED = {
    "pplug": {"max_steps": 2, "copies": 1},
    "prompt-tuning": {"max_steps": 2, "copies": 1},
    "ropg-rl": {"max_steps": 2, "questions": 4, "candidates": 3},
    "ropg-kd": {"max_steps": 2, "questions": 4, "candidates": 3},
    "rspg-pre": {"max_steps": 2, "questions": 4, "selector": "encoder"},
    "rspg-post": {"max_steps": 2, "questions": 4, "selector": "encoder"},
    "finetune": {"max_steps": 2, "hold_out": 4},
    "lora": {"max_steps": 2, "hold_out": 4},
    "lora-user": {"max_steps": 1, "max_target_tokens": 8},
}


@dataclass(frozen=True)
class Texts:
    """A data folder, the split without golds that it has of LaMP-1 and LaMP-7, a tokenizer of T5's kind, and words."""

    data: Path
    tokenizer: Path
    words: list[str]


@pytest.fixture(scope="module", params=["made-up", "real"])
def texts(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Texts:
    if request.param == "real":
        shared = request.getfixturevalue("shared")
        words = (shared / "data" / "bert-vocab" / "vocab.txt").read_text(encoding="utf-8").split()
        return Texts(shared / "data" / "lamp-sample", shared / "data" / "t5-tokenizer", words)
    folder = tmp_path_factory.mktemp("hard-texts")
    found: set[str] = set()
    for task in TASKS.values():
        source, target = (root / "user" / task.official_name for root in (golden_prompts.DATA, folder))
        target.mkdir(parents=True)
        asked = (source / "dev_questions.json").read_text(encoding="utf-8")
        golds = (source / "dev_outputs.json").read_text(encoding="utf-8")
        found |= set(re.findall(r"\w+", asked.lower()))
        for split in ("train", "dev") if task.number not in (1, 7) else ("test",):
            (target / f"{split}_questions.json").write_text(asked, encoding="utf-8")
            if split != "test":
                (target / f"{split}_outputs.json").write_text(golds, encoding="utf-8")
    return Texts(folder, golden_prompts.TOKENIZER, sorted(found))


@pytest.fixture(scope="module")
def flan_like(texts: Texts, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Gated-gelu, an output head of its own."""
    folder = tmp_path_factory.mktemp("models") / "flan-like"
    tokenizer = AutoTokenizer.from_pretrained(texts.tokenizer)
    config = T5Config(
        vocab_size=len(tokenizer) + 28,  # as in T5, more rows than tokens
        d_model=16,
        d_kv=8,
        d_ff=32,
        num_layers=1,
        num_heads=2,
        feed_forward_proj="gated-gelu",
        decoder_start_token_id=0,
        initializer_factor=3.0,
    )
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = T5ForConditionalGeneration(config)
        model.lm_head.weight = nn.Parameter(torch.randn(config.vocab_size, 16))
    model.config.tie_word_embeddings = False
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def bert_like(texts: Texts, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A BERT with mean pooling that knows the words."""
    special = {"[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"}
    folder = tmp_path_factory.mktemp("models") / "bert-like"
    return write_tiny_encoder(
        folder, words=[w for w in texts.words if w not in special], pooling=MEAN, max_length=128
    )


@pytest.fixture
def preset(tmp_path: Path, texts: Texts, flan_like: Path, bert_like: Path) -> str:
    path = tmp_path / "sample.toml"
    lines = [
        'summary = "questions"',
        f'llm = "{flan_like}"',
        f'encoder = "{bert_like}"',
        f'data = "{texts.data}"',
        'setting = "user"',
        "max_input_tokens = 256",
        "beams = 2",
        "[max_new_tokens]",
        "default = 6",
        "[options]",
        "batch_size = 4",
        "accumulation = 1",
    ]
    for method, options in TRAINED.items():
        lines += [f"[method.{method}]", *(f"{name} = {json.dumps(value)}" for name, value in options.items())]
    path.write_text("\n".join(lines), encoding="utf-8")
    return str(path)


def test_questions_get_through_every_method(preset: str, tmp_path: Path) -> None:
    tasks = ["LaMP-2", "LaMP-3", "LaMP-4", "LaMP-5"]
    methods = [info.name for info in list_methods()]
    assert set(TRAINED) < set(methods)
    records = run("all", ",".join(tasks), preset=preset, results=tmp_path, limit=16, progress="none")
    assert {(r.method.name, r.task) for r in records} == set(product(methods, tasks))
    assert {r.status for r in records} == {"complete"}
    assert all(r.data.n == r.counts["n"] > 0 and r.metrics for r in records)
    assert {r.method.name for r in records if r.method.trainable_parameters} == set(TRAINED)


def test_questions_without_golds_end_in_official_files(preset: str, tmp_path: Path) -> None:
    tasks = "LaMP-1,LaMP-7"
    records = run("bm25", tasks, preset=preset, split="test", results=tmp_path, limit=16, progress="none")
    for record in records:
        assert record.folder is not None
        content = json.loads((record.folder / "predictions_official.json").read_text())
        assert content["task"] == record.task.replace("-", "_")
        assert len(content["golds"]) == record.data.n
