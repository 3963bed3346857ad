"""Reciprocal rank fusion: the rankings of several retrievers as one (Cormack et al., SIGIR 2009).

An item scores Σ 1 / (60 + its rank) over the rankings, ranks counted from 1. A baseline of arXiv:2404.05970.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from lampbench.constraints import NonNegativeFloat
from lampbench.method import Bench, RetrievalConfig, RetrievalMethod

if TYPE_CHECKING:
    from lampbench.data import Example


@dataclass(frozen=True)
class Config(RetrievalConfig):
    """Options."""

    methods: tuple[str, ...] = ("bm25", "recency", "contriever")  # whose rankings are fused
    constant: NonNegativeFloat = 60.0  # added to every rank: the larger, the less the first places count

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.methods:
            raise ValueError("methods must name at least one method that ranks")
        if "rrf" in self.methods:
            raise ValueError("methods must name other methods than rrf itself")
        if len(set(self.methods)) < len(self.methods):
            raise ValueError(f"methods must name each method once, not {', '.join(self.methods)}")


def fuse(rankings: Sequence[Sequence[int]], constant: float = 60.0) -> list[int]:
    """The items of all rankings, best first; equal scores: the later position first, as everywhere.

    Args:
        rankings: positions, best first. What a ranking leaves out earns nothing from it.
        constant: added to every rank.
    """
    terms: dict[int, list[float]] = {}
    for ranking in rankings:
        for rank, position in enumerate(ranking, 1):
            terms.setdefault(position, []).append(1 / (constant + rank))
    # fsum: the same ranks in another order must be a tie, which a plain sum may miss by a last digit.
    return sorted(terms, key=lambda position: (math.fsum(terms[position]), position), reverse=True)


class Method(RetrievalMethod):
    name = "rrf"
    summary = "The k profile items that several retrievers rank first together, in the prompt"
    paper = "doi:10.1145/1571941.1572114"
    order = 60
    uses_rankings = True
    config: Config

    def uses(self) -> tuple[str, ...]:
        return self.config.methods

    def idle(self) -> Mapping[str, str]:
        return (
            {} if len(self.config.methods) > 1 else {"constant": "where the rankings of one method are fused"}
        )

    def prepare(self, bench: Bench, examples: Sequence[Example]) -> None:
        rankings = [list(bench.method(name).rankings(examples)) for name in self.config.methods]
        self.ranked = {
            example.id: fuse(each, self.config.constant)
            for example, *each in zip(examples, *rankings, strict=True)
        }

    def rank(self, bench: Bench, example: Example) -> Sequence[int]:
        return self.ranked[example.id]
