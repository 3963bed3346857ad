"""Small tokenizers of the kinds that LLMs have, made in memory."""

from __future__ import annotations

from collections.abc import Sequence

from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors
from transformers import PreTrainedTokenizerFast


def word_tokenizer() -> PreTrainedTokenizerFast:
    """One token per word or punctuation mark, nearly all of them unknown; adds no special tokens."""
    words = ["<unk>", "lamp", "movie", "the", "a", "is", '"', ".", ","]
    backend = Tokenizer(models.WordLevel({word: i for i, word in enumerate(words)}, unk_token="<unk>"))
    backend.pre_tokenizer = pre_tokenizers.Whitespace()
    return PreTrainedTokenizerFast(tokenizer_object=backend, unk_token="<unk>")


def byte_tokenizer() -> PreTrainedTokenizerFast:
    """One token per byte, with a beginning token and no end token, as Llama tokenizers do."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    backend = Tokenizer(models.BPE({token: i for i, token in enumerate(["<s>", *alphabet])}, merges=[]))
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    backend.decoder = decoders.ByteLevel()
    backend.post_processor = processors.TemplateProcessing(single="<s> $A", special_tokens=[("<s>", 0)])
    return PreTrainedTokenizerFast(tokenizer_object=backend, bos_token="<s>")


def numbered_tokenizer(size: int) -> PreTrainedTokenizerFast:
    """The words `<0>` to `<size - 1>` with these very ids; <0> pads, <1> ends, and texts get neither."""
    return plain_tokenizer([f"<{i}>" for i in range(size)])


def plain_tokenizer(words: Sequence[str]) -> PreTrainedTokenizerFast:
    """One token per word, between spaces; the first three pad, end a text and stand for unknown words."""
    backend = Tokenizer(models.WordLevel({word: i for i, word in enumerate(words)}, unk_token=words[2]))
    backend.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    return PreTrainedTokenizerFast(
        tokenizer_object=backend,
        pad_token=words[0],
        eos_token=words[1],
        unk_token=words[2],
        model_max_length=64,
    )
