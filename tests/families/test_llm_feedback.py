"""The LLM's feedback on single items: what it is asked, and what its answers are worth."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from lampbench.data import open_task
from lampbench.families.llm_feedback import feedback, usefulness
from lampbench.method.bench import Bench, RunSettings
from lampbench.metrics import score
from lampbench.models.frozen_llm import FrozenLLM
from lampbench.progress import Progress
from lampbench.prompts import personalized_prompt


def test_labels_and_texts_are_worth_what_the_metric_says() -> None:
    assert usefulness("LaMP-1", ["[1]", "[2]", " [1] ", "1"], ["[1]"] * 4).tolist() == [1, 0, 1, 0]
    assert usefulness("LaMP-2", ["comedy", "Comedy"], ["comedy"] * 2).tolist() == [1, 0]
    # One word of two, both ways: precision and recall are 1/2.
    assert usefulness("LaMP-7", ["a b", "a c", "c d"], ["a b"] * 3).tolist() == [1, 0.5, 0]


def test_ratings_are_worth_their_nearness_on_the_scale_from_the_gold() -> None:
    # y = 2: w = 3. y = 5: w = 4. y = 3: w = 2.
    outputs = ["2", "3", "5", "5", "4", "1", "3", "1"]
    golds = ["2", "2", "2", "5", "5", "5", "3", "3"]
    expected = [1, 2 / 3, 0, 1, 3 / 4, 0, 1, 0]
    np.testing.assert_allclose(usefulness("LaMP-3", outputs, golds), expected, atol=1e-6)


def test_no_rating_and_one_off_the_scale_are_worth_as_little_as_the_farthest() -> None:
    assert usefulness("LaMP-3", ["none", "900", "-3"], ["2", "2", "2"]).tolist() == [0, 0, 0]


def test_nothing_is_worth_nothing() -> None:
    assert usefulness("LaMP-3", [], []).shape == (0,)


def test_each_candidate_is_judged_alone_in_the_ordinary_prompt(
    tiny_data: Path, tiny_llm: Path, tmp_path: Path
) -> None:
    data, llm = open_task(tiny_data, "LaMP-4"), FrozenLLM.load(tiny_llm, device="cpu")
    models: Any = SimpleNamespace(llm=llm)
    nobody: Any = None
    bench = Bench(
        data.task,
        data.setting,
        data.items,
        models,
        RunSettings(100, 6, 1),
        seed=0,
        folder=tmp_path,
        cache=tmp_path,
        progress=Progress("none"),
        other=nobody,
    )
    train = data.split("train")
    rankings = [[2, 0], [], [1], *([[0, 1, 2]] * (len(train) - 3))]
    found = feedback(bench, train, rankings)
    assert [len(values) for values in found] == [len(ranking) for ranking in rankings]
    assert bench.shared.calls == sum(map(len, rankings))
    for example, ranking, values in zip(train, rankings, found, strict=True):
        for position, value in zip(ranking, values, strict=True):
            prompt = personalized_prompt(
                "LaMP-4", example.input, [example.profile[position]], llm.tokenizer, 100
            )
            (generation,) = llm.generate([prompt], max_input_tokens=100, max_new_tokens=6, beams=1)
            alone = score("LaMP-4", {"x": generation.text}, {"x": example.output or ""})
            assert value == pytest.approx(alone.metrics["rouge1"])
