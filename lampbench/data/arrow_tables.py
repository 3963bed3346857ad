"""The tables of a prepared task: Arrow files in batches of equal size, memory-mapped to be read.

What a method may never see lies in files of its own: the outputs of each split in `golds-<split>.arrow`, and the
items that no train profile holds in `items-more.arrow`, of which a run opens those rows only that the profiles
of its questions show (`shown_items`).
"""

from __future__ import annotations

import hashlib
from array import array
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from lampbench.data.official_json import item_content
from lampbench.files.digests import digest, file_digest, has_digest
from lampbench.files.folders import CACHE_REMEDY, require_writable
from lampbench.files.locks import locked
from lampbench.files.seals import Damaged, find_named, named_digest, read_sealed, write_named, write_sealed
from lampbench.tasks import Task

# Raised when the tables change: their files, their columns, or the order of their rows.
STORE_FORMAT = 2

# Fixed sizes, so that the batch of a row is a division; a reader decodes from at most a few batches.
ITEMS_PER_BATCH = 2048
EXAMPLES_PER_BATCH = 256

TRAIN_ITEMS_FILE = "items-train.arrow"
MORE_ITEMS_FILE = "items-more.arrow"
MANIFEST_FILE = "manifest.json"

WHAT = "prepared data"


def examples_file(split: str) -> str:
    """The name of the table of a split's questions inside a store."""
    return f"examples-{split}.arrow"


def golds_file(split: str) -> str:
    """The name of the table of a split's outputs, row by row as in the table of its questions."""
    return f"golds-{split}.arrow"


def item_schema(task: Task) -> pa.Schema:
    """Columns of the items table: the task's fields, `date` (null: none), `more` (other fields, as JSON)."""
    names = (*task.item_fields, "date", "more")
    # 64-bit offsets: a batch of very long texts cannot overflow.
    return pa.schema([pa.field(name, pa.large_string()) for name in names])


EXAMPLE_SCHEMA = pa.schema(
    [
        pa.field("id", pa.string()),
        pa.field("input", pa.large_string()),
        pa.field("user_id", pa.string()),
        pa.field("item_rows", pa.list_(pa.int32())),
        pa.field("item_ids", pa.list_(pa.string())),
    ]
)

GOLD_SCHEMA = pa.schema([pa.field("output", pa.large_string())])


class TableWriter:
    """Rows to an Arrow file, in batches of equal size."""

    def __init__(self, path: Path, schema: pa.Schema, batch_rows: int) -> None:
        self._schema = schema
        self._batch_rows = batch_rows
        self._rows: list[Sequence[Any]] = []
        self._sink = pa.OSFile(str(path), "wb")
        self._writer = pa.ipc.new_file(self._sink, schema)

    def __enter__(self) -> Any:
        return self

    def __exit__(self, kind: type[BaseException] | None, *rest: object) -> None:
        try:
            if kind is None:
                self._flush()
                self._writer.close()
        finally:
            self._sink.close()

    def append(self, row: Sequence[Any]) -> None:
        """Add one row: a value per column."""
        self._rows.append(row)
        if len(self._rows) == self._batch_rows:
            self._flush()

    def _flush(self) -> None:
        if not self._rows:
            return
        columns = zip(*self._rows, strict=True)
        arrays = [pa.array(values, field.type) for values, field in zip(columns, self._schema, strict=True)]
        self._writer.write_batch(pa.record_batch(arrays, schema=self._schema))
        self._rows.clear()


class ItemWriter:
    """The items: each content gets one row, at its first occurrence; those of the train split come first.

    Rows count on from one table to the next: the first row of `items-more.arrow` is the number of rows of
    `items-train.arrow`.
    """

    def __init__(self, task: Task, folder: Path) -> None:
        self._task = task
        self._known = DigestRows()
        schema = item_schema(task)
        self._train = TableWriter(folder / TRAIN_ITEMS_FILE, schema, ITEMS_PER_BATCH)
        self._more = TableWriter(folder / MORE_ITEMS_FILE, schema, ITEMS_PER_BATCH)

    def __enter__(self) -> ItemWriter:
        return self

    def __exit__(self, *error: Any) -> None:
        try:
            self._train.__exit__(*error)
        finally:
            self._more.__exit__(*error)

    def __len__(self) -> int:
        return len(self._known)

    def row(self, item: dict[str, Any], split: str) -> int:
        """The row of the item's content. The train split is written before the others."""
        content = item_content(self._task, item)
        row, new = self._known.add(content_digest(content))
        if new:
            (self._train if split == "train" else self._more).append(content)
        return row


