"""Tiny random language models of the kinds that runs use, written to disk with a tokenizer."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors
from transformers import (
    LlamaConfig,
    LlamaForCausalLM,
    PreTrainedTokenizerFast,
    Qwen2Config,
    Qwen2ForCausalLM,
    T5Config,
    T5ForConditionalGeneration,
    UMT5Config,
    UMT5ForConditionalGeneration,
)

from lampbench.models.frozen_llm import FrozenLLM

VOCABULARY = 64
QWEN2_VOCABULARY = 260
HIDDEN = 16
SPECIAL = {"<pad>": 0, "</s>": 1, "<unk>": 2, "<s>": 3}
SPECIAL_NAMES = {"pad_token": "<pad>", "eos_token": "</s>", "unk_token": "<unk>", "bos_token": "<s>"}


def tiny_tokenizer(
    *, opens: bool = False, closes: bool = False, vocabulary: int = VOCABULARY
) -> PreTrainedTokenizerFast:
    """The words w4, w5, …, one token each with that id; <s> may open and </s> close a text."""
    words = SPECIAL | {f"w{i}": i for i in range(4, vocabulary)}
    backend = Tokenizer(models.WordLevel(words, unk_token="<unk>"))
    backend.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    if opens or closes:
        template = f"{'<s> ' if opens else ''}$A{' </s>' if closes else ''}"
        backend.post_processor = processors.TemplateProcessing(
            single=template, special_tokens=[("<s>", 3), ("</s>", 1)]
        )
    return PreTrainedTokenizerFast(tokenizer_object=backend, **SPECIAL_NAMES)


def byte_tokenizer() -> PreTrainedTokenizerFast:
    """One token per byte, as Qwen2 reads a text without merges; the same special tokens."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    ids = SPECIAL | {character: i for i, character in enumerate(alphabet, start=4)}
    backend = Tokenizer(models.BPE(ids, merges=[]))
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = decoders.ByteLevel()
    return PreTrainedTokenizerFast(tokenizer_object=backend, **SPECIAL_NAMES)


def tiny_t5(
    folder: Path,
    *,
    tied: bool = False,
    umt5: bool = False,
    dropout: float = 0.0,
    decoder_layers: int = 2,
    vocabulary: int = VOCABULARY,
) -> Path:
    """An encoder-decoder model in the FLAN shape: gated-gelu and, unless `tied`, an output head of its own.

    Its files are as the hub has them: transformers 5 would write a forced `tie_word_embeddings` into
    config.json.
    """
    torch.manual_seed(0)
    shape: dict[str, Any] = {
        "vocab_size": vocabulary,
        "d_model": HIDDEN,
        "d_kv": 4,
        "d_ff": 32,
        "num_layers": 2,
        "num_decoder_layers": decoder_layers,
        "num_heads": 4,
        "feed_forward_proj": "gated-gelu",
        "dropout_rate": dropout,
        "pad_token_id": 0,
        "eos_token_id": 1,
        "decoder_start_token_id": 0,
    }
    if umt5:
        UMT5ForConditionalGeneration(UMT5Config(**shape)).save_pretrained(folder)
    else:
        T5ForConditionalGeneration(T5Config(**shape)).save_pretrained(folder)
    config = json.loads((folder / "config.json").read_text())
    config.pop("scale_decoder_outputs", None)
    config["tie_word_embeddings"] = tied
    (folder / "config.json").write_text(json.dumps(config))
    weights = load_file(folder / "model.safetensors")
    weights = {name: w for name, w in weights.items() if "embed_tokens" not in name and "lm_head" not in name}
    weights["shared.weight"] = torch.randn(vocabulary, HIDDEN)
    if not tied:
        weights["lm_head.weight"] = torch.randn(vocabulary, HIDDEN)
        weights["lm_head.weight"][SPECIAL["</s>"]] *= 2
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    tiny_tokenizer(closes=True).save_pretrained(folder)
    return folder


def tiny_llama(folder: Path) -> Path:
    """A decoder-only model with an output head of its own and a tokenizer that opens every text with <s>."""
    torch.manual_seed(1)
    config = LlamaConfig(
        **_decoder_shape(), num_key_value_heads=2, tie_word_embeddings=False, bos_token_id=3, eos_token_id=1
    )
    _save(LlamaForCausalLM(config), folder)
    tiny_tokenizer(opens=True).save_pretrained(folder)
    return folder


def tiny_qwen2(folder: Path) -> Path:
    """A decoder-only model whose head is its input embeddings; the tokenizer adds no special tokens."""
    torch.manual_seed(2)
    shape = _decoder_shape() | {"vocab_size": QWEN2_VOCABULARY}
    config = Qwen2Config(
        **shape, num_key_value_heads=2, tie_word_embeddings=True, bos_token_id=None, eos_token_id=1
    )
    _save(Qwen2ForCausalLM(config), folder)
    byte_tokenizer().save_pretrained(folder)
    return folder


def open_tiny(folder: Path, **options: Any) -> FrozenLLM:
    """Load a tiny LLM to read words. transformers 5 gives Qwen2 no other tokenizer than one over bytes."""
    llm = FrozenLLM.load(folder, **options)
    if llm.model.config.model_type == "qwen2":
        llm.tokenizer = tiny_tokenizer(vocabulary=QWEN2_VOCABULARY)
    return llm


def _save(model: Any, folder: Path) -> None:
    with torch.no_grad():  # some answers should end before the limit
        model.get_output_embeddings().weight[SPECIAL["</s>"]] *= 2
    model.save_pretrained(folder)


def _decoder_shape() -> dict[str, Any]:
    return {
        "vocab_size": VOCABULARY,
        "hidden_size": HIDDEN,
        "intermediate_size": 32,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "max_position_embeddings": 512,
        # Wide enough that no two answers are nearly as likely: rounding must not decide.
        "initializer_range": 0.5,
    }


TINY_LLMS = {"t5": tiny_t5, "llama": tiny_llama, "qwen2": tiny_qwen2}
