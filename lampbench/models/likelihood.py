"""How likely a model finds given targets: the teacher-forced cross-entropy, with gradients where wanted."""

from __future__ import annotations

import inspect
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from lampbench.models.requests import SpecialTokens, TokenizedRequest, pad_batch
from lampbench.models.uncounted_calls import at_work

IGNORED = -100  # the label of padding


@at_work()
def summed_losses(
    model: Any, batch: list[TokenizedRequest], special: SpecialTokens, *, dropout: bool = False
) -> Tensor:
    """The cross-entropy of each request's target, summed over its tokens: [n], float32, in one forward pass.

    Args:
        model: an encoder-decoder or decoder-only model; left in evaluation mode.
        batch: requests with targets.
        special: the model's special tokens.
        dropout: leave the model's dropout on.
    """
    width = max(len(request.target) for request in batch)
    rows = [[*request.target, *[IGNORED] * (width - len(request.target))] for request in batch]
    labels = torch.tensor(rows, device=model.get_input_embeddings().weight.device)
    logits_of = _encoder_decoder_logits if model.config.is_encoder_decoder else _decoder_only_logits
    model.train(dropout)
    try:
        logits = logits_of(model, batch, labels, special)
    finally:
        model.eval()
    losses = F.cross_entropy(
        logits.float().transpose(1, 2), labels.to(logits.device), ignore_index=IGNORED, reduction="none"
    )
    return losses.sum(dim=1).to(labels.device)


def _encoder_decoder_logits(
    model: Any, batch: list[TokenizedRequest], labels: Tensor, special: SpecialTokens
) -> Tensor:
    """[n, target length, vocabulary]: the decoder reads the start token, then the target one step behind."""
    start = labels.new_full((len(batch), 1), special.start)
    shifted = torch.cat([start, labels[:, :-1]], dim=1)
    shifted = shifted.masked_fill(shifted == IGNORED, special.pad)
    inputs = pad_batch(batch, model, special.pad, left=False)
    return model(**inputs, decoder_input_ids=shifted, use_cache=False).logits


def _decoder_only_logits(
    model: Any, batch: list[TokenizedRequest], labels: Tensor, special: SpecialTokens
) -> Tensor:
    """[n, target length, vocabulary]: the target follows the prompt, and only what predicts it is returned.

    Padded on the right, and not on the left as in generation: under a causal mask all positions are then
    right in every architecture, and no token sees padding.
    """
    inputs = pad_batch(batch, model, special.pad, left=False, with_targets=True)
    first = 0
    if "logits_to_keep" in inspect.signature(model.forward).parameters:
        # The logits of long prompts over a large vocabulary would take more memory than all the rest.
        first = min(request.length for request in batch) - 1
        last = inputs["attention_mask"].shape[1] - 1
        inputs["logits_to_keep"] = torch.arange(first, last, device=labels.device)
    logits = model(**inputs, use_cache=False).logits
    # The last position of a prompt predicts the first token of its target.
    starts = torch.tensor([request.length - 1 - first for request in batch], device=logits.device)
    columns = starts[:, None] + torch.arange(labels.shape[1], device=logits.device)
    # Beyond the end of a short example the labels are padding: any column will do.
    columns = columns.clamp(max=logits.shape[1] - 1)
    return logits[torch.arange(len(batch), device=logits.device)[:, None], columns]
