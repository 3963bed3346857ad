"""What may go to a terminal: text that commands nothing, on streams that are open and never refuse a character."""

from __future__ import annotations

import codecs
import io
import os
import sys
import traceback
import unicodedata
from contextlib import suppress
from types import TracebackType
from typing import TextIO

# The signs of lampbench's own tables, for an encoding without them.
_ASCII = {
    "−": "-",
    "–": "-",
    "↑": "^",
    "↓": "v",
    "≈": "~",
    "≥": ">=",
    "±": "+-",
    "×": "x",
    "†": "+",
    "‡": "-",
    "…": "...",
}


def printable(text: str) -> str:
    r"""The text on one line, what cannot be seen or acts on a terminal written as its escape.

    Names, ids, outputs and messages come from strangers: an escape sequence would clear the screen or set the
    clipboard, a bidirectional override shows another text than there is.

    >>> print(printable("a\x1b[2Jb\u202e"))
    a\x1b[2Jb\u202e
    """
    if text.isprintable():
        return text
    return "".join(_escaped(c) if _acts(c) else c for c in text)


def printable_lines(text: str) -> str:
    """`printable`, with the line breaks kept."""
    return "\n".join(printable(line) for line in text.split("\n"))


def _acts(character: str) -> bool:
    # C: control, format (zero-width, bidirectional), surrogate, private, unassigned. Zl, Zp: line breaks.
    category = unicodedata.category(character)
    return category[0] == "C" or category in ("Zl", "Zp")


def _escaped(character: str) -> str:
    return character.encode("unicode_escape").decode("ascii")


def _in_ascii(error: UnicodeError) -> tuple[str, int]:
    """Handler of encoding errors: the sign in ASCII, or its escape."""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    missing = error.object[error.start : error.end]
    return "".join(_ASCII.get(c) or _escaped(c) for c in missing), error.end


codecs.register_error("lampbench.ascii", _in_ascii)


def open_streams() -> None:
    """See to it that printing cannot fail for the text or for a stream that is closed.

    A closed stream becomes the null device: the next file that is opened would take its number, and what a
    library prints would go into that file.
    """
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # takes the lowest free number, which is this one
    # Python has no stream where there was none when it started.
    sys.stdout = sys.stdout or io.TextIOWrapper(io.FileIO(1, "w", closefd=False), encoding="utf-8")
    sys.stderr = sys.stderr or io.TextIOWrapper(io.FileIO(2, "w", closefd=False), encoding="utf-8")
    for stream in (sys.stdout, sys.stderr):
        reconfigure = getattr(stream, "reconfigure", None)
        if reconfigure is not None:
            reconfigure(errors="lampbench.ascii")


def print_bug(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    """The traceback, for `sys.excepthook`: its message may hold anything."""
    complain("".join(traceback.format_exception(kind, error, trace)).rstrip("\n"))


def complain(text: str) -> None:
    """Lines on standard error, if it takes them: that it does not is no reason to end otherwise."""
    with suppress(OSError):
        print(printable_lines(text), file=sys.stderr, flush=True)


def refuses(stream: TextIO) -> OSError | None:
    """Why nothing can be written to the stream (a full disk, a pipe that nobody reads); None if it can."""
    try:
        print(file=stream, flush=True)
    except OSError as error:
        return error
    return None


def close_streams() -> None:
    """Flush; what a stream does not take is dropped, so that the interpreter does not stumble over it."""
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except OSError:
            with suppress(OSError):
                os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
