"""The official LaMP files: how they are read, and what a right record looks like.

The schema is that of the LaMP code and site (github.com/LaMP-Benchmark/LaMP): a list of questions, each with
its profile, and an object with the golds. Preparing and auditing read the same way and differ in one thing:
the first malformed record ends a preparation, and an audit counts it.
"""

from __future__ import annotations

import codecs
import hashlib
import json
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

from lampbench.data.output_entries import OutputEntries, names
from lampbench.errors import RequestError, short, some
from lampbench.files.bounded_json import BadJson
from lampbench.files.json_stream import BEGINNING, JsonStream, foreign_format
from lampbench.files.regular_file import open_regular
from lampbench.files.typed_json import WrongShape, kind_of
from lampbench.metrics.known import answer_kind
from lampbench.tasks import Task

# Called with what is done and what is to do, in megabytes, and the name of the file; fits `Bar.update`.
OnProgress = Callable[[int, int, str], None]

MEGABYTE = 1_000_000

# Large enough that hashing and parsing run at the speed of C, small enough not to count in memory.
_BLOCK = 1 << 18


class Malformed(ValueError):
    """A record that is not as the schema says; the text is the reason, without file and number."""


class SourceFile:
    """A file that is hashed while it is read, so that its content is known after one pass.

    Args:
        path: the file.
        remedy: how to get it again, for error messages.
        on_read: called with the number of bytes of each block.

    Attributes:
        task: what an outputs file calls its task, once its golds have been read; None if it names none.

    Raises:
        RequestError: the file cannot be opened, or is no regular file.
    """

    def __init__(self, path: Path, remedy: str, on_read: Callable[[int], None] | None = None) -> None:
        self.path = path
        self.remedy = remedy
        self.task: Any = None
        self._on_read = on_read
        self._hash = hashlib.sha256()
        try:
            self._file = open_regular(path)
        except OSError as error:
            raise RequestError(f"cannot read {path}: {error.strerror or error}") from None
        self._state = self._state_now()

    def __enter__(self) -> SourceFile:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()

    def read(self, size: int = -1) -> bytes:
        """The next bytes of the file.

        Raises:
            RequestError: it cannot be read, or it has changed by the time its end is reached.
        """
        try:
            block = self._file.read(size)
        except OSError as error:
            raise RequestError(f"cannot read {self.path}: {error.strerror or error}") from None
        if not block and self._state != self._state_now():
            raise RequestError(f"{self.path} changed while it was read: is it still being downloaded?")
        self._hash.update(block)
        if self._on_read is not None:
            self._on_read(len(block))
        return block

    def sha256(self) -> str:
        """The hash of the whole file; reads what has not been read."""
        while self.read(_BLOCK):
            pass
        return self._hash.hexdigest()

    def check_beginning(self, brackets: str, meaning: str) -> str:
        """The first character, one of `brackets`; refuses at once what is not JSON at all, and says what it is.

        Raises:
            RequestError: the file begins otherwise.
        """
        beginning = self._file.read(BEGINNING)
        self._file.seek(0)
        if problem := foreign_format(beginning):
            raise RequestError(f"{self.path} {problem}; {self.remedy}")
        first = beginning.removeprefix(codecs.BOM_UTF8).lstrip()[:1].decode()
        if first not in brackets:
            found = {"{": "an object", "[": "a list"}.get(first, "a single value")
            raise RequestError(f"{self.path} is {found}, not {meaning}")
        return first

    def records(self) -> Iterator[tuple[int, Any]]:
        """The records of a questions file with their numbers from 1; memory holds one record at a time.

        A record per line is read as well as the official list.

        Raises:
            RequestError: neither, or cut off, or invalid after some record.
        """
        meaning = "a list of questions"
        lines = self.check_beginning("[{", meaning) == "{"
        stream = JsonStream(self.read)
        number = 0
        try:
            for number, record in enumerate(stream.values() if lines else stream.items(), 1):
                if lines and number == 1 and "id" not in record:
                    raise RequestError(f"{self.path} is an object, not {meaning}")
                yield number, record
            stream.end()
        except BadJson as error:
            raise self._invalid(error, f"after record {number}") from None

    def golds(self) -> Iterator[tuple[int, Any]]:
        """The entries of an outputs file, unchecked, with their numbers from 1; afterwards `task` is known.

        An entry per line is read as well as the official object.

        Raises:
            RequestError: neither, or cut off, or invalid after some entry.
        """
        self.check_beginning("{", 'an object like {"task": "…", "golds": [...]}')
        entries = OutputEntries(self.read)
        number = 0
        try:
            for number, entry in enumerate(entries, 1):
                yield number, entry
        except WrongShape as error:
            raise RequestError(f"{self.path} {error}") from None
        except BadJson as error:
            raise self._invalid(error, f"after gold {number}") from None
        self.task = entries.task

    def _state_now(self) -> tuple[int, int]:
        state = os.fstat(self._file.fileno())
        return state.st_size, state.st_mtime_ns

    def _invalid(self, error: BadJson, place: str) -> RequestError:
        problem, reason = "cannot be read as JSON", str(error)
        if error.cut:
            problem, reason = "is not whole JSON", "the file ends too early, so it was cut off"
        return RequestError(f"{self.path} {problem} {place}: {reason}; {self.remedy}")


