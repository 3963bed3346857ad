"""The k most recent items of the profile in the prompt, the most recent one first (LaMP, arXiv:2304.11406).

Among items of the same date the later one in the list counts as more recent. Items without a date that
`lampbench.dates` can read come last, also the later one first; that is said once, and the record counts them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from lampbench.dates import read_dates
from lampbench.method import Bench, RetrievalConfig, RetrievalMethod
from lampbench.retrieval import most_recent_first

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

    told = False

    def rank(self, bench: Bench, example: Example) -> Sequence[int]:
        written = [item.get("date") for item in example.profile]
        dates = read_dates(written)
        if None in dates and not self.told:
            self.told = True
            position = dates.index(None)
            bench.say(
                f"{self.name}, {bench.task.name}: items without a date that can be read rank as the oldest; "
                f"the first is item {example.item_ids[position]!r} of question {example.id!r}, "
                + ("which has none" if written[position] is None else f"whose date is {written[position]!r}")
            )
        return most_recent_first(dates)
