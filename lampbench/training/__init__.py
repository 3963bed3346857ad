"""The one training loop: its settings, its order of examples, and the weights that come out of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lampbench.lazy import lazily

if TYPE_CHECKING:
    from lampbench.training.loop import TrainReport, load_trainable, save_trainable, train
    from lampbench.training.settings import TrainSettings, settings_from, steps_for

__getattr__ = lazily(
    __name__,
    {
        "lampbench.training.loop": "TrainReport load_trainable save_trainable train",
        "lampbench.training.settings": "TrainSettings settings_from steps_for",
    },
)
