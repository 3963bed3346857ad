"""The two ways in which a request can end without a result, each told in one line."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from itertools import islice


class LampbenchError(Exception):
    """An expected failure. Its text is one clear line: the value, the place and the remedy."""

    exit_status = 1


class RequestError(LampbenchError):
    """The request itself is wrong (a name, a file, an option): nothing was run. Exit status 2."""

    exit_status = 2


class RunError(LampbenchError):
    """The request was right and the run failed. Exit status 1."""


def described(error: BaseException) -> str:
    """An exception as one line: `ValueError: not today`."""
    text = " ".join(str(error).split())
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


def short(value: object, n: int = 60) -> str:
    """A value as text for a message: its beginning, if it is long, since a file may hold anything."""
    text = str(value)
    return text if len(text) <= n else f"{text[:n]}…"


def some(names: Iterable[object], n: int = 3, more: str = "…") -> str:
    """The first few of many names, for a message.

    >>> some(["110", "111", "112", "113"])
    '110, 111, 112, …'
    """
    first = list(islice(names, n + 1))
    return ", ".join([*map(str, first[:n]), *([more] if len(first) > n else [])])


def unknown(kind: str, value: object, allowed: Iterable[str]) -> RequestError:
    """The error for a name that does not exist: says what is allowed and which name is nearest.

    >>> str(unknown("task", "LaMP-33", ["LaMP-3", "LaMP-4"]))
    "unknown task 'LaMP-33': did you mean 'LaMP-3'? Known: LaMP-3, LaMP-4"
    """
    names = list(allowed)
    by_lower = {name.lower(): name for name in names}
    value = short(value)
    nearest = difflib.get_close_matches(value.lower(), list(by_lower), n=1, cutoff=0.5)
    hint = f" did you mean '{by_lower[nearest[0]]}'?" if nearest else ""
    return RequestError(f"unknown {kind} '{value}':{hint} Known: {', '.join(names) or 'none'}")
