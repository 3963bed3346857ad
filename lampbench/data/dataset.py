"""The data of one task, read from a prepared store: examples, and the items of their profiles.

Everything is memory-mapped: opening reads every file once, at the speed of memory, to see that it is what was
written; an example is decoded when it is asked for, and its profile only when that is asked for.

    data = open_task("~/lamp", "LaMP-4", setting="time")
    for example in data.split("dev"):
        example.input, example.profile, example.output
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, overload

import numpy as np
from numpy.typing import NDArray

from lampbench.data.arrow_tables import (
    MORE_ITEMS_FILE,
    TRAIN_ITEMS_FILE,
    Table,
    examples_file,
    golds_file,
    open_table,
    read_manifest,
    verify,
)
from lampbench.data.find_files import find_files
from lampbench.data.item_table import ItemTable, ProfileItem, RowMap, checked_row
from lampbench.data.official_json import OnProgress
from lampbench.data.prepare import prepare_task
from lampbench.errors import RequestError, unknown
from lampbench.files.folders import expanded
from lampbench.files.seals import Damaged, Say
from lampbench.tasks import SPLITS, Task, get_task


def open_task(
    data_dir: str | Path,
    task: Task | str,
    setting: str = "user",
    cache_dir: str | Path | None = None,
    on_progress: OnProgress | None = None,
    say: Say = lambda text: None,
) -> TaskData:
    """The data of a task; prepared first if that was not done for the files as they are now.

    Args:
        data_dir: the data folder; `lampbench.data.find_files.find_files` lists the layouts.
        task: the task or its name.
        setting: `user` (users disjoint between the splits) or `time` (the same users, later questions).
        cache_dir: where prepared data are kept; `lampbench.files.folders.cache_dir()` by default.
        on_progress: called as `on_progress(done, total, file)`, in megabytes, while files are prepared.
        say: told if prepared data turn out to be damaged, and are prepared again, or if another process is
            waited for.

    Raises:
        RequestError: files are missing, broken or do not fit each other.
        RunError: the cache cannot be written.
    """
    task = get_task(task)
    folder = expanded(data_dir)
    store = prepare_task(folder, task, setting, cache_dir, on_progress, say=say)
    try:
        return TaskData(task, setting, folder, store)
    except Damaged as error:
        say(f"{error}: preparing {task.name} again")
        store = prepare_task(folder, task, setting, cache_dir, on_progress, damaged=True, say=say)
        return TaskData(task, setting, folder, store)


class TaskData:
    """The splits of a task and the items that they share: all of it, golds included, for looking at data.

    What a run may see of it while methods work is `lampbench.runner.gold_wall`.

    Attributes:
        task: the task.
        setting: `user` or `time`.
        items: every distinct profile item, those of the train split first.
        fingerprint: hash of the content of all source files, wherever they lie.
        splits: names of the splits that are there, in the order train, dev, test.
        store: the folder of the prepared tables.
        manifest: what they are.

    Raises:
        Damaged: a table is not what was written.
    """

    def __init__(self, task: Task, setting: str, data_dir: Path, store: Path) -> None:
        self.task = task
        self.setting = setting
        self.store = store
        self.manifest = read_manifest(store)
        verify(store, self.manifest)
        self.items = ItemTable(*(self.table(name) for name in (TRAIN_ITEMS_FILE, MORE_ITEMS_FILE)))
        self.fingerprint: str = self.manifest["fingerprint"]
        self.splits: tuple[str, ...] = tuple(name for name in SPLITS if name in self.manifest["splits"])
        # Opened here and not when asked for: a store that another process replaces later stays readable.
        self._splits = {
            name: Split(
                name,
                self.table(examples_file(name)),
                self.items,
                self.manifest["splits"][name]["fingerprint"],
                outputs=self.table(golds_file(name)) if golds_file(name) in self.manifest["files"] else None,
            )
            for name in self.splits
        }
        self._data_dir = data_dir

    def table(self, name: str) -> Table:
        """One of the tables of the store."""
        return open_table(self.store, self.manifest, name)

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
            raise self.absent(name)
        return self._splits[name]

    def absent(self, name: str) -> RequestError:
        """What to say of a split that is not there: which files were looked for, and where."""
        return find_files(self._data_dir, self.task, self.setting).missing(name)


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
        items: the items table that their profiles point into.
        fingerprint: hash of the content of the split's files; a part has one of its own.
        has_outputs: whether every question has its gold here.
    """

    def __init__(
        self,
        name: str,
        table: Table,
        items: ItemTable,
        fingerprint: str,
        rows: NDArray[np.int64] | None = None,
        *,
        outputs: Table | None = None,
        row_map: RowMap | None = None,
    ) -> None:
        self.name = name
        self.items = items
        self.fingerprint = fingerprint
        self._table = table
        self._rows = rows
        self._outputs = outputs
        self._row_map = row_map

    @property
    def has_outputs(self) -> bool:
        return self._outputs is not None

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
        place = checked_row(index, len(self))
        row = place if self._rows is None else int(self._rows[place])
        batch, position = self._table.locate(row)
        rows = batch.column("item_rows")[position].values.to_numpy()

        def value(name: str) -> Any:
            return batch.column(name)[position]

        return Example(
            id=value("id").as_py(),
            input=value("input").as_py(),
            output=None if self._outputs is None else self._outputs.take([row], ["output"])[0][0],
            user_id=value("user_id").as_py(),
            item_rows=rows if self._row_map is None else self._row_map(rows),
            item_ids=value("item_ids").values.to_pylist(),
            items=self.items,
        )

    def subset(self, indices: Sequence[int] | NDArray[Any]) -> Split:
        """The examples at these positions, in this order, as a split of the same name.

        Raises:
            IndexError: a position is out of range.
        """
        chosen = np.array([checked_row(int(index), len(self)) for index in indices], dtype=np.int64)
        if self._rows is not None:
            chosen = self._rows[chosen]
        part = hashlib.sha256(chosen.astype("<i8").tobytes()).hexdigest()
        whole = self.fingerprint.partition("/")[0]
        return self._again(fingerprint=f"{whole}/{part}", rows=chosen)

    def without_outputs(self) -> Split:
        """The same questions, all golds removed."""
        return self._again(outputs=None)

    def with_outputs(self, outputs: Table) -> Split:
        """The same questions with the outputs of that table, which has a row per question of the whole split."""
        return self._again(outputs=outputs)

    def over(self, items: ItemTable) -> Split:
        """The same questions over another items table, which has the items of their profiles in the same rows."""
        return self._again(items=items)

    def seen_through(self, items: ItemTable, row_map: RowMap | None = None) -> Split:
        """The same questions without outputs, their profiles as rows of another table.

        Args:
            items: that table.
            row_map: from the present rows to those.
        """
        return self._again(items=items, row_map=row_map, outputs=None)

    def _again(self, **changes: Any) -> Split:
        now = {
            "name": self.name,
            "table": self._table,
            "items": self.items,
            "fingerprint": self.fingerprint,
            "rows": self._rows,
            "outputs": self._outputs,
            "row_map": self._row_map,
        }
        return Split(**{**now, **changes})

    @property
    def ids(self) -> list[str]:
        """The ids of the questions; nothing else is decoded."""
        return self._column("id")

    @property
    def user_ids(self) -> list[str | None]:
        """Who asks, per question."""
        return self._column("user_id")

    @property
    def golds(self) -> Mapping[str, str]:
        """Id to gold output.

        Raises:
            RequestError: the golds are hidden.
        """
        if self._outputs is None:
            raise RequestError(f"the golds of the {self.name} split are hidden")
        return dict(zip(self.ids, self._column("output", self._outputs), strict=True))

    @property
    def item_rows(self) -> NDArray[np.int64]:
        """The rows of all items of all profiles, each once, ascending."""
        rows = np.arange(len(self._table)) if self._rows is None else self._rows
        distinct = self._table.distinct(rows, "item_rows")
        return distinct if self._row_map is None else np.sort(self._row_map(distinct)).astype(np.int64)

    def _column(self, name: str, table: Table | None = None) -> list[Any]:
        table = table or self._table
        rows = np.arange(len(table)) if self._rows is None else self._rows
        return table.take(rows, [name])[0]
