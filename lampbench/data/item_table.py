"""Tables of profile items, without ids: what the rows of a profile, and of an embedding matrix, stand for."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from typing import Any, overload

import numpy as np
from numpy.typing import NDArray

from lampbench.data.arrow_tables import ITEMS_PER_BATCH, Table
from lampbench.errors import unknown

ProfileItem = dict[str, Any]


class ItemTable(Sequence[ProfileItem]):
    """Distinct profile items of a task, without ids: tables in memory maps, one after the other.

    `table[row]` is an item: the task's fields, `date` where it has one, and what other fields the file gives.

    Args:
        parts: the tables; rows count on from one to the next.
        added: items behind those of the tables, which exist in memory only.

    Attributes:
        parts: the tables, each with the digest of its content; row i of one is row i of its embedding matrix.
        added: as above.
        starts: the row at which each part begins, then the first added row, then the number of rows.
    """

    def __init__(self, *parts: Table, added: Sequence[ProfileItem] = ()) -> None:
        self.parts = parts
        self.added = added
        self.starts: list[int] = np.cumsum([0, *map(len, parts), len(added)]).tolist()

    def with_more(self, added: Sequence[ProfileItem]) -> ItemTable:
        """This table with more items at its end."""
        return ItemTable(*self.parts, added=[*self.added, *added])

    def __len__(self) -> int:
        return self.starts[-1]

    @overload
    def __getitem__(self, row: int) -> ProfileItem: ...
    @overload
    def __getitem__(self, row: slice) -> list[ProfileItem]: ...
    def __getitem__(self, row: int | slice) -> ProfileItem | list[ProfileItem]:
        if isinstance(row, slice):
            return self.rows(range(*row.indices(len(self))))
        return self.rows([checked_row(row, len(self))])[0]

    def __iter__(self) -> Iterator[ProfileItem]:
        for start in range(0, len(self), ITEMS_PER_BATCH):
            yield from self[start : start + ITEMS_PER_BATCH]

    @property
    def fields(self) -> tuple[str, ...]:
        """The task's item fields, without `id` and `date`."""
        names = self.parts[0].names if self.parts else ()
        return tuple(name for name in names if name not in ("date", "more"))

    def rows(self, rows: Sequence[int] | NDArray[Any]) -> list[ProfileItem]:
        """The items of these rows, in their order; faster than one at a time.

        Raises:
            IndexError: a row that is not in the table.
        """
        items: list[ProfileItem] = [{}] * len(rows)
        for places, found in self._found(rows, lambda part, local: _items(part, local), list):
            for place, item in zip(places, found, strict=True):
                items[place] = item
        return items

    def column(self, name: str, rows: Sequence[int] | NDArray[Any] | None = None) -> list[str | None]:
        """The texts of one field (or `date`; None: undated) of these rows, or of all.

        Raises:
            RequestError: items have no such field.
        """
        allowed = (*self.fields, "date")
        if name not in allowed:
            raise unknown("item field", name, allowed)
        wanted = range(len(self)) if rows is None else rows
        values: list[str | None] = [None] * len(wanted)
        of_added = lambda items: [item.get(name) for item in items]  # noqa: E731
        for places, found in self._found(wanted, lambda part, local: part.take(local, [name])[0], of_added):
            for place, value in zip(places, found, strict=True):
                values[place] = value
        return values

    def _found(
        self,
        rows: Sequence[int] | NDArray[Any],
        take: Callable[[Table, NDArray[np.int64]], list[Any]],
        of_added: Callable[[list[ProfileItem]], list[Any]],
    ) -> Iterator[tuple[list[int], list[Any]]]:
        """Per part that holds some of the rows: their places among `rows`, and what is found there."""
        wanted = np.asarray(rows, dtype=np.int64)
        if len(wanted) and not (wanted.min() >= 0 and wanted.max() < len(self)):
            raise IndexError(f"a row of {wanted.min()} to {wanted.max()} is not in a table of {len(self)}")
        part_of = np.searchsorted(self.starts, wanted, side="right") - 1
        for number in np.unique(part_of).tolist():
            places = np.flatnonzero(part_of == number)
            local = wanted[places] - self.starts[number]
            if number < len(self.parts):
                yield places.tolist(), take(self.parts[number], local)
            else:
                yield places.tolist(), of_added([dict(self.added[row]) for row in local.tolist()])


def _items(part: Table, rows: NDArray[np.int64]) -> list[ProfileItem]:
    items = []
    for values in zip(*part.take(rows, part.names), strict=True):
        item: ProfileItem = dict(zip(part.names, values, strict=True))
        more = item.pop("more")
        if item["date"] is None:
            del item["date"]
        if more is not None:
            item.update(json.loads(more))
        items.append(item)
    return items


class RowMap:
    """From rows of the whole items table to those of one that holds the train split's and some others.

    Args:
        n_train: rows of the train split's items, which come first in both.
        others: the other rows of the whole table that are held, ascending.
    """

    def __init__(self, n_train: int, others: NDArray[np.int64]) -> None:
        self.n_train = n_train
        self.others = others

    def __call__(self, rows: NDArray[Any]) -> NDArray[np.int32]:
        """The rows there of these rows of the whole table.

        Raises:
            KeyError: one of them is not held.
        """
        rows = np.asarray(rows)
        places = np.searchsorted(self.others, rows)
        known = np.append(self.others, -1)[places] == rows
        if not (known | (rows < self.n_train)).all():
            raise KeyError(f"row {rows[~known & (rows >= self.n_train)][0]} of the items is not shown here")
        return np.where(rows < self.n_train, rows, self.n_train + places).astype(np.int32)


def checked_row(index: int, length: int) -> int:
    """The index, counted from the end where it is negative.

    Raises:
        IndexError: it is out of range.
    """
    place = index + length if index < 0 else index
    if not 0 <= place < length:
        raise IndexError(f"{index} is out of range for {length}")
    return place
