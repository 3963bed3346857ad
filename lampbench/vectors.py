"""Embeddings of some rows of the items table, addressed by row like those of all."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np


class ItemVectors:
    """Vectors by row of the items table, for the rows that are needed.

    Args:
        parts: pairs of sorted rows, [n], and their vectors, [n, dim]; the rows of a later part are greater.
    """

    def __init__(self, *parts: tuple[np.ndarray, np.ndarray]) -> None:
        self._parts = parts
        self.dtype = parts[0][1].dtype
        self.dim = int(parts[0][1].shape[1])

    def __len__(self) -> int:
        return sum(len(rows) for rows, _ in self._parts)

    def __getitem__(self, rows: Sequence[int] | np.ndarray) -> np.ndarray:
        """The vectors of these rows, [n, dim], in their order.

        Raises:
            KeyError: a row that was not asked for when the vectors were made.
        """
        wanted = np.asarray(rows, dtype=np.int64)
        vectors = np.empty((len(wanted), self.dim), dtype=self.dtype)
        missing = np.ones(len(wanted), dtype=bool)
        for known, matrix in self._parts:
            places = np.searchsorted(known, wanted).clip(max=max(len(known) - 1, 0))
            here = known[places] == wanted if len(known) else np.zeros(len(wanted), dtype=bool)
            vectors[here] = matrix[places[here]]
            missing &= ~here
        if missing.any():
            raise KeyError(f"row {wanted[missing][0]} of the items table was not embedded")
        return vectors
