"""JSON is read as Python reads it, in pieces of any size, or refused with the place: nothing else can happen."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lampbench.data.output_entries import OutputEntries
from lampbench.files import json_stream
from lampbench.files.bounded_json import (
    DEEPEST,
    LONGEST_NUMBER,
    BadJson,
    parse_json,
    without_lone_surrogates,
)
from lampbench.files.json_stream import JsonStream

VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(10**30), 10**30)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=4), inner, max_size=4),
    max_leaves=12,
)


def in_pieces(content: bytes, size: int) -> Callable[[int], bytes]:
    """A reader that gives so many bytes at a time, however many are asked for."""
    left = bytearray(content)

    def read(_: int) -> bytes:
        piece = bytes(left[:size])
        del left[:size]
        return piece

    return read


def items(content: bytes, size: int = 7) -> list[Any]:
    stream = JsonStream(in_pieces(content, size))
    found = list(stream.items())
    stream.end()
    return found


@given(values=st.lists(VALUES, max_size=5), size=st.integers(1, 9), ascii=st.booleans(), indent=st.booleans())
@settings(max_examples=80, deadline=None)
def test_a_list_is_read_as_python_reads_it_whatever_the_pieces(
    values: list[Any], size: int, ascii: bool, indent: bool
) -> None:
    text = json.dumps(values, ensure_ascii=ascii, indent=1 if indent else None)
    content = text.encode("utf-8", "backslashreplace")
    assert items(content, size) == without_lone_surrogates(json.loads(content))


@given(values=st.lists(VALUES, max_size=5), size=st.integers(1, 9))
@settings(max_examples=40, deadline=None)
def test_lines_are_read_as_a_list_is(values: list[Any], size: int) -> None:
    content = "".join(json.dumps(value) + "\n" for value in values).encode()
    assert list(JsonStream(in_pieces(content, size)).values()) == without_lone_surrogates(values)


def test_a_list_that_breaks_off_anywhere_is_refused_and_mostly_told_from_one_that_is_wrong() -> None:
    content = json.dumps([{"id": 'a "b" \\', "more": [1.5e-7, True, None, "é"]}, -12]).encode()
    not_told = set()
    for end in range(1, len(content)):
        for size in (1, 4, 1000):
            with pytest.raises(BadJson) as caught:
                items(content[:end], size)
            if not caught.value.cut:
                not_told.add(content[:end][-1:])
    # In the middle of a number, a word or an escape, Python's decoder says what is wrong there.
    assert not_told <= set(map(bytes, zip(b"-.e0179truenl\\u")))


@given(content=st.binary(max_size=40) | st.text(alphabet='[]{}",:0e-.\\utfn \n', max_size=40).map(str.encode))
@settings(max_examples=300, deadline=None)
def test_no_bytes_do_more_than_fail(content: bytes) -> None:
    for read in (items, lambda b: list(OutputEntries(in_pieces(b, 5))), parse_json):
        try:
            value = read(content)
        except ValueError:  # BadJson, or WrongShape where outputs were expected
            continue
        if read is not items:
            continue
        assert value == without_lone_surrogates(json.loads(content.decode("utf-8-sig")))


@pytest.mark.parametrize("opening", ["[", '{"a":', '[{"a":'])
def test_depth_is_bounded_before_the_stack_or_the_memory_is(opening: str) -> None:
    for depth in (DEEPEST + 1, 900, 200_000):
        with pytest.raises(BadJson, match="more than 64 deep"):
            parse_json(opening * depth + "1" + {"[": "]", '{"a":': "}"}.get(opening, "}]") * depth)
    with pytest.raises(BadJson, match="more than 64 deep"):
        items(b"[" + opening.encode() * 200_000, 4096)
    deepest: Any = 1
    for _ in range(DEEPEST):
        deepest = [deepest]
    assert parse_json(json.dumps(deepest)) == deepest
    # Breadth is no depth.
    assert len(parse_json("[" + "[]," * 9999 + "[]]")) == 10_000


@pytest.mark.parametrize(
    ("number", "reason"),
    [
        ("9" * 5000, "an integer of more than 308 digits"),
        ("-" + "9" * (LONGEST_NUMBER + 1), "an integer of more than 308 digits"),
        ("1e400", "the number 1e400, which is too large or too long"),
        ("-1e999999999", "the number -1e999999999, which"),
        ("1" * 400 + ".5", "the number 11111111111111111111…, which"),
        ("0." + "0" * 5000, "the number 0.0"),
        ("NaN", "NaN, which is no number in JSON"),
        ("-Infinity", "-Infinity, which is no number"),
        ("-", "Expecting value"),
        ("1e", "Expecting ',' delimiter|',' is missing|more after"),
        ("01", "Expecting ',' delimiter|',' is missing|more after"),
        ("0x10", "Expecting ',' delimiter|',' is missing|more after"),
    ],
)
def test_a_number_that_is_none_or_has_no_end_is_refused(number: str, reason: str) -> None:
    for text in (number, f'{{"id": {number}}}', f"[{number}, 1]"):
        with pytest.raises(BadJson, match=reason):
            parse_json(text)
        with pytest.raises(BadJson, match=reason):
            items(f"[{text}]".encode(), 10_000)
        with pytest.raises(BadJson):
            items(f"[{text}]".encode(), 3)


def test_infinite_numbers_are_read_where_they_are_asked_for() -> None:
    assert parse_json('{"limits": [0.0, Infinity]}', finite=False) == {"limits": [0.0, math.inf]}
    with pytest.raises(BadJson, match="1e400"):
        parse_json("1e400", finite=False)


def test_large_numbers_that_are_some_are_read() -> None:
    numbers = [10**LONGEST_NUMBER - 1, -(2**63), 1e308, 5e-324, 1e-999]
    text = json.dumps(numbers[:4])[:-1] + ", 1e-999]"
    for read in (parse_json(text), items(text.encode())):
        assert read == numbers
        assert all(math.isfinite(float(value)) for value in read)


def test_halves_of_surrogate_pairs_are_replaced_and_whole_ones_kept() -> None:
    texts = ["\\ud83d", "x\\uDC4Dy", "\\ud83d\\udc4d", "\\udc4d\\ud83d", "\\\\ud83d", "\\uD83D\\\\udc4d"]
    content = "[" + ",".join(f'"{text}"' for text in texts) + ', {"\\ud83d": ["\\ud83d"]}]'
    expected = [
        "\ufffd",
        "x\ufffdy",
        "👍",
        "\ufffd\ufffd",
        "\\ud83d",
        "\ufffd\\udc4d",
        {"\ufffd": ["\ufffd"]},
    ]
    for size in (1, 2, 3, 5, 100):
        assert items(content.encode(), size) == expected


def test_an_error_says_line_and_column_of_the_whole_file(monkeypatch: pytest.MonkeyPatch) -> None:
    content = b'\xef\xbb\xbf[{"a": 1},\n {"b": "\xc3\xa9"}, nul, 3]'
    for size in (1, 3, 100):
        with pytest.raises(BadJson, match=r"\(line 2, column 14\)") as caught:
            items(content, size)
        assert not caught.value.cut
    with pytest.raises(BadJson, match=r"what follows is not UTF-8 \(line 2, column 5\)"):
        items(b'["x",\n "ab\xff", 1]', 2)
    monkeypatch.setattr(json_stream, "LARGEST_VALUE", 1000)
    with pytest.raises(BadJson, match="a value of more than 0 MiB"):
        items(b'["short", "' + b"x" * 5000 + b'"]', 50)
    with pytest.raises(BadJson, match="a value of more than 0 MiB"):
        list(OutputEntries(in_pieces(b'{"' + b"x" * 5000, 50)))


def test_outputs_are_read_in_each_form_and_name_their_task_wherever_it_stands() -> None:
    entries = [{"id": "1", "output": "x"}, {"id": "2", "output": "y"}]
    listed = json.dumps(entries)
    forms: dict[str, Any] = {
        f'{{"task": "LaMP_3", "golds": {listed}}}': "LaMP_3",
        f'{{"golds": {listed}, "more": [1], "task": "LaMP_3"}}': "LaMP_3",
        f'{{"golds": {listed}}}': None,
        listed: None,
        "\n".join(map(json.dumps, entries)): None,
        "\ufeff\n" + " ".join(json.dumps(entry, indent=1) for entry in entries) + "\n\n": None,
    }
    for text, task in forms.items():
        outputs = OutputEntries(in_pieces(text.encode(), 4))
        assert (list(outputs), outputs.task) == (entries, task)
