"""Which numbers the options of training may be: one rule per name, for every method that trains.

Without torch: a Config is made, and refused, before anything is loaded.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

_AT_LEAST_ONE = ("steps", "batch_size", "accumulation", "evaluations", "max_length")
_ABOVE_ZERO = ("epochs", "temperature", "scale")
_NOT_NEGATIVE = (
    *("learning_rate", "weight_decay", "clip"),  # a negative clip would turn the gradient around
    *("copies", "questions", "hold_out", "max_steps"),
    *("eval_every", "checkpoint_every", "patience", "seed"),
)


def check_numbers(options: Mapping[str, Any]) -> None:
    """Refuse what no training can be done with.

    Args:
        options: by name; of those without a rule here only floats that are not finite are refused, and None
            (an option that is not set) is nothing to judge.

    Raises:
        ValueError: the first such option, in one line with its name and value.
    """
    for name, value in options.items():
        if value is not None and (wanted := _broken_rule(name, value)):
            raise ValueError(f"{name} must {wanted}, not {value}")


def _broken_rule(name: str, value: Any) -> str | None:
    """What the value must be and is not; None if it is."""
    if isinstance(value, float) and not math.isfinite(value):
        return "be finite"
    if name in _AT_LEAST_ONE and value < 1:
        return "be at least 1"
    if name in _ABOVE_ZERO and value <= 0:
        return "be above 0"
    if name in _NOT_NEGATIVE and value < 0:
        return "not be negative"
    if name == "warmup" and not 0 <= value <= 1:
        return "be a share of the steps, from 0 to 1"
    return None
