"""A pool of methods to choose from: their prompts, which cost nothing, and their answers."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from lampbench.method.base import Method, RetrievalMethod, trains
from lampbench.records.prediction import Prediction

if TYPE_CHECKING:
    from lampbench.data.dataset import Example
    from lampbench.method.bench import Bench
    from lampbench.method.lent import LentMethod, Prompt


def check_pool(others: Mapping[str, type[Method]]) -> None:
    """See that methods do no more than write a prompt.

    Raises:
        ValueError: one of them does.
    """
    for name, other in others.items():
        learns = trains(other) or other.build is not Method.build
        if not issubclass(other, RetrievalMethod) and (other.reads_profile or learns):
            raise ValueError(
                f"method '{name}' cannot be in a pool of retrievers: it neither ranks the profile nor "
                "asks the bare question"
            )


class Pool:
    """Methods that differ in the prompt alone: those that rank the profile, and the one that leaves it out.

    Attributes:
        members: the methods, fitted, by name and in order.
    """

    def __init__(self, bench: Bench, names: Sequence[str]) -> None:
        self.members: dict[str, LentMethod] = {name: bench.method(name) for name in names}

    def prompts(self, name: str, examples: Sequence[Example]) -> Iterator[Prompt]:
        """What the method would ask for each example; the LLM is not asked."""
        return self.members[name].prompts_for(examples)

    def answers(
        self, name: str, examples: Sequence[Example], prompts: Sequence[Prompt] | None = None
    ) -> Iterator[Prediction]:
        """The method's own predictions: generated now, or earlier.

        Args:
            name: the method's.
            examples: the questions.
            prompts: what it would ask for them, where that is known: a retriever then need not rank again.
        """
        member = self.members[name]
        return member.predict(examples) if prompts is None else member.answer(examples, prompts)
