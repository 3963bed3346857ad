"""The k items that BM25 ranks first for the question's query, in the prompt (LaMP, arXiv:2304.11406).

Okapi BM25 of the library rank_bm25 with its defaults, over the user's own items, words split at white space.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from lampbench.method import Bench, RetrievalConfig, RetrievalMethod
from lampbench.prompts import Extraction, item_text, query
from lampbench.retrieval import rank_bm25

if TYPE_CHECKING:
    from lampbench.data import Example


@dataclass(frozen=True)
class Config(RetrievalConfig):
    """Options."""

    use_date: bool = False  # whether an item's text ends in its date
    extraction: Extraction = (
        "anchored"  # how a query without a marker is cut out (official: by scanning quotes)
    )


class Method(RetrievalMethod):
    name = "bm25"
    summary = "The k profile items that BM25 ranks first, in the prompt"
    paper = "arXiv:2304.11406"
    order = 30

    def rank(self, bench: Bench, example: Example) -> Sequence[int]:
        documents = [item_text(bench.task, item, self.config.use_date) for item in example.profile]
        return rank_bm25(query(bench.task, example.input, self.config.extraction), documents)
