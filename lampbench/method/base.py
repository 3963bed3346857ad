"""What a method is: how to personalize one frozen LLM, in one file.

A method file holds a `Config` dataclass and a `Method` class; the bench (`lampbench.method.bench.Bench`) is all that
they may use:

    @dataclass(frozen=True)
    class Config(RetrievalConfig):
        use_date: bool = False  # whether the item text ends in its date

    class Method(RetrievalMethod):
        name = "mine"
        summary = "One line that `lampbench list methods` shows"
        paper = "arXiv:…"
        config: Config

        def rank(self, bench, example):
            return rank_bm25(query(bench.task, example.input), [item["text"] for item in example.profile])

What a method is given is what it may know: questions without outputs, and the items of their profiles and of the
train split (`lampbench.runner.gold_wall`). It answers by `bench.generate`, and asks for anything else by `bench.ask`.

This module is read by every method file and imports nothing heavy.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import tee
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from lampbench.constraints import Checked, PositiveInt
from lampbench.errors import RunError
from lampbench.method.bench import Bench, RunSettings
from lampbench.method.lent_method import Prompt
from lampbench.prompts.texts import Fields
from lampbench.records.prediction import Prediction

if TYPE_CHECKING:
    import torch

    from lampbench.data.dataset import Example, Split
    from lampbench.models.frozen_llm import FrozenLLM
    from lampbench.training.run_state import TrainReport

__all__ = [
    "Bench",
    "HistoryConfig",
    "Method",
    "NoConfig",
    "Prediction",
    "ProfileConfig",
    "Prompt",
    "PromptsConfig",
    "RetrievalConfig",
    "RetrievalMethod",
    "RunSettings",
    "View",
]


View = Literal["own", "random", "empty", "shuffled-labels"]
"""Whose history a method is shown at prediction: the user's own, that of another user drawn at random, none,
or the user's own with its labels (tags, scores, titles) shuffled among its items."""


@dataclass(frozen=True)
class NoConfig(Checked):
    """The options of a method without options."""


@dataclass(frozen=True)
class ProfileConfig(Checked):
    """Options of every method that reads a profile."""

    profile: View = "own"  # the history shown at prediction (random: another user's)


class HistoryConfig:
    """Base of every Config with an option `history_fields`: what of a user's items the method shows or reads.

    The prompts of its bench show that part, and so do the methods that it is built on. No dataclass: each method
    says for itself what the option is about.
    """

    history_fields: Fields


class PromptsConfig:
    """Base of every Config with an option `prompts`: whether an encoder's own prompts stand before its texts."""

    prompts: bool


@dataclass(frozen=True)
class RetrievalConfig(ProfileConfig, HistoryConfig):
    """Options of every method that puts retrieved items into the prompt."""

    k: PositiveInt = 4  # profile items in the prompt
    history_fields: Fields = "released"  # what of them it shows (input: only what the user was given)


class Method:
    """A way to personalize the frozen LLM. Subclass it as `Method` in a file of its own.

    Its life, driven by the runner: `build` → `fit` (or, when it was fitted before, `restore`) → `predict`.
    Random numbers come from `bench.rng(...)`; torch is seeded before `build` and before `fit`.
    """

    name: ClassVar[str] = ""
    summary: ClassVar[str] = ""
    paper: ClassVar[str] = ""

    variants: ClassVar[Mapping[str, Mapping[str, Any]]] = {}
    """Named settings of options: `{"dated": {"use_date": True}}` is run as `--method NAME+dated`.

    Every method has those of `lampbench.method.registry` besides, as far as it has their options.
    """

    reads_profile: ClassVar[bool] = True
    """False for a method without a user: what personalization is measured against."""

    order: ClassVar[int | None] = None
    """Place among the columns of a table, low first; None: after those that have one."""

    needs: frozenset[str] = frozenset()
    """Models it uses besides the LLM: `encoder`, `retriever`, or the hub name or folder of another text encoder.
    They are loaded before anything runs. Of the class; of an instance where its options decide."""

    check_options: ClassVar[Mapping[str, Any]] = {}
    """Options that make it small: `lampbench check` proves the rules with a few steps of training."""

    default_config: ClassVar[type] = NoConfig
    """The Config of a file that defines none."""

    predict_options: ClassVar[frozenset[str]] = frozenset({"profile"})
    """Options that act at prediction only: another value of them does not ask for another fit."""

    prompt_options: ClassVar[frozenset[str]] = frozenset()
    """Options that act on its own prompts only: its rankings are the same with any value of them."""

    uses_rankings: ClassVar[bool] = False
    """Whether what it asks of those that it is built on is their rankings. They must rank, then, and nothing that
    acts on their own prompts only can change it."""

    def __init__(self, config: Any) -> None:
        self.config = config
        self.module: torch.nn.Module | None = None

    def uses(self) -> Sequence[str] | Mapping[str, Mapping[str, Any]]:
        """Names of the methods that this one is built on (`bench.method(name)`).

        Where it asks options of them, too: `{"below": {"use_date": True}}` for
        `bench.method("below", use_date=True)`.
        """
        return ()

    def idle(self) -> Mapping[str, str]:
        """The options that can do nothing as the others are, and why not: `{"k": "without a retriever"}`.

        Whoever sets one of them is told before anything runs; what a preset or a default says is left alone.
        """
        return {}

    def check_below(self, others: Mapping[str, type[Method]]) -> None:
        """Look at the classes of the methods that this one is built on, by name, before anything is fitted.

        Raises:
            ValueError: one of them cannot serve.
        """
        if self.uses_rankings:
            check_they_rank(others)

    def check_llm(self, llm: FrozenLLM) -> None:
        """Look at the LLM when it is loaded, before anything is embedded or trained.

        A method that needs more than answers asks here: `llm.abilities.check_soft_vectors()` and its like.

        Raises:
            RequestError: it cannot serve.
        """

    def build(self, bench: Bench) -> torch.nn.Module | None:
        """What the method trains, with fresh weights; None if it trains nothing.

        It becomes `self.module`, on the LLM's device; its trainable parameters are saved after `fit` and
        restored later instead of fitting again.
        """
        return None

    def fit(self, bench: Bench, train: Split) -> TrainReport | None:
        """Learn from `train`, questions with outputs. Select on `bench.hold_out(train, n)`."""
        return None

    def predict(self, bench: Bench, examples: Sequence[Example]) -> Iterator[Prediction]:
        """One prediction per example, in order. The examples carry no outputs."""
        raise NotImplementedError

    def prompts_for(self, bench: Bench, examples: Sequence[Example]) -> Iterator[Prompt]:
        """What it would ask the LLM, for those who choose among prompts: the bare question, if nothing else."""
        yield from (Prompt(example.input) for example in examples)

    def answer(
        self, bench: Bench, examples: Sequence[Example], prompts: Sequence[Prompt]
    ) -> Iterator[Prediction]:
        """Its predictions, where its prompts are known: they need not be made once more."""
        return self.predict(bench, examples)

    def rankings(self, bench: Bench, examples: Sequence[Example]) -> Iterator[list[int]]:
        """The ranking of each example's profile, best first, for those who use it otherwise.

        Raises:
            RunError: it does not rank.
        """
        raise RunError(f"method '{self.name}' ranks nothing, so no other method can use its rankings")

    def alternatives(self, bench: Bench, examples: Sequence[Example]) -> Mapping[str, Iterator[Prediction]]:
        """The answers that it chose among, by name, for a method that chooses; one per example, in order.

        Asked after the predictions, whose extra `chosen` holds the name, to tell how good the choice was. What
        they cost is not counted as the method's.
        """
        return {}

    def bytes_per_user(self, bench: Bench, example: Example) -> int | None:
        """Bytes that must be kept for the user of this question between questions; None: unknown."""
        return None

    def save(self, folder: Path) -> None:
        """Write what `fit` learned into `folder`, which is empty.

        By default: the trainable parameters of `self.module`.
        """
        if self.module is not None:
            from lampbench.training.trained_weights import save_trainable

            save_trainable(self.module, folder / "trainable.safetensors")

    def restore(self, folder: Path) -> None:
        """Read what `save` wrote; `self.module` is freshly built."""
        if self.module is not None:
            from lampbench.training.trained_weights import load_trainable

            load_trainable(self.module, folder / "trainable.safetensors")


