"""The one training loop: its settings, its order of examples, and the weights that come out of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lampbench.lazy import lazily

if TYPE_CHECKING:
    from lampbench.training.loop import train
    from lampbench.training.run_state import TrainReport
    from lampbench.training.settings import TrainSettings, settings_from, steps_for
    from lampbench.training.trained_weights import load_trainable, save_trainable

__getattr__ = lazily(
    __name__,
    {
        "lampbench.training.loop": "train",
        "lampbench.training.run_state": "TrainReport",
        "lampbench.training.settings": "TrainSettings settings_from steps_for",
        "lampbench.training.trained_weights": "load_trainable save_trainable",
    },
)
