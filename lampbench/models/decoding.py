"""Beam search as every run uses it, on top of transformers' `generate`."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from transformers import DynamicCache, EncoderDecoderCache, LogitsProcessor, LogitsProcessorList

from lampbench.errors import RunError
from lampbench.models.requests import SpecialTokens
from lampbench.models.uncounted_calls import at_work


@at_work()
@torch.inference_mode()
def beam_search(
    model: Any, inputs: dict[str, Tensor], special: SpecialTokens, *, max_new_tokens: int, beams: int
) -> list[list[int]]:
    """The tokens that `model` answers to each row of `inputs`, up to and including the end token.

    No sampling, length penalty 1, no early stopping: the official LaMP code relies on the library's defaults,
    which these are.

    Args:
        model: an encoder-decoder or decoder-only model.
        inputs: a padded batch, from `pad_batch`; on the left for decoder-only models.
        special: the model's special tokens.
        max_new_tokens: length of an answer at most.
        beams: beams of the search; 1 is greedy.

    Raises:
        RunError: the model runs in float16 and overflowed.
    """
    encoder_decoder = bool(model.config.is_encoder_decoder)
    options: dict[str, Any] = {}
    overflow = _Overflow()
    if model.dtype == torch.float16:
        options["logits_processor"] = LogitsProcessorList([overflow])
    if encoder_decoder and model._supports_default_dynamic_cache():
        options["past_key_values"] = _BeamCache(DynamicCache(), DynamicCache())
    sequences = model.generate(
        **inputs,
        **options,
        generation_config=special.generation_config(
            max_new_tokens=max_new_tokens,
            num_beams=beams,
            do_sample=False,
            length_penalty=1.0,
            early_stopping=False,
            use_cache=True,
        ),
    )
    if overflow.seen:
        raise float16_error()
    # What precedes an answer: the decoder's start token, or the prompt where it went in as token ids.
    before = 0
    if encoder_decoder:
        before = 1
    elif "input_ids" in inputs:
        before = inputs["input_ids"].shape[1]
    return [special.until_end(row) for row in sequences[:, before:].tolist()]


def float16_error() -> RunError:
    """What to say when a model in float16 computes values that are not finite."""
    return RunError("the LLM overflowed in float16 (values that are not finite): use --dtype bf16 or fp32")


class _BeamCache(EncoderDecoderCache):
    """A cache that leaves the keys and values of the prompt where they are when beams change places.

    Beams change places within one request, and all beams of a request read the same prompt. The library's
    own cache copies these tensors, by far its largest, after every token. (It also has too few layers for a
    T5 whose decoder is deeper than its encoder, in transformers 5.)
    """

    def reorder_cache(self, beam_idx: Tensor) -> None:
        self.self_attention_cache.reorder_cache(beam_idx)  # type: ignore[arg-type]


class _Overflow(LogitsProcessor):
    """Notes scores that are not numbers, without making the device wait in every step."""

    def __init__(self) -> None:
        self._flag: Tensor | None = None

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        # Minus infinity is how generation forbids a token.
        bad = (scores.isnan() | scores.isposinf()).any()
        self._flag = bad if self._flag is None else self._flag | bad
        return scores

    @property
    def seen(self) -> bool:
        """Whether any was seen; waits for the device."""
        return self._flag is not None and bool(self._flag)
