"""A persona that only the history tells, and an LLM of random weights that can be steered to say it."""

from __future__ import annotations

import random
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import torch
from lamp_files import write_split
from tiny_encoder import MEAN, write_tiny_encoder
from tiny_tokenizers import plain_tokenizer

from lampbench.data import open_task
from lampbench.method.bench import Bench, RunSettings
from lampbench.models.encoder import TextEncoder
from lampbench.models.frozen_llm import FrozenLLM
from lampbench.progress import Progress
from lampbench.tasks import get_task

TAGS = {
    "comedy": ["cats", "dogs", "birds"],
    "action": ["red", "green", "blue"],
    "classic": ["fish", "trees", "like"],
    "romance": ["hate", "chase", "and"],
}
"""What the users who want a tag have in their histories; the questions say nothing about the tag."""


def planted_split(folder: Path, split: str, n: int, seed: int) -> None:
    """LaMP-2 questions whose tag can be told from the user's history and from nothing else."""
    draw = random.Random(seed)
    everything = [word for words in TAGS.values() for word in words]
    questions, golds = [], {}
    for i in range(n):
        tag, words = list(TAGS.items())[i % 4]
        profile = [
            {
                "id": f"{i}-{j}",
                "description": " ".join([*draw.sample(words, 2), draw.choice(everything)]),
                "tag": draw.choice(list(TAGS)),
            }
            for j in range(draw.randint(2, 5))
        ]
        text = get_task("LaMP-2").template.format(description=draw.choice(["cats fish", "red dogs", "hate"]))
        questions.append({"id": str(i), "input": text, "profile": profile})
        golds[str(i)] = tag
    write_split(folder, "LaMP-2", questions, golds, split)


def random_llm(folder: Path) -> FrozenLLM:
    """A T5 of random weights, with cross-attention so strong that its input decides its output."""
    from transformers import T5Config, T5ForConditionalGeneration

    tokenizer = plain_tokenizer(["<pad>", "</s>", "<unk>", *TAGS, *(w for ws in TAGS.values() for w in ws)])
    torch.manual_seed(0)
    config = T5Config(
        vocab_size=len(tokenizer),
        d_model=64,
        d_kv=16,
        d_ff=128,
        num_layers=1,
        num_heads=2,
        feed_forward_proj="gated-gelu",
        decoder_start_token_id=0,
        tie_word_embeddings=False,
    )
    model = T5ForConditionalGeneration(config)
    with torch.no_grad():
        model.shared.weight.mul_(0.5)
        model.lm_head.weight.mul_(0.4)
        for name, parameter in model.named_parameters():
            if name.endswith(("EncDecAttention.o.weight", "EncDecAttention.v.weight")):
                parameter.mul_(3)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return FrozenLLM.load(folder, device="cpu", dtype="fp32", offline=True)


def planted_bench(folder: Path) -> Bench:
    """A bench with that LLM on 160 such questions to learn from and 40 to answer."""
    planted_split(folder / "data", "train", 160, seed=0)
    planted_split(folder / "data", "dev", 40, seed=1)
    data = open_task(folder / "data", "LaMP-2", cache_dir=folder / "cache")
    encoder_folder = write_tiny_encoder(folder / "encoder", pooling=MEAN)
    models: Any = SimpleNamespace(
        llm=random_llm(folder / "llm"), encoder=TextEncoder.load(encoder_folder, device="cpu", offline=True)
    )
    bench = Bench(
        data.task,
        data.setting,
        data.items,
        models,
        RunSettings(max_input_tokens=64, max_new_tokens=3, beams=1),
        seed=0,
        folder=folder / "fit",
        cache=folder / "cache",
        progress=Progress("none"),
        other=None,  # type: ignore[arg-type]
    )
    bench.data = data  # type: ignore[attr-defined]  # for the test; methods have no such road
    return bench
