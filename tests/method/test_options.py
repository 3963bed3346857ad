"""`--set name=value`: the value becomes what the field's type says, or the request is refused in one line."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal

import pytest
from annotated_types import Ge, Gt, Interval, Le, Lt, MultipleOf, Predicate
from pydantic import Field

from lampbench.constraints import Checked, Count, PositiveFloat, PositiveInt, in_words
from lampbench.errors import RequestError
from lampbench.method.options import as_dict, describe, make_config, parse_settings


@dataclass(frozen=True)
class Options:
    k: int = 4
    rate: float = 1e-4
    scale: float | None = None
    loss: Literal["kl", "released"] = "kl"
    level: Literal[1, 2] = 1
    normalise: bool = False
    pool: tuple[str, ...] = ("bm25",)
    sizes: tuple[int, int] = (1, 2)
    title: str = ""

    def __post_init__(self) -> None:
        if self.k < 1:
            raise ValueError(f"k must be at least 1, not {self.k}")


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        ("k", "8", 8),
        ("rate", "2e-5", 2e-5),
        ("rate", "3", 3.0),
        ("scale", "none", None),
        ("scale", "539.97", 539.97),
        ("loss", "released", "released"),
        ("level", "2", 2),
        ("normalise", "true", True),
        ("normalise", "Off", False),
        ("pool", "bm25,recency", ("bm25", "recency")),
        ("pool", "(bm25, recency)", ("bm25", "recency")),
        ("pool", "", ()),
        ("sizes", "3,4", (3, 4)),
        ("title", "none", "none"),
        ("title", "a=b", "a=b"),
    ],
)
def test_a_text_becomes_what_the_field_says(name: str, text: str, value: object) -> None:
    config = make_config(Options, {name: text}, owner="mine")
    found = getattr(config, name)
    assert found == value
    assert type(found) is type(value)


@pytest.mark.parametrize(
    ("name", "text", "wanted"),
    [
        ("k", "four", "an integer"),
        ("k", "4.5", "an integer"),
        ("k", "", "an integer"),
        ("rate", "fast", "a finite number"),
        ("rate", "nan", "a finite number"),
        ("rate", "1e999", "a finite number"),
        ("scale", "-inf", "a finite number or none"),
        ("scale", "big", "a finite number or none"),
        ("loss", "KL", "one of kl, released"),
        ("level", "3", "one of 1, 2"),
        ("normalise", "maybe", "true or false"),
        ("sizes", "1,2,3", "a list with commas, each an integer"),
        ("title", "\udcff", "text"),  # what Python makes of a byte that is no UTF-8
    ],
)
def test_a_wrong_type_names_option_method_and_what_is_allowed(name: str, text: str, wanted: str) -> None:
    with pytest.raises(RequestError) as error:
        make_config(Options, {name: text}, owner="mine")
    assert str(error.value) == f"option {name} of mine must be {wanted}, not '{text}'"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("k", True),
        ("k", 4.0),
        ("rate", True),
        ("rate", float("inf")),
        ("scale", float("nan")),
        ("normalise", 1),
        ("loss", "KL"),
        ("pool", "bm25"),
        ("level", True),
    ],
)
def test_values_from_a_preset_are_checked_too(name: str, value: object) -> None:
    if name == "pool":  # a text is parsed wherever it comes from
        assert make_config(Options, {name: value}, owner="mine").pool == ("bm25",)
        return
    with pytest.raises(RequestError, match=f"option {name} of mine must be"):
        make_config(Options, {name: value}, owner="mine")


def test_numbers_and_lists_from_toml_fit_their_fields() -> None:
    config = make_config(Options, {"rate": 1, "pool": ["a", "b"], "scale": 2}, owner="mine")
    assert (config.rate, config.pool, config.scale) == (1.0, ("a", "b"), 2.0)
    assert isinstance(config.rate, float)


def test_an_unknown_option_suggests_the_nearest() -> None:
    with pytest.raises(RequestError, match="unknown option of mine 'normalize': did you mean 'normalise'"):
        make_config(Options, {"normalize": "true"}, owner="mine")


def test_what_the_config_refuses_is_a_wrong_request() -> None:
    with pytest.raises(RequestError, match="options of mine: k must be at least 1, not 0"):
        make_config(Options, {"k": "0"}, owner="mine")


def test_settings_may_name_their_method() -> None:
    plain, scoped = parse_settings(["k=2", "ropg-kd.pool=a,b"])
    assert (plain.method, plain.name, plain.text) == (None, "k", "2")
    assert (scoped.method, scoped.name, scoped.text) == ("ropg-kd", "pool", "a,b")


@pytest.mark.parametrize("argument", ["k", "=2", "bm25.=2", ".k=2"])
def test_a_setting_without_name_or_value_is_refused(argument: str) -> None:
    with pytest.raises(RequestError, match="write name=value"):
        parse_settings([argument])


def test_a_config_becomes_json_values() -> None:
    values = as_dict(Options())
    assert values["pool"] == ["bm25"]
    assert next(iter(values)) == "k"


def test_types_are_described_in_words() -> None:
    assert describe(Literal[True, "x", None]) == "one of true, x, none"
    assert describe(int | str) == "an integer or text"


@dataclass(frozen=True)
class Shape:
    width: int = 1


@dataclass(frozen=True)
class Constrained:  # not even a Checked: who writes a Config need not know of it
    k: PositiveInt = 4
    share: Annotated[float, Interval(ge=0, lt=1)] = 0.5
    scale: PositiveFloat | None = None
    layers: tuple[Count, ...] = ()
    pages: Annotated[int, MultipleOf(2), "even"] = 2
    grid: Annotated[int, MultipleOf(4)] = 4
    top: Annotated[int, Field(ge=1, le=9)] = 1
    odd: Annotated[int, Predicate(lambda n: n % 2 == 1), "odd"] = 1
    either: int | str = 0
    folder: Path = Path()
    shape: Shape = field(default_factory=Shape)
    free: Any = None


@pytest.mark.parametrize(
    ("name", "value", "told"),
    [
        ("k", "0", "k must be at least 1, not 0"),
        ("share", "1", "share must be from 0 to below 1, not 1.0"),
        ("scale", "0", "scale must be above 0, not 0.0"),
        ("scale", 0, "scale must be above 0, not 0.0"),
        ("layers", "3,-1", r"layers must not be negative, not \(3, -1\)"),
        ("pages", "3", "pages must be even, not 3"),
        ("odd", 2, "odd must be odd, not 2"),
        ("top", "10", "top must be from 1 to 9, not 10"),
        ("grid", "6", r"grid is wrong \(Input should be a multiple of 4\), not 6"),
    ],
)
def test_a_constraint_beside_the_field_holds_in_any_dataclass(name: str, value: object, told: str) -> None:
    with pytest.raises(RequestError, match=f"^options of mine: {told}$"):
        make_config(Constrained, {name: value}, owner="mine")


@pytest.mark.parametrize(
    ("name", "value", "wanted"),
    [
        ("k", "four", "an integer"),
        ("scale", "big", "a finite number or none"),
        ("layers", "1,x", "a list with commas, each an integer"),
        ("shape", "wide", "Shape"),
    ],
)
def test_a_wrong_type_is_told_before_any_constraint(name: str, value: str, wanted: str) -> None:
    with pytest.raises(RequestError, match=f"^option {name} of mine must be {wanted}, not '{value}'$"):
        make_config(Constrained, {name: value}, owner="mine")


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("either", "5", 5),
        ("either", "five", "five"),
        ("layers", "0,3", (0, 3)),
        ("layers", [0, 3], (0, 3)),
        ("folder", "a/b", Path("a/b")),
        ("shape", {"width": 3}, Shape(3)),
        ("scale", "NULL", None),
        ("free", {"any": [1.5]}, {"any": [1.5]}),
    ],
)
def test_what_a_constraint_lets_through_becomes_what_the_type_says(
    name: str, value: object, expected: object
) -> None:
    found = getattr(make_config(Constrained, {name: value}, owner="mine"), name)
    assert found == expected
    assert type(found) is type(expected)


def test_a_checked_dataclass_refuses_however_it_is_made() -> None:
    @dataclass(frozen=True)
    class Mine(Checked):
        rate: PositiveFloat = 1.0
        plain: float = 1.0

    assert Mine(rate=2).rate == 2
    assert Mine(plain=float("inf")).plain == float("inf")  # no constraint, nothing to hold
    for value, told in ((0.0, "be above 0, not 0.0"), (float("nan"), "be finite, not nan")):
        with pytest.raises(ValueError, match=f"^rate must {told}$"):
            Mine(rate=value)


def test_constraints_are_put_in_words() -> None:
    assert in_words([Ge(1)]) == "at least 1"
    assert in_words([Ge(0)]) == "not negative"
    assert in_words([Gt(0), Le(2)]) == "above 0 and at most 2"
    assert in_words([Ge(0), Lt(1)]) == in_words([Interval(ge=0, lt=1)]) == "from 0 to below 1"
    assert in_words([Ge(1), "a number of pages"]) == "a number of pages"
    assert in_words([MultipleOf(2)]) == in_words([]) == ""
