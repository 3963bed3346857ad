"""Answers by key in one SQLite file, which any number of processes may use at a time.

A digest is kept with every answer and checked when it is read: one that has changed since is no answer. A file
whose pages are damaged is made anew from the answers in it that are whole. Writes are in transactions, so a
killed process loses the one in flight and nothing else.

Files are created, mended and removed under a lock; whoever has one open notices that another has taken its place.
"""

from __future__ import annotations

import contextlib
import math
import os
import sqlite3
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import NamedTuple, TypeVar

from lampbench.errors import RunError
from lampbench.files.digests import digest
from lampbench.files.folders import CACHE_REMEDY
from lampbench.files.locks import locked
from lampbench.files.seals import Say

T = TypeVar("T")

WAIT_SECONDS = 60.0  # for another process that is writing

_BATCH = 1_000  # rows copied or checked at a time

_TABLE = """
CREATE TABLE IF NOT EXISTS generations (
    key BLOB PRIMARY KEY,
    answer BLOB NOT NULL,
    digest TEXT NOT NULL,
    model TEXT NOT NULL,
    made REAL NOT NULL
) WITHOUT ROWID
"""
_SELECT = "SELECT key, answer, digest, model, made FROM generations"
_INSERT = "INSERT OR REPLACE INTO generations VALUES (?, ?, ?, ?, ?)"


class Row(NamedTuple):
    """One answer, the digest of key and answer, and for people: who gave it, and when (Unix time)."""

    key: bytes
    answer: bytes
    digest: str
    model: str
    made: float

    @property
    def is_whole(self) -> bool:
        """Whether it is what was written."""
        return (
            isinstance(self.key, bytes)
            and isinstance(self.answer, bytes)
            and self.digest == digest(self.key, self.answer)
        )


