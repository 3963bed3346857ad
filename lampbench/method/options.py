"""From `--set name=value` to a method's Config: every value is checked against the type of its field."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import types
import typing
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, TypeVar, Union

from lampbench.constraints import adapter, check, typed
from lampbench.errors import RequestError, short, unknown

C = TypeVar("C")

_NONE = ("none", "null")
_UNIONS = (Union, types.UnionType)


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
    hints = _hints(config)  # type: ignore[arg-type]
    converted = {}
    for name, value in values.items():
        if name not in fields:
            raise unknown(f"option of {owner}", name, fields)
        try:
            converted[name] = _value(value, hints[name])
        except ValueError:
            wanted = describe(hints[name])
            raise RequestError(f"option {name} of {owner} must be {wanted}, not '{short(value)}'") from None
    try:
        made = config(**converted)
        check(made)
    except (TypeError, ValueError) as error:
        raise RequestError(f"options of {owner}: {error}") from error
    return made


def as_dict(config: Any) -> dict[str, Any]:
    """The fields of a Config as JSON values, in the order of the file."""
    return {f.name: _plain(getattr(config, f.name)) for f in dataclasses.fields(config)}


def describe(kind: Any) -> str:
    """A type in words: `an integer`, `one of kl, released`, `a finite number or none`."""
    origin = typing.get_origin(kind)
    if origin is Literal:
        return "one of " + ", ".join(_word(choice) for choice in typing.get_args(kind))
    if origin in _UNIONS:
        parts = [describe(part) for part in typing.get_args(kind) if part is not type(None)]
        return " or ".join([*parts, "none"] if type(None) in typing.get_args(kind) else parts)
    if origin in (tuple, list):
        inner = [part for part in typing.get_args(kind) if part is not Ellipsis]
        return "a list with commas" + (f", each {describe(inner[0])}" if inner else "")
    if origin in (dict, Mapping):
        return "a table"
    names = {
        bool: "true or false",
        int: "an integer",
        float: "a finite number",
        str: "text",
        type(None): "none",
    }
    return names.get(kind, str(getattr(kind, "__name__", kind)))


@functools.cache
def _hints(config: Any) -> dict[str, Any]:
    return typing.get_type_hints(config)


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value


def _word(value: object) -> str:
    if value is None or isinstance(value, bool):
        return str(value).lower()
    return str(value)


def _value(value: Any, kind: Any) -> Any:
    """The value as one of that type: a text is parsed, anything else is checked. Raises ValueError."""
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if origin is Literal:
        for choice in arguments:
            if value == _word(choice) or (value == choice and type(value) is type(choice)):
                return choice
        raise ValueError(value)
    if not isinstance(value, str):
        return typed(value, kind)
    value.encode()  # bytes that are no UTF-8 raise a ValueError, too
    if origin in _UNIONS:
        # `none` first and text last: whatever else fits is meant.
        for part in sorted(arguments, key=lambda p: (p is str, p is not type(None))):
            with contextlib.suppress(ValueError):
                return _value(value, part)
        raise ValueError(value)
    if origin in (tuple, list):
        parts = [part.strip() for part in value.strip("()[]").split(",") if part.strip()]
        each = origin is tuple and Ellipsis not in arguments  # has a type of its own
        kinds = arguments if each else arguments[:1] * len(parts)
        return origin(_value(part, kind) for part, kind in zip(parts, kinds, strict=True))
    if kind is type(None) and value.lower() in _NONE:
        return None
    return adapter(kind).validate_python(value)
