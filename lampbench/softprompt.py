"""Soft prompts: what methods that put trained vectors in front of the frozen LLM's input have in common."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from torch import Tensor, nn

from lampbench.llm import Request

if TYPE_CHECKING:
    from lampbench.bench import Bench


def soft_prompt_loss(
    bench: Bench, prompts: Sequence[str], soft: Tensor, targets: Sequence[str], *, dropout: bool = False
) -> Tensor:
    """The mean cross-entropy per target token under the frozen LLM and the run's limits, as a scalar.

    Args:
        bench: whose LLM and limits count.
        prompts: the texts behind the soft vectors.
        soft: float [n, n_soft, llm_dim], the soft vectors of each prompt; gradients flow into them.
        targets: the texts to predict.
        dropout: leave the LLM's own dropout on.
    """
    return bench.llm.loss(
        [Request(prompt, vectors) for prompt, vectors in zip(prompts, soft, strict=True)],
        targets,
        max_input_tokens=bench.settings.max_input_tokens,
        max_target_tokens=bench.settings.max_new_tokens,
        dropout=dropout,
    )


def mlp(in_dim: int, out_dim: int) -> nn.Sequential:
    """Linear - GELU - Linear, from an encoder's space to that of an LLM, with PyTorch's initial weights."""
    return nn.Sequential(nn.Linear(in_dim, out_dim), nn.GELU(), nn.Linear(out_dim, out_dim))


def fresh_norm(squared_norm: float, in_dim: int, out_dim: int) -> float:
    """The expected norm of what a fresh `mlp` makes of a vector of that squared norm.

    Divide by it, and soft vectors start at a norm of 1 whatever the sizes are. PyTorch's initial weights and
    biases are uniform with variance 1 / (3 fan-in), so the hidden units are nearly normal.
    """
    deviation = math.sqrt((squared_norm + 1) / (3 * in_dim))
    points, weights = np.polynomial.hermite_e.hermegauss(64)
    x = points * deviation
    gelu = x * np.array([0.5 * (1 + math.erf(value / math.sqrt(2))) for value in x])
    second_moment = float((weights * gelu**2).sum()) / math.sqrt(2 * math.pi)
    return math.sqrt(out_dim * second_moment / 3 + 1 / 3)
