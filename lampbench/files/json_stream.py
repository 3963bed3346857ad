"""JSON that others wrote, value by value: bounded in memory, depth and length of numbers, whatever the bytes say.

A file of several GB is one list of values of some MB at most, each of which Python's own decoder reads at the
speed of C. What this module adds is where a value begins, and that a value which is not whole gets more text.
"""

from __future__ import annotations

import codecs
import json
import re
from collections.abc import Callable, Iterator
from typing import Any

from lampbench.files.bounded_json import BadJson, decode_value, without_lone_surrogates

# The longest histories of the benchmark take 2 MB. A value takes up to 30 times its text in memory.
LARGEST_VALUE = 64 * 2**20  # characters

# Many values, so that few are decoded in part and then again; little beside the memory of the process.
_BLOCK = 2**21

# Where a number, a word or an escape ends with the text, its error may lie as many characters before the end.
_LONGEST_TOKEN = 16

_SURROGATE = re.compile(r"\\u[dD][89a-fA-F]")
_VALUE = re.compile(rb'[\[{"\-0-9]|true|false|null')
_WHITE_SPACE = re.compile(r"[ \t\n\r]*")

BEGINNING = 4096  # bytes that tell a file's format


def foreign_format(beginning: bytes) -> str | None:
    """What a file is that was taken for JSON, told from its first bytes; None if it may be JSON."""
    start = beginning.removeprefix(codecs.BOM_UTF8).lstrip()
    if not start:
        return "is empty"
    if start.startswith(b"<"):
        return "is HTML, not JSON: a web page was saved in place of the data"
    if start.startswith(b"version https://git-lfs"):
        return "is a Git LFS pointer, not the data itself"
    if start.startswith(b"\x1f\x8b"):
        return "is compressed with gzip: unpack it first"
    if start.startswith(b"PK\x03\x04"):
        return "is a zip archive that is damaged or stands in place of JSON"
    if start.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return "is text in UTF-16: save it in UTF-8"
    if not _VALUE.match(start):
        return f"is not JSON: it begins with {start[:20].decode('utf-8', 'replace')!r}"
    return None


class JsonStream:
    """The values of a JSON text, in order; what is read next is decided by the caller.

    Args:
        read: returns so many bytes of UTF-8 at most, and none at the end.

    Every method raises BadJson where the text is not what the method reads.
    """

    def __init__(self, read: Callable[[int], bytes]) -> None:
        self._read = read
        self._decode = codecs.getincrementaldecoder("utf-8-sig")().decode
        self._text = ""  # what is known of the text, from somewhere before the next value
        self._at = 0  # the next character in it
        self._ended = False
        self._not_utf8 = False  # whether it ended because of that
        self._line, self._column = 1, 1  # where the known text begins

    def peek(self) -> str:
        """The next character but white space, which is not taken; empty at the end."""
        while True:
            self._at = _WHITE_SPACE.match(self._text, self._at).end()  # type: ignore[union-attr]
            if self._at < len(self._text) or not self._more():
                return self._text[self._at : self._at + 1]

    def value(self) -> Any:
        """The next value, whole; half of a surrogate pair in its texts is replaced."""
        self.peek()
        while True:
            try:
                value, end = decode_value(self._text, self._at)
            except json.JSONDecodeError as error:
                if self._is_cut(error) and self._more():
                    continue
                raise self._bad(error.msg, error.pos) from None
            except BadJson as error:
                raise self._bad(str(error), self._at) from None
            # A number may go on: `1` of `1e-5` is one, and so it seems where the text ends with `1e-`.
            if end + 2 >= len(self._text) and self._more():
                continue
            start, self._at = self._at, end
            return without_lone_surrogates(value) if _SURROGATE.search(self._text, start, end) else value

    def items(self) -> Iterator[Any]:
        """The values of the list that comes next."""
        for _ in self._elements("[", "]"):
            yield self.value()

    def names(self) -> Iterator[str]:
        """The names in the object that comes next; after each, the caller reads its value."""
        for _ in self._elements("{", "}"):
            if self.peek() != '"':
                raise self._bad("a name in quotes is missing", self._at)
            name = self.value()
            self._take(":")
            yield name

    def values(self) -> Iterator[Any]:
        """The values up to the end, one after the other, as in JSON Lines."""
        while self.peek():
            yield self.value()

    def end(self) -> None:
        """See that nothing follows."""
        if self.peek():
            raise self._bad("there is more after its end", self._at)

    def _elements(self, opening: str, closing: str) -> Iterator[None]:
        """Stops at each element, which the caller reads, and takes what stands around it."""
        self._take(opening)
        if self.peek() != closing:
            yield
            while self.peek() != closing:
                self._take(",")
                yield
        self._take(closing)

    def _take(self, character: str) -> None:
        if self.peek() != character:
            raise self._bad(f"'{character}' is missing", self._at)
        self._at += 1

    def _more(self) -> bool:
        """Read on, and drop what has been taken; False at the end of the text."""
        rest = len(self._text) - self._at
        if rest > LARGEST_VALUE:
            raise self._bad(f"a value of more than {LARGEST_VALUE / 2**20:.0f} MiB", self._at)
        while not self._ended:
            # As much again as there is: a long value is decoded a few times at most.
            block = self._read(max(_BLOCK, rest))
            self._ended = not block
            try:
                more = self._decode(block, final=self._ended)
            except UnicodeDecodeError as error:
                self._ended = self._not_utf8 = True
                more = error.object[: error.start].decode()
            if more:
                self._line, self._column = self._place(self._at)
                self._text = self._text[self._at :] + more
                self._at = 0
                return True
        return False

    def _is_cut(self, error: json.JSONDecodeError) -> bool:
        """Whether more text could mend it."""
        return error.msg.startswith("Unterminated string") or error.pos > len(self._text) - _LONGEST_TOKEN

    def _place(self, position: int) -> tuple[int, int]:
        """Line and column, from 1, of a position in the known text."""
        lines = self._text.count("\n", 0, position)
        if not lines:
            return self._line, self._column + position
        return self._line + lines, position - self._text.rfind("\n", 0, position)

    def _bad(self, reason: str, position: int) -> BadJson:
        at_end = position >= len(self._text.rstrip()) or reason.startswith("Unterminated string")
        if at_end and self._not_utf8:
            return BadJson("what follows is not UTF-8", self._place(len(self._text)))
        return BadJson(reason, self._place(position), cut=at_end and self._ended)
