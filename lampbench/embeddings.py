"""The embedding store: one matrix per (encoder, text template, data), on disk, filled once and memory-mapped.

Row i of a matrix belongs to row i of the items table. A matrix is filled in blocks; after each block the rows
are flushed to disk first and the progress file is written second, so a killed process goes on from its last
block and never believes in rows that were not written.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np

from lampbench.errors import RunError
from lampbench.identity import ENCODER_LIBRARIES, known, library_versions

if TYPE_CHECKING:
    from lampbench.encoder import TextEncoder

Precision = Literal["float16", "float32"]

# Rows per block: what a kill can cost, against how well a block can be sorted into batches of similar length.
BLOCK_ROWS = {"cpu": 1_024, "cuda": 16_384}


@dataclass(frozen=True)
class EmbeddingKey:
    """All that decides the content of a matrix: two matrices with equal keys are the same matrix.

    Attributes:
        encoder: id of the encoder.
        revision: what tells it from others of its name (`lampbench.identity`).
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
    libraries: str
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
        text = json.dumps(asdict(self), sort_keys=True)
        readable = re.sub(r"[^A-Za-z0-9.-]+", "-", f"{self.encoder.rpartition('/')[2]}-{self.template}")
        return f"{readable[:60]}-{hashlib.sha256(text.encode()).hexdigest()[:16]}"


class EmbeddingStore:
    """The matrices under one folder.

    Args:
        root: the folder; created when the first matrix is.
    """

    def __init__(self, root: Path) -> None:
        self.root = root

    def open(
        self,
        encoder: TextEncoder,
        *,
        template: str,
        data: str,
        n_rows: int,
        dtype: Precision = "float32",
    ) -> EmbeddingMatrix:
        """The matrix of that key, created empty if there is none (or none that is whole).

        Args:
            encoder: who encodes.
            template: a name for how the text of a row is made; change it whenever the text changes.
            data: fingerprint of the data that the rows come from.
            n_rows: number of rows.
            dtype: `float16` halves the disk; its error of 0.05 % is below that of bf16 arithmetic.
        """
        key = EmbeddingKey(
            encoder=encoder.id,
            revision=known(encoder.revision),
            libraries=library_versions(*ENCODER_LIBRARIES),
            pooling=encoder.pooling,
            max_length=encoder.max_length,
            arithmetic=str(encoder.dtype).removeprefix("torch."),
            template=template,
            data=data,
            n_rows=n_rows,
            dim=encoder.dim,
            dtype=dtype,
        )
        folder = self.root / key.folder_name
        if not _is_whole(folder, key):
            _create(folder, key)
        return EmbeddingMatrix(folder, key)


class EmbeddingMatrix:
    """One matrix on disk.

    Attributes:
        folder: where it lies.
        key: what it holds.
    """

    def __init__(self, folder: Path, key: EmbeddingKey) -> None:
        self.folder = folder
        self.key = key

    @property
    def rows_done(self) -> int:
        """Rows that are on disk, counted from the first."""
        return int(json.loads((self.folder / "progress.json").read_text())["rows"])

    def fill(
        self,
        encoder: TextEncoder,
        text_of_row: Callable[[Sequence[int]], Sequence[str]],
        on_progress: Callable[[int, int], None] | None = None,
        *,
        block_rows: int | None = None,
    ) -> np.memmap:
        """Encode what is missing and return the whole matrix, read-only, [n_rows, dim].

        Each distinct text is encoded once, also when equal texts lie in different blocks.

        Args:
            encoder: the encoder that the matrix was opened with.
            text_of_row: the texts of the given rows.
            on_progress: called with (rows done, rows) at the start and after each block.
            block_rows: rows per block; the default suits the device.

        Raises:
            RunError: a vector is not finite, or not representable in the precision of the store.
        """
        n_rows, done = self.key.n_rows, self.rows_done
        if done < n_rows:
            size = block_rows or BLOCK_ROWS.get(encoder.device.type, BLOCK_ROWS["cpu"])
            matrix = self._map("r+")
            first = _first_rows(text_of_row, n_rows)
            if on_progress is not None:
                on_progress(done, n_rows)
            for start in range(done, n_rows, size):
                rows = np.arange(start, min(start + size, n_rows))
                new = rows[first[rows] == rows]
                if len(new):
                    matrix[new] = self._checked(encoder.encode(text_of_row(new.tolist())).numpy(), new)
                repeated = rows[first[rows] != rows]
                matrix[repeated] = matrix[first[repeated]]
                matrix.flush()
                _write_progress(self.folder, len(rows) + start)
                if on_progress is not None:
                    on_progress(len(rows) + start, n_rows)
        return self._map("r")

    def _map(self, mode: Literal["r", "r+"]) -> np.memmap:
        return np.lib.format.open_memmap(self.folder / "rows.npy", mode=mode)

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


def _is_whole(folder: Path, key: EmbeddingKey) -> bool:
    """Whether `folder` holds a matrix of that key whose files fit together (filled or not)."""
    try:
        if json.loads((folder / "key.json").read_text()) != asdict(key):
            return False
        matrix = np.lib.format.open_memmap(folder / "rows.npy", mode="r")
        rows = json.loads((folder / "progress.json").read_text())["rows"]
    except (OSError, ValueError, KeyError):
        return False
    return (
        matrix.shape == (key.n_rows, key.dim) and matrix.dtype == key.dtype and 0 <= int(rows) <= key.n_rows
    )


def _create(folder: Path, key: EmbeddingKey) -> None:
    """An empty matrix at `folder`: built beside it and renamed, so that none is ever half-made."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    new = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
    try:
        shape = (key.n_rows, key.dim)
        rows = np.lib.format.open_memmap(new / "rows.npy", mode="w+", dtype=np.dtype(key.dtype), shape=shape)
        rows.flush()
        if hasattr(
            os, "posix_fallocate"
        ):  # a full disk is an error here, and a crash when a mapped page is written
            with (new / "rows.npy").open("r+b") as stream:
                os.posix_fallocate(stream.fileno(), 0, os.fstat(stream.fileno()).st_size)
        (new / "key.json").write_text(json.dumps(asdict(key), indent=1))
        _write_progress(new, 0)
        if folder.exists():  # damaged, or a stranger's
            shutil.rmtree(folder)
        os.replace(new, folder)
    except OSError as error:
        if not _is_whole(folder, key):  # otherwise another process made it in the meantime, which is as good
            raise RunError(f"cannot create the embedding store {folder}: {error}") from error
    finally:
        shutil.rmtree(new, ignore_errors=True)


def _write_progress(folder: Path, rows: int) -> None:
    temporary = folder / f".progress-{os.getpid()}"
    temporary.write_text(json.dumps({"rows": rows}))
    os.replace(temporary, folder / "progress.json")
