"""What an option may be, said in the type of its field: `steps: PositiveInt = 100`, `draws: Annotated[int, Ge(2)] = 2`.

Every constraint that pydantic knows holds: those of annotated-types, or `pydantic.Field(...)`. A text beside it is
how messages and lists put it: `Annotated[int, MultipleOf(2), "even"]`. A field without a constraint may be whatever
its type allows.
"""

from __future__ import annotations

import dataclasses
import functools
import json
import typing
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Annotated, Any

from annotated_types import Ge, Gt, Interval

if TYPE_CHECKING:
    from pydantic import TypeAdapter, ValidationError

PositiveInt = Annotated[int, Ge(1)]
Count = Annotated[int, Ge(0)]
PositiveFloat = Annotated[float, Gt(0)]
NonNegativeFloat = Annotated[float, Ge(0)]
Probability = Annotated[float, Interval(ge=0, le=1)]
DropoutRate = Annotated[float, Interval(ge=0, lt=1)]
WarmupShare = Annotated[float, Interval(ge=0, le=1), "a share of the steps, from 0 to 1"]


class Checked:
    """The base of a dataclass whose constraints hold however it is made; `make_config` asks for those of others."""

    def __post_init__(self) -> None:
        check(self)


def check(options: Any) -> None:
    """Refuse what a constraint of the dataclass does not let through; a float with a constraint is finite, too.

    Raises:
        ValueError: the first such field, in one line with its name and value.
    """
    from pydantic import ValidationError

    kind: Any = type(options)
    for name, hint in _constrained(kind).items():
        value = getattr(options, name)
        try:
            adapter(hint).validate_python(value)
        except ValidationError as error:
            raise ValueError(f"{name} {_told(error, hint)}, not {value}") from None


@functools.cache
def adapter(hint: Any) -> TypeAdapter[Any]:
    """Checks and converts values to a type; numbers are finite, for no others can be recorded."""
    from pydantic import ConfigDict, PydanticUserError, TypeAdapter

    try:
        return TypeAdapter(hint, config=ConfigDict(allow_inf_nan=False, arbitrary_types_allowed=True))
    except PydanticUserError:  # a dataclass or a model, which brings rules of its own
        return TypeAdapter(hint)


def typed(value: Any, hint: Any) -> Any:
    """A value from TOML or Python as one of that type: a list may be a tuple and 1 a float, but true is no number.

    Raises:
        ValueError: it is of another type.
    """
    try:
        text = json.dumps(value)
    except TypeError:  # JSON knows no dates, for one
        return adapter(hint).validate_python(value, strict=True)
    return adapter(hint).validate_json(text, strict=True)


def in_words(constraints: Iterable[Any]) -> str:
    """What a value must be: `at least 1`, `above 0`, `not negative`, `from 0 to below 1`; empty if no word fits."""
    bounds: dict[str, Any] = {}
    for constraint in constraints:
        if isinstance(constraint, str):
            return constraint
        for part in getattr(constraint, "metadata", [constraint]):  # a pydantic.Field holds several
            bounds |= {kind: bound for kind in _WORDS if (bound := getattr(part, kind, None)) is not None}
    if bounds == {"ge": 0}:
        return "not negative"
    if "ge" in bounds and "le" in bounds:
        return f"from {bounds['ge']} to {bounds['le']}"
    if "ge" in bounds and "lt" in bounds:
        return f"from {bounds['ge']} to below {bounds['lt']}"
    return " and ".join(f"{word} {bounds[kind]}" for kind, word in _WORDS.items() if kind in bounds)


_WORDS = {"ge": "at least", "gt": "above", "le": "at most", "lt": "below"}


def _told(error: ValidationError, hint: Any) -> str:
    details = error.errors(include_url=False)
    if any(detail["type"] == "finite_number" for detail in details):
        return "must be finite"
    if words := in_words(metadata_of(hint)):
        return f"must be {words}".replace("be not", "not be")
    return f"is wrong ({details[0]['msg']})"


@functools.cache
def _constrained(kind: Any) -> dict[str, Any]:
    """The types of the fields that have a constraint, by name."""
    hints = typing.get_type_hints(kind, include_extras=True)
    own = {f.name: hints[f.name] for f in dataclasses.fields(kind)}
    return {name: hint for name, hint in own.items() if any(True for _ in metadata_of(hint))}


def metadata_of(hint: Any) -> Iterator[Any]:
    """What stands beside types inside a type, as in `PositiveFloat | None`."""
    yield from getattr(hint, "__metadata__", ())
    if typing.get_origin(hint) is not typing.Literal:
        for part in typing.get_args(hint):
            yield from metadata_of(part)
