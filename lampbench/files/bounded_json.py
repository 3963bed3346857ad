"""JSON that anybody may have written, read within bounds: depth, length of numbers, size, and finite numbers only.

Whatever the bytes are, they end in a value that the rest of the program can handle, or in one clear reason.
"""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

from lampbench.errors import short
from lampbench.files.regular_file import read_regular

# What no file of sensible content reaches, and what Python reads without harm: its recursion ends near 1,000.
DEEPEST = 64  # lists and objects inside one another
LONGEST_NUMBER = 308  # characters; as an integer still a float, and read in no time
LARGEST_JSON = 64 * 2**20  # bytes of a file that is read as a whole

_TOO_DEEP = f"lists or objects more than {DEEPEST} deep"


class BadJson(ValueError):
    """Text that is no JSON, or JSON beyond the bounds; the text of the error is the reason and the place.

    Args:
        reason: what is wrong.
        place: its line and column, from 1, where they are known.
        cut: whether the text ends too early, and what there is may be right.
    """

    def __init__(self, reason: str, place: tuple[int, int] | None = None, cut: bool = False) -> None:
        super().__init__(f"{reason} (line {place[0]}, column {place[1]})" if place else reason)
        self.cut = cut


def _integer(digits: str) -> int:
    if len(digits) > LONGEST_NUMBER:
        raise BadJson(f"an integer of more than {LONGEST_NUMBER} digits")
    return int(digits)


def _float(digits: str) -> float:
    value = float(digits) if len(digits) <= LONGEST_NUMBER else math.inf
    if not math.isfinite(value):
        raise BadJson(f"the number {short(digits, 20)}, which is too large or too long")
    return value


def _constant(name: str) -> float:
    raise BadJson(f"{name}, which is no number in JSON")


_FINITE = json.JSONDecoder(parse_int=_integer, parse_float=_float, parse_constant=_constant)
_ANY = json.JSONDecoder(parse_int=_integer, parse_float=_float)


def decode_value(text: str, start: int, finite: bool = True) -> tuple[Any, int]:
    """The JSON value at a position, of bounded depth and with numbers of bounded length, and its end.

    Args:
        text: holds it.
        start: where it begins.
        finite: refuse NaN and Infinity, which Python reads though they are no JSON.

    Raises:
        BadJson: the bounds are exceeded.
        json.JSONDecodeError: it is no JSON.
    """
    try:
        value, end = (_FINITE if finite else _ANY).raw_decode(text, start)
    except RecursionError:
        raise BadJson(_TOO_DEEP) from None
    # Level by level, so that no depth can exhaust the stack.
    level = [value] if isinstance(value, (list, dict)) else []
    for _ in range(DEEPEST):
        level = [
            child
            for parent in level
            for child in (parent.values() if isinstance(parent, dict) else parent)
            if isinstance(child, (list, dict))
        ]
        if not level:
            return value, end
    raise BadJson(_TOO_DEEP)


def parse_json(text: str | bytes, finite: bool = True) -> Any:
    """The value of a JSON text that anybody may have written; a byte order mark before it is passed over.

    Raises:
        BadJson: it is no JSON, or exceeds the bounds of `decode_value`.
    """
    try:
        text = text.decode("utf-8-sig") if isinstance(text, bytes) else text
        start = len(text) - len(text.lstrip(" \t\n\r"))
        value, end = decode_value(text, start, finite)
        if text[end:].strip(" \t\n\r"):
            raise json.JSONDecodeError("there is more after its end", text, end)
    except UnicodeDecodeError as error:
        raise BadJson(f"byte {error.start + 1} is not UTF-8") from None
    except json.JSONDecodeError as error:
        raise BadJson(error.msg, (error.lineno, error.colno)) from None
    return value


def read_json(path: Path, finite: bool = True) -> Any:
    """The value in a JSON file that anybody may have written; see `decode_value`.

    Raises:
        OSError: it cannot be read, is no regular file, or has more than LARGEST_JSON bytes.
        BadJson: see parse_json.
    """
    return parse_json(read_regular(path, LARGEST_JSON), finite)


def without_lone_surrogates(value: Any) -> Any:
    """A JSON value with U+FFFD for halves of surrogate pairs, which Python reads and UTF-8 cannot hold."""
    if isinstance(value, str):
        return value.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    if isinstance(value, list):
        return [without_lone_surrogates(item) for item in value]
    if isinstance(value, dict):
        return {without_lone_surrogates(key): without_lone_surrogates(item) for key, item in value.items()}
    return value
