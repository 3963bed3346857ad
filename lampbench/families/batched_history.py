"""Histories in batches: the distinct items that a batch of users has, and who has which."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

if TYPE_CHECKING:
    from lampbench.caches.item_vectors import ItemVectors


@dataclass(frozen=True)
class HistoryBatch:
    """The histories of n users without padding: each item once, however many of them have it.

    Attributes:
        vectors: float32 [n_items, dim], one row per distinct item of the batch.
        counts: float32 [n, n_items], how often each user has each item; 0 for items of other users.
    """

    vectors: Tensor
    counts: Tensor


def gather(
    matrix: np.ndarray | ItemVectors, histories: Sequence[np.ndarray], device: torch.device | str = "cpu"
) -> HistoryBatch:
    """The items of `histories`, read from a (memory-mapped) matrix of item vectors.

    Args:
        matrix: [n_rows, dim], of any float type.
        histories: per user, the rows of the matrix that are the user's items; may be empty.
        device: where the result goes.
    """
    rows = np.concatenate([np.empty(0, dtype=np.int64), *histories])
    # Sorted, so that the file is read from front to back.
    distinct, item = np.unique(rows, return_inverse=True)
    user = np.repeat(np.arange(len(histories)), [len(history) for history in histories])
    counts = np.zeros((len(histories), len(distinct)), dtype=np.float32)
    np.add.at(counts, (user, item), 1.0)
    vectors = torch.from_numpy(np.asarray(matrix[distinct], dtype=np.float32))
    return HistoryBatch(vectors.to(device), torch.from_numpy(counts).to(device))
