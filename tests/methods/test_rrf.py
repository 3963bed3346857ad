"""Reciprocal rank fusion: by hand, and of the rankings that the retrievers give."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from lampbench.methods.rrf import Config, fuse

from lampbench.errors import RequestError
from lampbench.records.predictions import read_predictions
from lampbench.records.record import Record
from lampbench.runner.run import run


def test_the_sum_of_reciprocal_ranks_by_hand() -> None:
    # 0: 1/61 + 1/63 + 1/62, 1: 1/62 + 1/61 + 1/64, 2: 1/63 + 1/64 + 1/61, 3: 1/64 + 1/62 + 1/63
    # 0: 0.048395, 1: 0.048147, 2: 0.047891, 3: 0.047627
    assert fuse([[0, 1, 2, 3], [1, 3, 0, 2], [2, 0, 3, 1]]) == [0, 1, 2, 3]


def test_the_constant_decides_between_one_first_place_and_many_fair_ones() -> None:
    rankings = [[0, 1, 2], [2, 1, 0], [2, 1, 0]]
    # 60: 0 has 1/61 + 2/63 = 0.048139, 1 has 3/62 = 0.048387, 2 has 1/63 + 2/61 = 0.048660
    assert fuse(rankings) == [2, 1, 0]
    # 0: 0 has 1 + 2/3 = 1.667, 1 has 3/2 = 1.5, 2 has 1/3 + 2 = 2.333
    assert fuse(rankings, 0.0) == [2, 0, 1]


def test_equal_scores_go_to_the_later_position() -> None:
    assert fuse([[0, 1], [1, 0]]) == [1, 0]
    # The same ranks in three orders: a plain sum would differ in its last digit.
    assert fuse([[0, 1, 2], [1, 2, 0], [2, 0, 1]]) == [2, 1, 0]


def test_a_ranking_may_be_empty_or_incomplete() -> None:
    assert fuse([[], []]) == []
    assert fuse([[3], [0, 3]]) == [3, 0]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"methods": ()}, "at least one"),
        ({"methods": ("bm25", "bm25")}, "each method once"),
        ({"constant": -1.0}, "constant must not be negative"),
    ],
)
def test_what_cannot_be_fused_is_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Config(**options)


@pytest.fixture
def rankings_of(tiny_data: Path, tiny_llm: Path, tiny_encoder: Path, tmp_path: Path) -> Any:
    models = {"data": tiny_data, "llm": str(tiny_llm), "encoder": str(tiny_encoder), "device": "cpu"}

    def ranked(method: str, *settings: str) -> dict[str, list[str]]:
        (record,) = run(
            method, "LaMP-4", set=("k=99", *settings), results=tmp_path, progress="none", **models
        )
        assert isinstance(record, Record)
        return {id: line["ranked"] for id, line in read_predictions(record.predictions).items()}

    return ranked


def test_it_fuses_the_rankings_of_the_methods_that_it_names(rankings_of: Any) -> None:
    each = [rankings_of(method) for method in ("bm25", "recency", "contriever")]
    fused = rankings_of("rrf")
    for id, found in fused.items():
        scores = {item: sum(1 / (60 + ranking[id].index(item) + 1) for ranking in each) for item in found}
        assert [scores[item] for item in found] == sorted(scores.values(), reverse=True)
        assert set(found) == set(each[0][id])
    assert rankings_of("rrf", "methods=recency") == each[1]
    assert fused not in each


def test_a_wrong_name_is_told_before_anything_runs(rankings_of: Any) -> None:
    with pytest.raises(RequestError, match="unknown method 'bm26': did you mean 'bm25'"):
        rankings_of("rrf", "methods=bm26")
    with pytest.raises(RequestError, match="must name other methods than rrf itself"):
        rankings_of("rrf", "methods=bm25,rrf")
