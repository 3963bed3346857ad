"""Whose history a method is shown at prediction: the controls behind the option `profile`.

A method that gains from a user's history must lose that gain with another user's history, or with none; and
whether it reads the user's answers or only the user's topics shows when the labels are shuffled among the
items. A view changes the questions before the method sees them, so every method that reads a profile has it,
and none has to know.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from lampbench.errors import RequestError
from lampbench.method import View
from lampbench.tasks import Task

if TYPE_CHECKING:
    from lampbench.data import Example, ItemTable, Split

Rng = Callable[..., np.random.Generator]


@dataclass(frozen=True)
class Viewed:
    """Questions as a method sees them.

    Attributes:
        examples: the questions, in the order given.
        items: the table that their `item_rows` point into; its first rows are those of the task's own table.
        n_own: rows that are the task's own; the rest exist in this view only.
    """

    examples: Sequence[Example]
    items: ItemTable
    n_own: int


def check_view(kind: View, task: Task) -> None:
    """See that a view makes sense for a task.

    Raises:
        RequestError: it does not.
    """
    if kind == "shuffled-labels" and task.output_field is None:
        raise RequestError(f"profile=shuffled-labels: items of {task.name} have no label to shuffle")


def view(kind: View, task: Task, examples: Sequence[Example], population: Split, rng: Rng) -> Viewed:
    """The questions with the history that `kind` says.

    Args:
        kind: see `lampbench.method.View`.
        task: their task.
        examples: the questions.
        population: the whole split, from which another user's history is drawn.
        rng: gives a generator for a name, as `Bench.rng`: the draw depends on the question alone.

    Raises:
        RequestError: the view makes no sense for the task or the data.
    """
    own = population.items
    if kind == "own":
        return Viewed(examples, own, len(own))
    if kind == "empty":
        nobody = np.empty(0, dtype=np.int32)
        return Viewed([replace(e, item_rows=nobody, item_ids=[]) for e in examples], own, len(own))
    if kind == "random":
        users = population.user_ids
        strangers = [_stranger(e, population, users, rng("profile=random", e.id)) for e in examples]
        swapped = [
            replace(e, item_rows=s.item_rows, item_ids=s.item_ids)
            for e, s in zip(examples, strangers, strict=True)
        ]
        return Viewed(swapped, own, len(own))
    return _shuffled(task, examples, own, rng)


def _stranger(
    example: Example, population: Split, users: Sequence[str | None], rng: np.random.Generator
) -> Example:
    """A question of somebody else, drawn at random."""
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


def _shuffled(task: Task, examples: Sequence[Example], own: ItemTable, rng: Rng) -> Viewed:
    check_view("shuffled-labels", task)
    field = task.output_field or ""
    added: list[dict[str, Any]] = []
    rows_of: list[np.ndarray] = []
    for example in examples:
        items = own.rows(example.item_rows)
        order = rng("profile=shuffled-labels", example.id).permutation(len(items))
        start = len(own) + len(added)
        added += [{**item, field: items[int(other)][field]} for item, other in zip(items, order, strict=True)]
        rows_of.append(np.arange(start, start + len(items), dtype=np.int32))
    # An ItemTable in all that methods use of one.
    table = cast("ItemTable", MoreItems(own, added))
    shuffled = [
        replace(example, item_rows=rows, items=table) for example, rows in zip(examples, rows_of, strict=True)
    ]
    return Viewed(shuffled, table, len(own))


class MoreItems(Sequence[dict[str, Any]]):
    """An items table with more rows at its end."""

    def __init__(self, own: ItemTable, added: list[dict[str, Any]]) -> None:
        self._own = own
        self._added = added

    def __len__(self) -> int:
        return len(self._own) + len(self._added)

    def __getitem__(self, row: Any) -> Any:
        if isinstance(row, slice):
            return self.rows(range(*row.indices(len(self))))
        return self.rows([range(len(self))[row]])[0]

    def __iter__(self) -> Iterator[dict[str, Any]]:
        yield from self._own
        yield from self._added

    @property
    def fields(self) -> tuple[str, ...]:
        """The task's item fields."""
        return self._own.fields

    def rows(self, rows: Sequence[int] | np.ndarray) -> list[dict[str, Any]]:
        """The items of these rows, in their order."""
        wanted = np.asarray(rows, dtype=np.int64)
        of_own = wanted < len(self._own)
        own = iter(self._own.rows(wanted[of_own]))
        return [
            next(own) if mine else dict(self._added[row - len(self._own)])
            for row, mine in zip(wanted.tolist(), of_own.tolist(), strict=True)
        ]

    def column(self, name: str, rows: Sequence[int] | np.ndarray | None = None) -> list[Any]:
        """The texts of one field of these rows, or of all."""
        return [item.get(name) for item in self.rows(range(len(self)) if rows is None else rows)]
