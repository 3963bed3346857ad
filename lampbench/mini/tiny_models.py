"""Models of a few thousand random weights: nonsense in content, whole in form. For checks and tests."""

from __future__ import annotations

import json
import string
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from lampbench.mini.tokenizer import CLS, EOS, PAD, SEP, UNK, build_tokenizer, words


def write_tiny_llm(folder: Path, texts: Iterable[str], seed: int = 0, kind: str = "t5") -> Path:
    """An LLM that can read `texts`; its answers are nonsense, and differ with the prompt.

    Args:
        kind: `t5` (encoder-decoder; the vocabulary is the words), `llama` (decoder-only; the same words, and
            every text is opened by <s>), or `qwen2` (decoder-only; pieces of words, no token around a text,
            output head and input embeddings the same).
    """
    import torch

    from lampbench.loading.checkpoint import save_model

    write = {"t5": _t5, "llama": _llama, "qwen2": _qwen2}[kind]
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model, tokenizer = write(list(texts))
    save_model(model, tokenizer, folder)
    return folder


def _t5(texts: list[str]) -> tuple[Any, Any]:
    from transformers import T5Config, T5ForConditionalGeneration

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
    return T5ForConditionalGeneration(config), tokenizer


def _llama(texts: list[str]) -> tuple[Any, Any]:
    from tokenizers import processors
    from transformers import LlamaConfig, LlamaForCausalLM

    tokenizer = build_tokenizer([*_entries(texts), "<s>"], for_encoder=False)
    tokenizer.add_special_tokens({"bos_token": "<s>"})
    opening = tokenizer.bos_token_id
    tokenizer.backend_tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A", special_tokens=[("<s>", opening)]
    )
    return LlamaForCausalLM(LlamaConfig(**_decoder(tokenizer), tie_word_embeddings=False)), tokenizer


def _qwen2(texts: list[str]) -> tuple[Any, Any]:
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast, Qwen2Config, Qwen2ForCausalLM

    backend = Tokenizer(models.BPE())
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=1500,
        special_tokens=["<pad>", "</s>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    backend.train_from_iterator(texts, trainer)
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=backend, pad_token="<pad>", eos_token="</s>")
    return Qwen2ForCausalLM(Qwen2Config(**_decoder(tokenizer), tie_word_embeddings=True)), tokenizer


def _decoder(tokenizer: Any) -> dict[str, Any]:
    return {
        "vocab_size": len(tokenizer),
        "hidden_size": 32,
        "intermediate_size": 64,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "max_position_embeddings": 1024,
        # With the usual 0.02, every prompt gets the same answer.
        "initializer_range": 0.5,
        "bos_token_id": tokenizer.bos_token_id,
        "eos_token_id": tokenizer.eos_token_id,
        "pad_token_id": tokenizer.pad_token_id,
    }


def write_tiny_encoder(folder: Path, texts: Iterable[str], seed: int = 0) -> Path:
    """A BERT with mean pooling whose vocabulary is the words of `texts`."""
    import torch
    from transformers import BertConfig, BertModel

    from lampbench.loading.checkpoint import save_model

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
    found = {word for text in texts for word in words(text) if not any(c.isdigit() for c in word)}
    letters = string.ascii_lowercase + string.digits
    fixed = [PAD, EOS, UNK, CLS, SEP, *letters, *string.punctuation, *(f"##{letter}" for letter in letters)]
    return list(dict.fromkeys([*fixed, *sorted(found)]))
