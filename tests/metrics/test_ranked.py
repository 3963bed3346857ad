"""Ranked lists are judged as the literature on recommendation judges them."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lampbench.errors import RequestError
from lampbench.metrics import interval, paired, score
from lampbench.metrics.ranked import ndcg, recall, reciprocal_rank
from lampbench.tasks import Task

KEYS = ("recall@2", "mrr", "mrr@1", "ndcg@2")


def books(*metrics: str) -> Task:
    """A task that asks what somebody will read next."""
    return Task(
        name="Books",
        title="Next books",
        kind="ranking",
        template="Which books come after these? {title}",
        item_fields=("title",),
        metrics=metrics or KEYS,
    )


def test_the_metrics_are_what_their_definitions_say() -> None:
    golds = {"a": "Emma\nUlysses\nDracula", "b": "Emma", "c": "Emma"}
    said = {"a": "Persuasion\nUlysses\nDracula", "b": "Emma\nDracula", "c": "Dracula"}
    result = score(books(), said, golds)
    assert result.per_example["recall@2"] == {"a": 1 / 3, "b": 1.0, "c": 0.0}
    assert result.per_example["mrr"] == {"a": 1 / 2, "b": 1.0, "c": 0.0}
    assert result.per_example["mrr@1"] == {"a": 0.0, "b": 1.0, "c": 0.0}
    # One hit at rank 2 of two places that could both have been hits.
    gain = (1 / math.log2(3)) / (1 + 1 / math.log2(3))
    assert result.per_example["ndcg@2"] == pytest.approx({"a": gain, "b": 1.0, "c": 0.0})
    assert result.metrics["recall@2"] == pytest.approx(4 / 9)


def test_an_answer_counts_once_and_must_match_exactly_but_for_white_space_and_numbering() -> None:
    golds = {"a": "Emma\nDracula", "b": "Emma"}
    result = score(books("recall@2"), {"a": " Emma \nEmma\n\nDracula", "b": "emma"}, golds)
    assert result.per_example["recall@2"] == {"a": 1.0, "b": 0.0}
    result = score(books("recall@2"), {"a": "1. Emma\n2) Dracula", "b": "- Emma"}, golds)
    assert result.metrics["recall@2"] == 1.0
    result = score(books("recall@2"), {"a": "Alien - Emma", "b": "3.Emma"}, golds)
    assert result.metrics["recall@2"] == 0.0


def test_empty_lists_score_nothing_and_are_counted() -> None:
    result = score(books(), {"a": " \n", "b": "Emma"}, {"a": "Emma", "b": "Emma"})
    assert result.metrics == dict.fromkeys(KEYS, 0.5)
    assert result.counts == {"n": 2, "unparsed": 1, "empty": 1, "unknown_golds": 0}


def test_a_question_with_nothing_relevant_cannot_be_scored() -> None:
    with pytest.raises(RequestError, match=r"gold of example 'a' is '.*', without any relevant answer"):
        score(books(), {"a": "Emma"}, {"a": " \n"})


relevance = st.lists(st.booleans(), min_size=1, max_size=12).filter(any)


@given(relevance, st.integers(1, 15))
def test_ndcg_is_that_of_scikit_learn(relevant: list[bool], k: int) -> None:
    sklearn = pytest.importorskip("sklearn.metrics")
    names = [str(place) for place in range(len(relevant) + 1)]
    truth = np.array([[*relevant, False]], dtype=float)  # it refuses a single document
    expected = sklearn.ndcg_score(truth, -np.arange(len(names))[None], k=k)
    golds = [name for name, is_relevant in zip(names, relevant, strict=False) if is_relevant]
    assert ndcg(names, golds, k) == pytest.approx(expected, abs=1e-12)


@given(relevance, st.integers(1, 15))
def test_more_places_never_score_less_and_all_places_find_all(relevant: list[bool], k: int) -> None:
    names = [str(place) for place in range(len(relevant))]
    golds = [name for name, is_relevant in zip(names, relevant, strict=True) if is_relevant]
    assert 0 <= recall(names, golds, k) <= recall(names, golds, k + 1) <= 1
    assert recall(names, golds, len(names)) == 1
    assert 0 <= reciprocal_rank(names, golds, k) <= reciprocal_rank(names, golds) == 1 / (int(golds[0]) + 1)


def test_ranked_metrics_have_intervals_and_paired_tests() -> None:
    golds = {str(i): f"book {i}\nanother" for i in range(40)}
    good = score(books(), golds, golds)
    bad = score(books(), {id: f"book {int(id) + int(id) % 2}" for id in golds}, golds)
    for key in KEYS:
        low, high = interval(bad, key, n=300)
        assert low < bad.metrics[key] < high
        assert paired(good, bad, key, n=300).p == pytest.approx(1 / 301)