def content_digest(content: Sequence[str | None]) -> bytes:
    """16 bytes that stand for what an item says: two items collide with a probability of about n² / 2^129."""
    # With the lengths in front the parts cannot run into each other: ("a", "bc") and ("ab", "c") differ.
    lengths = ",".join(["-" if part is None else str(len(part)) for part in content])
    text = f"{lengths}:{''.join([part for part in content if part])}"
    return hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).digest()


@dataclass
class DigestRows:
    """Rows numbered by digest, in order of first appearance.

    An open-addressing table over one byte array: 16 bytes of digest and 6 to 12 of slots per row. A dict of
    the same would take about 180, and a task has millions of items.
    """

    _digests: bytearray = field(default_factory=bytearray)
    _slots: array[int] = field(default_factory=lambda: array("i", [-1]) * 1024)

    def __len__(self) -> int:
        return len(self._digests) // 16

    def add(self, digest: bytes) -> tuple[int, bool]:
        """The row of a digest of 16 bytes, and whether it is new."""
        digests, slots = self._digests, self._slots
        mask = len(slots) - 1
        slot = int.from_bytes(digest[:8], "little") & mask
        while (row := slots[slot]) >= 0:
            start = row * 16
            if digests[start : start + 16] == digest:
                return row, False
            slot = (slot + 1) & mask
        row = len(self)
        slots[slot] = row
        digests += digest
        if 3 * (row + 1) > 2 * len(slots):
            self._grow()
        return row, True

    def _grow(self) -> None:
        digests = self._digests
        slots = array("i", [-1]) * (2 * len(self._slots))
        mask = len(slots) - 1
        for row in range(len(self)):
            slot = int.from_bytes(digests[row * 16 : row * 16 + 8], "little") & mask
            while slots[slot] >= 0:
                slot = (slot + 1) & mask
            slots[slot] = row
        self._slots = slots


class Table:
    """An Arrow file of batches of equal size, memory-mapped; pickled as its path.

    Attributes:
        path, batch_rows: where it lies, and rows per batch.
        digest: of the file's bytes.
    """

    def __init__(self, path: Path, batch_rows: int, digest: str = "") -> None:
        self.path = path
        self.batch_rows = batch_rows
        self.digest = digest
        self._reader = pa.ipc.open_file(pa.memory_map(str(path)))
        self.names: tuple[str, ...] = tuple(self._reader.schema.names)
        batches = self._reader.num_record_batches
        self._batches: list[pa.RecordBatch | None] = [None] * batches
        self._length = (batches - 1) * batch_rows + self.batch(batches - 1).num_rows if batches else 0

    def __len__(self) -> int:
        return self._length

    def __reduce__(self) -> tuple[Any, ...]:
        return Table, (self.path, self.batch_rows, self.digest)

    @property
    def schema(self) -> pa.Schema:
        """The columns."""
        return self._reader.schema

    def batch(self, number: int) -> pa.RecordBatch:
        batch = self._batches[number]
        if batch is None:
            batch = self._batches[number] = self._reader.get_batch(number)
        return batch

    def locate(self, row: int) -> tuple[pa.RecordBatch, int]:
        number, position = divmod(row, self.batch_rows)
        return self.batch(number), position

    def take(self, rows: Sequence[int] | NDArray[Any], names: Sequence[str]) -> list[list[Any]]:
        """Per name, the values of the rows, in their order."""
        wanted = np.asarray(rows, dtype=np.int64)
        columns: list[list[Any]] = [[None] * len(wanted) for _ in names]
        numbers = wanted // self.batch_rows
        for number in np.unique(numbers):
            places = np.flatnonzero(numbers == number)
            positions = pa.array(wanted[places] - number * self.batch_rows)
            batch = self.batch(int(number))
            for column, name in zip(columns, names, strict=True):
                values = batch.column(name).take(positions).to_pylist()
                for place, value in zip(places.tolist(), values, strict=True):
                    column[place] = value
        return columns

    def distinct(self, rows: NDArray[np.int64], name: str) -> NDArray[np.int64]:
        """What the lists of these rows hold in a column of lists of integers: each number once, ascending."""
        numbers = rows // self.batch_rows
        found = [np.empty(0, dtype=np.int64)]
        for number in np.unique(numbers).tolist():
            positions = pa.array(rows[numbers == number] - number * self.batch_rows)
            found.append(np.unique(self.batch(number).column(name).take(positions).flatten().to_numpy()))
        return np.unique(np.concatenate(found)).astype(np.int64)


