"""Soft prompts: what methods that put trained vectors in front of the frozen LLM's input have in common.

A soft vector starts like a token: an MLP makes it from a vector of an encoder's size, and a factor brings it
to the norm of the LLM's embeddings. Training and limits are one for all, those of Persona-Plug
(arXiv:2409.11901, section 4.2, and its released program), so that methods differ in their vectors only.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice, tee
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn

from lampbench.constraints import (
    Checked,
    Count,
    NonNegativeFloat,
    PositiveFloat,
    PositiveInt,
    WarmupShare,
)
from lampbench.method.base import Method, Prediction
from lampbench.models.frozen_llm import FrozenLLM
from lampbench.models.requests import Request
from lampbench.training.run_state import TrainReport
from lampbench.training.settings import settings_from

if TYPE_CHECKING:
    from lampbench.data.dataset import Example, Split
    from lampbench.method.bench import Bench


@dataclass(frozen=True)
class SoftPromptConfig(Checked):
    """How soft vectors start and how they are trained; the defaults are Persona-Plug's."""

    # norm at which soft vectors start (none: mean norm of the LLM's embeddings)
    scale: PositiveFloat | None = None
    released_norms: bool = False  # divide outputs of the MLPs by 1 and 7, not by their expected first norms
    llm_dropout: bool = True  # leave the frozen LLM's dropout on in training, as released
    copies: Count = (
        10  # times that a question comes again in each epoch (with a thinned history, where there is one)
    )
    epochs: PositiveFloat = 2.0  # over the questions and their copies (published: 1 or 2)
    max_steps: Count = 0  # optimizer steps at most (0: as many as the epochs take)
    batch_size: PositiveInt = 8  # questions per forward pass
    accumulation: PositiveInt = 8  # forward passes per step
    learning_rate: NonNegativeFloat = 1e-4  # peak, after the warm-up and before the linear decay
    weight_decay: NonNegativeFloat = 1e-4  # of AdamW
    warmup: WarmupShare = 0.05  # share of the steps
    hold_out: Count = 0  # training questions set aside to choose the best weights on (0: the last weights)
    evaluations: PositiveInt = 10  # times that the held-out questions are scored


@dataclass(frozen=True)
class SoftQuestion:
    """What a soft-prompt method needs of an example."""

    prompt: str  # what the LLM reads
    target: str = ""
    ranked: tuple[str, ...] = ()  # ids of the items in the prompt, best first


class SoftPromptMethod(Method):
    """A method that trains soft vectors: it says which, the rest is here.

    A subclass says in `build` what it trains, and what follows.
    """

    config: Any  # a SoftPromptConfig
    uses_rankings = True  # for the items in the text behind the soft vectors

    def idle(self) -> Mapping[str, str]:
        return {} if self.config.hold_out else {"evaluations": "with hold_out=0"}

    def check_llm(self, llm: FrozenLLM) -> None:
        llm.abilities.check_soft_vectors()

    def questions(self, bench: Bench, examples: Sequence[Example]) -> Iterator[Any]:
        """A SoftQuestion per example, in order."""
        for example in examples:
            yield SoftQuestion(example.input, example.output or "")

    def copies(self, question: Any) -> list[Any]:
        """What is trained on besides the question itself, in each epoch."""
        return [question] * self.config.copies

    def prompter(self, bench: Bench) -> Callable[[Sequence[Any]], Tensor]:
        """From questions to their soft vectors, [n, n_soft, llm_dim], with the weights at the time of the
        call."""
        raise NotImplementedError

    @property
    def trained(self) -> nn.Module:
        """What `build` has made."""
        assert self.module is not None  # built before anything is asked of a method
        return self.module

    def fit(self, bench: Bench, train: Split) -> TrainReport:
        c, module = self.config, self.trained
        train, held_out = bench.hold_out(train, c.hold_out)
        soft_vectors = self.prompter(bench)
        questions = list(self.questions(bench, train))
        questions += [copy for question in questions for copy in self.copies(question)]
        settings = settings_from(
            c, len(questions), seed=bench.seed, dtype=bench.llm.dtype, scored=len(held_out) > 0
        )

        def loss(batch: Sequence[Any]) -> Tensor:
            return soft_prompt_loss(
                bench,
                [question.prompt for question in batch],
                soft_vectors(batch),
                [question.target for question in batch],
                dropout=c.llm_dropout and module.training,
            )

        return bench.train(
            module,
            questions,
            loss,
            settings,
            dev=list(self.questions(bench, held_out)),
            # Roughly, so that the copies of one question do not all end up in one batch.
            length=lambda question: len(question.prompt) // 64,
        )

    def predict(self, bench: Bench, examples: Sequence[Example]) -> Iterator[Prediction]:
        soft_vectors = self.prompter(bench)
        size = self.config.batch_size * self.config.accumulation
        asked, logged = tee(self.questions(bench, examples))

        def requests() -> Iterator[Request]:
            while batch := list(islice(asked, size)):
                with torch.no_grad():
                    soft = soft_vectors(batch)
                yield from (Request(q.prompt, vectors) for q, vectors in zip(batch, soft, strict=True))

        yield from bench.generate(examples, requests(), ranked=(question.ranked for question in logged))


