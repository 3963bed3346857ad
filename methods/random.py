"""k items of the profile at random: the control for every retriever (LaMP, arXiv:2304.11406, section 5).

Drawn without replacement, unlike in the official program, which may put one item into a prompt twice.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from lampbench.method import Bench, RetrievalConfig, RetrievalMethod
from lampbench.retrieval import rank_random

if TYPE_CHECKING:
    from lampbench.data import Example


@dataclass(frozen=True)
class Config(RetrievalConfig):
    """Options."""


class Method(RetrievalMethod):
    name = "random"
    summary = "k profile items at random in the prompt"
    paper = "arXiv:2304.11406"
    order = 20

    def rank(self, bench: Bench, example: Example) -> Sequence[int]:
        return rank_random(len(example.item_ids), bench.rng("random items", example.id))
