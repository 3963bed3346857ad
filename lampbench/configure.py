"""From `--set name=value` to a method's Config: every value is checked against the type of its field."""

from __future__ import annotations

import dataclasses
import math
import types
import typing
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, TypeVar, Union

from lampbench.errors import RequestError, short, unknown

C = TypeVar("C")

_TRUE = ("true", "yes", "on", "1")
_FALSE = ("false", "no", "off", "0")


@dataclass(frozen=True)
class Setting:
    """One `--set`: the method it is for (None: the one that runs), the option and its value as text."""

    method: str | None
    name: str
    text: str


def parse_settings(arguments: Iterable[str]) -> list[Setting]:
    """`["k=2", "pplug.steps=100"]` as settings.

    Raises:
        RequestError: no `=`, or no name before it.
    """
    settings = []
    for argument in arguments:
        name, equals, text = argument.partition("=")
        method, dot, option = name.strip().rpartition(".")
        if not equals or not option or (dot and not method):
            raise RequestError(f"--set {argument}: write name=value or method.name=value")
        settings.append(Setting(method or None, option, text.strip()))
    return settings


def make_config(config: type[C], values: Mapping[str, Any], *, owner: str) -> C:
    """An instance of the dataclass with `values` in place of its defaults.

    Args:
        config: the dataclass.
        values: by field name; a text is parsed as the field's type, anything else must be of that type.
        owner: whose options these are, for messages: `bm25`.

    Raises:
        RequestError: an unknown name, a value of the wrong type, or one that the dataclass refuses.
    """
    fields = {f.name: f for f in dataclasses.fields(config) if f.init}  # type: ignore[arg-type]
    hints = typing.get_type_hints(config)
    converted = {}
    for name, value in values.items():
        if name not in fields:
            raise unknown(f"option of {owner}", name, fields)
        try:
            converted[name] = (
                _parse(value, hints[name]) if isinstance(value, str) else _check(value, hints[name])
            )
        except ValueError:
            wanted = describe(hints[name])
            raise RequestError(f"option {name} of {owner} must be {wanted}, not '{short(value)}'") from None
    try:
        return config(**converted)
    except (TypeError, ValueError) as error:
        raise RequestError(f"options of {owner}: {error}") from error


def as_dict(config: Any) -> dict[str, Any]:
    """The fields of a Config as JSON values, in the order of the file."""
    return {f.name: _plain(getattr(config, f.name)) for f in dataclasses.fields(config)}


def describe(kind: Any) -> str:
    """A type in words: `an integer`, `one of kl, released`, `a finite number or none`."""
    origin = typing.get_origin(kind)
    if origin is Literal:
        return "one of " + ", ".join(_word(choice) for choice in typing.get_args(kind))
    if origin in (Union, types.UnionType):
        parts = [describe(part) for part in typing.get_args(kind) if part is not type(None)]
        return " or ".join([*parts, "none"] if type(None) in typing.get_args(kind) else parts)
    if origin in (tuple, list):
        inner = [part for part in typing.get_args(kind) if part is not Ellipsis]
        return "a list with commas" + (f", each {describe(inner[0])}" if inner else "")
    names = {
        bool: "true or false",
        int: "an integer",
        float: "a finite number",
        str: "text",
        type(None): "none",
    }
    return names.get(kind, str(getattr(kind, "__name__", kind)))


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value


def _word(value: object) -> str:
    if value is None or isinstance(value, bool):
        return str(value).lower()
    return str(value)


def _parse(text: str, kind: Any) -> Any:
    """The text as a value of that type. Raises ValueError."""
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if origin is Literal:
        for choice in arguments:
            if text == _word(choice):
                return choice
        raise ValueError(text)
    if origin in (Union, types.UnionType):
        # `none` first and text last: whatever else fits is meant.
        for part in sorted(arguments, key=lambda p: (p is str, p is not type(None))):
            try:
                return _parse(text, part)
            except ValueError:
                continue
        raise ValueError(text)
    if origin in (tuple, list):
        inner = [part for part in arguments if part is not Ellipsis]
        stripped = text.strip("()[]").strip()
        parts = [part.strip() for part in stripped.split(",") if part.strip()] if stripped else []
        return _sequence([_parse(part, kind) for part, kind in _each(parts, inner, arguments)], origin)
    return _parse_plain(text, kind)


def _parse_plain(text: str, kind: Any) -> Any:
    if kind is type(None):
        if text.lower() in ("none", "null"):
            return None
    elif kind is bool:
        if text.lower() in _TRUE + _FALSE:
            return text.lower() in _TRUE
    elif kind is int:
        return int(text)
    elif kind is float:
        value = float(text)
        if math.isfinite(value):  # nothing else can be recorded
            return value
    elif kind is str or kind is Any:
        return text
    raise ValueError(text)


def _check(value: Any, kind: Any) -> Any:
    """The value, which came typed (from a preset or from Python), as that type. Raises ValueError."""
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if kind is Any:
        return value
    if origin is Literal:
        if any(value == choice and type(value) is type(choice) for choice in arguments):
            return value
    elif origin in (Union, types.UnionType):
        for part in arguments:
            try:
                return _check(value, part)
            except ValueError:
                continue
    elif origin in (tuple, list):
        if isinstance(value, (tuple, list)):
            inner = [part for part in arguments if part is not Ellipsis]
            return _sequence([_check(v, k) for v, k in _each(list(value), inner, arguments)], origin)
    elif kind is float:
        if isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value):
            return float(value)
    elif kind is int:
        if isinstance(value, int) and not isinstance(value, bool):
            return value
    elif isinstance(value, kind):
        return value
    raise ValueError(value)


def _each(values: list[Any], inner: list[Any], arguments: tuple[Any, ...]) -> Iterable[tuple[Any, Any]]:
    """Each value with its type: `tuple[int, ...]` has one type for all, `tuple[int, str]` one for each."""
    if not inner:
        return [(value, Any) for value in values]
    if Ellipsis in arguments or len(inner) == 1:
        return [(value, inner[0]) for value in values]
    return list(zip(values, inner, strict=True))


def _sequence(values: list[Any], origin: Any) -> Any:
    return tuple(values) if origin is tuple else values
