"""The embedding store: one matrix per (encoder, text template, data), on disk, filled once and memory-mapped.

Row i of a matrix belongs to row i of the items table. A matrix is filled in blocks; after each block the rows
are flushed to disk first and a line with the digest of the block is added to `blocks.txt` second, so a killed
process goes on from its last block and never believes in rows that were not written. The digests are checked
whenever a matrix is used: a block that has changed since is encoded again, the others are kept.

One process fills a matrix at a time; another that wants it waits, and finds the rows.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np

from lampbench.dtypes import dtype_name
from lampbench.errors import RunError
from lampbench.files.atomic_write import replacing_folder
from lampbench.files.digests import digest
from lampbench.files.folders import mark_used
from lampbench.files.locks import locked
from lampbench.files.seals import Damaged, Say, keeping, read_sealed, room_for, write_sealed
from lampbench.loading.identity import ENCODER_LIBRARIES, known, library_versions

if TYPE_CHECKING:
    from lampbench.models.encoder import TextEncoder

Precision = Literal["float16", "float32"]

FORMAT = 2  # of the folder of a matrix; part of its name

EMBEDDINGS = "embeddings"
"""The name of the folder of the matrices, in the folder of everything that can be made again."""

KEY, ROWS, BLOCKS = "key.json", "rows.npy", "blocks.txt"
ABOUT = "about"  # in the key file, beside the key: what the data are, for people

# Rows per block: what a kill can cost, against how well a block can be sorted into batches of similar length.
BLOCK_ROWS = {"cpu": 1_024, "cuda": 16_384}


@dataclass(frozen=True)
class EmbeddingKey:
    """All that decides the content of a matrix: two matrices with equal keys are the same matrix.

    Attributes:
        encoder: id of the encoder.
        revision: what tells it from others of its name (`lampbench.loading.identity`).
        libraries: the versions of those that compute it.
        pooling: how it pools hidden states.
        max_length: tokens after which it cuts a text.
        arithmetic: the precision in which it computes.
        template: a name for how the text of a row is made, such as `pplug-released-1`.
        data: fingerprint of the data that the rows come from.
        n_rows: number of rows.
        dim: size of a vector.
        dtype: precision in which vectors are kept.
    """

    encoder: str
    revision: str
    libraries: dict[str, str]
    pooling: str
    max_length: int
    arithmetic: str
    template: str
    data: str
    n_rows: int
    dim: int
    dtype: str

    @property
    def folder_name(self) -> str:
        """A readable beginning and a hash of everything."""
        text = json.dumps([FORMAT, asdict(self)], sort_keys=True)
        readable = re.sub(r"[^A-Za-z0-9.-]+", "-", f"{self.encoder.rpartition('/')[2]}-{self.template}")
        return f"{readable[:60]}-{hashlib.sha256(text.encode()).hexdigest()[:16]}"


class EmbeddingStore:
    """The matrices under one folder.

    Args:
        root: the folder; created when the first matrix is.
        say: told in a line what is damaged, and what is waited for.
    """

    def __init__(self, root: Path, say: Say = lambda text: None) -> None:
        self.root = root
        self.say = say

    def open(
        self,
        encoder: TextEncoder,
        *,
        template: str,
        data: str,
        n_rows: int,
        dtype: Precision = "float32",
        about: str = "",
    ) -> EmbeddingMatrix:
        """The matrix of that key; made when it is filled.

        Args:
            encoder: who encodes.
            template: a name for how the text of a row is made; change it whenever the text changes.
            data: fingerprint of the data that the rows come from.
            n_rows: number of rows.
            dtype: `float16` halves the disk; its error of 0.05 % is below that of bf16 arithmetic.
            about: what the data are, for people who look at what is kept.
        """
        key = EmbeddingKey(
            encoder=encoder.id,
            revision=known(encoder.revision),
            libraries=library_versions(*ENCODER_LIBRARIES),
            pooling=encoder.pooling,
            max_length=encoder.max_length,
            arithmetic=dtype_name(encoder.dtype),
            template=template,
            data=data,
            n_rows=n_rows,
            dim=encoder.dim,
            dtype=dtype,
        )
        return EmbeddingMatrix(self.root / key.folder_name, key, self.say, about)


@dataclass(frozen=True)
class Block:
    """Rows `start` to `stop` (without it), and the digest of what they held when they were written."""

    start: int
    stop: int
    digest: str

    def __len__(self) -> int:
        return self.stop - self.start

    @property
    def line(self) -> str:
        """Its line in the file of blocks."""
        return f"{self.stop} {self.digest}\n"

    def is_in(self, matrix: np.ndarray) -> bool:
        """Whether the matrix still holds it."""
        return self.stop <= len(matrix) and self.digest == _digest_of(matrix, self.start, self.stop)


class EmbeddingMatrix:
    """One matrix on disk.

    Attributes:
        folder: where it lies.
        key: what it holds.
    """

    def __init__(self, folder: Path, key: EmbeddingKey, say: Say, about: str) -> None:
        self.folder = folder
        self.key = key
        self._say = say
        self._about = about

    @property
    def rows_done(self) -> int:
        """Rows that are on disk as they were written."""
        matrix = _mapped(self.folder, self.key)
        if matrix is None:
            return 0
        return sum(len(block) for block in _read_blocks(self.folder) if block.is_in(matrix))

    def fill(
        self,
        encoder: TextEncoder,
        text_of_row: Callable[[Sequence[int]], Sequence[str]],
        on_progress: Callable[[int, int], None] | None = None,
        *,
        block_rows: int | None = None,
    ) -> np.memmap:
        """Encode what is missing or damaged and return the whole matrix, read-only, [n_rows, dim].

        Each distinct text is encoded once, also when equal texts lie in different blocks.

        Args:
            encoder: the encoder that the matrix was opened with.
            text_of_row: the texts of the given rows.
            on_progress: called with (rows done, rows) at the start and after each block.
            block_rows: rows per block; the default suits the device.

        Raises:
            RunError: a vector is not finite, or not representable in the precision of the store, or the disk
                is full.
        """
        if _mapped(self.folder, self.key) is None or self.rows_done < self.key.n_rows:
            with locked(self.folder, waiting=self._say), room_for(EMBEDDINGS, self.folder):
                self._fill(encoder, text_of_row, on_progress, block_rows)
        whole = _mapped(self.folder, self.key)
        if whole is None:
            raise RunError(f"{self.folder} was removed while it was used: run the command again")
        mark_used(self.folder / KEY)
        return whole

    def _fill(
        self,
        encoder: TextEncoder,
        text_of_row: Callable[[Sequence[int]], Sequence[str]],
        on_progress: Callable[[int, int], None] | None,
        block_rows: int | None,
    ) -> None:
        if _mapped(self.folder, self.key) is None:
            if self.folder.exists():
                self._say(f"{self.folder} is damaged: its embeddings are made again")
            self._create()
        matrix, n_rows = np.lib.format.open_memmap(self.folder / ROWS, mode="r+"), self.key.n_rows
        blocks = _read_blocks(self.folder)
        damaged = [i for i, block in enumerate(blocks) if not block.is_in(matrix)]
        done = sum(map(len, blocks)) - sum(len(blocks[i]) for i in damaged)
        if done == n_rows:
            return
        if damaged:
            self._say(f"{self.folder} is damaged: {n_rows - done} of {n_rows} rows are encoded again")
        first = _first_rows(text_of_row, n_rows)
        tell = on_progress or (lambda done, rows: None)
        tell(done, n_rows)

        def encoded(start: int, stop: int) -> Block:
            nonlocal done
            rows = np.arange(start, stop)
            new = rows[first[rows] == rows]
            if len(new):
                matrix[new] = self._checked(encoder.encode(text_of_row(new.tolist())).numpy(), new)
            repeated = rows[first[rows] != rows]
            matrix[repeated] = matrix[first[repeated]]
            matrix.flush()
            done += len(rows)
            return Block(start, stop, _digest_of(matrix, start, stop))

        # Damaged blocks first: later rows may be copied from theirs.
        for i in damaged:
            blocks[i] = encoded(blocks[i].start, blocks[i].stop)
            tell(done, n_rows)
        _write_blocks(self.folder, blocks)  # also without the torn line of a kill
        size = block_rows or BLOCK_ROWS.get(encoder.device.type, BLOCK_ROWS["cpu"])
        with (self.folder / BLOCKS).open("a") as lines:
            for start in range(blocks[-1].stop if blocks else 0, n_rows, size):
                lines.write(encoded(start, min(start + size, n_rows)).line)
                lines.flush()
                tell(done, n_rows)

    def _create(self) -> None:
        """An empty matrix: built beside its place and renamed, so that none is ever half-made."""
        with replacing_folder(self.folder) as new:
            shape, kind = (self.key.n_rows, self.key.dim), np.dtype(self.key.dtype)
            np.lib.format.open_memmap(new / ROWS, mode="w+", dtype=kind, shape=shape).flush()
            # A full disk is an error here, and a crash when a mapped page is written.
            if hasattr(os, "posix_fallocate"):
                with (new / ROWS).open("r+b") as stream:
                    os.posix_fallocate(stream.fileno(), 0, os.fstat(stream.fileno()).st_size)
            write_sealed(new / KEY, {**asdict(self.key), ABOUT: self._about}, EMBEDDINGS)
            _write_blocks(new, [])

    def _checked(self, vectors: np.ndarray, rows: np.ndarray) -> np.ndarray:
        with np.errstate(over="ignore"):
            stored = vectors.astype(self.key.dtype)
        finite = np.isfinite(stored).all(axis=1)
        if not finite.all():
            raise RunError(
                f"encoder '{self.key.encoder}' gives non-finite values as {self.key.dtype} for the text of "
                f"row {rows[~finite][0]} ({self.key.template}): try --dtype float32"
            )
        return stored


def _first_rows(text_of_row: Callable[[Sequence[int]], Sequence[str]], n_rows: int) -> np.ndarray:
    """For every row, the first row with the same text, [n_rows].

    Texts are compared by 128-bit hashes, so that those of a large table need not be kept.
    """
    hashes = np.empty((n_rows, 2), dtype=np.uint64)
    for start in range(0, n_rows, 8_192):
        rows = range(start, min(start + 8_192, n_rows))
        packed = b"".join(
            hashlib.blake2b(t.encode(errors="surrogatepass"), digest_size=16).digest()
            for t in text_of_row(rows)
        )
        hashes[rows.start : rows.stop] = np.frombuffer(packed, dtype=np.uint64).reshape(-1, 2)
    # Stable: among equal hashes the smallest row comes first, so a row is never filled from a later one.
    order = np.lexsort((hashes[:, 1], hashes[:, 0]))
    ordered = hashes[order]
    starts = np.ones(n_rows, dtype=bool)
    starts[1:] = (ordered[1:] != ordered[:-1]).any(axis=1)
    first = np.empty(n_rows, dtype=np.int64)
    first[order] = order[starts][np.cumsum(starts) - 1] if n_rows else order
    return first


def check_matrix(folder: Path) -> str | None:
    """What is wrong with a matrix on disk; None if nothing is."""
    try:
        values = read_sealed(folder / KEY)
        values.pop(ABOUT)
        matrix = _mapped(folder, EmbeddingKey(**values))
    except (OSError, Damaged, TypeError, KeyError):
        matrix = None
    if matrix is None:
        return f"{folder} is no matrix of its key"
    bad = sum(len(block) for block in _read_blocks(folder) if not block.is_in(matrix))
    return f"{folder}: {bad} rows are damaged" if bad else None


def _mapped(folder: Path, key: EmbeddingKey) -> np.memmap | None:
    """The rows, filled or not, read-only; None if `folder` holds no matrix of that key."""
    try:
        values = read_sealed(folder / KEY)
        matrix = np.lib.format.open_memmap(folder / ROWS, mode="r")
    except (OSError, ValueError, Damaged):
        return None
    fits = matrix.shape == (key.n_rows, key.dim) and matrix.dtype == key.dtype
    return (
        matrix if fits and {name: v for name, v in values.items() if name != ABOUT} == asdict(key) else None
    )


def _digest_of(matrix: np.ndarray, start: int, stop: int) -> str:
    # A damaged header may say that the rows lie otherwise.
    return digest(f"{start}-{stop}".encode(), np.ascontiguousarray(matrix[start:stop]))


def _read_blocks(folder: Path) -> list[Block]:
    """The blocks that were written, one after the other, up to a line that makes no sense.

    A line needs no digest of its own: a damaged one fits no rows, and they are encoded again.
    """
    try:
        text = (folder / BLOCKS).read_bytes().decode("ascii", errors="replace")
    except OSError:
        return []
    blocks: list[Block] = []
    for line in text.split("\n")[:-1]:  # what follows the last line is of a write that a kill has torn
        stop, _, value = line.partition(" ")
        start = blocks[-1].stop if blocks else 0
        if not stop.isdigit() or int(stop) <= start:
            return [*blocks, Block(start, start + 1, "unknown")]
        blocks.append(Block(start, int(stop), value))
    return blocks


def _write_blocks(folder: Path, blocks: Sequence[Block]) -> None:
    with keeping(folder / BLOCKS, EMBEDDINGS) as temporary:
        temporary.write_text("".join(block.line for block in blocks))
