"""Whose history a method is shown at prediction: the controls behind the option `profile`.

A method that gains from a user's history must lose that gain with another user's history, or with none; and
whether it reads the user's answers or only the user's topics shows when the labels are shuffled among the
items. A view changes the questions before the method sees them, so every method that reads a profile has it,
and none has to know.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from lampbench.errors import RequestError
from lampbench.method.base import View
from lampbench.tasks import Task

if TYPE_CHECKING:
    from lampbench.data.dataset import Example, Split
    from lampbench.data.item_table import ItemTable

Rng = Callable[..., np.random.Generator]


@dataclass(frozen=True)
class Viewed:
    """Questions as a method sees them.

    Attributes:
        examples: the questions, in the order given.
        items: the table that their `item_rows` point into; its first rows are those of the table of the run.
    """

    examples: Sequence[Example]
    items: ItemTable


def check_view(kind: View, task: Task) -> None:
    """See that a view makes sense for a task.

    Raises:
        RequestError: it does not.
    """
    if kind == "shuffled-labels" and task.output_field is None:
        raise RequestError(f"profile=shuffled-labels: items of {task.name} have no label to shuffle")


def view(kind: View, task: Task, examples: Sequence[Example], items: ItemTable, rng: Rng) -> Viewed:
    """The questions with the history that `kind` says; for another user's (`random`) see `strangers`.

    Args:
        kind: see `lampbench.method.base.View`.
        task: their task.
        examples: the questions.
        items: the table of their histories.
        rng: gives a generator for a name, as `Bench.rng`: the draw depends on the question alone.

    Raises:
        RequestError: the view makes no sense for the task.
    """
    if kind == "own":
        return Viewed(examples, items)
    if kind == "empty":
        nobody = np.empty(0, dtype=np.int32)
        return Viewed([replace(e, item_rows=nobody, item_ids=[]) for e in examples], items)
    if kind == "shuffled-labels":
        return _shuffled(task, examples, items, rng)
    raise ValueError(f"{kind} needs the population")


def strangers(ids: Sequence[str], population: Split, rng: Rng) -> dict[str, Example]:
    """For each question, one of somebody else, drawn at random, whose history it is shown.

    Args:
        ids: of the questions, which are part of the population.
        population: the whole split.
        rng: as for `view`.

    Raises:
        RequestError: every question has the history of one of them.
    """
    users = population.user_ids
    place_of = {id: place for place, id in enumerate(population.ids)}
    return {
        id: _stranger(population[place_of[id]], population, users, rng("profile=random", id)) for id in ids
    }


def _stranger(
    example: Example, population: Split, users: Sequence[str | None], rng: np.random.Generator
) -> Example:
    for position in rng.permutation(len(population)):
        if users[position] is not None and users[position] == example.user_id:
            continue
        other = population[int(position)]
        # Without user ids: whoever shares no item is somebody else.
        if other.id != example.id and not np.intersect1d(other.item_rows, example.item_rows).size:
            return other
    raise RequestError(
        f"profile=random: every question of the split has the history of question '{example.id}'"
    )


def _shuffled(task: Task, examples: Sequence[Example], items: ItemTable, rng: Rng) -> Viewed:
    check_view("shuffled-labels", task)
    field = task.output_field or ""
    added: list[dict[str, Any]] = []
    rows_of: list[np.ndarray] = []
    for example in examples:
        own = items.rows(example.item_rows)
        order = rng("profile=shuffled-labels", example.id).permutation(len(own))
        start = len(items) + len(added)
        added += [{**item, field: own[int(other)][field]} for item, other in zip(own, order, strict=True)]
        rows_of.append(np.arange(start, start + len(own), dtype=np.int32))
    table = items.with_more(added)
    shuffled = [
        replace(example, item_rows=rows, items=table) for example, rows in zip(examples, rows_of, strict=True)
    ]
    return Viewed(shuffled, table)
