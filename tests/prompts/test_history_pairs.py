"""What one item of a history teaches an LLM about its user (the pairs of LaMP-PEFT)."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, get_args

import numpy as np
import pytest

from lampbench.errors import RequestError
from lampbench.prompts import Fields, history_text
from lampbench.prompts.history_pairs import Pair, pairs_from_items
from lampbench.tasks import TASKS
from lampbench.tasks.lamp2 import TAGS


def rng(*names: object) -> np.random.Generator:
    return np.random.default_rng(len(str(names)))


ITEM = {
    "id": "1",
    "title": "A title",
    "abstract": "An abstract.",
    "text": "A text.",
    "description": "A film.",
}
ITEM |= {"tag": "comedy", "score": "4"}


@pytest.mark.parametrize(
    ("task", "input", "target"),
    [
        ("LaMP-1", "Write an abstract for this title: A title", "An abstract."),
        (
            "LaMP-2",
            "Which tag does this movie relate to among the following tags? Just answer with the tag name without "
            f"further explanation. tags: [{', '.join(TAGS)}] description: A film.",
            "comedy",
        ),
        (
            "LaMP-3",
            "What is the score of the following review on a scale of 1 to 5? just answer with 1, 2, 3, 4, or 5 "
            "without further explanation. review: A text.",
            "4",
        ),
        ("LaMP-4", "Generate a headline for the following article: A text.", "A title"),
        ("LaMP-5", "Generate a title for the following abstract of a paper: An abstract.", "A title"),
    ],
)
def test_an_item_asks_for_the_users_own_answer(task: str, input: str, target: str) -> None:
    assert pairs_from_items(task, [ITEM], rng) == [Pair(input, target)]


def test_a_tweet_is_to_be_completed_from_its_first_tenth_to_quarter() -> None:
    words = [f"word{i}" for i in range(40)]
    shown = set()
    for seed in range(60):
        items = [{"id": "1", "text": " ".join(words)}]
        (pair,) = pairs_from_items("LaMP-7", items, lambda *names, seed=seed: np.random.default_rng(seed))
        start = pair.input.removeprefix("Complete the following tweet: ").split()
        assert [*start, *pair.target.split()] == words
        shown.add(len(start))
    assert shown == {4, 5, 6, 7, 8, 9}  # 10 % up to, but not with, 25 %


def test_where_a_tweet_is_cut_depends_on_its_text_alone() -> None:
    tweets = [{"id": str(i), "text": " ".join(f"{i}-{j}" for j in range(30))} for i in range(8)]

    def named(*names: object) -> np.random.Generator:
        return np.random.default_rng([ord(c) for c in str(names)])

    forth = pairs_from_items("LaMP-7", tweets, named)
    back = pairs_from_items("LaMP-7", tweets[::-1], named)
    assert forth == back[::-1]
    assert len({len(pair.input.split()) for pair in forth}) > 1


def test_of_a_short_tweet_nothing_is_shown() -> None:
    assert pairs_from_items("LaMP-7", [{"text": "Good morning"}], rng) == [
        Pair("Complete the following tweet: ", "Good morning")
    ]


def test_items_that_leave_nothing_to_write_make_no_pair() -> None:
    items = [{**ITEM, "abstract": " "}, ITEM]
    assert len(pairs_from_items("LaMP-1", items, rng)) == 1
    assert pairs_from_items("LaMP-7", [{"text": "  "}], rng) == []


@pytest.mark.parametrize(("task", "field"), [("LaMP-1", "abstract"), ("LaMP-4", "title"), ("LaMP-7", "text")])
def test_an_item_without_a_field_is_no_item_of_the_task(task: str, field: str) -> None:
    with pytest.raises(RequestError, match=field):
        pairs_from_items(task, [{name: value for name, value in ITEM.items() if name != field}], rng)


# One part of an item

TEN = "one two three four five six seven eight nine ten"
REST = TEN.removeprefix("one two ")
PART = {"id": "1", "title": "my title", "tag": "comedy", "score": "4"}
PART |= {"description": TEN, "text": TEN, "abstract": TEN}


def fifth(*names: object) -> Any:
    """A generator that always draws 0.2."""
    return SimpleNamespace(uniform=lambda low, high: 0.2)


@pytest.mark.parametrize(
    ("task", "input", "target"),
    [
        (
            "LaMP-2",
            "Which tag does this movie relate to among the following tags? Just answer with the tag name without "
            f"further explanation. tags: [{', '.join(TAGS)}] description: ",
            "comedy",
        ),
        (
            "LaMP-3",
            "What is the score of the following review on a scale of 1 to 5? just answer with 1, 2, 3, 4, or 5 "
            "without further explanation. review: ",
            "4",
        ),
        ("LaMP-4", "Generate a headline for the following article: ", "my title"),
        ("LaMP-5", "Generate a title for the following abstract of a paper: ", "my title"),
    ],
)
def test_of_outputs_alone_the_task_asks_without_an_input(task: str, input: str, target: str) -> None:
    assert pairs_from_items(task, [PART], fifth, "output") == [Pair(input, target)]


@pytest.mark.parametrize(
    ("task", "start"),
    [
        ("LaMP-2", "Complete the following description of a movie: one two"),
        ("LaMP-3", "Complete the following review: one two"),
        ("LaMP-4", "Complete the following article: one two"),
        ("LaMP-5", "Complete the following abstract of a paper: one two"),
    ],
)
def test_of_inputs_alone_a_text_is_to_be_completed(task: str, start: str) -> None:
    assert pairs_from_items(task, [PART], fifth, "input") == [Pair(start, REST)]


@pytest.mark.parametrize("fields", ["input", "output"])
def test_of_a_paper_either_part_is_its_title(fields: Fields) -> None:
    items = [{"title": TEN, "abstract": "An abstract."}]
    assert pairs_from_items("LaMP-1", items, fifth, fields) == [
        Pair("Complete the following title of a paper: one two", REST)
    ]


@pytest.mark.parametrize("fields", get_args(Fields))
def test_a_tweet_has_one_part_only(fields: Fields) -> None:
    pairs = pairs_from_items("LaMP-7", [PART], fifth, fields)
    assert pairs == [Pair("Complete the following tweet: one two", REST)]


@pytest.mark.parametrize("task", TASKS)
def test_the_released_pairs_hold_both_parts(task: str) -> None:
    both = pairs_from_items(task, [PART], fifth, "both")
    assert both == pairs_from_items(task, [PART], fifth, "released") == pairs_from_items(task, [PART], fifth)


@pytest.mark.parametrize("fields", ["input", "output"])
@pytest.mark.parametrize("task", TASKS)
def test_a_pair_holds_the_part_that_a_history_encoder_would_read_and_nothing_else(
    task: str, fields: Fields
) -> None:
    marked = {name: " ".join(f"{name}-{i}" for i in range(8)) for name in TASKS[task].item_fields}
    (pair,) = pairs_from_items(task, [marked], fifth, fields)
    words = f"{pair.input} {pair.target}".split()
    everything = " ".join(marked.values()).split()
    assert [word for word in words if word in everything] == history_text(task, marked, fields).split()


@pytest.mark.parametrize(("fields", "missing"), [("input", "title"), ("output", "text")])
def test_the_part_that_is_not_asked_for_may_be_missing_or_empty(fields: Fields, missing: str) -> None:
    expected = pairs_from_items("LaMP-4", [PART], fifth, fields)
    assert len(expected) == 1
    assert pairs_from_items("LaMP-4", [{**PART, missing: ""}], fifth, fields) == expected
    without = {name: value for name, value in PART.items() if name != missing}
    assert pairs_from_items("LaMP-4", [without], fifth, fields) == expected


@pytest.mark.parametrize(("fields", "needed"), [("input", "text"), ("output", "title")])
def test_the_part_that_is_asked_for_must_be_there_and_makes_no_pair_if_empty(
    fields: Fields, needed: str
) -> None:
    assert pairs_from_items("LaMP-4", [{**PART, needed: " "}], fifth, fields) == []
    with pytest.raises(RequestError, match=needed):
        pairs_from_items("LaMP-4", [{**PART, needed: None}], fifth, fields)


def test_equal_answers_make_as_many_pairs_as_there_are() -> None:
    items = [{**PART, "score": score} for score in (5, 4, 5)]
    assert [pair.target for pair in pairs_from_items("LaMP-3", items, fifth, "output")] == ["5", "4", "5"]


def test_shuffled_labels_change_no_pair_of_inputs() -> None:
    items = [{**PART, "text": f"{TEN} {i}", "score": str(i)} for i in (1, 2)]
    shuffled = [{**items[0], "score": "2"}, {**items[1], "score": "1"}]
    assert pairs_from_items("LaMP-3", items, rng, "input") == pairs_from_items(
        "LaMP-3", shuffled, rng, "input"
    )


def test_unknown_fields_are_refused() -> None:
    with pytest.raises(RequestError, match="unknown fields 'label'"):
        pairs_from_items("LaMP-4", [PART], fifth, "label")  # type: ignore[arg-type]
