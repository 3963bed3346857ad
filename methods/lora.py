"""The LLM tuned on the task by low-rank adapters (LoRA, arXiv:2106.09685), its own weights frozen.

The defaults are those of the task adapter on which OPPU builds its users' own (github.com/TamSiuhin/OPPU;
arXiv:2402.04401). The adapters sit in a twin of the frozen LLM, around the same weights in memory.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from lampbench.constraints import NonNegativeFloat, PositiveFloat, WarmupShare
from lampbench.families.tuned_llm import TunedConfig, TunedMethod
from lampbench.method import Bench
from lampbench.models.adapter_shape import AdapterShape

if TYPE_CHECKING:
    from torch import nn

    from lampbench.models.frozen_llm import FrozenLLM

ADAPTER = "task"


@dataclass(frozen=True)
class Config(AdapterShape, TunedConfig):
    """Options."""

    epochs: PositiveFloat = 3.0  # passes over the training questions
    learning_rate: NonNegativeFloat = 1e-4  # peak, after the warm-up and before the linear decay
    weight_decay: NonNegativeFloat = 1e-2  # of AdamW
    warmup: WarmupShare = 0.1  # share of the steps
    clip: NonNegativeFloat = 0.3  # largest norm of the gradient


class Method(TunedMethod):
    name = "lora"
    summary = "The LLM tuned on the task by low-rank adapters; with a retriever, on prompts with its items"
    paper = "arXiv:2106.09685"
    order = 120
    variants: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "bm25": {"retriever": "bm25"},
        "contriever": {"retriever": "contriever"},
        "recency": {"retriever": "recency"},
    }
    check_options: ClassVar[Mapping[str, Any]] = {"max_steps": 3, "batch_size": 2, "hold_out": 2}

    def check_llm(self, llm: FrozenLLM) -> None:
        llm.abilities.check_adapters(self.config.targets)

    def tunable(self, bench: Bench) -> nn.Module:
        from lampbench.models.adapters import activate, add_adapter

        model = bench.llm.twin()
        seed = int(bench.rng("lora").integers(2**62))
        add_adapter(model, ADAPTER, self.config, seed=seed)
        activate(model, [ADAPTER], training=[ADAPTER])
        return model
