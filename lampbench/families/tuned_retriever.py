"""A dense retriever tuned on the LLM's feedback: the base of the ROPG methods (arXiv:2404.05970, section 3).

The dense retriever ranks the history of each training question, the first items are its candidates, and the
LLM says how useful each of them is alone in the prompt (`lampbench.families.llm_feedback`). A copy of the retriever's
encoder then learns to score useful candidates above the others; how it learns from them is the method's own
`loss`. One encoder serves questions and items, as before the tuning.

Its probability for a candidate is the softmax of the dot products, as they are. How far those lie apart differs
between encoders: where they differ by tens, all probability is on one candidate, and there is nothing to
explore and no way back. Such an encoder needs a `temperature`.

Where a question has fewer candidates than others of its batch the missing ones are masked. In the released
program they are empty documents that take part, and on LaMP-3 they are the most rewarding ones.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

import numpy as np
import torch
from annotated_types import Ge
from torch import Tensor

from lampbench.constraints import Count, NonNegativeFloat, PositiveFloat, PositiveInt, WarmupShare
from lampbench.errors import RequestError
from lampbench.families.dense_retriever import DenseConfig, DenseMethod
from lampbench.families.llm_feedback import feedback
from lampbench.method.base import Bench
from lampbench.training.run_state import TrainReport
from lampbench.training.settings import settings_from

if TYPE_CHECKING:
    from lampbench.data.dataset import Example, Split
    from lampbench.models.encoder import EncoderModule, TextEncoder


@dataclass(frozen=True)
class TunedRetrieverConfig(DenseConfig):
    """Options. The defaults are those of section 6.1 of the paper."""

    use_date: bool = True  # whether an item's text ends in its date
    candidates: Annotated[int, Ge(2)] = 16  # items per training question that the LLM judges
    # of the retriever's softmax in training (1: the dot products as they are)
    temperature: PositiveFloat = 1.0
    questions: Count = 0  # training questions that are used, drawn at random (0: all)
    epochs: PositiveFloat = 10.0  # over the questions
    max_steps: Count = 0  # optimizer steps at most (0: as many as the epochs take)
    batch_size: PositiveInt = 8  # questions per forward pass
    accumulation: PositiveInt = 8  # forward passes per step
    learning_rate: NonNegativeFloat = 1e-5  # peak, after the warm-up and before the linear decay
    warmup: WarmupShare = 0.05  # share of the steps
    hold_out: Count = 0  # of the questions, set aside to choose the best weights on (0: the last weights)
    evaluations: PositiveInt = 10  # times that the held-out questions are scored


@dataclass(frozen=True)
class Judged:
    """A training question and what the LLM thinks of its candidates.

    Attributes:
        query: the text that the retriever reads.
        rows: the candidates as rows of the items table, the untuned retriever's best one first.
        useful: their usefulness, float32 of the same length.
    """

    query: str
    rows: np.ndarray = field(repr=False)
    useful: np.ndarray = field(repr=False)


def masked_log_softmax(scores: Tensor, mask: Tensor) -> Tensor:
    """Log-probabilities over the slots that `mask` marks, [n, slots]; 0 in the others, to be multiplied away.

    Every row has a marked slot.
    """
    return scores.masked_fill(~mask, -math.inf).log_softmax(dim=1).masked_fill(~mask, 0.0)


class TunedRetriever(DenseMethod):
    """A dense retriever whose encoder is tuned; a subclass says by which `loss`."""

    config: Any  # a TunedRetrieverConfig
    default_config: ClassVar[type] = TunedRetrieverConfig
    predict_options: ClassVar[frozenset[str]] = frozenset({"profile", "k"})
    check_options: ClassVar[dict[str, Any]] = {"candidates": 3, "max_steps": 3, "accumulation": 1}

    def idle(self) -> Mapping[str, str]:
        return {} if self.config.hold_out else {"evaluations": "with hold_out=0"}

    def loss(self, scores: Tensor, useful: Tensor, mask: Tensor) -> Tensor:
        """The mean loss of some questions, a scalar.

        Args:
            scores: what the tuned retriever gives each candidate, by its temperature, [n, candidates].
            useful: the usefulness of each, [n, candidates]; the first is the untuned retriever's choice.
            mask: whether there is such a candidate, bool [n, candidates].
        """
        raise NotImplementedError

    def build(self, bench: Bench) -> EncoderModule:
        return bench.retriever.trainable_copy()

    def encoder_of(self, bench: Bench) -> TextEncoder:
        """The tuned one."""
        return bench.retriever.using(self._module)

    def fit(self, bench: Bench, train: Split) -> TrainReport:
        c = self.config
        if 0 < c.questions < len(train):
            # The same for every seed and method, so that they share the LLM's feedback.
            train = train.subset(np.sort(np.random.default_rng(0).permutation(len(train))[: c.questions]))
        train, held_out = bench.hold_out(train, c.hold_out)
        judged = self.judge(bench, [*train, *held_out])
        questions = [question for question in judged[: len(train)] if len(question.rows) > 1]
        dev = [question for question in judged[len(train) :] if len(question.rows) > 1]
        if not questions:
            raise RequestError(f"{bench.task.name}: no training question has two items to choose from")
        settings = settings_from(c, len(questions), seed=bench.seed, scored=len(dev) > 0)
        return bench.train(
            self._module,
            questions,
            lambda batch: self.loss(*self.scored(bench, batch)),
            settings,
            dev=dev,
            dev_score=(lambda: -self.mean_usefulness(bench, dev)) if dev else None,
        )

    def judge(self, bench: Bench, examples: Sequence[Example]) -> list[Judged]:
        """The LLM's feedback on the first items of the untuned retriever's rankings."""
        n = self.config.candidates
        rankings = [ranking[:n] for ranking in self.dense_rankings(bench, bench.retriever, examples)]
        return [
            Judged(self.query(bench, example), example.item_rows[ranking], useful)
            for example, ranking, useful in zip(
                examples, rankings, feedback(bench, examples, rankings), strict=True
            )
        ]

    def scored(self, bench: Bench, batch: Sequence[Judged]) -> tuple[Tensor, Tensor, Tensor]:
        """What `loss` takes: scores, usefulness and mask of the candidates; each text is encoded once."""
        module = self._module
        rows, places = np.unique(np.concatenate([question.rows for question in batch]), return_inverse=True)
        place_of: dict[str, int] = {}
        queries = [place_of.setdefault(question.query, len(place_of)) for question in batch]
        items = [
            place_of.setdefault(self.item_text(bench, item), len(place_of)) for item in bench.items.rows(rows)
        ]
        vectors = module(list(place_of))
        lengths = [len(question.rows) for question in batch]
        mask = torch.arange(max(lengths)) < torch.tensor(lengths)[:, None]
        candidates = torch.zeros(mask.shape, dtype=torch.long)
        candidates[mask] = torch.tensor(items)[torch.from_numpy(places)]
        useful = torch.zeros(mask.shape)
        useful[mask] = torch.from_numpy(np.concatenate([question.useful for question in batch]))
        scores = (vectors[queries][:, None] * vectors[candidates.to(vectors.device)]).sum(dim=-1)
        return scores / self.config.temperature, useful.to(scores), mask.to(scores.device)

    def mean_usefulness(self, bench: Bench, questions: Sequence[Judged]) -> float:
        """How useful the candidates are that the retriever ranks first, from 0 to 1."""
        total = 0.0
        for start in range(0, len(questions), self.config.batch_size):
            scores, useful, mask = self.scored(bench, questions[start : start + self.config.batch_size])
            first = masked_log_softmax(scores, mask).masked_fill(~mask, -math.inf).argmax(dim=1)
            total += float(useful.gather(1, first[:, None]).sum())
        return total / len(questions)

    @property
    def _module(self) -> Any:
        assert self.module is not None  # built before anything is asked of a method
        return self.module