def trains(cls: type[Method]) -> bool:
    """Whether a method learns anything from the train split, and so needs it."""
    return cls.fit is not Method.fit


def options_below(method: Method) -> dict[str, Mapping[str, Any]]:
    """What a method is built on: the options that it asks of each, by name."""
    uses = method.uses()
    return dict(uses) if isinstance(uses, Mapping) else {name: {} for name in uses}


def check_they_rank(others: Mapping[str, type[Method]]) -> None:
    """For a method that uses the rankings of others.

    Raises:
        ValueError: one of them does not rank.
    """
    for name, other in others.items():
        if not issubclass(other, RetrievalMethod):
            raise ValueError(f"method '{name}' ranks nothing, so no other method can use its rankings")


class RetrievalMethod(Method):
    """A method that only chooses items: it says `rank`, the bench does the prompt and the generation."""

    config: Any  # a RetrievalConfig
    default_config: ClassVar[type] = RetrievalConfig
    prompt_options: ClassVar[frozenset[str]] = frozenset({"k"})

    def prepare(self, bench: Bench, examples: Sequence[Example]) -> None:
        """Called once, before the first `rank`, with all examples: the place to encode many texts at once."""

    def rank(self, bench: Bench, example: Example) -> Sequence[int]:
        """Positions in `example.profile`, best first. At least the first k; an empty profile gives none.

        A method whose ranking depends on k, by its order or its length, leaves k out of its `prompt_options`.
        """
        raise NotImplementedError

    def bytes_per_user(self, bench: Bench, example: Example) -> int | None:
        """The texts of the history."""
        return sum(len(str(value).encode()) for item in example.profile for value in item.values())

    def rankings(self, bench: Bench, examples: Sequence[Example]) -> Iterator[list[int]]:
        """The ranking of each example's profile, best first."""
        self.prepare(bench, examples)
        for example in examples:
            yield [int(position) for position in self.rank(bench, example)]

    def prompts_for(self, bench: Bench, examples: Sequence[Example]) -> Iterator[Prompt]:
        """The question of each example with the first k items of its ranking."""
        k = self.config.k
        for example, ranking in zip(examples, self.rankings(bench, examples), strict=True):
            request = bench.profile_request(example, ranking, k)
            yield Prompt(request.prompt, tuple(example.item_ids[position] for position in ranking[:k]))

    def predict(self, bench: Bench, examples: Sequence[Example]) -> Iterator[Prediction]:
        yield from _generated(bench, examples, self.prompts_for(bench, examples))

    def answer(
        self, bench: Bench, examples: Sequence[Example], prompts: Sequence[Prompt]
    ) -> Iterator[Prediction]:
        if type(self).predict is not RetrievalMethod.predict:
            return self.predict(bench, examples)
        return _generated(bench, examples, prompts)


def _generated(bench: Bench, examples: Sequence[Example], prompts: Iterable[Prompt]) -> Iterator[Prediction]:
    asked, logged = tee(prompts)
    return bench.generate(
        examples, (prompt.text for prompt in asked), ranked=(prompt.ranked for prompt in logged)
    )
