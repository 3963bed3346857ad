"""What the benches of one job share: the items that are shown, and the account of what the LLM was asked."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from lampbench.data.item_table import ItemTable
    from lampbench.models.requests import Generation


@dataclass
class Shared:
    """What the bench of a method shares with those of the methods that it is built on.

    Attributes:
        items: the profile items that a method may see; at prediction a view may add rows
            (`lampbench.method.profile_controls`).
        calls: prompts that the LLM has answered, whoever asked.
        reused: prompts whose answers were made before and only looked up.
        reused_seconds: the time that the LLM took for the latter when they were made.
        asked: tokens of the prompts and answers that were no predictions, by kind.
    """

    items: ItemTable
    calls: int = 0
    reused: int = 0
    reused_seconds: float = 0.0
    asked: Counter[str] = field(default_factory=Counter)

    def heard(self, answer: Generation, *, reused: bool = False, predicts: bool = False) -> None:
        """Count an answer; the tokens of one that `predicts` are counted with the prediction."""
        if reused:
            self.reused += 1
            self.reused_seconds += answer.seconds
        else:
            self.calls += 1
        if not predicts:
            self.asked.update(
                prompt=answer.prompt_tokens, soft=answer.soft_tokens, generated=answer.generated_tokens
            )
