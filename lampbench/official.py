"""The official LaMP files: how they are read, and what a right record looks like.

The schema is that of the LaMP code and site (github.com/LaMP-Benchmark/LaMP): a list of questions, each with
its profile, and an object with the golds. Preparing and auditing read the same way and differ in one thing:
the first malformed record ends a preparation, and an audit counts it.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

import ijson

from lampbench.errors import RequestError
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
        remedy: the command that fetches it again, for error messages.
        on_read: called with the number of bytes of each block.

    Raises:
        RequestError: the file cannot be opened.
    """

    def __init__(self, path: Path, remedy: str, on_read: Callable[[int], None] | None = None) -> None:
        self.path = path
        self.remedy = remedy
        self._on_read = on_read
        self._hash = hashlib.sha256()
        try:
            self._file = path.open("rb")
        except OSError as error:
            raise RequestError(f"cannot read {path}: {error.strerror or error}") from None

    def __enter__(self) -> SourceFile:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()

    def read(self, size: int = -1) -> bytes:
        """The next bytes of the file; a byte order mark at its start is left out."""
        start = self._file.tell() == 0
        try:
            block = self._file.read(size)
        except OSError as error:
            raise RequestError(f"cannot read {self.path}: {error.strerror or error}") from None
        self._hash.update(block)
        if self._on_read is not None:
            self._on_read(len(block))
        return block.removeprefix(b"\xef\xbb\xbf") if start and size != 0 else block

    def sha256(self) -> str:
        """The hash of the whole file; reads what has not been read."""
        while self.read(_BLOCK):
            pass
        return self._hash.hexdigest()

    def check_beginning(self, bracket: str, meaning: str) -> None:
        """Refuse at once what is not JSON at all, and say what it is.

        Raises:
            RequestError: the first character is not `bracket`.
        """
        beginning = self._file.read(4096).removeprefix(b"\xef\xbb\xbf").lstrip()
        self._file.seek(0)
        if beginning.startswith(bracket.encode()):
            return
        if not beginning:
            reason = "is empty"
        elif beginning.startswith(b"<"):
            size = self.path.stat().st_size
            # The official host answers unknown paths with a page and status 200.
            reason = f"is HTML, not JSON ({size} bytes): a web page was saved in place of the data"
        elif beginning.startswith(b"version https://git-lfs"):
            reason = "is a Git LFS pointer, not the data itself"
        elif beginning.startswith(b"\x1f\x8b"):
            reason = "is compressed with gzip: unpack it first"
        elif beginning.startswith((b"{", b"[")):
            found = "an object" if beginning.startswith(b"{") else "a list"
            raise RequestError(f"{self.path} is {found}, not {meaning}")
        else:
            reason = f"is not JSON: it begins with {beginning[:20].decode('utf-8', 'replace')!r}"
        raise RequestError(f"{self.path} {reason}; get it again with: {self.remedy}")

    def records(self) -> Iterator[tuple[int, Any]]:
        """The records of a questions file with their numbers from 1; memory holds one record at a time.

        Raises:
            RequestError: not a JSON list, or cut off, or invalid after some record.
        """
        self.check_beginning("[", "a list of questions")
        number = 0
        try:
            for number, record in enumerate(ijson.items(self, "item", buf_size=_BLOCK), 1):
                yield number, record
        except ijson.JSONError as error:
            raise self._invalid(str(error), f"after record {number}") from None

    def golds(self) -> tuple[Any, list[Any]]:
        """The task name and the gold entries of an outputs file, unchecked.

        Raises:
            RequestError: not a JSON object with a list `golds`.
        """
        self.check_beginning("{", 'an object like {"task": "LaMP_3", "golds": [...]}')
        try:
            content = json.loads(self.read().decode("utf-8"))
        except UnicodeDecodeError as error:
            raise self._invalid(f"invalid UTF-8 at byte {error.start}", "") from None
        except json.JSONDecodeError as error:
            at_end = error.pos >= len(error.doc.rstrip()) or error.msg.startswith("Unterminated string")
            reason = "premature EOF" if at_end else error.msg
            raise self._invalid(reason, f"at line {error.lineno}, column {error.colno}") from None
        if not isinstance(content.get("golds"), list):
            raise RequestError(f"{self.path} has no list 'golds' (it has {_names(content)})")
        return content.get("task"), content["golds"]

    def _invalid(self, message: str, place: str) -> RequestError:
        # The C parser's message spans lines and ends in a drawing of the place; its first line is the reason.
        reason = message.removeprefix("b'").split("\n")[0].split("\\n")[0].strip()
        if "premature EOF" in reason or "Incomplete JSON" in reason:
            reason = "the file ends too early, so it was cut off"
        return RequestError(
            f"{self.path} is not whole JSON {place}".rstrip()
            + f": {reason}; get it again with: {self.remedy}"
        )


# What the records say


