"""The answer of one method to one question."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Prediction:
    """The answer of one method to one question, and what it cost.

    Attributes:
        id: the id of the question.
        output: the answer: the text that the LLM generated, or what was extracted from it.
        ranked: ids of the profile items in the prompt, best first; empty if it has none.
        prompt_tokens: text tokens of the prompt after truncation.
        soft_tokens: soft vectors in front of them.
        generated_tokens: tokens of the output.
        truncated: whether the prompt had to be cut to the limit.
        said: what the LLM generated, where the answer was extracted from it and is not the whole.
        extra: anything else worth a look later, as JSON values (the retriever chosen, a score).
    """

    id: str
    output: str
    ranked: tuple[str, ...] = ()
    prompt_tokens: int = 0
    soft_tokens: int = 0
    generated_tokens: int = 0
    truncated: bool = False
    said: str | None = None
    extra: Mapping[str, Any] = field(default_factory=dict)
