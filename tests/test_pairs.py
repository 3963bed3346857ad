"""What one item of a history teaches an LLM about its user (the pairs of LaMP-PEFT)."""

from __future__ import annotations

import numpy as np
import pytest

from lampbench.errors import RequestError
from lampbench.pairs import Pair, pairs_from_items
from lampbench.tasks import TAGS


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