def told_in_megabytes(on_progress: OnProgress | None, total: int) -> Callable[[Path], Callable[[int], None]]:
    """The `on_read` of each of several files that are read one after the other: their progress is told as one.

    Args:
        on_progress: who is told; None: nobody.
        total: bytes of all files.
    """
    done = 0

    def of_file(path: Path) -> Callable[[int], None]:
        def on_read(n: int) -> None:
            nonlocal done
            done += n
            if on_progress is not None:
                on_progress(done // MEGABYTE, max(total // MEGABYTE, 1), path.name)

        return on_read

    return of_file


# What the records say


@dataclass(frozen=True)
class SourceQuestion:
    """One checked record of a questions file; items are as in the JSON."""

    id: str
    input: str
    user_id: str | None
    profile: list[dict[str, Any]]


def parse_question(task: Task, record: Any) -> SourceQuestion:
    """A record of a questions file, checked.

    Raises:
        Malformed: it lacks a field, or a field is of a wrong kind.
    """
    if not isinstance(record, dict):
        raise Malformed(f"is {kind_of(record)}, not an object")
    for field in ("id", "input", "profile"):
        if field not in record:
            raise Malformed(f"lacks the field '{field}' (it has {names(record)})")
    if not isinstance(record["input"], str):
        raise Malformed(f"its 'input' is {kind_of(record['input'])}, not text")
    if not isinstance(record["profile"], list):
        raise Malformed(f"its 'profile' is {kind_of(record['profile'])}, not a list")
    for position, item in enumerate(record["profile"], 1):
        problem = _item_problem(task, item)
        if problem:
            raise Malformed(f"profile item {position} {problem}")
    user = record.get("user_id")
    return SourceQuestion(
        parse_id(record["id"]), record["input"], None if user is None else str(user), record["profile"]
    )


def parse_gold(task: Task, entry: Any) -> tuple[str, str]:
    """The id and the text of a gold entry; a number counts as its text.

    Raises:
        Malformed: it lacks a field, or nothing could be scored by its output: it is no text, or no rating where
            the task has ratings.
    """
    if not isinstance(entry, dict):
        raise Malformed(f"is {kind_of(entry)}, not an object")
    for field in ("id", "output"):
        if field not in entry:
            raise Malformed(f"lacks the field '{field}' (it has {names(entry)})")
    output = entry["output"]
    if output is None or isinstance(output, bool | list | dict):
        raise Malformed(f"its 'output' is {kind_of(output)}, not text")
    kind = answer_kind(task)
    if kind.golds(task, [str(output)]) == [None]:
        raise Malformed(f"its 'output' is {short(output)!r}, {kind.no_gold}")
    return parse_id(entry["id"]), str(output)


def parse_id(value: Any) -> str:
    """An id as text; ids are opaque, and some writers give numbers.

    Raises:
        Malformed: it is empty or neither text nor an integer.
    """
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    if not isinstance(value, str):
        raise Malformed(f"its 'id' is {kind_of(value)}, not text")
    if not value.strip():
        raise Malformed("its 'id' is empty")
    return value


def task_problem(task: Task, setting: str, name: Any) -> str | None:
    """What is wrong with the `task` of an outputs file; None if it names this task, or none at all."""
    if name is None:
        return None
    if task.files.is_meant is not None:
        meant = task.files.is_meant(str(name), setting)
    else:
        meant = str(name).strip() in (task.official_name, task.name)
    return None if meant else f"is for task {short(name)!r}, not '{task.official_name}'"


def item_content(task: Task, item: Mapping[str, Any]) -> tuple[str | None, ...]:
    """What an item says, without its id: the task's fields, the date, and what else there is as JSON text.

    Values are text (a score of 5 is `"5"`); null counts as empty text, and an empty or null date as none.
    """
    values: list[str | None] = [_text(item[field]) for field in task.item_fields]
    date = item.get("date")
    values.append(_text(date) if date is not None and str(date).strip() else None)
    known = {"id", "date", *task.item_fields}
    more = {name: item[name] for name in item.keys() - known}
    values.append(json.dumps(more, ensure_ascii=False, sort_keys=True) if more else None)
    return tuple(values)


def item_id(item: Mapping[str, Any]) -> str:
    """The id of a checked item."""
    return str(item["id"])


def show_ids(ids: Iterable[str], n: int = 3) -> str:
    """The first few ids, for a message."""
    return some((repr(short(id)) for id in ids), n, "...")


def _item_problem(task: Task, item: Any) -> str | None:
    if not isinstance(item, dict):
        return f"is {kind_of(item)}, not an object"
    if item.get("id") is None:
        return f"lacks the field 'id' (it has {names(item)})"
    for field in task.item_fields:
        if field not in item:
            for other, meaning in task.files.older_items.items():
                if other in item:
                    return f"has {names(item)}: {meaning}"
            return f"(id '{short(item['id'])}') lacks the field '{field}' (it has {names(item)})"
    return None


def _text(value: Any) -> str:
    return value if isinstance(value, str) else "" if value is None else str(value)
