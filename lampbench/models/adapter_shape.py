"""The options of every method that trains low-rank adapters (LoRA)."""

from __future__ import annotations

from dataclasses import dataclass

from lampbench.constraints import Checked, DropoutRate, PositiveFloat, PositiveInt


@dataclass(frozen=True)
class AdapterShape(Checked):
    """What an adapter looks like; the defaults are those of OPPU (arXiv:2402.04401)."""

    rank: PositiveInt = 8  # rows of an adapter's first matrix, columns of its second
    alpha: PositiveFloat = 8.0  # what an adapter adds is multiplied by alpha / rank
    dropout: DropoutRate = 0.05  # of an adapter's input, in training
    # layers that get one, by the end of their name (q: also q_proj)
    targets: tuple[str, ...] = ("q", "k", "v")

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.targets:
            raise ValueError("targets must name at least one layer")
