"""The k items that a dense retriever ranks first, in the prompt (LaMP, arXiv:2304.11406).

One encoder for queries and items, mean pooling, no normalisation, dot product: Contriever (arXiv:2112.09118)
in the published settings; here the preset's `retriever`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from lampbench.method import Bench, RetrievalConfig, RetrievalMethod
from lampbench.prompts import Extraction, item_text, query
from lampbench.retrieval import rank_dense

if TYPE_CHECKING:
    from lampbench.data import Example


@dataclass(frozen=True)
class Config(RetrievalConfig):
    """Options."""

    use_date: bool = False  # whether an item's text ends in its date
    extraction: Extraction = "anchored"  # how LaMP-1's query is cut out (official: by scanning quotes)


class Method(RetrievalMethod):
    name = "contriever"
    summary = "The k profile items nearest to the question in a dense retriever, in the prompt"
    paper = "arXiv:2112.09118"
    order = 50
    needs = frozenset({"retriever"})

    def bytes_per_user(self, bench: Bench, example: Example) -> int:
        texts = super().bytes_per_user(bench, example) or 0
        return texts + len(example.item_rows) * bench.retriever.dim * 4

    def prepare(self, bench: Bench, examples: Sequence[Example]) -> None:
        use_date = self.config.use_date
        self.items = bench.item_embeddings(
            bench.retriever,
            f"retrieval{'-dated' if use_date else ''}",
            lambda item: item_text(bench.task, item, use_date),
            examples,
        )
        texts = [query(bench.task, example.input, self.config.extraction) for example in examples]
        vectors = bench.query_embeddings(bench.retriever, texts)
        self.queries = {example.id: vector for example, vector in zip(examples, vectors, strict=True)}

    def rank(self, bench: Bench, example: Example) -> Sequence[int]:
        return rank_dense(self.queries[example.id], self.items[example.item_rows])
