"""Embeddings of the rows of an items table, each part of the table with a matrix of its own on disk."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from lampbench.caches.embedding_store import EmbeddingStore
    from lampbench.data.item_table import ItemTable
    from lampbench.models.encoder import TextEncoder


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
        return self.shape[0]

    @property
    def shape(self) -> tuple[int, int]:
        """How many rows have a vector, and its size."""
        return sum(len(rows) for rows, _ in self._parts), self.dim

    def __getitem__(self, rows: int | Sequence[int] | np.ndarray) -> np.ndarray:
        """The vectors of these rows, [n, dim], in their order; of a single row its vector, [dim].

        Raises:
            KeyError: a row that was not asked for when the vectors were made.
        """
        wanted = np.asarray(rows, dtype=np.int64)
        if wanted.ndim == 0:
            return self[wanted[None]][0]
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


def rows_of_items(
    store: EmbeddingStore,
    encoder: TextEncoder,
    template: str,
    items: ItemTable,
    rows: np.ndarray,
    text_of_item: Callable[[dict[str, Any]], str],
    on_progress: Callable[[int, int], None] | None = None,
    *,
    about: str = "",
) -> ItemVectors:
    """The embeddings of these rows of an items table, encoded now or earlier.

    A part of the table of which more than half is asked for is encoded whole: it is hardly more work, and of use
    to everybody.

    Args:
        store: where matrices are kept: by the content of the part, so that runs on other questions share that of
            the train split.
        encoder: who encodes.
        template: a name for how the text is made of the item.
        items: the table.
        rows: which, ascending.
        text_of_item: the text of one item.
        on_progress: called with (rows done, rows of the part).
        about: what the items are, for people.
    """
    found = []
    for part, start, end in zip(items.parts, items.starts, items.starts[1:], strict=False):
        own = rows[(start <= rows) & (rows < end)]
        if not len(own):
            continue
        if 2 * len(own) > end - start:
            own = np.arange(start, end)
        some = "" if len(own) == end - start else f"/{hashlib.sha256((own - start).tobytes()).hexdigest()}"

        def texts_of(places: Sequence[int], own: np.ndarray = own) -> list[str]:
            return [text_of_item(item) for item in items.rows(own[list(places)])]

        matrix = store.open(encoder, template=template, data=part.digest + some, n_rows=len(own), about=about)
        found.append((own, np.asarray(matrix.fill(encoder, texts_of, on_progress))))
    added = rows[rows >= items.starts[len(items.parts)]]
    if len(added) or not found:
        # Rows in memory are few and made anew in every run: not worth a place on disk.
        found.append((added, encoder.encode([text_of_item(item) for item in items.rows(added)]).numpy()))
    return ItemVectors(*found)
