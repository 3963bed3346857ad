"""A bench around a small random LLM of each kind, with data in which something can be learned."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import torch
from lamp_files import write_split
from tiny_tokenizers import plain_tokenizer
from transformers import (
    LlamaConfig,
    LlamaForCausalLM,
    Qwen2Config,
    Qwen2ForCausalLM,
    T5Config,
    T5ForConditionalGeneration,
)

from lampbench.data import TaskData, open_task
from lampbench.method import Method
from lampbench.method.bench import Bench, RunSettings
from lampbench.method.fitting import Fitted
from lampbench.method.saved_fits import FitReport
from lampbench.models.frozen_llm import FrozenLLM
from lampbench.progress import Progress
from lampbench.tasks import get_task

ANIMALS = ["cats", "dogs", "birds", "fish", "mice", "frogs"]
COLOURS = ["red", "green", "blue", "white", "black", "brown"]
COLOUR_OF = dict(zip(ANIMALS, COLOURS, strict=True))

KINDS = ("t5", "llama", "qwen2")
MATRICES = {  # all of them: an LLM that knows nothing has much to learn
    "t5": ("q", "k", "v", "o", "wi_0", "wi_1", "wo"),
    "llama": ("q", "k", "v", "o", "gate", "up", "down"),
    "qwen2": ("q", "k", "v", "o", "gate", "up", "down"),
}


def small_llm(kind: str) -> FrozenLLM:
    """Random weights, of one layer; it knows the words of LaMP-4's template, animals and colours."""
    words = get_task("LaMP-4").template.replace("{text}", "").split()
    tokenizer = plain_tokenizer(["<pad>", "</s>", "<unk>", *words, *ANIMALS, *COLOURS, "and"])
    torch.manual_seed(0)
    model: Any
    if kind == "t5":
        model = T5ForConditionalGeneration(
            T5Config(
                vocab_size=len(tokenizer),
                d_model=32,
                d_kv=16,
                d_ff=64,
                num_layers=1,
                num_heads=2,
                feed_forward_proj="gated-gelu",
                decoder_start_token_id=0,
                dropout_rate=0.0,
            )
        )
    else:
        config, cls = {"llama": (LlamaConfig, LlamaForCausalLM), "qwen2": (Qwen2Config, Qwen2ForCausalLM)}[
            kind
        ]
        model = cls(
            config(
                vocab_size=len(tokenizer),
                hidden_size=32,
                intermediate_size=64,
                num_hidden_layers=1,
                num_attention_heads=2,
                num_key_value_heads=2,
                max_position_embeddings=256,
                initializer_range=0.2,
                bos_token_id=None,
                eos_token_id=1,
                tie_word_embeddings=kind == "qwen2",
            )
        )
    return FrozenLLM(model, tokenizer, id=kind)


def headlines(
    folder: Path,
    questions: Sequence[tuple[str, str, list[tuple[str, str]]]],
    *,
    split: str = "dev",
    users: Sequence[str] | None = None,
) -> TaskData:
    """LaMP-4 with these questions: article, headline, history of articles with headlines."""
    records = []
    for i, (text, _, history) in enumerate(questions):
        profile = [{"id": f"{i}-{j}", "text": t, "title": title} for j, (t, title) in enumerate(history)]
        record = {"id": str(i), "input": get_task("LaMP-4").template.format(text=text), "profile": profile}
        records.append(record | ({"user_id": users[i]} if users else {}))
    golds = {str(i): headline for i, (_, headline, _) in enumerate(questions)}
    write_split(folder, "LaMP-4", records, golds, split)
    return open_task(folder, "LaMP-4", cache_dir=folder / "cache")


def make_bench(
    folder: Path,
    data: TaskData,
    llm: FrozenLLM,
    others: Mapping[str, Callable[..., Method]] | None = None,
    **settings: Any,
) -> Bench:
    """A bench whose `method(name, **options)` fits what `others[name](**options)` gives."""
    fits: dict[str, Fitted] = {}

    def other(name: str, options: dict[str, Any]) -> Fitted:
        if name not in fits:
            method = (others or {})[name](**options)
            its = make_bench(folder / name, data, llm)
            fits[name] = Fitted(name, ready(method, its), its, FitReport())
        return fits[name]

    bench = Bench(
        data.task,
        data.setting,
        data.items,
        SimpleNamespace(llm=llm),  # type: ignore[arg-type]
        RunSettings(**{"max_input_tokens": 48, "max_new_tokens": 3, "beams": 1, **settings}),
        seed=0,
        folder=folder / "fit",
        cache=folder / "cache",
        progress=Progress("none"),
        other=other,
    )
    bench.data = data  # type: ignore[attr-defined]  # for the test; methods have no such road
    return bench


def ready(method: Any, bench: Bench) -> Any:
    """The method, built, and fitted if it learns from the train split."""
    method.module = method.build(bench)
    if type(method).fit is not Method.fit:
        method.fit(bench, bench.data.split("train"))
    return method


def answers(method: Any, bench: Bench, examples: Sequence[Any]) -> list[str]:
    """What it answers to these questions."""
    return [prediction.output for prediction in method.predict(bench, examples)]
