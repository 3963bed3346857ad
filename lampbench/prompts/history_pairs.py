"""Training pairs from a user's own history: what one profile item teaches an LLM about its user.

The pairs are those of LaMP's program for one adapter per user (github.com/LaMP-Benchmark/LaMP, PEFT/;
arXiv:2409.09510). Where an item holds an output, the pair is the task itself; other items teach what their task
says, or else to continue their text.

Pairs of one part of an item are lampbench's own, after the forms of the released ones. They tell whether an
adapter gains from what its user was given or from what its user answered.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import get_args

import numpy as np

from lampbench.errors import RequestError, unknown
from lampbench.prompts.texts import Fields, Item, fill, input_from_item, output_from_item
from lampbench.tasks import Task, get_task

Rng = Callable[..., np.random.Generator]

FEWEST, MOST = 0.10, 0.25
"""The share of a text's words that is shown: uniform between these bounds, rounded down to whole words."""


@dataclass(frozen=True)
class Pair:
    """What the LLM reads and what it should answer."""

    input: str
    target: str


def pairs_from_items(
    task: Task | str, items: Iterable[Item], rng: Rng, fields: Fields = "released"
) -> list[Pair]:
    """The pairs that these items make, in their order; items that leave nothing to write make none.

    Args:
        task: the task or its name.
        items: a user's history.
        rng: gives a generator for a name, as `Bench.rng`. Where a text is cut depends on the text alone (the
            released program draws anew in every run).
        fields: what of an item is in its pair; the parts are those of `lampbench.prompts.texts.history_text`.
            `released` and `both`: the released pair, which holds both parts. `output`: the output is asked
            for as in the task, with nothing in the place of the input; an adapter can learn which answers its
            user gives and how they are worded, but not to what. `input`: the input is to be continued, as
            tweets are in the released pairs; an adapter can learn what its user is given, and no answer. Where
            items have no output, their text is both parts and is continued with `input` and with `output`.

    Raises:
        RequestError: an item lacks a field that its pair is made of, or there is no such `fields`.
    """
    task = get_task(task)
    if fields not in get_args(Fields):
        raise unknown("fields", fields, get_args(Fields))
    pairs = [_pair(task, item, rng, fields) for item in items]
    return [pair for pair in pairs if pair.target.strip()]


def _pair(task: Task, item: Item, rng: Rng, fields: Fields) -> Pair:
    whole = fields in ("released", "both")
    if task.lesson is not None and whole:
        asked, answer = task.lesson
        return Pair(fill(asked, task, item), fill(answer, task, item))
    if fields == "input" or task.output_field is None or not task.items_make_inputs:
        return _continuation(task.texts.name, _text(item, task.text_field), rng)
    shown = item if whole else {**item, task.text_field: ""}
    return Pair(input_from_item(task, shown), output_from_item(task, item) or "")


def _continuation(name: str, text: str, rng: Rng) -> Pair:
    words = text.split()
    shown = int(len(words) * rng(name, text).uniform(FEWEST, MOST))
    return Pair(f"Complete the following {name}: {' '.join(words[:shown])}", " ".join(words[shown:]))


def _text(item: Item, field: str) -> str:
    if item.get(field) is None:
        raise RequestError(f"an item lacks the field '{field}'")
    return str(item[field])
