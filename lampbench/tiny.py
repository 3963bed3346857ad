"""Models of a few thousand random weights: nonsense in content, whole in form. For checks and tests."""

from __future__ import annotations

import json
import string
from collections.abc import Iterable
from pathlib import Path


def write_tiny_llm(folder: Path, texts: Iterable[str], seed: int = 0) -> Path:
    """A T5 whose vocabulary is the words of `texts`; its answers are nonsense, and differ with the prompt."""
    import torch
    from transformers import T5Config, T5ForConditionalGeneration

    from lampbench.checkpoint import save_model
    from lampbench.mini.tokenizer import build_tokenizer

    tokenizer = build_tokenizer(_entries(texts), for_encoder=False)
    config = T5Config(
        vocab_size=len(tokenizer),
        d_model=32,
        d_kv=8,
        d_ff=64,
        num_layers=2,
        num_heads=4,
        pad_token_id=tokenizer.pad_token_id,
        eos_token_id=tokenizer.eos_token_id,
        # With the usual 1, every prompt gets the same answer.
        initializer_factor=3.0,
    )
    config.decoder_start_token_id = tokenizer.pad_token_id
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model = T5ForConditionalGeneration(config)
    save_model(model, tokenizer, folder)
    return folder


def write_tiny_encoder(folder: Path, texts: Iterable[str], seed: int = 0) -> Path:
    """A BERT with mean pooling whose vocabulary is the words of `texts`."""
    import torch
    from transformers import BertConfig, BertModel

    from lampbench.checkpoint import save_model
    from lampbench.mini.tokenizer import build_tokenizer

    tokenizer = build_tokenizer(_entries(texts), for_encoder=True)
    config = BertConfig(
        vocab_size=len(tokenizer),
        hidden_size=16,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=32,
        max_position_embeddings=128,
        initializer_range=0.1,  # with the usual 0.02 all texts get nearly the same vector
    )
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model = BertModel(config)
    save_model(model, tokenizer, folder)
    (folder / "1_Pooling").mkdir(exist_ok=True)
    (folder / "1_Pooling" / "config.json").write_text(json.dumps({"pooling_mode_mean_tokens": True}))
    return folder


def _entries(texts: Iterable[str]) -> list[str]:
    """The vocabulary: special tokens, characters, and the words of the texts except numbers."""
    from lampbench.mini.tokenizer import CLS, EOS, PAD, SEP, UNK, words

    found = {word for text in texts for word in words(text) if not any(c.isdigit() for c in word)}
    letters = string.ascii_lowercase + string.digits
    fixed = [PAD, EOS, UNK, CLS, SEP, *letters, *string.punctuation, *(f"##{letter}" for letter in letters)]
    return list(dict.fromkeys([*fixed, *sorted(found)]))
