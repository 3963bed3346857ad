"""What a world of LaMP-mini is: persona, document, question and the reference guess, for one task."""

from __future__ import annotations

import random
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

from lampbench.tasks import get_task


@dataclass(frozen=True)
class Document:
    """What a user wrote: the item's fields in the official schema, and what the writer had in mind."""

    fields: Mapping[str, str]
    latent: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Asked:
    """A question: the task's literal input, the gold output, and what the writer had in mind."""

    input: str
    output: str
    latent: Mapping[str, Any]


class Domain(ABC):
    """One task's world."""

    task: ClassVar[str]

    @abstractmethod
    def persona(self, rng: random.Random) -> Any:
        """A new person's habits."""

    @abstractmethod
    def document(self, persona: Any, rng: random.Random) -> Document:
        """Something that person writes."""

    @abstractmethod
    def question(self, document: Document, persona: Any, rng: random.Random) -> Asked:
        """The question that leaves the document's output out."""

    @abstractmethod
    def guess(self, asked: Asked, persona: Any | None) -> str:
        """The answer that this persona would give, or that a fixed guess at the persona gives (None).

        Either knows what the writer had in mind apart from the persona. None is not the best that can be done
        without a history: it ignores what the text of the question gives away of the persona.
        """

    def fill(self, **slots: str) -> str:
        """The task's literal input with its slots filled."""
        template = get_task(self.task).template
        for name, text in slots.items():
            template = template.replace("{" + name + "}", text)
        return template


def pick(rng: random.Random, options: Sequence[Any], n: int) -> list[Any]:
    return rng.sample(list(options), n)


def as_sentence(text: str) -> str:
    return text[0].upper() + text[1:] + "."
