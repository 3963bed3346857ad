"""The data of one task, read from a prepared store: examples, and the items of their profiles.

Everything is memory-mapped: opening costs milliseconds, an example is decoded when it is asked for, and its
profile only when that is asked for.

    data = open_task("~/lamp", "LaMP-4", setting="time")
    for example in data.split("dev"):
        example.input, example.profile, example.output
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any, overload

import numpy as np
from numpy.typing import NDArray

from lampbench.errors import RequestError, unknown
from lampbench.layout import find_files
from lampbench.official import OnProgress
from lampbench.paths import expanded
from lampbench.prepare import prepare_task
from lampbench.store import (
    EXAMPLES_PER_BATCH,
    ITEMS_FILE,
    ITEMS_PER_BATCH,
    MANIFEST_FILE,
    Table,
    examples_file,
)
from lampbench.tasks import SPLITS, Task, get_task

ProfileItem = dict[str, Any]


def open_task(
    data_dir: str | Path,
    task: Task | str,
    setting: str = "user",
    cache_dir: str | Path | None = None,
    on_progress: OnProgress | None = None,
) -> TaskData:
    """The data of a task; prepared first if that was not done for the files as they are now.

    Args:
        data_dir: the data folder; `lampbench.layout.find_files` lists the layouts.
        task: the task or its name.
        setting: `user` (users disjoint between the splits) or `time` (the same users, later questions).
        cache_dir: where prepared data are kept; `lampbench.paths.cache_dir()` by default.
        on_progress: called as `on_progress(done, total, file)`, in megabytes, while files are prepared.

    Raises:
        RequestError: files are missing, broken or do not fit each other.
        RunError: the cache cannot be written.
    """
    task = get_task(task)
    folder = expanded(data_dir)
    store = prepare_task(folder, task, setting, cache_dir, on_progress)
    try:
        return TaskData(task, setting, folder, store)
    except (OSError, ValueError, KeyError):
        # Damaged, or removed by a process that prepared newer files between the two lines above. (Errors of
        # Arrow are of these classes.)
        store = prepare_task(folder, task, setting, cache_dir, on_progress, fresh=True)
        return TaskData(task, setting, folder, store)


class TaskData:
    """The splits of a task and the items that they share.

    Attributes:
        task: the task.
        setting: `user` or `time`.
        items: every distinct profile item; row i is row i of every embedding matrix.
        fingerprint: hash of the content of all source files, wherever they lie.
        splits: names of the splits that are there, in the order train, dev, test.
    """

    def __init__(self, task: Task, setting: str, data_dir: Path, store: Path) -> None:
        manifest = json.loads((store / MANIFEST_FILE).read_text(encoding="utf-8"))
        self.task = task
        self.setting = setting
        self.items = ItemTable(store / ITEMS_FILE)
        self.fingerprint: str = manifest["fingerprint"]
        self.splits: tuple[str, ...] = tuple(name for name in SPLITS if name in manifest["splits"])
        # Opened here and not when asked for: a store that is damaged shows at once, and one that another
        # process replaces later stays readable.
        self._splits = {
            name: Split(
                name,
                Table(store / examples_file(name), EXAMPLES_PER_BATCH),
                self.items,
                manifest["splits"][name]["fingerprint"],
            )
            for name in self.splits
        }
        self._data_dir = data_dir

    def __repr__(self) -> str:
        sizes = ", ".join(f"{name} {len(self._splits[name])}" for name in self.splits)
        return f"TaskData({self.task.name}, {self.setting}, {sizes}, {len(self.items)} items)"

    def split(self, name: str) -> Split:
        """The split `train`, `dev` or `test`.

        Raises:
            RequestError: no such name, or the split is absent; says which files were looked for, and where.
        """
        if name not in SPLITS:
            raise unknown("split", name, SPLITS)
        if name not in self._splits:
            raise find_files(self._data_dir, self.task, self.setting).missing(name)
        return self._splits[name]


class ItemTable(Sequence[ProfileItem]):
    """Every distinct profile item of a task, without ids; memory-mapped.

    `table[row]` is an item: the task's fields, `date` where it has one, and what other fields the file gives.
    """

    def __init__(self, path: Path) -> None:
        self._table = Table(path, ITEMS_PER_BATCH)

    def __len__(self) -> int:
        return len(self._table)

    @overload
    def __getitem__(self, row: int) -> ProfileItem: ...
    @overload
    def __getitem__(self, row: slice) -> list[ProfileItem]: ...
    def __getitem__(self, row: int | slice) -> ProfileItem | list[ProfileItem]:
        if isinstance(row, slice):
            return self.rows(range(*row.indices(len(self))))
        return self.rows([_checked(row, len(self))])[0]

    def __iter__(self) -> Iterator[ProfileItem]:
        for start in range(0, len(self), ITEMS_PER_BATCH):
            yield from self[start : start + ITEMS_PER_BATCH]

    @property
    def fields(self) -> tuple[str, ...]:
        """The task's item fields, without `id` and `date`."""
        return tuple(name for name in self._table.names if name not in ("date", "more"))

    def rows(self, rows: Sequence[int] | NDArray[Any]) -> list[ProfileItem]:
        """The items of these rows, in their order; faster than one at a time."""
        names = self._table.names
        items = []
        for values in zip(*self._table.take(rows, names), strict=True):
            item: ProfileItem = dict(zip(names, values, strict=True))
            more = item.pop("more")
            if item["date"] is None:
                del item["date"]
            if more is not None:
                item.update(json.loads(more))
            items.append(item)
        return items

    def column(self, name: str, rows: Sequence[int] | NDArray[Any] | None = None) -> list[str | None]:
        """The texts of one field (or `date`; None: undated) of these rows, or of all.

        Raises:
            RequestError: items have no such field.
        """
        allowed = (*self.fields, "date")
        if name not in allowed:
            raise unknown("item field", name, allowed)
        return self._table.take(range(len(self)) if rows is None else rows, [name])[0]


