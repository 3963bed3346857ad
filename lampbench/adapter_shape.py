"""The options of every method that trains low-rank adapters (LoRA)."""

from __future__ import annotations

from dataclasses import dataclass

from lampbench.train_options import check_numbers


@dataclass(frozen=True)
class AdapterShape:
    """What an adapter looks like; the defaults are those of OPPU (arXiv:2402.04401)."""

    rank: int = 8  # rows of an adapter's first matrix, columns of its second
    alpha: float = 8.0  # what an adapter adds is multiplied by alpha / rank
    dropout: float = 0.05  # of an adapter's input, in training
    targets: tuple[str, ...] = (
        "q",
        "k",
        "v",
    )  # layers that get one, by the end of their name (q: also q_proj)

    def __post_init__(self) -> None:
        if self.rank < 1:
            raise ValueError(f"rank must be at least 1, not {self.rank}")
        if self.alpha <= 0:
            raise ValueError(f"alpha must be above 0, not {self.alpha}")
        if not 0 <= self.dropout < 1:
            raise ValueError(f"dropout must be from 0 to below 1, not {self.dropout}")
        if not self.targets:
            raise ValueError("targets must name at least one layer")
        check_numbers(vars(self))  # of a method's Config too: who has adapters trains them