class AnswerFile:
    """The answers in one file, made when it is first used.

    Args:
        path: the file.
        say: told of damage.
    """

    def __init__(self, path: Path, say: Say) -> None:
        self.path = path
        self._say = say
        self._connection: sqlite3.Connection | None = None
        self._inode = 0
        self._has_told = False  # of answers that are damaged, of which there may be many

    def get(self, key: bytes) -> bytes | None:
        """The answer; None if there is none that is whole.

        Raises:
            RunError: the file cannot be read.
        """
        found = self._do("read", lambda c: c.execute(f"{_SELECT} WHERE key = ?", (key,)).fetchone())
        if found is None:
            return None
        row = Row(*found)
        if row.is_whole:
            return row.answer
        if not self._has_told:
            self._has_told = True
            self._say(
                f"{self.path} is damaged: an answer in it is asked for again, and so is any other like it"
            )
        return None

    def put(self, answers: Mapping[bytes, bytes], model: str) -> None:
        """Add answers, or replace them, in one transaction.

        Raises:
            RunError: the file cannot be written.
        """
        rows = [Row(key, answer, digest(key, answer), model, time.time()) for key, answer in answers.items()]
        self._do("written", lambda c: c.executemany(_INSERT, rows))

    def delete(self, keys: Iterable[bytes]) -> None:
        """Remove answers, in one transaction.

        Raises:
            RunError: the file cannot be written.
        """
        rows = [(key,) for key in keys]
        self._do("written", lambda c: c.executemany("DELETE FROM generations WHERE key = ?", rows))

    def close(self) -> None:
        """Close the file; using it again opens it again."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _do(self, what: str, work: Callable[[sqlite3.Connection], T]) -> T:
        """The work, in a transaction; once more where the file had to be mended first."""
        try:
            with self._open() as connection:
                return work(connection)
        except sqlite3.DatabaseError as error:
            if not (_is_damage(error) or self._was_replaced()):
                raise self._error(what, error) from error
        try:
            self._mend()
            with self._open() as connection:
                return work(connection)
        except sqlite3.Error as error:
            raise self._error(what, error) from error

    def _open(self) -> sqlite3.Connection:
        if self._connection is not None and self._was_replaced():
            self.close()
        if self._connection is None:
            with locked(self.path, waiting=self._say):
                self._connect()
        assert self._connection is not None
        return self._connection

    def _connect(self) -> None:
        self._connection = _connected(self.path)
        self._inode = self.path.stat().st_ino

    def _was_replaced(self) -> bool:
        """Whether the file that is open here is no longer at its place."""
        try:
            return self._connection is not None and self.path.stat().st_ino != self._inode
        except FileNotFoundError:
            return True

    def _mend(self) -> None:
        """Make the file anew from the answers in it that are whole, unless another process has done so."""
        with locked(self.path, waiting=self._say):
            if self._was_replaced():
                return
            if self._connection is not None:
                with contextlib.suppress(sqlite3.Error):
                    self._connection.close()
                self._connection = None
            kept = _copy_whole(self.path)
            self._connect()
        self._say(f"{self.path} is damaged: {kept} answers in it are kept, others are asked for again")

    def _error(self, what: str, error: Exception) -> RunError:
        return RunError(
            f"the generation cache {self.path} cannot be {what} ({error}): make room there or remove it, or "
            f"{CACHE_REMEDY}"
        )


def all_rows(path: Path) -> Iterator[Row]:
    """The rows of a file, whole or not, by their keys.

    Raises:
        sqlite3.DatabaseError: the file is damaged.
    """
    with contextlib.closing(_for_reading(path)) as connection:
        yield from map(Row._make, connection.execute(_SELECT))


def models_in(path: Path, before: float | None = None) -> list[tuple[str, int, float]]:
    """Who has given the answers in a file: model, bytes of its answers, and when the last one was made.

    Args:
        path: the file.
        before: only answers that were made before that time (Unix).

    Raises:
        sqlite3.DatabaseError: the file is damaged.
    """
    size = "SUM(LENGTH(key) + LENGTH(answer) + LENGTH(digest))"
    with contextlib.closing(_for_reading(path)) as connection:
        return connection.execute(
            f"SELECT model, {size}, MAX(made) FROM generations WHERE made < ? GROUP BY model",
            (math.inf if before is None else before,),
        ).fetchall()


def delete_answers(path: Path, model: str, before: float | None = None) -> None:
    """Remove the answers of a model, or those made before a time, and give their room back to the disk.

    Raises:
        sqlite3.DatabaseError: the file is damaged, or never free.
    """
    with contextlib.closing(_connected(path)) as connection:
        with connection:
            connection.execute(
                "DELETE FROM generations WHERE model = ? AND made < ?",
                (model, math.inf if before is None else before),
            )
        connection.execute("VACUUM")


def _copy_whole(path: Path) -> int:
    """Replace a file by one of those of its rows that are whole, and count them; others must not use it."""
    new = path.with_name(f".{path.name}.new")
    _remove(new)
    kept = 0
    with contextlib.closing(_connected(new)) as target:
        for order in ("ASC", "DESC"):  # up to the damaged page, from either side
            with contextlib.suppress(sqlite3.Error), contextlib.closing(sqlite3.connect(path)) as source:
                source.text_factory = _text
                rows = source.execute(f"{_SELECT} ORDER BY key {order}")
                while batch := _readable(rows):
                    with target:
                        target.executemany(_INSERT, [row for row in batch if row.is_whole])
        (kept,) = target.execute("SELECT COUNT(*) FROM generations").fetchone()
    for suffix in ("-wal", "-shm"):  # which belong to the old file
        path.with_name(path.name + suffix).unlink(missing_ok=True)
    os.replace(new, path)
    return int(kept)


def _readable(rows: sqlite3.Cursor) -> list[Row]:
    """The next rows, up to a page that cannot be read."""
    batch: list[Row] = []
    with contextlib.suppress(sqlite3.Error):
        for row in rows:
            batch.append(Row._make(row))
            if len(batch) == _BATCH:
                break
    return batch


def _remove(path: Path) -> None:
    for suffix in ("", "-wal", "-shm", "-journal"):
        path.with_name(path.name + suffix).unlink(missing_ok=True)


def _connected(path: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(path, timeout=WAIT_SECONDS, check_same_thread=False)
    connection.text_factory = _text
    try:
        # Readers and a writer do not wait for each other, and a transaction survives a kill without
        # waiting for the disk. Two processes that start at once may be refused the mode: either will do.
        with contextlib.suppress(sqlite3.OperationalError):
            connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = NORMAL")
        with connection:
            connection.execute(_TABLE)
    except sqlite3.Error:
        connection.close()
        raise
    return connection


def _for_reading(path: Path) -> sqlite3.Connection:
    """Writes nothing. Where nothing can be written, SQLite cannot keep its own files beside this one: it is then
    read as one that nobody changes."""
    try:
        return _read_only(path, "mode=ro")
    except sqlite3.OperationalError:
        return _read_only(path, "immutable=1")


def _read_only(path: Path, how: str) -> sqlite3.Connection:
    connection = sqlite3.connect(f"{path.absolute().as_uri()}?{how}", timeout=WAIT_SECONDS, uri=True)
    connection.text_factory = _text
    try:
        connection.execute("PRAGMA schema_version")  # the first that looks into the file
    except sqlite3.Error:
        connection.close()
        raise
    return connection


def _text(value: bytes) -> str:
    return value.decode("utf-8", errors="replace")


def _is_damage(error: sqlite3.DatabaseError) -> bool:
    """Whether the file is damaged, and not locked, full or read-only."""
    return type(error) is sqlite3.DatabaseError or str(error).startswith("no such")
