"""Dataclasses as JSON and back: what is written can be read, and what is wrong is named by its field."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lampbench.errors import RunError
from lampbench.files.typed_json import NOT_IN_FILE, WrongShape, compact, plain, pretty, read_as


@dataclass(frozen=True)
class Inner:
    name: str
    value: float = 0.0


@dataclass(frozen=True)
class Outer:
    n: int
    inner: Inner
    maybe: Inner | None = None
    state: Literal["started", "complete"] = "started"
    points: tuple[tuple[int, float], ...] = ()
    by_name: dict[str, list[int]] = field(default_factory=dict)
    is_whole: bool = True
    anything: Any = None
    folder: str = field(default="", metadata=NOT_IN_FILE)


JSON: dict[str, Any] = {"n": 1, "inner": {"name": "a"}}

numbers = st.floats(allow_nan=False, allow_infinity=False)
inners = st.builds(Inner, st.text(), numbers)
outers = st.builds(
    Outer,
    st.integers(),
    inners,
    st.none() | inners,
    st.sampled_from(["started", "complete"]),
    st.lists(st.tuples(st.integers(), numbers)).map(tuple),
    st.dictionaries(st.text(), st.lists(st.integers())),
    st.booleans(),
)


@given(outers)
def test_what_is_written_is_read_as_it_was(outer: Outer) -> None:
    for text in (pretty(plain(outer)), compact(plain(outer))):
        assert read_as(Outer, json.loads(text)) == outer


def test_a_field_about_the_object_in_memory_stays_out_of_the_file() -> None:
    assert "folder" not in plain(Outer(1, Inner("a"), folder="/somewhere"))
    with pytest.raises(WrongShape, match=r"^unknown field 'folder'$"):
        read_as(Outer, JSON | {"folder": "/somewhere"})


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"n": True}, "n is true or false, not an integer"),
        ({"n": 1.0}, "n is a number, not an integer"),
        ({"inner": []}, "inner is a list, not an object"),
        ({"inner": {}}, "no field 'inner.name'"),
        ({"inner": {"name": None}}, "inner.name is null, not text"),
        ({"inner": {"name": "a", "nmae": "b"}}, "unknown field 'inner.nmae'"),
        ({"maybe": {"name": 1}}, "maybe.name is a number, not text"),
        ({"state": "done"}, "state is 'done', not one of started, complete"),
        ({"points": [[1, 2.0], [3]]}, "points[1] has 1 values, not 2"),
        ({"points": [[1, "x"]]}, "points[0][1] is text, not a number"),
        ({"by_name": {"a": [1, "2"]}}, "by_name.a[1] is text, not an integer"),
        ({"is_whole": 1}, "is_whole is a number, not true or false"),
    ],
)
def test_what_is_wrong_is_named_by_its_field(changed: dict[str, Any], message: str) -> None:
    with pytest.raises(WrongShape) as error:
        read_as(Outer, JSON | changed)
    assert str(error.value) == message


def test_an_integer_is_a_fine_number_and_is_read_as_one() -> None:
    value = read_as(Inner, {"name": "a", "value": 3}).value
    assert (value, type(value)) == (3.0, float)


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ({"metrics": {"mae": math.nan}}, "metrics.mae is nan: only finite numbers can be recorded"),
        ({"losses": [0.5, math.inf]}, "losses[1] is inf: only finite numbers can be recorded"),
        ({"counts": {1: "a"}}, "counts has the key 1: keys of a record are text"),
        ({"what": {1, 2}}, "what is a set, which has no place in a record"),
    ],
)
def test_what_has_no_form_is_refused_and_never_dropped(value: Any, message: str) -> None:
    with pytest.raises(RunError) as error:
        plain(value)
    assert str(error.value) == message


def test_numbers_of_numpy_and_paths_are_what_they_stand_for() -> None:
    made = plain({"a": np.float32(0.5), "b": np.int64(7), "c": Path("x") / "y", "d": (1, 2)})
    assert made == {"a": 0.5, "b": 7, "c": "x/y", "d": [1, 2]}
    assert [type(value) for value in made.values()] == [float, int, str, list]


def test_a_pretty_file_has_a_line_for_each_field() -> None:
    assert (
        pretty({"a": 1, "b": {"c": [1, 2]}, "d": {}})
        == '{\n  "a": 1,\n  "b": {\n    "c": [1, 2]\n  },\n  "d": {}\n}'
    )
