"""Retrieval by embeddings: the base of methods that rank items by their dot product with the question."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from lampbench.loading.encoder_prompts import NO_PROMPTS, Prompts
from lampbench.method.base import Bench, PromptsConfig, RetrievalConfig, RetrievalMethod
from lampbench.prompts.texts import Extraction, item_text, query
from lampbench.retrieval import rank_dense

if TYPE_CHECKING:
    import numpy as np

    from lampbench.caches.item_vectors import ItemVectors
    from lampbench.data.dataset import Example
    from lampbench.models.encoder import TextEncoder


@dataclass(frozen=True)
class DenseConfig(RetrievalConfig, PromptsConfig):
    """Options of every dense retriever."""

    use_date: bool = False  # whether an item's text ends in its date
    extraction: Extraction = (
        "anchored"  # how a query without a marker is cut out (official: by scanning quotes)
    )
    prompts: bool = False  # put the retriever's own prompts for queries and documents before them


class DenseMethod(RetrievalMethod):
    """A method that ranks by embeddings; `encoder_of` says whose. No normalisation, dot product."""

    config: Any  # a DenseConfig
    default_config: ClassVar[type] = DenseConfig
    needs: frozenset[str] = frozenset({"retriever"})

    def encoder_of(self, bench: Bench) -> TextEncoder:
        """Who encodes both questions and items."""
        return bench.retriever

    def prompts(self, bench: Bench) -> Prompts:
        """What stands before questions and items when they are encoded."""
        return bench.retriever.own_prompts() if self.config.prompts else NO_PROMPTS

    def item_text(self, bench: Bench, item: dict[str, Any]) -> str:
        """The text of an item that is encoded."""
        return self.prompts(bench).document + item_text(bench.task, item, self.config.use_date)

    def query(self, bench: Bench, example: Example) -> str:
        """The text of a question that is encoded."""
        return self.prompts(bench).query + query(bench.task, example.input, self.config.extraction)

    def bytes_per_user(self, bench: Bench, example: Example) -> int:
        """The texts of the history, and a float32 vector of each item."""
        texts = super().bytes_per_user(bench, example) or 0
        return texts + len(example.item_rows) * bench.retriever.dim * 4

    def prepare(self, bench: Bench, examples: Sequence[Example]) -> None:
        self.items, self.queries = self._vectors(bench, self.encoder_of(bench), examples)

    def rank(self, bench: Bench, example: Example) -> Sequence[int]:
        return rank_dense(self.queries[example.id], self.items[example.item_rows])

    def dense_rankings(
        self, bench: Bench, encoder: TextEncoder, examples: Sequence[Example]
    ) -> Iterator[list[int]]:
        """The ranking of each example's profile by that encoder, best first."""
        items, queries = self._vectors(bench, encoder, examples)
        for example in examples:
            yield rank_dense(queries[example.id], items[example.item_rows])

    def _vectors(
        self, bench: Bench, encoder: TextEncoder, examples: Sequence[Example]
    ) -> tuple[np.ndarray | ItemVectors, dict[str, np.ndarray]]:
        """The items' vectors by row of the items table, and the questions' by id."""
        items = bench.item_embeddings(
            encoder,
            f"retrieval{'-dated' if self.config.use_date else ''}{'-prompts' if self.config.prompts else ''}",
            lambda item: self.item_text(bench, item),
            examples,
        )
        queries = bench.query_embeddings(encoder, [self.query(bench, example) for example in examples])
        return items, {example.id: vector for example, vector in zip(examples, queries, strict=True)}
