"""Proof that the LLM is frozen: a fingerprint of its weights, taken before and after every method."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain
from typing import TYPE_CHECKING, Any

import xxhash

if TYPE_CHECKING:
    import torch

PIECE = 1 << 24  # values that are brought to the CPU at a time


def weights_fingerprint(model: Any) -> str:
    """A hash of the names, the mode and all values of a model, its buffers included; 32 hexadecimal digits.

    In full, because one row of the embeddings that was written for one more token changes every answer that has
    it. The hash reads as fast as the memory: what takes time is to bring a model from a GPU, seconds for 22 GB.
    """
    import torch

    hasher = xxhash.xxh3_128()
    with torch.no_grad():
        for part in _parts(model):
            hasher.update(part)
    return hasher.hexdigest()


def _parts(model: Any) -> Iterator[bytes | memoryview]:
    yield f"training={model.training}".encode()
    for name, tensor in chain(model.named_parameters(), model.named_buffers()):
        yield f"{name}{tuple(tensor.shape)}{tensor.dtype}".encode()
        values = tensor.detach().reshape(-1)
        for start in range(0, values.numel(), PIECE):
            yield _bytes(values[start : start + PIECE])


def _bytes(values: torch.Tensor) -> memoryview:
    import torch

    return values.cpu().contiguous().view(torch.uint8).numpy().data