def soft_prompt_loss(
    bench: Bench, prompts: Sequence[str], soft: Tensor, targets: Sequence[str], *, dropout: bool = False
) -> Tensor:
    """The mean cross-entropy per target token under the frozen LLM and the run's limits, as a scalar.

    Args:
        bench: whose LLM and limits count.
        prompts: the texts behind the soft vectors.
        soft: float [n, n_soft, llm_dim], the soft vectors of each prompt; gradients flow into them.
        targets: the texts to predict.
        dropout: leave the LLM's own dropout on.
    """
    return bench.llm.loss(
        [Request(prompt, vectors) for prompt, vectors in zip(prompts, soft, strict=True)],
        targets,
        max_input_tokens=bench.settings.max_input_tokens,
        max_target_tokens=bench.settings.max_new_tokens,
        dropout=dropout,
    )


def start_scale(bench: Bench, scale: float | None) -> float:
    """The norm at which soft vectors start: `scale`, or else that of a token of the LLM."""
    return bench.llm.embedding_norm if scale is None else scale


class InstructionTokens(nn.Module):
    """Soft vectors that are the same for every question: trained vectors behind one trained MLP.

    Args:
        n: how many.
        encoder_dim: size of the trained vectors.
        llm_dim: size of the soft vectors.
        scale: norm at which they start.
        released_norms: divide by 7.0 before scaling, as released. That fits 768 and 4096 dimensions, where a
            fresh MLP gives a norm of 6.7; by default the divisor is what one gives for the sizes at hand.
    """

    def __init__(
        self, n: int, encoder_dim: int, llm_dim: int, scale: float, *, released_norms: bool = False
    ) -> None:
        super().__init__()
        self.n = n
        self.projector = mlp(encoder_dim, llm_dim)
        # One row of numbers, and no matrix: weight decay is for matrices.
        self.vectors = nn.Parameter(torch.rand(n * encoder_dim))
        # The squared norm of `encoder_dim` numbers that are uniform in [0, 1) is encoder_dim / 3.
        norm = 7.0 if released_norms else fresh_norm(encoder_dim / 3, encoder_dim, llm_dim)
        self.factor = scale / norm

    def forward(self, n_questions: int) -> Tensor:
        """For each question, [n_questions, n, llm_dim]."""
        soft = self.projector(self.vectors.view(self.n, -1)).float() * self.factor
        return soft.expand(n_questions, -1, -1)


def mlp(in_dim: int, out_dim: int) -> nn.Sequential:
    """Linear - GELU - Linear, from an encoder's space to that of an LLM, with PyTorch's initial weights."""
    return nn.Sequential(nn.Linear(in_dim, out_dim), nn.GELU(), nn.Linear(out_dim, out_dim))


def fresh_norm(squared_norm: float, in_dim: int, out_dim: int) -> float:
    """The expected norm of what a fresh `mlp` makes of a vector of that squared norm.

    Divide by it, and soft vectors start at a norm of 1 whatever the sizes are. PyTorch's initial weights and
    biases are uniform with variance 1 / (3 fan-in), so the hidden units are nearly normal.
    """
    deviation = math.sqrt((squared_norm + 1) / (3 * in_dim))
    points, weights = np.polynomial.hermite_e.hermegauss(64)
    x = points * deviation
    gelu = x * np.array([0.5 * (1 + math.erf(value / math.sqrt(2))) for value in x])
    second_moment = float((weights * gelu**2).sum()) / math.sqrt(2 * math.pi)
    return math.sqrt(out_dim * second_moment / 3 + 1 / 3)
