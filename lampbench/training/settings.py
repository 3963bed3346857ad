"""How a method trains: the settings, how its options become them, and the learning rate at each step."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING, Any, Literal

from lampbench.constraints import Count, NonNegativeFloat, PositiveFloat, PositiveInt, WarmupShare, check
from lampbench.dtypes import dtype_name
from lampbench.errors import RequestError

if TYPE_CHECKING:
    import torch

Mixed = Literal["no", "bf16", "fp16"]
_MIXED: dict[str, Mixed] = {"float32": "no", "bfloat16": "bf16", "float16": "fp16"}


@dataclass(frozen=True)
class TrainSettings:
    """How to train.

    Attributes:
        steps: optimizer steps.
        batch_size: examples per forward pass.
        accumulation: forward passes per step; a step sees `batch_size * accumulation` examples.
        learning_rate: peak of the schedule.
        weight_decay: of AdamW, on matrices only (biases, norms and single vectors are left alone).
        warmup: share of the steps in which the learning rate rises linearly from zero.
        schedule: what follows: `linear` decay to zero, or `constant`.
        clip: largest L2 norm of the gradient; 0 for no limit.
        eval_every: steps between scores on the dev examples, the last step included; 0 for never.
        seed: of the order of the examples and of everything drawn from torch.
        mixed_precision: of the forward pass; weights and optimizer stay float32.
        checkpoint_every: steps between checkpoints; 0 for about one a minute, in at most 2 % of the time.
        select: which weights to end with: those of the `last` step or those of the `best` dev score, the start
            included.
        patience: stop after so many dev scores in a row without a new best; 0 for never.
    """

    steps: PositiveInt
    batch_size: PositiveInt = 16
    accumulation: PositiveInt = 1
    learning_rate: NonNegativeFloat = 1e-4
    weight_decay: NonNegativeFloat = 0.0
    warmup: WarmupShare = 0.05
    schedule: Literal["linear", "constant"] = "linear"
    clip: NonNegativeFloat = 1.0
    eval_every: Count = 0
    seed: Count = 0
    mixed_precision: Mixed = "no"
    checkpoint_every: Count = 0
    select: Literal["last", "best"] = "last"
    patience: Count = 0

    @property
    def step_size(self) -> int:
        """Examples per optimizer step."""
        return self.batch_size * self.accumulation


# Settings that a method may offer as options of its own, by the same names.
_FROM_OPTIONS = frozenset({"batch_size", "accumulation", "learning_rate", "weight_decay", "warmup", "clip"})


@dataclass(frozen=True)
class _Length:
    """What else is read of them: how long to train, and how often to look at the held-out examples."""

    epochs: PositiveFloat
    max_steps: Count
    evaluations: PositiveInt = 1


def steps_for(n_examples: int, epochs: float, step_size: int) -> int:
    """Steps that see `n_examples` examples `epochs` times, `step_size` at a time; at least one."""
    return max(1, math.ceil(n_examples * epochs / step_size))


def refuse_numbers(settings: TrainSettings | _Length) -> None:
    """Check constraints, for whoever trains without a Config that has asked for them.

    Raises:
        RequestError: no training can be done with one of them.
    """
    try:
        check(settings)
    except ValueError as error:
        raise RequestError(f"training: {error}") from None


def precision_for(dtype: torch.dtype | str) -> Mixed:
    """The `mixed_precision` that goes with an LLM of that dtype."""
    return _MIXED.get(dtype_name(dtype), "no")


def settings_from(
    options: Any,
    n_examples: int,
    *,
    seed: int,
    dtype: torch.dtype | str = "float32",
    scored: bool = False,
    eval_every: int = 0,
) -> TrainSettings:
    """The settings that the options of a method ask for.

    Args:
        options: a method's Config. Its `epochs` and `max_steps` (0: no limit) decide the number of steps;
            options named like a setting are that one.
        n_examples: number of examples to learn from.
        seed: the run's.
        dtype: precision of the LLM.
        scored: whether there are held-out examples, on which the best weights are then chosen.
        eval_every: steps between their scores; 0: as often as the option `evaluations` says.

    Raises:
        RequestError: no training can be done with one of the options that are read.
    """
    names = [f.name for f in fields(options)]
    length = _Length(**{f.name: getattr(options, f.name) for f in fields(_Length) if f.name in names})
    own = {n: getattr(options, n) for n in names if n in _FROM_OPTIONS}
    settings = TrainSettings(steps=1, seed=seed, mixed_precision=precision_for(dtype), **own)
    for numbers in (settings, length):
        refuse_numbers(numbers)
    steps = steps_for(n_examples, length.epochs, settings.step_size)
    steps = min(steps, length.max_steps or steps)
    settings = replace(settings, steps=steps)
    if not scored:
        return settings
    every = min(eval_every or math.ceil(steps / length.evaluations), steps)
    return replace(settings, eval_every=every, select="best")


def rate_factor(settings: TrainSettings) -> Callable[[int], float]:
    """The factor of the learning rate at a step: up to 1 in the warm-up, then down to 0 or constant."""
    rise = math.ceil(settings.warmup * settings.steps)

    def factor(step: int) -> float:
        if step < rise:
            return (step + 1) / rise  # never zero, so that no step is without effect
        if settings.schedule == "constant":
            return 1.0
        return max(0.0, (settings.steps - step) / max(1, settings.steps - rise))

    return factor
