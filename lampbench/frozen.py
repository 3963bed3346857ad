"""Proof that the LLM is frozen: a fingerprint of its weights, taken before and after every method."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch

WHOLE = 50_000_000  # models up to so many parameters are read in full
SAMPLE = 2_048  # values read of each tensor of a larger model


def weights_fingerprint(model: Any) -> str:
    """A hash of the names, the values and the mode of a model.

    A small model is read in full, of a large one every tensor at evenly spaced places: what changes weights
    (an optimizer step, a re-tied head, adapters merged in) does not change single values.
    """
    import torch

    parameters = dict(model.named_parameters())
    whole = sum(p.numel() for p in parameters.values()) <= WHOLE
    digest = hashlib.sha256(f"training={model.training}".encode())
    with torch.no_grad():
        for name, parameter in parameters.items():
            values = parameter.detach().reshape(-1)
            step = 1 if whole else max(1, values.numel() // SAMPLE)
            digest.update(f"{name}{tuple(parameter.shape)}{parameter.dtype}".encode())
            digest.update(_bytes(values[::step]))
    return digest.hexdigest()


def _bytes(values: torch.Tensor) -> bytes:
    import torch

    return values.contiguous().view(torch.uint8).cpu().numpy().tobytes()
