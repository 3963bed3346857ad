"""What can be reached from an object: attributes, items, closures, and the frames of suspended generators."""

from __future__ import annotations

import types
from collections.abc import Callable, Iterator, Mapping
from typing import Any

MOST_OBJECTS = 1_000_000  # a method that holds more is searched no further

# Reached from everywhere, and leading everywhere.
_ENDS = (types.ModuleType, type, types.CodeType, int, float, complex, bool, type(None))


def find_text(start: Any, wanted: Callable[[str], bool]) -> str | None:
    """The first text that can be reached from `start` and is wanted; None if there is none.

    Args:
        start: where to begin.
        wanted: whether a text is what is looked for.
    """
    seen: set[int] = set()
    waiting = [start]
    while waiting and len(seen) < MOST_OBJECTS:
        thing = waiting.pop()
        if isinstance(thing, str):
            if wanted(thing):
                return thing
            continue
        if isinstance(thing, _ENDS) or id(thing) in seen:
            continue
        seen.add(id(thing))
        waiting += _inside(thing)
    return None


def _inside(thing: Any) -> Iterator[Any]:
    if isinstance(thing, Mapping):
        yield from list(thing.keys())
        yield from list(thing.values())
    elif isinstance(thing, (list, tuple, set, frozenset)):
        yield from thing
    elif isinstance(thing, types.MethodType):
        yield thing.__self__
        yield thing.__func__
    elif isinstance(thing, types.FunctionType):
        empty = types.CellType()
        yield from (cell.cell_contents for cell in thing.__closure__ or () if cell != empty)
        yield thing.__defaults__
    elif isinstance(thing, types.GeneratorType):
        if thing.gi_frame is not None:
            yield from list(thing.gi_frame.f_locals.values())
        yield thing.gi_yieldfrom
    elif isinstance(thing, types.FrameType):
        yield from list(thing.f_locals.values())
    else:
        yield from list(getattr(thing, "__dict__", {}).values())
        for name in ("func", "args", "keywords"):  # functools.partial
            yield getattr(thing, name, None)
        for cls in type(thing).__mro__:
            slots = getattr(cls, "__slots__", ())
            for slot in (slots,) if isinstance(slots, str) else slots:
                yield getattr(thing, slot, None)
