"""The k most recent items of the profile in the prompt, the most recent one first (LaMP, arXiv:2304.11406).

Among items of the same date the later one in the list counts as more recent; undated items come last.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from lampbench.method import Bench, RetrievalConfig, RetrievalMethod
from lampbench.retrieval import rank_recency

if TYPE_CHECKING:
    from lampbench.data import Example


@dataclass(frozen=True)
class Config(RetrievalConfig):
    """Options."""


class Method(RetrievalMethod):
    name = "recency"
    summary = "The k most recent profile items in the prompt"
    paper = "arXiv:2304.11406"
    order = 40

    def rank(self, bench: Bench, example: Example) -> Sequence[int]:
        return rank_recency([item.get("date") for item in example.profile])
