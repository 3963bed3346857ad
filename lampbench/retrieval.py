"""Rank the items of one profile: by words (BM25), by date, by embedding, or by chance.

Every ranking is a list of positions in the profile, best first, of all its items; an empty profile gives an
empty list. Ties go to the item that stands later in the profile, as in the official programs, whose rankings
these reproduce (LaMP/rank_profiles.py in github.com/LaMP-Benchmark/LaMP).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from rank_bm25 import BM25Okapi

from lampbench.dates import Date, read_dates
from lampbench.errors import RunError


def rank_bm25(query: str, documents: Sequence[str]) -> list[int]:
    """Positions of the documents by their BM25 score for the query.

    The official settings: `BM25Okapi` of the package rank_bm25 with its defaults (k1 1.5, b 0.75, epsilon
    0.25), words split at white space and otherwise left alone, statistics from this one profile. Scores can
    be negative, and an unknown word adds nothing: a query without known words ranks the profile back to
    front.

    Args:
        query: the text to search with.
        documents: one text per item, in the order of the profile.
    """
    words = [document.split() for document in documents]
    if not any(words):
        # No word anywhere: nothing to average over (the library divides by zero), so every score is 0.
        return _best_first(np.zeros(len(words)))
    return _best_first(BM25Okapi(words).get_scores(query.split()))


def rank_dense(query: ArrayLike, items: ArrayLike) -> list[int]:
    """Positions of the items by the dot product of their embedding with the query's, in float32.

    Args:
        query: shape [d].
        items: shape [n, d], in the order of the profile; any float type.

    Raises:
        RunError: a dot product is not finite, so the embeddings are broken.
    """
    matrix = np.asarray(items, dtype=np.float32)
    if len(matrix) == 0:
        return []
    scores = matrix @ np.asarray(query, dtype=np.float32)
    if not np.isfinite(scores).all():
        # NaN sorts above every number: the broken item would come out as the best one.
        broken = int(np.flatnonzero(~np.isfinite(scores))[0])
        raise RunError(
            f"similarity of item {broken} with the query is {scores[broken]}: "
            "its embedding or the query's holds NaN or overflows; encode again in float32"
        )
    return _best_first(scores)


def rank_recency(dates: Sequence[str | int | None]) -> list[int]:
    """Positions of the items by date, most recent first; the dates are read by `lampbench.dates`.

    Args:
        dates: one per item, in the order of the profile.
    """
    return most_recent_first(read_dates(dates))


def most_recent_first(dates: Sequence[Date | None]) -> list[int]:
    """Positions of the items by dates that were read.

    Undated items count as the oldest, where the official program stops with an error; on data without any
    dates the ranking is therefore the profile back to front.
    """
    keys = [date or () for date in dates]
    return sorted(range(len(keys)), key=lambda position: (keys[position], position), reverse=True)


def rank_random(n: int, rng: np.random.Generator) -> list[int]:
    """Positions 0 to n-1 in random order. (The official `random` draws with replacement, so items can
    repeat.)"""
    return [int(position) for position in rng.permutation(n)]


def _best_first(scores: NDArray[Any]) -> list[int]:
    """Positions by score, highest first; equal scores later position first. The sort is stable, so that
    holds."""
    return [int(position) for position in np.argsort(scores, kind="stable")[::-1]]