@dataclass(frozen=True)
class Question:
    """One checked record of a questions file; items are as in the JSON."""

    id: str
    input: str
    user_id: str | None
    profile: list[dict[str, Any]]


def parse_question(task: Task, record: Any) -> Question:
    """A record of a questions file, checked.

    Raises:
        Malformed: it lacks a field, or a field is of a wrong kind.
    """
    if not isinstance(record, dict):
        raise Malformed(f"is {_kind(record)}, not an object")
    for field in ("id", "input", "profile"):
        if field not in record:
            raise Malformed(f"lacks the field '{field}' (it has {_names(record)})")
    if not isinstance(record["input"], str):
        raise Malformed(f"its 'input' is {_kind(record['input'])}, not text")
    if not isinstance(record["profile"], list):
        raise Malformed(f"its 'profile' is {_kind(record['profile'])}, not a list")
    for position, item in enumerate(record["profile"], 1):
        problem = _item_problem(task, item)
        if problem:
            raise Malformed(f"profile item {position} {problem}")
    user = record.get("user_id")
    return Question(
        parse_id(record["id"]), record["input"], None if user is None else str(user), record["profile"]
    )


def parse_gold(entry: Any) -> tuple[str, str]:
    """The id and the text of a gold entry; a number counts as its text.

    Raises:
        Malformed: it lacks a field, or its output is no text.
    """
    if not isinstance(entry, dict):
        raise Malformed(f"is {_kind(entry)}, not an object")
    for field in ("id", "output"):
        if field not in entry:
            raise Malformed(f"lacks the field '{field}' (it has {_names(entry)})")
    output = entry["output"]
    if output is None or isinstance(output, bool | list | dict):
        raise Malformed(f"its 'output' is {_kind(output)}, not text")
    # Half of a surrogate pair, which no UTF-8 has, becomes a question mark, as in the questions' parser.
    return parse_id(entry["id"]), str(output).encode("utf-8", "replace").decode()


def parse_id(value: Any) -> str:
    """An id as text; ids are opaque, and some writers give numbers.

    Raises:
        Malformed: it is empty or neither text nor an integer.
    """
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    if not isinstance(value, str):
        raise Malformed(f"its 'id' is {_kind(value)}, not text")
    if not value.strip():
        raise Malformed("its 'id' is empty")
    return value


def task_problem(task: Task, setting: str, name: Any) -> str | None:
    """What is wrong with the `task` of an outputs file; None if it names this task.

    The ids of the time split count the tasks on from 7 (LaMP-1 is number 8 there), so such a name is accepted
    too.
    """
    match = re.fullmatch(r"LaMP[-_ ]?(?:time[-_ ]?)?(\d+)[-_ ]?[A-Za-z]*", str(name).strip(), re.IGNORECASE)
    allowed = {task.number} | ({task.number + 7} if setting == "time" else set())
    if match and int(match.group(1)) in allowed:
        return None
    return f"is for task {name!r}, not '{task.official_name}'"


def item_content(task: Task, item: Mapping[str, Any]) -> tuple[str | None, ...]:
    """What an item says, without its id: the task's fields, the date, and what else there is as JSON text.

    Values are text (a score of 5 is `"5"`); null counts as empty text, and an empty or null date as none.
    """
    values: list[str | None] = [_text(item[field]) for field in task.item_fields]
    date = item.get("date")
    values.append(_text(date) if date is not None and str(date).strip() else None)
    known = {"id", "date", *task.item_fields}
    more = {name: item[name] for name in item.keys() - known}
    # The parser gives decimals; anything it can give is a number or plain JSON.
    values.append(json.dumps(more, ensure_ascii=False, sort_keys=True, default=float) if more else None)
    return tuple(values)


def item_id(item: Mapping[str, Any]) -> str:
    """The id of a checked item."""
    return str(item["id"])


def show_ids(ids: Iterable[str], n: int = 3) -> str:
    """The first few ids, for a message."""
    listed = list(ids)
    return ", ".join(repr(id) for id in listed[:n]) + (", ..." if len(listed) > n else "")


def _item_problem(task: Task, item: Any) -> str | None:
    if not isinstance(item, dict):
        return f"is {_kind(item)}, not an object"
    if item.get("id") is None:
        return f"lacks the field 'id' (it has {_names(item)})"
    for field in task.item_fields:
        if field not in item:
            if task.number == 2 and "category" in item:
                return (
                    f"has {_names(item)}: this is the deprecated LaMP-2 (news categories), not movie "
                    "tagging, which the host keeps under LaMP_2/new"
                )
            return f"(id '{item['id']}') lacks the field '{field}' (it has {_names(item)})"
    return None


def _text(value: Any) -> str:
    return value if isinstance(value, str) else "" if value is None else str(value)


def _names(record: Mapping[str, Any]) -> str:
    return ", ".join(str(name) for name in record) or "nothing"


def _kind(value: Any) -> str:
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true or false"
    names: dict[type, str] = {str: "text", list: "a list", dict: "an object"}
    return names.get(type(value), "a number")
