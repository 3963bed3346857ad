"""JSON on disk that can be trusted: finite numbers only, and checked types."""

from __future__ import annotations

import dataclasses
import functools
import json
import math
import os
import types
import typing
from collections.abc import Mapping
from typing import Any

from lampbench.errors import RunError

# Dataclass fields with this metadata are about the object in memory and stay out of its file.
NOT_IN_FILE = {"lampbench.json": False}


def plain(value: Any, where: str = "") -> Any:
    """The value as JSON types: dataclasses become dicts, tuples lists, numpy scalars numbers, paths text.

    Args:
        value: what is to be written.
        where: name of the value, for messages; fields are named like `metrics.mae.value`.

    Raises:
        RunError: a number is not finite, a key is no text, or a value has no JSON form. Dropping it would
            make a failed run look like one that never measured.
    """
    if value is None or isinstance(value, (str, bool, int)):
        return value
    if isinstance(value, float):
        if not math.isfinite(value):
            raise RunError(f"{where or 'value'} is {value}: only finite numbers can be recorded")
        return float(value)
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {
            f.name: plain(getattr(value, f.name), _join(where, f.name))
            for f in dataclasses.fields(value)
            if f.metadata.get("lampbench.json", True)
        }
    if isinstance(value, Mapping):
        for key in value:
            if not isinstance(key, str):
                raise RunError(f"{where or 'value'} has the key {key!r}: keys of a record are text")
        return {key: plain(item, _join(where, key)) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(item, f"{where}[{i}]") for i, item in enumerate(value)]
    if isinstance(value, os.PathLike):
        return os.fspath(value)
    if getattr(value, "shape", None) == () and hasattr(value, "item"):  # a numpy scalar
        return plain(value.item(), where)
    raise RunError(f"{where or 'value'} is a {type(value).__name__}, which has no place in a record")


def pretty(value: Any, indent: str = "") -> str:
    """JSON text of a plain value: one line per field, lists on one line, so that diffs are short."""
    if isinstance(value, dict) and value:
        inner = indent + "  "
        rows = [f"{inner}{compact(key)}: {pretty(item, inner)}" for key, item in value.items()]
        return "{\n" + ",\n".join(rows) + f"\n{indent}}}"
    if isinstance(value, list):
        return json.dumps(value, ensure_ascii=False, allow_nan=False)
    return compact(value)


def compact(value: Any) -> str:
    """JSON text without spaces."""
    return json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))


class WrongShape(ValueError):
    """A JSON value is not what the dataclass says; the text names the field and what it holds."""


T = typing.TypeVar("T")


def read_as(kind: type[T], value: Any, where: str = "") -> T:
    """The dataclass that a JSON object describes; the inverse of plain.

    Fields that have a default may be missing. Fields that the dataclass lacks are an error: they are a
    misspelling, or from another version, and either way would be lost when the file is written again.

    Raises:
        WrongShape: a field is missing, unknown or of another type.
    """
    if not isinstance(value, dict):
        raise WrongShape(f"{where or 'the file'} is {kind_of(value)}, not an object")
    fields = _fields(kind)  # type: ignore[arg-type]
    for name in value:
        if name not in fields:
            raise WrongShape(f"unknown field '{_join(where, name)}'")
    values = {}
    for name, (hint, needed) in fields.items():
        if name in value:
            values[name] = _read(hint, value[name], _join(where, name))
        elif needed:
            raise WrongShape(f"no field '{_join(where, name)}'")
    return kind(**values)


# Not pydantic: it would read 255 records in a tenth of the time, but needs 90 ms to be loaded and to learn their
# shape, which is about what reading all of them takes here; and most commands read one, in 2 ms.
def _read(hint: Any, value: Any, where: str) -> Any:
    if hint in _NAMES:
        return _read_scalar(hint, value, where)
    if hint is Any:
        return value
    if dataclasses.is_dataclass(hint):
        return read_as(typing.cast("type[Any]", hint), value, where)
    origin, args = typing.get_origin(hint), typing.get_args(hint)
    if origin in (typing.Union, types.UnionType):
        if value is None and type(None) in args:
            return None
        (hint,) = (arg for arg in args if arg is not type(None))
        return _read(hint, value, where)
    if origin is typing.Literal:
        if value not in args:
            raise WrongShape(f"{where} is {value!r}, not one of {', '.join(map(str, args))}")
        return value
    if origin is dict:
        if not isinstance(value, dict):
            raise WrongShape(f"{where} is {kind_of(value)}, not an object")
        return {key: _read(args[1], item, _join(where, key)) for key, item in value.items()}
    return origin(_read_items(args, value, where, each=origin is list or args[-1] is Ellipsis))


def _read_items(args: tuple[Any, ...], value: Any, where: str, *, each: bool) -> list[Any]:
    """The items of a list, of one type for each of them or of a type for every place."""
    if not isinstance(value, list):
        raise WrongShape(f"{where} is {kind_of(value)}, not a list")
    hints = args[:1] * len(value) if each else args
    if len(value) != len(hints):
        raise WrongShape(f"{where} has {len(value)} values, not {len(args)}")
    return [_read(h, v, f"{where}[{i}]") for i, (h, v) in enumerate(zip(hints, value, strict=True))]


def _read_scalar(hint: Any, value: Any, where: str) -> Any:
    # bool is an int to Python, and an int is a fine float to everybody.
    fits = (int, float) if hint is float else hint
    if not isinstance(value, fits) or (isinstance(value, bool) and hint is not bool):
        raise WrongShape(f"{where} is {kind_of(value)}, not {_NAMES[hint]}")
    return float(value) if hint is float else value


_NAMES: Mapping[Any, str] = {str: "text", int: "an integer", float: "a number", bool: "true or false"}


def kind_of(value: Any) -> str:
    """What a JSON value is, in a person's words."""
    names = {dict: "an object", list: "a list", str: "text", bool: "true or false", type(None): "null"}
    return names.get(type(value), "a number")


def _join(where: str, name: str) -> str:
    return f"{where}.{name}" if where else name


@functools.cache
def _fields(kind: Any) -> dict[str, tuple[Any, bool]]:
    """The fields that are in the file: the type of each, and whether it must be there."""
    hints = typing.get_type_hints(kind)
    return {
        f.name: (hints[f.name], f.default is dataclasses.MISSING and f.default_factory is dataclasses.MISSING)
        for f in dataclasses.fields(kind)
        if f.metadata.get("lampbench.json", True)
    }
