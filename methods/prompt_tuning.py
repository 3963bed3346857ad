"""Prompt tuning: the instruction token of Persona-Plug alone, the same for every user (arXiv:2104.08691).

Whoever trains soft vectors on a task's questions teaches the frozen LLM the task, with or without a user. This
is the control that tells the two apart: the instruction part of `pplug` with its projector, scale, training
and limits, and nothing of a history. With one token it is, number for number, `pplug` with personal=false.

`copies` repeats the questions as often as `pplug` does, so that both take the same number of steps. (There
the questions of users with one or two items are not repeated; those users are rare in LaMP.)
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from torch import Tensor, nn

from lampbench.constraints import PositiveInt
from lampbench.families.soft_prompt import (
    InstructionTokens,
    SoftPromptConfig,
    SoftPromptMethod,
    SoftQuestion,
    start_scale,
)
from lampbench.method import Bench

if TYPE_CHECKING:
    from lampbench.data import Example


@dataclass(frozen=True)
class Config(SoftPromptConfig):
    """Options. The defaults are those of `pplug`."""

    tokens: PositiveInt = 1  # soft tokens in front of the question


class Method(SoftPromptMethod):
    name = "prompt-tuning"
    summary = "Trained soft tokens, the same for every user: the control for pplug"
    paper = "arXiv:2104.08691"
    order = 95
    reads_profile = False
    # For its size alone, which is that of the trained vectors.
    needs = frozenset({"encoder"})
    config: Config

    def build(self, bench: Bench) -> nn.Module:
        c = self.config
        return InstructionTokens(
            c.tokens,
            bench.encoder.dim,
            bench.llm.hidden_size,
            start_scale(bench, c.scale),
            released_norms=c.released_norms,
        )

    def prompter(self, bench: Bench) -> Callable[[Sequence[SoftQuestion]], Tensor]:
        module = self.trained
        return lambda batch: module(len(batch))

    def bytes_per_user(self, bench: Bench, example: Example) -> int:
        return 0
