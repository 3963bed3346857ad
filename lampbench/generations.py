"""The generation cache: what the frozen LLM has answered once, it is not asked again.

Feedback on single items, the predictions of a pool of retrievers, two methods that make the same prompt, one
method with three seeds: they all ask the same LLM for the same text. Every answer of the frozen LLM to plain
text is therefore kept on disk, whoever asked, with the seconds that it took, so that a method that finds its
answers made can still say what they cost.

A prompt with soft vectors is not kept (no two are alike), nor is anything that another model has answered. An
answer does not depend on who asked, because generation is deterministic; in float32 it does not depend on the
batch either, in lower precision it is the answer that one batch gave.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import sqlite3
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lampbench.errors import RunError
from lampbench.paths import CACHE_REMEDY

if TYPE_CHECKING:
    from lampbench.llm import Generation, Request

FORMAT = 1  # of the keys; raise it when the same request is no longer answered in the same way

GENERATIONS = "generations.sqlite"
"""The name of the file, in the folder of everything that can be made again."""

READ_AHEAD = 256  # known answers that may wait for the LLM to fill a batch

WAIT_SECONDS = 60.0  # for another process that is writing

_TABLE = """
CREATE TABLE IF NOT EXISTS generations (
    key BLOB PRIMARY KEY,
    text TEXT NOT NULL,
    prompt_tokens INTEGER NOT NULL,
    generated_tokens INTEGER NOT NULL,
    truncated INTEGER NOT NULL,
    seconds REAL NOT NULL
) WITHOUT ROWID
"""


@dataclass(frozen=True)
class Answer:
    """A generation, and whether it was made before and only looked up now."""

    generation: Generation
    reused: bool


class GenerationCache:
    """The answers on disk, in one SQLite file, which any number of processes may use at a time.

    Each batch of the LLM is written in one transaction before the next batch begins, so a killed process
    loses the batch in flight and nothing else.

    Args:
        path: the file; made when the first answer is looked up.
        fresh: answer nothing from what was there before, and replace it by what is generated now. (What this
            very object has written is reused: a method that asks twice still asks once.)
    """

    def __init__(self, path: Path, *, fresh: bool = False) -> None:
        self.path = path
        self.fresh = fresh
        self._connection: sqlite3.Connection | None = None
        self._unwritten: dict[bytes, tuple[Any, ...]] = {}
        self._written: set[bytes] = set()
        self._since_mark: list[bytes] = []

    def stream(
        self,
        llm: Callable[[Iterator[Request]], Iterator[Generation]],
        decides: Mapping[str, Any],
        requests: Iterable[Request],
    ) -> Iterator[Answer]:
        """The answers to `requests`, in order; only what is not known yet goes to the LLM, once.

        Args:
            llm: how the frozen LLM answers requests, in order.
            decides: all that decides its answers besides the request, as JSON values: its id, revision and
                precision, and the limits of generation.
            requests: read one batch ahead of the answers, and past a limited number of known ones.
        """
        # What was read and not handed out yet: an answer that was known; None for a request that the LLM is
        # working on; or the key of one that it was already working on when it was read again.
        waiting: deque[Answer | bytes | None] = deque()
        asked: deque[bytes | None] = deque()  # the keys of what the LLM is working on
        repeated: dict[bytes, Answer | None] = {}
        source, exhausted = iter(requests), False

        def unknown() -> Iterator[Request]:
            nonlocal exhausted
            while len(waiting) - len(asked) < READ_AHEAD:
                request = next(source, None)
                exhausted = request is None
                if request is None:
                    break
                self.flush()  # a batch has been answered, and the next one is being read
                key = _key(decides, request)
                known = self._get(key) if key is not None else None
                if known is not None:
                    waiting.append(known)
                elif key is not None and key in asked:
                    waiting.append(key)
                    repeated[key] = None
                else:
                    waiting.append(None)
                    asked.append(key)
                    yield request
            self.flush()

        def known_ones() -> Iterator[Answer]:
            """The answers at the head of the queue, up to the first that the LLM has still to give."""
            while waiting and waiting[0] is not None:
                head = waiting.popleft()
                answer = repeated[head] if isinstance(head, bytes) else head
                assert answer is not None  # its twin stood before it
                yield answer

        try:
            while not exhausted:
                for generation in llm(unknown()):
                    yield from known_ones()
                    waiting.popleft()
                    key = asked.popleft()
                    if key is not None:
                        self._put(key, generation)
                        if key in repeated:
                            repeated[key] = Answer(generation, reused=True)
                    yield Answer(generation, reused=False)
                yield from known_ones()
        finally:
            self.flush()

    def flush(self) -> None:
        """Write the answers that are not on disk yet.

        Raises:
            RunError: the file cannot be written.
        """
        if not self._unwritten:
            return
        rows = [(key, *values) for key, values in self._unwritten.items()]
        try:
            with self._open() as connection:
                connection.executemany("INSERT OR REPLACE INTO generations VALUES (?, ?, ?, ?, ?, ?)", rows)
        except sqlite3.Error as error:
            raise self._error("written", error) from error
        if self.fresh:
            self._written.update(self._unwritten)
        self._since_mark += self._unwritten
        self._unwritten.clear()

    def mark(self) -> None:
        """From here on it may turn out that the LLM had been spoilt; see `withdraw`."""
        self.flush()
        self._since_mark.clear()

    def withdraw(self) -> None:
        """Forget all answers since `mark`: somebody had changed the weights of the LLM that gave them."""
        self._unwritten.clear()
        try:
            with self._open() as connection:
                connection.executemany(
                    "DELETE FROM generations WHERE key = ?", [(key,) for key in self._since_mark]
                )
        except sqlite3.Error as error:
            raise self._error("written", error) from error
        self._written.difference_update(self._since_mark)
        self._since_mark.clear()

    def close(self) -> None:
        """Write what is left and close the file; using the cache again opens it again."""
        self.flush()
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _get(self, key: bytes) -> Answer | None:
        from lampbench.llm import Generation

        row = self._unwritten.get(key)
        if row is None and (not self.fresh or key in self._written):
            try:
                row = (
                    self._open()
                    .execute(
                        "SELECT text, prompt_tokens, generated_tokens, truncated, seconds FROM generations "
                        "WHERE key = ?",
                        (key,),
                    )
                    .fetchone()
                )
            except sqlite3.Error as error:
                raise self._error("read", error) from error
        if row is None:
            return None
        text, prompt_tokens, generated_tokens, truncated, seconds = row
        made = Generation(
            text=text,
            prompt_tokens=prompt_tokens,
            soft_tokens=0,
            generated_tokens=generated_tokens,
            truncated=bool(truncated),
            seconds=seconds,
        )
        return Answer(made, reused=True)

    def _put(self, key: bytes, made: Generation) -> None:
        self._unwritten[key] = (
            made.text,
            made.prompt_tokens,
            made.generated_tokens,
            int(made.truncated),
            made.seconds,
        )

    def _open(self) -> sqlite3.Connection:
        if self._connection is None:
            try:
                self._connection = self._connected()
            except sqlite3.OperationalError as error:
                raise self._error("opened", error) from error
            except sqlite3.DatabaseError:  # damaged; all that was in it can be made again
                for suffix in ("", "-wal", "-shm"):
                    self.path.with_name(self.path.name + suffix).unlink(missing_ok=True)
                self._connection = self._connected()
        return self._connection

    def _connected(self) -> sqlite3.Connection:
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise self._error("opened", error) from error
        connection = sqlite3.connect(self.path, timeout=WAIT_SECONDS, check_same_thread=False)
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

    def _error(self, what: str, error: Exception) -> RunError:
        return RunError(
            f"the generation cache {self.path} cannot be {what} ({error}): remove it, or {CACHE_REMEDY}"
        )


def _key(decides: Mapping[str, Any], request: Request) -> bytes | None:
    """What stands for the request in the file; None if it is more than a text, as with soft vectors."""
    if any(getattr(request, f.name) is not f.default for f in fields(request) if f.name != "prompt"):
        return None
    spec = json.dumps([FORMAT, dict(decides), request.prompt], sort_keys=True)
    return hashlib.blake2b(spec.encode("ascii"), digest_size=16).digest()
