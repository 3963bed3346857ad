"""Methods that tune the LLM itself on a task: ordinary training on pairs of prompt and output.

With `retriever=NAME` the prompts hold the items that method NAME ranks first, in training as in prediction;
without it nobody's history is read. Follows LaMP's train_llm.py (github.com/LaMP-Benchmark/LaMP;
arXiv:2304.11406), but for the choice of the epoch, which is made on held-out training questions: the
original's makes it on the questions that it reports.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from lampbench import metrics
from lampbench.constraints import Count, NonNegativeFloat, PositiveFloat, PositiveInt, WarmupShare
from lampbench.errors import RequestError
from lampbench.method.base import Bench, Method, Prediction, RetrievalConfig
from lampbench.training.settings import settings_from, steps_for

if TYPE_CHECKING:
    from torch import Tensor, nn

    from lampbench.data.dataset import Example, Split
    from lampbench.models.frozen_llm import FrozenLLM
    from lampbench.models.llm import LLM
    from lampbench.models.requests import Request
    from lampbench.training.run_state import TrainReport

NO_RETRIEVER = "none"


@dataclass(frozen=True)
class TunedConfig(RetrievalConfig):
    """Options of every method that tunes the LLM on the task; the defaults are those of train_llm.py."""

    retriever: str = NO_RETRIEVER  # method whose first k items go into the prompts (none: the question alone)
    epochs: PositiveFloat = 10.0  # passes over the training questions
    max_steps: Count = 0  # end after so many steps (0: all epochs)
    batch_size: PositiveInt = 16  # questions per forward pass
    accumulation: PositiveInt = 1  # forward passes per step
    learning_rate: NonNegativeFloat = 5e-5  # peak, after the warm-up and before the linear decay
    weight_decay: NonNegativeFloat = 1e-4  # of AdamW
    warmup: WarmupShare = 0.05  # share of the steps
    clip: NonNegativeFloat = 1.0  # largest norm of the gradient
    hold_out: Count = 500  # training questions set aside to choose the best epoch on (0: the last epoch)
    select: Literal["metric", "loss"] = "metric"  # what the best epoch is best in, on those questions


@dataclass(frozen=True)
class Lesson:
    """What the LLM learns from an example: the answer that a request should have."""

    request: Request
    target: str


class TunedMethod(Method):
    """A method that tunes an LLM of its own on the task; it says which weights: `tunable`."""

    config: Any  # a TunedConfig
    default_config: ClassVar[type] = TunedConfig
    uses_rankings = True

    def tunable(self, bench: Bench) -> nn.Module:
        """A model of the method's own, whose parameters that require gradients are trained."""
        raise NotImplementedError

    def uses(self) -> tuple[str, ...]:
        if self.config.retriever == self.name:
            raise RequestError(f"option retriever of {self.name}: it cannot be its own retriever")
        return () if self.config.retriever == NO_RETRIEVER else (self.config.retriever,)

    def idle(self) -> Mapping[str, str]:
        found = {} if self.config.hold_out else {"select": "with hold_out=0"}
        if not self.uses():  # nothing reads the history then
            read = ("k", "profile", "history_fields")
            found |= dict.fromkeys(read, "without a retriever: set retriever=bm25, say")
        return found

    def check_llm(self, llm: FrozenLLM) -> None:
        llm.abilities.check_tunable()

    def build(self, bench: Bench) -> nn.Module:
        from torch import nn

        # Not the model itself: the LLM's interface switches the mode of that as it goes.
        return nn.ModuleDict({"llm": self.tunable(bench)})

    def llm(self, bench: Bench) -> LLM:
        """The tuned LLM."""
        assert self.module is not None  # built before anything is asked of a method
        return bench.llm.using(self.module.get_submodule("llm"))

    def fit(self, bench: Bench, train: Split) -> TrainReport:
        c, module, llm = self.config, self.module, self.llm(bench)
        assert module is not None
        train, held_out = bench.hold_out(train, c.hold_out)
        lessons, held_lessons = self._lessons(bench, train), self._lessons(bench, held_out)
        settings = settings_from(
            c,
            len(lessons),
            seed=bench.seed,
            dtype=bench.llm.dtype,
            scored=len(held_out) > 0,
            eval_every=steps_for(len(lessons), 1, c.batch_size * c.accumulation),  # after each epoch
        )

        def loss(batch: Sequence[Lesson]) -> Tensor:
            return llm.loss(
                [lesson.request for lesson in batch],
                [lesson.target for lesson in batch],
                max_input_tokens=bench.settings.max_input_tokens,
                max_target_tokens=bench.settings.max_new_tokens,
                dropout=module.training,
            )

        def dev_score() -> float:
            requests = [lesson.request for lesson in held_lessons]
            answers = {p.id: p.output for p in bench.generate(held_out, requests, llm=llm)}
            golds = {example.id: example.output or "" for example in held_out}
            value = metrics.score(bench.task, answers, golds).metrics[bench.task.metric.key]
            return -value if bench.task.metric.higher_is_better else value

        return bench.train(
            module,
            lessons,
            loss,
            settings,
            dev=held_lessons,
            dev_score=dev_score if held_out and c.select == "metric" else None,
            # Roughly, so that the batches of an epoch differ from those of the next.
            length=lambda lesson: len(lesson.request.prompt) // 64,
        )

    def predict(self, bench: Bench, examples: Sequence[Example]) -> Iterator[Prediction]:
        rankings = self._rankings(bench, examples)
        requests = (self._request(bench, e, r) for e, r in zip(examples, rankings, strict=True))
        ranked = (
            tuple(example.item_ids[position] for position in ranking)
            for example, ranking in zip(examples, rankings, strict=True)
        )
        yield from bench.generate(examples, requests, ranked, llm=self.llm(bench))

    def bytes_per_user(self, bench: Bench, example: Example) -> int | None:
        """What the retriever keeps; the tuned LLM is one for all."""
        if not self.uses():
            return 0
        return bench.method(self.config.retriever).bytes_per_user(example)

    # Prompts

    def _lessons(self, bench: Bench, examples: Sequence[Example]) -> list[Lesson]:
        rankings = self._rankings(bench, examples)
        return [
            Lesson(self._request(bench, example, ranking), example.output or "")
            for example, ranking in zip(examples, rankings, strict=True)
        ]

    def _rankings(self, bench: Bench, examples: Sequence[Example]) -> list[list[int]]:
        """Per example, the positions of the items in its prompt, best first."""
        if not self.uses() or not examples:
            return [[] for _ in examples]
        with bench.progress(f"ranking ({bench.task.name})", len(examples)) as bar:
            rankings = []
            for ranking in bench.method(self.config.retriever).rankings(examples):
                rankings.append(ranking[: self.config.k])
                bar.advance()
        return rankings

    def _request(self, bench: Bench, example: Example, ranking: Sequence[int]) -> Request:
        """The official prompt; without items that is the question alone."""
        return bench.profile_request(example, ranking, self.config.k)
