"""The models of one command: each is loaded when it is first used, once, for all methods and tasks."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from lampbench.encoder import TextEncoder
    from lampbench.llm import FrozenLLM


@dataclass(frozen=True)
class ModelChoice:
    """Which models, where and how precise; names are hub names or local folders."""

    llm: str
    encoder: str
    retriever: str
    device: str = "auto"
    dtype: str = "auto"
    offline: bool = False
    batch_tokens: int | None = None


class Models:
    """The models of `choice`, loaded lazily."""

    def __init__(self, choice: ModelChoice) -> None:
        self.choice = choice

    @cached_property
    def llm(self) -> FrozenLLM:
        """The frozen LLM."""
        from lampbench.llm import FrozenLLM

        c = self.choice
        return FrozenLLM.load(
            c.llm, device=c.device, dtype=c.dtype, offline=c.offline, batch_tokens=c.batch_tokens
        )

    @cached_property
    def encoder(self) -> TextEncoder:
        """The text encoder."""
        return self._encoder(self.choice.encoder)

    @cached_property
    def retriever(self) -> TextEncoder:
        """The dense retriever's encoder; the same object as `encoder` when they are the same model."""
        return (
            self.encoder
            if self.choice.retriever == self.choice.encoder
            else self._encoder(self.choice.retriever)
        )

    def _encoder(self, name: str) -> TextEncoder:
        from lampbench.encoder import TextEncoder

        return TextEncoder.load(name, device=self.choice.device, offline=self.choice.offline)
