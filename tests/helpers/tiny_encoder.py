"""A BERT of a few thousand random weights in a folder, as encoders lie on disk."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

WORDS = (
    *("cats", "dogs", "birds", "fish", "trees"),
    *("like", "hate", "chase", "red", "green", "blue", "and"),
)


def write_tiny_encoder(
    folder: Path,
    *,
    words: Sequence[str] = WORDS,
    pooling: dict[str, Any] | None = None,
    modules: Sequence[str] | None = None,
    dim: int = 16,
    max_length: int = 32,
    seed: int = 0,
    dropout: float = 0.1,
) -> Path:
    """Write model and tokenizer; where given, also `1_Pooling/config.json` and a `modules.json`."""
    from transformers import BertConfig, BertModel, BertTokenizerFast

    folder.mkdir(parents=True, exist_ok=True)
    vocabulary = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *words]
    (folder / "vocab.txt").write_text("\n".join(vocabulary), encoding="utf-8")
    vocab = {word: i for i, word in enumerate(vocabulary)}
    tokenizer = BertTokenizerFast(vocab=vocab, do_lower_case=True, model_max_length=max_length)
    tokenizer.save_pretrained(folder)
    config = BertConfig(
        vocab_size=len(vocabulary),
        hidden_size=dim,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=2 * dim,
        max_position_embeddings=max_length,
        hidden_dropout_prob=dropout,
        attention_probs_dropout_prob=dropout,
        initializer_range=0.1,  # with the usual 0.02 all texts get nearly the same vector
    )
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model = BertModel(config)
    model.save_pretrained(folder)
    if pooling is not None:
        (folder / "1_Pooling").mkdir(exist_ok=True)
        file = folder / "1_Pooling" / "config.json"
        file.write_text(json.dumps({"word_embedding_dimension": dim, **pooling}))
    if modules is not None:
        paths = {"Transformer": "", "Pooling": "1_Pooling"}
        entries = [
            {
                "idx": i,
                "name": str(i),
                "path": paths.get(name, f"{i}_{name}"),
                "type": f"sentence_transformers.models.{name}",
            }
            for i, name in enumerate(modules)
        ]
        for entry in entries[2:]:
            (folder / entry["path"]).mkdir(exist_ok=True)
        (folder / "modules.json").write_text(json.dumps(entries))
    return folder


CLS = {"pooling_mode_cls_token": True, "pooling_mode_mean_tokens": False}
MEAN = {"pooling_mode_cls_token": False, "pooling_mode_mean_tokens": True}
