"""A pool of methods to choose from: their prompts, which cost nothing, and their answers."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from lampbench.method.base import Method, RetrievalMethod
from lampbench.records.prediction import Prediction

if TYPE_CHECKING:
    from lampbench.data.dataset import Example
    from lampbench.method.bench import Bench
    from lampbench.runner.session import Fitted


@dataclass(frozen=True)
class Prompt:
    """What a method would ask the LLM: the text, and the ids of the profile items in it, best first."""

    text: str
    ranked: tuple[str, ...] = ()


def check_pool(others: Mapping[str, type[Method]]) -> None:
    """See that methods do no more than write a prompt.

    Raises:
        ValueError: one of them does.
    """
    for name, other in others.items():
        trains = other.fit is not Method.fit or other.build is not Method.build
        if not issubclass(other, RetrievalMethod) and (other.reads_profile or trains):
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
        self.members: dict[str, Fitted] = {name: bench.method(name) for name in names}

    def prompts(self, name: str, examples: Sequence[Example]) -> Iterator[Prompt]:
        """What the method would ask for each example; the LLM is not asked."""
        fitted = self.members[name]
        if not isinstance(fitted.method, RetrievalMethod):
            yield from (Prompt(example.input) for example in examples)
            return
        k = fitted.method.config.k
        for example, ranking in zip(examples, fitted.rankings(examples), strict=True):
            request = fitted.bench.profile_request(example, ranking, k)
            yield Prompt(request.prompt, tuple(example.item_ids[place] for place in ranking[:k]))

    def answers(
        self, name: str, examples: Sequence[Example], prompts: Sequence[Prompt] | None = None
    ) -> Iterator[Prediction]:
        """The method's own predictions: generated now, or earlier.

        Args:
            name: the method's.
            examples: the questions.
            prompts: what it would ask for them, where that is known: a retriever then need not rank again.
        """
        fitted = self.members[name]
        if prompts is None or type(fitted.method).predict is not RetrievalMethod.predict:
            return fitted.predict(examples)
        ranked = (prompt.ranked for prompt in prompts)
        return fitted.bench.generate(examples, (prompt.text for prompt in prompts), ranked=ranked)
