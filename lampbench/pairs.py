"""Training pairs from a user's own history: what one profile item teaches an LLM about its user.

The pairs are those of LaMP's program for one adapter per user (github.com/LaMP-Benchmark/LaMP, PEFT/;
arXiv:2409.09510). Where an item holds an output, the pair is the task itself; a LaMP-1 item teaches to write
the abstract for a title, and a LaMP-7 item to continue a tweet.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np

from lampbench.errors import RequestError
from lampbench.prompts import Item, input_from_item, output_from_item
from lampbench.tasks import Task, get_task

Rng = Callable[..., np.random.Generator]

FEWEST, MOST = 0.10, 0.25
"""The share of a tweet's words that is shown: uniform between these bounds, rounded down to whole words."""


@dataclass(frozen=True)
class Pair:
    """What the LLM reads and what it should answer."""

    input: str
    target: str


def pairs_from_items(task: Task | str, items: Iterable[Item], rng: Rng) -> list[Pair]:
    """The pairs that these items make, in their order; items that leave nothing to write make none.

    Args:
        task: the task or its name.
        items: a user's history.
        rng: gives a generator for a name, as `Bench.rng`. Where a tweet is cut depends on its text alone (the
            released program draws anew in every run).

    Raises:
        RequestError: an item lacks a field.
    """
    task = get_task(task)
    pairs = [_pair(task, item, rng) for item in items]
    return [pair for pair in pairs if pair.target.strip()]


def _pair(task: Task, item: Item, rng: Rng) -> Pair:
    if task.name == "LaMP-1":
        return Pair(f"Write an abstract for this title: {_text(item, 'title')}", _text(item, "abstract"))
    if task.name == "LaMP-7":
        text = _text(item, "text")
        words = text.split()
        shown = int(len(words) * rng("tweet", text).uniform(FEWEST, MOST))
        return Pair(f"Complete the following tweet: {' '.join(words[:shown])}", " ".join(words[shown:]))
    return Pair(input_from_item(task, item), output_from_item(task, item) or "")


def _text(item: Item, field: str) -> str:
    if item.get(field) is None:
        raise RequestError(f"an item lacks the field '{field}'")
    return str(item[field])
