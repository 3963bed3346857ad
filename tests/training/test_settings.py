"""How a method trains: its options become settings, and the rate at each step follows from them."""

from __future__ import annotations

import math
from dataclasses import dataclass

import pytest
import torch

from lampbench.errors import RequestError
from lampbench.training.settings import TrainSettings, rate_factor, settings_from, steps_for


def test_the_rate_warms_up_and_decays() -> None:
    linear = rate_factor(TrainSettings(steps=100, warmup=0.1))
    assert [linear(step) for step in (0, 4, 9, 10)] == pytest.approx([0.1, 0.5, 1.0, 1.0])
    assert linear(55) == pytest.approx(0.5)
    assert 0 < linear(99) < 0.02
    constant = rate_factor(TrainSettings(steps=100, warmup=0.0, schedule="constant"))
    assert {constant(step) for step in range(100)} == {1.0}


@dataclass(frozen=True)
class Options:
    epochs: float = 2.0
    max_steps: int = 0
    batch_size: int = 4
    accumulation: int = 2
    learning_rate: float = 0.5
    evaluations: int = 3


def test_a_methods_options_become_settings() -> None:
    settings = settings_from(Options(), 20, seed=7, dtype=torch.bfloat16)
    assert settings == TrainSettings(
        steps=5, batch_size=4, accumulation=2, learning_rate=0.5, seed=7, mixed_precision="bf16"
    )
    assert settings_from(Options(max_steps=3), 20, seed=7).steps == 3


def test_held_out_examples_choose_the_weights_as_often_as_the_options_say() -> None:
    scored = settings_from(Options(), 20, seed=7, scored=True)
    assert (scored.eval_every, scored.select) == (2, "best")
    assert settings_from(Options(), 20, seed=7, scored=True, eval_every=4).eval_every == 4
    assert settings_from(Options(max_steps=3), 20, seed=7, scored=True, eval_every=4).eval_every == 3
    unscored = settings_from(Options(), 20, seed=7, eval_every=4)
    assert (unscored.eval_every, unscored.select) == (0, "last")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (Options(epochs=math.inf), "training: epochs must be finite, not inf"),
        (Options(batch_size=0), "training: batch_size must be at least 1, not 0"),
        (Options(evaluations=0), "training: evaluations must be at least 1, not 0"),
    ],
)
def test_options_of_a_config_that_asks_nothing_are_refused_too(options: Options, message: str) -> None:
    with pytest.raises(RequestError, match=message):
        settings_from(options, 20, seed=7, scored=True)


def test_steps_of_epochs_round_up() -> None:
    assert steps_for(100, 2, 16) == 13
    assert steps_for(3, 0.1, 64) == 1
