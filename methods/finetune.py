"""The LLM itself tuned on the task, all weights (train_llm.py of LaMP, arXiv:2304.11406).

Without a retriever it adapts to the task and reads nobody's history. With one (`finetune+bm25`) the prompts
hold the first k items in training as in prediction: a FLAN-T5-base tuned so is on LaMP's own leaderboard, and
beats the untuned FLAN-T5-XXL there.

It works on a copy, in float32 as the original, which needs 4 bytes per weight besides the frozen LLM, and 16
while it trains.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from lampbench.families.tuned_llm import TunedConfig, TunedMethod
from lampbench.method import Bench

if TYPE_CHECKING:
    from torch import nn


@dataclass(frozen=True)
class Config(TunedConfig):
    """Options."""


class Method(TunedMethod):
    name = "finetune"
    summary = "The LLM itself tuned on the task, all weights; with a retriever, on prompts with its items"
    paper = "arXiv:2304.11406"
    order = 110
    variants: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "bm25": {"retriever": "bm25"},
        "contriever": {"retriever": "contriever"},
        "recency": {"retriever": "recency"},
    }
    check_options: ClassVar[Mapping[str, Any]] = {"max_steps": 3, "batch_size": 2, "hold_out": 2}

    def tunable(self, bench: Bench) -> nn.Module:
        return bench.llm.trainable_copy().float()