@dataclass(frozen=True, eq=False)
class Example:
    """One question.

    Attributes:
        id: opaque.
        input: the task's input, complete, as in the file.
        output: the gold; None where it is hidden.
        user_id: who asks, where the file says so.
        item_rows: int32 of shape [profile size]: rows of the profile's items in `items`, in file order.
        item_ids: the ids of those items in this profile (they need not be unique).
        items: the table that `item_rows` points into.
    """

    id: str
    input: str
    output: str | None
    user_id: str | None
    item_rows: NDArray[np.int32] = field(repr=False)
    item_ids: list[str] = field(repr=False)
    items: ItemTable = field(repr=False)

    @property
    def profile(self) -> list[ProfileItem]:
        """The user's history as in the file: dicts with `id`, the task's fields and, where known, `date`.

        Decoded at each access: keep it in a variable where it is used twice.
        """
        return self.select(range(len(self.item_rows)))

    def select(self, positions: Sequence[int]) -> list[ProfileItem]:
        """The items at these positions of the profile, in the order asked for; the others are not decoded."""
        places = np.asarray(positions, dtype=np.int64)
        items = self.items.rows(self.item_rows[places])
        return [{"id": self.item_ids[p], **item} for p, item in zip(places.tolist(), items, strict=True)]

    def without_output(self) -> Example:
        """The same question with its gold removed: what a method is scored on."""
        return replace(self, output=None)


class Split(Sequence[Example]):
    """The questions of one split, or a part of them, in file order.

    Attributes:
        name: `train`, `dev` or `test`.
        items: the items table of the task.
        fingerprint: hash of the content of the split's files; a part has one of its own.
    """

    def __init__(
        self,
        name: str,
        table: Table,
        items: ItemTable,
        fingerprint: str,
        rows: NDArray[np.int64] | None = None,
        hide_outputs: bool = False,
    ) -> None:
        self.name = name
        self.items = items
        self.fingerprint = fingerprint
        self._table = table
        self._rows = rows
        self._hide_outputs = hide_outputs

    def __len__(self) -> int:
        return len(self._table) if self._rows is None else len(self._rows)

    def __repr__(self) -> str:
        return f"Split({self.name}, {len(self)} examples)"

    @overload
    def __getitem__(self, index: int) -> Example: ...
    @overload
    def __getitem__(self, index: slice) -> Split: ...
    def __getitem__(self, index: int | slice) -> Example | Split:
        if isinstance(index, slice):
            return self.subset(range(*index.indices(len(self))))
        place = _checked(index, len(self))
        batch, position = self._table.locate(place if self._rows is None else int(self._rows[place]))

        def value(name: str) -> Any:
            return batch.column(name)[position]

        return Example(
            id=value("id").as_py(),
            input=value("input").as_py(),
            output=None if self._hide_outputs else value("output").as_py(),
            user_id=value("user_id").as_py(),
            item_rows=value("item_rows").values.to_numpy(),
            item_ids=value("item_ids").values.to_pylist(),
            items=self.items,
        )

    def subset(self, indices: Sequence[int] | NDArray[Any]) -> Split:
        """The examples at these positions, in this order, as a split of the same name.

        Raises:
            IndexError: a position is out of range.
        """
        chosen = np.array([_checked(int(index), len(self)) for index in indices], dtype=np.int64)
        if self._rows is not None:
            chosen = self._rows[chosen]
        part = hashlib.sha256(chosen.astype("<i8").tobytes()).hexdigest()
        whole = self.fingerprint.partition("/")[0]
        return Split(self.name, self._table, self.items, f"{whole}/{part}", chosen, self._hide_outputs)

    def without_outputs(self) -> Split:
        """The same questions, all golds removed."""
        return Split(self.name, self._table, self.items, self.fingerprint, self._rows, hide_outputs=True)

    @property
    def ids(self) -> list[str]:
        """The ids of the questions; nothing else is decoded."""
        return self._column("id")

    @property
    def user_ids(self) -> list[str | None]:
        """Who asks, per question."""
        return self._column("user_id")

    @cached_property
    def has_outputs(self) -> bool:
        """Whether every question has its gold."""
        return not self._hide_outputs and all(output is not None for output in self._column("output"))

    @property
    def golds(self) -> Mapping[str, str]:
        """Id to gold output.

        Raises:
            RequestError: the golds are hidden.
        """
        if not self.has_outputs:
            raise RequestError(f"the golds of the {self.name} split are hidden")
        return dict(zip(self.ids, self._column("output"), strict=True))

    def _column(self, name: str) -> list[Any]:
        rows = np.arange(len(self._table)) if self._rows is None else self._rows
        return self._table.take(rows, [name])[0]


def _checked(index: int, length: int) -> int:
    place = index + length if index < 0 else index
    if not 0 <= place < length:
        raise IndexError(f"{index} is out of range for {length}")
    return place
