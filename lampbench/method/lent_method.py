"""A method that a bench lends to another one: what may be asked of it, whatever it is and whoever has fitted it.

It lies below both the bench, which lends it, and the methods, which work with a bench.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from lampbench.records.prediction import Prediction

if TYPE_CHECKING:
    from torch import nn

    from lampbench.data.dataset import Example


@dataclass(frozen=True)
class Prompt:
    """What a method would ask the LLM: the text, and the ids of the profile items in it, best first."""

    text: str
    ranked: tuple[str, ...] = ()


class LentMethod(Protocol):
    """A method that is ready to predict; see `lampbench.method.base.Method` for what its answers mean."""

    @property
    def name(self) -> str:
        """Its name."""

    @property
    def config(self) -> Any:
        """Its options."""

    @property
    def module(self) -> nn.Module | None:
        """What it has trained."""

    def predict(self, examples: Sequence[Example]) -> Iterator[Prediction]:
        """One prediction per example, in order."""

    def prompts_for(self, examples: Sequence[Example]) -> Iterator[Prompt]:
        """What it would ask for each example; the LLM is not asked."""

    def answer(self, examples: Sequence[Example], prompts: Sequence[Prompt]) -> Iterator[Prediction]:
        """Its predictions, where its prompts are known: a retriever then need not rank again."""

    def rankings(self, examples: Sequence[Example]) -> Iterator[list[int]]:
        """The ranking of each example's profile, best first.

        Raises:
            RunError: the method does not rank.
        """

    def alternatives(self, examples: Sequence[Example]) -> Mapping[str, Iterator[Prediction]]:
        """The answers that it chooses among, by name."""

    def bytes_per_user(self, example: Example) -> int | None:
        """Bytes that must be kept for the user of this question between questions; None: unknown."""