# What a store holds, and whether it is still that


def seal(folder: Path, manifest: dict[str, Any]) -> None:
    """Write the manifest of a store that is made, with the digest of each table; last, as it says that the rest is
    there."""
    files = {path.name: file_digest(path) for path in sorted(folder.glob("*.arrow"))}
    write_sealed(folder / MANIFEST_FILE, {**manifest, "files": files}, WHAT)


def read_manifest(store: Path) -> dict[str, Any]:
    """What `seal` wrote.

    Raises:
        Damaged: it is not that any more.
    """
    try:
        return read_sealed(store / MANIFEST_FILE)
    except FileNotFoundError as error:
        raise Damaged(f"{store / MANIFEST_FILE} is missing") from error


def open_table(store: Path, manifest: Mapping[str, Any], name: str) -> Table:
    """One of the tables of a store, unverified.

    Args:
        store: its folder.
        manifest: what `read_manifest` says.
        name: the file.
    """
    rows = ITEMS_PER_BATCH if name.startswith("items") else EXAMPLES_PER_BATCH
    return Table(store / name, rows, manifest["files"][name])


def verify(store: Path, manifest: dict[str, Any]) -> None:
    """Read every table of a store once and compare; nothing stays open.

    Raises:
        Damaged: a file is missing or not what was written.
    """
    for name in manifest["files"]:
        verify_file(store / name, manifest["files"][name])


def verify_file(path: Path, wanted: str) -> None:
    """See that a file has that digest.

    Raises:
        Damaged: it has not, or cannot be read.
    """
    if not has_digest(path, wanted):
        raise Damaged(f"{path} is damaged")


def shown_items(store: Path, manifest: dict[str, Any], rows: NDArray[np.int64]) -> Table | None:
    """A table of these rows of `items-more.arrow`, in their order, and of no other; None if there are none.

    Args:
        store: the folder of the store.
        manifest: what `read_manifest` says.
        rows: positions there, ascending.

    Raises:
        Damaged: `items-more.arrow` is not what was written.
        RequestError: nothing can be written there.
        RunError: writing it failed half-way.
    """
    if not len(rows):
        return None
    whole = store / MORE_ITEMS_FILE
    if len(rows) == manifest["items"]["more"]:
        return open_table(store, manifest, whole.name)
    stem = f"shown-{digest(np.ascontiguousarray(rows, dtype='<i8').tobytes())[:16]}"

    def find() -> Path | None:
        # One that is damaged is made again at once from what is whole: nobody need know of it.
        return find_named(store, stem, ".arrow", lambda text: None, "")

    def write(path: Path) -> None:
        verify_file(whole, manifest["files"][whole.name])
        _copy_rows(Table(whole, ITEMS_PER_BATCH), rows, path)

    path = find()  # without the lock, which a cache that can only be read does not give
    if path is None:
        require_writable(store, WHAT, CACHE_REMEDY)
        with locked(store / stem):
            path = find() or write_named(store, stem, ".arrow", write, WHAT)
    return Table(path, ITEMS_PER_BATCH, named_digest(path))


def _copy_rows(table: Table, rows: NDArray[np.int64], path: Path) -> None:
    with pa.OSFile(str(path), "wb") as sink, pa.ipc.new_file(sink, table.schema) as writer:
        for start in range(0, len(rows), ITEMS_PER_BATCH):
            columns = table.take(rows[start : start + ITEMS_PER_BATCH], table.names)
            arrays = [
                pa.array(values, field.type) for values, field in zip(columns, table.schema, strict=True)
            ]
            writer.write_batch(pa.record_batch(arrays, schema=table.schema))
