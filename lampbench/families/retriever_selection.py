"""RSPG: choose the retriever for each question, learned from how well the LLM answered with each of them.

Retrieval selection for personalized generation (arXiv:2404.05970, section 5; the program's folder RSPG in
github.com/LaMP-Benchmark/LaMP). On training questions every retriever of a pool builds its prompt and the frozen
LLM answers; a selector learns to give high scores to the prompts (or to prompt and answer) of those that
answered well. The files `rspg_pre` and `rspg_post` of the methods say what it reads and when the LLM is asked.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import torch
from torch import Tensor, nn

from lampbench.constraints import Count, NonNegativeFloat, PositiveFloat, PositiveInt, WarmupShare
from lampbench.families.llm_feedback import usefulness
from lampbench.families.selector_model import Selector, Tokens, score_texts, selection_loss
from lampbench.method.base import (
    Bench,
    HistoryConfig,
    Method,
    Prediction,
    ProfileConfig,
    RetrievalMethod,
    trains,
)
from lampbench.prompts.texts import Fields
from lampbench.training.run_state import TrainReport
from lampbench.training.settings import settings_from

if TYPE_CHECKING:
    from lampbench.data.dataset import Example, Split
    from lampbench.method.lent_method import LentMethod, Prompt


@dataclass(frozen=True)
class SelectionConfig(ProfileConfig, HistoryConfig):
    """Options of both selectors. The defaults train as in section 6.1 of the paper."""

    history_fields: Fields = "released"  # what of an item the pool's prompts show
    pool: tuple[str, ...] = ()  # methods to choose from; of equal scores the first one wins
    # what reads: hub name or folder, encoder for the run's own
    selector: str = "allenai/longformer-base-4096"
    max_length: PositiveInt = 1024  # tokens that it reads of a text at most (released default: 512)
    questions: Count = 0  # training questions asked of the pool, drawn at random (0: all)
    temperature: PositiveFloat = 1.0  # of the target distribution over the pool (paper: 1)
    epochs: PositiveFloat = 20.0  # over the training questions
    max_steps: Count = 0  # optimizer steps at most (0: as many as the epochs take)
    batch_size: PositiveInt = 8  # questions per forward pass, each with a text for every method of the pool
    accumulation: PositiveInt = 8  # forward passes per step
    learning_rate: NonNegativeFloat = 1e-5  # peak, after the warm-up and before the linear decay
    weight_decay: NonNegativeFloat = 0.0  # of AdamW
    warmup: WarmupShare = 0.05  # share of the steps
    hold_out: Count = 0  # training questions set aside to choose the best weights on (0: the last weights)
    evaluations: PositiveInt = 10  # times that the held-out questions are scored
    bounds: bool = True  # ask the whole pool after the predictions, to tell how good the choice was

    def __post_init__(self) -> None:
        super().__post_init__()
        if len(self.pool) < 2 or len(set(self.pool)) < len(self.pool):
            raise ValueError(f"pool must name at least two methods, each once, not '{','.join(self.pool)}'")


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


@dataclass(frozen=True)
class Candidates:
    """A training question: one tokenized text per method of the pool, and how good its answer was."""

    texts: tuple[Tokens, ...]
    utilities: tuple[float, ...]


@dataclass(frozen=True)
class Choice:
    """Which method of the pool was chosen for a question, by position, and the scores of all."""

    position: int
    scores: tuple[float, ...]

    def told(self, pool: Sequence[str]) -> dict[str, Any]:
        """As the extra of a prediction."""
        scores = {name: round(score, 4) for name, score in zip(pool, self.scores, strict=True)}
        return {"chosen": pool[self.position], "scores": scores}


class SelectionMethod(Method):
    """A method that learns which method of a pool to use for a question."""

    config: Any  # a SelectionConfig
    reads_answer: ClassVar[bool]
    """Whether the selector reads the answers beside the prompts."""

    predict_options: ClassVar[frozenset[str]] = frozenset({"profile", "bounds"})

    def __init__(self, config: Any) -> None:
        super().__init__(config)
        self.needs = frozenset({config.selector})
        self._pool: Pool | None = None

    @property
    def keeps_answer(self) -> bool:
        """Whether a long prompt is cut before the answer behind it."""
        return True

    def uses(self) -> tuple[str, ...]:
        return self.config.pool

    def idle(self) -> Mapping[str, str]:
        return {} if self.config.hold_out else {"evaluations": "with hold_out=0"}

    def check_below(self, others: Mapping[str, type[Method]]) -> None:
        check_pool(others)

    def build(self, bench: Bench) -> nn.Module:
        return Selector(bench.text_encoder(self.config.selector).trainable_copy())

    def fit(self, bench: Bench, train: Split) -> TrainReport:
        c, module = self.config, self._selector
        if c.questions:
            train = train.subset(bench.rng("questions").permutation(len(train))[: c.questions])
        train, held_out = bench.hold_out(train, c.hold_out)
        questions = self.candidates(bench, list(train))
        settings = settings_from(
            c, len(questions), seed=bench.seed, dtype=bench.llm.dtype, scored=len(held_out) > 0
        )

        def loss(batch: Sequence[Candidates]) -> Tensor:
            scores = module([text for question in batch for text in question.texts])
            wanted = torch.tensor([question.utilities for question in batch], device=scores.device)
            return selection_loss(scores.view(wanted.shape), wanted, c.temperature)

        return bench.train(
            module,
            questions,
            loss,
            settings,
            dev=self.candidates(bench, list(held_out)),
            length=lambda question: max(map(len, question.texts)) // 32,
        )

    def pool(self, bench: Bench) -> Pool:
        """The methods to choose from, ready."""
        if self._pool is None:
            self._pool = Pool(bench, self.config.pool)
        return self._pool

    def candidates(self, bench: Bench, examples: Sequence[Example]) -> list[Candidates]:
        """What the pool makes of questions with outputs."""
        if not examples:
            return []
        pool = self.pool(bench)
        # Neighbours of similar length, for the LLM's batches.
        examples = sorted(examples, key=lambda example: -len(example.input))
        golds = [example.output or "" for example in examples]
        texts, values = [], []
        for name in pool.members:
            prompts = [prompt.text for prompt in pool.prompts(name, examples)]
            with bench.progress(f"asking {name} ({bench.task.name})", len(examples)) as bar:
                outputs = []
                for prediction in pool.answers(name, [example.without_output() for example in examples]):
                    outputs.append(prediction.output)
                    bar.advance()
            texts.append(self.tokenized(prompts, outputs))
            values.append(usefulness(bench.task, outputs, golds).tolist())
        return [
            Candidates(text, value)
            for text, value in zip(zip(*texts, strict=True), zip(*values, strict=True), strict=True)
        ]

    def tokenized(self, prompts: Sequence[str], outputs: Sequence[str | None]) -> list[Tokens]:
        """What the selector reads of each prompt and its output."""
        limits: dict[str, Any] = {"max_length": self.config.max_length, "keep_answer": self.keeps_answer}
        return [
            self._selector.tokenize(prompt, output if self.reads_answer else None, **limits)
            for prompt, output in zip(prompts, outputs, strict=True)
        ]

    def choose(
        self,
        bench: Bench,
        texts: Sequence[Sequence[Tokens]],
        on_progress: Callable[[int, int], None] | None = None,
    ) -> list[Choice]:
        """The choice for each question; of equal scores the first one of the pool wins.

        Args:
            texts: per method of the pool, one text per question.
            on_progress: called with (done, total) distinct texts.
        """
        n = len(texts[0])
        flat = [text for of_method in texts for text in of_method]
        scores = score_texts(self._selector, flat, bench.llm.dtype, on_progress)
        columns = [scores[start : start + n] for start in range(0, len(scores), n)]
        return [Choice(row.index(max(row)), row) for row in zip(*columns, strict=True)]

    def alternatives(self, bench: Bench, examples: Sequence[Example]) -> Mapping[str, Iterator[Prediction]]:
        if not self.config.bounds:
            return {}
        pool = self.pool(bench)
        return {name: pool.answers(name, examples) for name in pool.members}

    def bytes_per_user(self, bench: Bench, example: Example) -> int:
        """The texts of the history, once, and what each method of the pool keeps beside them."""
        texts = sum(len(str(value).encode()) for item in example.profile for value in item.values())
        members = self.pool(bench).members.values()
        kept = [member.bytes_per_user(example) or 0 for member in members]
        return texts + sum(max(0, n - texts) for n in kept)

    @property
    def _selector(self) -> Selector:
        assert isinstance(self.module, Selector)  # built before anything is asked of a method
        return self.module
