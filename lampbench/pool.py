"""A pool of methods to choose from: their prompts, which cost nothing, and their answers."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from lampbench.errors import RequestError
from lampbench.method import RetrievalMethod
from lampbench.prediction import Prediction

if TYPE_CHECKING:
    from lampbench.bench import Bench
    from lampbench.data import Example
    from lampbench.fitting import Fitted


@dataclass(frozen=True)
class Prompt:
    """What a method would ask the LLM: the text, and the ids of the profile items in it, best first."""

    text: str
    ranked: tuple[str, ...] = ()


class Pool:
    """Methods that differ in the prompt alone: those that rank the profile, and the one that leaves it out.

    Attributes:
        members: the methods, fitted, by name and in order.

    Raises:
        RequestError: a method does more than write a prompt.
    """

    def __init__(self, bench: Bench, names: Sequence[str]) -> None:
        self.members: dict[str, Fitted] = {name: bench.method(name) for name in names}
        for name, fitted in self.members.items():
            ranks = isinstance(fitted.method, RetrievalMethod)
            if not ranks and (fitted.method.reads_profile or fitted.method.module is not None):
                raise RequestError(
                    f"method '{name}' cannot be in a pool of retrievers: it neither ranks the profile nor "
                    "asks the bare question"
                )

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

    def answers(self, name: str, examples: Sequence[Example]) -> Iterator[Prediction]:
        """The method's own predictions: generated now, or earlier."""
        return self.members[name].predict(examples)
