"""What the embedded LLM's encoder is asked about every word of a prompt while it trains, and never again.

The answer to a citation question is one bit for a hundred words: too little to find out by what it was
decided. The hints are a bit or a word for each position, read from the encoder's last layer by two linear
maps that are thrown away afterwards.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import nn
from torch.nn import functional

# Answered yes or no, in this order: does the word occur again; is it in option [1], in option [2]; does it
# occur again in [1], in [2]; does it speak for the right answer.
QUESTIONS = 6
_PREVIOUS_WEIGHT, _QUESTION_WEIGHT = 0.2, 0.5
# The word before is asked of every fourth position only: a softmax over the vocabulary is the costliest hint.
_PREVIOUS_STRIDE = 4


@dataclass(frozen=True)
class Speaking:
    """Which words of a prompt speak for the right answer and which for a wrong one, as (batch, length) booleans."""

    right: torch.Tensor
    wrong: torch.Tensor


class Hints(nn.Module):
    """The linear maps of the hints.

    Args:
        width: of the encoder's states.
        entries: the vocabulary in the order of its ids.
    """

    def __init__(self, width: int, entries: Sequence[str], vocabulary_size: int) -> None:
        super().__init__()
        self.answers = nn.Linear(width, QUESTIONS)
        self.previous = nn.Linear(width, width)
        self._options = tuple(entries.index(option) for option in ("[1]", "[2]"))
        self._colon = entries.index(":")
        content = torch.zeros(vocabulary_size, dtype=torch.bool)
        for number, entry in enumerate(entries):
            content[number] = entry.isalpha() and len(entry) > 2
        self._content: torch.Tensor
        self.register_buffer("_content", content)

    def _option(self, ids: torch.Tensor) -> torch.Tensor:
        """The option that each position belongs to: 0 before the first `[1]:`, then 1, then 2."""
        announced = torch.zeros_like(ids, dtype=torch.bool)
        announced[:, :-1] = ids[:, 1:] == self._colon
        first, second = ((ids == option) & announced for option in self._options)
        return torch.where(first, 1, torch.where(second, 2, 0)).cummax(dim=1).values

    def truth(
        self, ids: torch.Tensor, mask: torch.Tensor, speaking: Speaking
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """The right answers and which of the questions are asked, both (batch, length, QUESTIONS)."""
        option = self._option(ids)
        again = ids[:, :, None] == ids[:, None, :]
        again &= ~torch.eye(ids.shape[1], dtype=torch.bool)
        again_in = [(again & (option == n)[:, None, :]).any(2) for n in (1, 2)]
        content = self._content[ids]
        present, outside = mask.bool(), content & (option == 0)
        truth = [again.any(2), option == 1, option == 2, *again_in, speaking.right]
        asked = [content, present, present, outside, outside, speaking.right | speaking.wrong]
        return torch.stack(truth, dim=-1).float(), torch.stack(asked, dim=-1).float()

    def forward(
        self,
        states: torch.Tensor,
        ids: torch.Tensor,
        mask: torch.Tensor,
        speaking: Speaking,
        embeddings: torch.Tensor,
    ) -> torch.Tensor:
        """The loss of all hints.

        Args:
            states: the encoder's last layer, (batch, length, width).
            ids: token ids, (batch, length).
            mask: 1 where there is a token.
            embeddings: the LLM's own, (vocabulary, width), to name the word before.
        """
        states = states.float()
        truth, asked = self.truth(ids, mask, speaking)
        loss = functional.binary_cross_entropy_with_logits(self.answers(states), truth, reduction="none")
        per_question = (loss * asked).sum((0, 1)) / asked.sum((0, 1)).clamp(min=1)
        before = torch.where(mask[:, 1:] > 0, ids[:, :-1], -100).flatten()[::_PREVIOUS_STRIDE]
        guess = self.previous(states[:, 1:].flatten(0, 1)[::_PREVIOUS_STRIDE]) @ embeddings.detach().T
        previous = functional.cross_entropy(guess * states.shape[-1] ** -0.5, before)
        return _QUESTION_WEIGHT * per_question.sum() + _PREVIOUS_WEIGHT * previous
