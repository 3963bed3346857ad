"""The entries of an outputs file, golds or predictions, in each form in which people keep them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from lampbench.errors import short, some
from lampbench.files.json_stream import JsonStream
from lampbench.files.typed_json import WrongShape


class OutputEntries:
    """The entries of an outputs file, unchecked, one after the other.

    Read are the official object `{"task": "LaMP_3", "golds": [...]}`, a list of entries, and one entry per line.

    Args:
        read: returns so many bytes at most of the file, and none at its end.

    Attributes:
        task: what the file calls its task, None if it names none. Known when all entries have been read, as
            it may stand behind them.

    Iterating raises BadJson where the text is no JSON, and WrongShape where it has none of these forms.
    """

    def __init__(self, read: Callable[[int], bytes]) -> None:
        self.task: Any = None
        self._stream = JsonStream(read)

    def __iter__(self) -> Iterator[Any]:
        first = self._stream.peek()
        if first == "[":
            yield from self._stream.items()
            self._stream.end()
        elif first == "{":
            yield from self._of_object()
        else:
            self._stream.value()  # complains, if it is no JSON at all
            raise WrongShape('is not an object with "task" and "golds"')

    def _of_object(self) -> Iterator[Any]:
        others: dict[str, Any] = {}
        found = False
        for name in self._stream.names():
            if name == "golds" and self._stream.peek() == "[":
                found = True
                yield from self._stream.items()
            else:
                others[name] = self._stream.value()
        if found:
            self.task = others.get("task")
            self._stream.end()
        elif {"id", "output"} <= others.keys():
            yield others
            yield from self._stream.values()
        else:
            raise WrongShape(f"has no list 'golds' (it has {names(others)})")


def names(record: Mapping[str, Any], n: int = 8) -> str:
    """The names in an object, for a message: the first few, each in part where it is long."""
    return some((short(name, 40) for name in record), n) or "nothing"
