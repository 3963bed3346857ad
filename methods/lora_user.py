"""One low-rank adapter per user, trained on that user's history alone (LaMP-PEFT, arXiv:2409.09510).

Each item of a history makes a training pair (`lampbench.prompts.history_pairs`); the question is then asked as it is,
of the frozen LLM with the user's adapter in it. The defaults are those of the released program
(github.com/LaMP-Benchmark/LaMP, PEFT/). With `task_lora=true` the users' adapters are trained on top of the
one that the method `lora` learns from the train split, as in OPPU (arXiv:2402.04401; its numbers are in the
variant `oppu`, its prompts are not: the pairs stay those of LaMP-PEFT).

`history_fields` says what of an item is in its pair. With `output` an adapter learns the user's answers
without what they answer: which tags, scores or titles, and how often. With `input` it learns to continue the
texts that the user was given, and no answer. LaMP-7 items have one part, so nothing changes there; LaMP-1
items hold no output, and with either value only their titles are left.

An adapter is a function of the history: every user starts from the same weights, with the same seed. So it
does not matter who is trained before, and questions with the same history share one training. Questions of
one user with different histories do not: what one of them has in its history may be the answer to another.
A user without a history is answered by the LLM below.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar

import lampbench.method
from lampbench.constraints import (
    Count,
    DropoutRate,
    NonNegativeFloat,
    PositiveFloat,
    PositiveInt,
    WarmupShare,
)
from lampbench.method import Bench, HistoryConfig, Prediction, ProfileConfig
from lampbench.models.adapter_shape import AdapterShape
from lampbench.prompts import Fields
from lampbench.prompts.history_pairs import Pair, pairs_from_items

if TYPE_CHECKING:
    from torch import Tensor, nn

    from lampbench.data import Example
    from lampbench.models.adapters import AdapterBank, Weights
    from lampbench.models.frozen_llm import FrozenLLM
    from lampbench.training.trained_weights import KeptWeights

TASK, USER = "task", "user"


@dataclass(frozen=True)
class Config(AdapterShape, ProfileConfig, HistoryConfig):
    """Options."""

    history_fields: Fields = "released"  # what of an item its training pair holds (released: both parts)
    alpha: PositiveFloat = 32.0  # what an adapter adds is multiplied by alpha / rank
    dropout: DropoutRate = 0.1  # of an adapter's input, in training
    task_lora: bool = False  # train the users' adapters on top of the one that the method lora learns
    epochs: PositiveFloat = 30.0  # passes over a user's history
    max_steps: Count = 0  # end after so many steps per user (0: all epochs)
    batch_size: PositiveInt = 16  # items per step
    learning_rate: NonNegativeFloat = 5e-5  # peak, after the warm-up and before the linear decay
    weight_decay: NonNegativeFloat = 1e-4  # of AdamW
    warmup: WarmupShare = 0.05  # share of the steps
    clip: NonNegativeFloat = 1.0  # largest norm of the gradient
    max_target_tokens: PositiveInt = 512  # length at which a training target is cut, its end token included
    # users whose questions are answered together, each through an adapter of their own
    users_at_once: PositiveInt = 32
    keep_adapters: bool = False  # keep the users' adapters on disk after the run


class Method(lampbench.method.Method):
    name = "lora-user"
    summary = "One low-rank adapter per user, trained on the user's own history (LaMP-PEFT, OPPU)"
    paper = "arXiv:2409.09510"
    order = 130
    variants: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "task": {"task_lora": True},
        "oppu": {
            "task_lora": True,
            "alpha": 8.0,
            "dropout": 0.05,
            "targets": ["q", "v"],
            "epochs": 2.0,
            "learning_rate": 1e-4,
            "weight_decay": 1e-2,
            "warmup": 0.1,
            "clip": 0.3,
        },
    }
    check_options: ClassVar[Mapping[str, Any]] = {"max_steps": 2, "batch_size": 4, "users_at_once": 2}
    # With profile and history_fields, because a user's file is named by the pairs that these make.
    predict_options: ClassVar[frozenset[str]] = frozenset(
        {"profile", "history_fields", "users_at_once", "keep_adapters"}
    )
    config: Config

    def uses(self) -> Mapping[str, Mapping[str, Any]]:
        # The task's adapter knows no user, whatever the method lora is asked elsewhere.
        alone = {"retriever": "none", "history_fields": "released"}
        return {"lora": alone} if self.config.task_lora else {}

    def check_llm(self, llm: FrozenLLM) -> None:
        llm.abilities.check_adapters(self.config.targets)

    def build(self, bench: Bench) -> nn.Module:
        from torch import nn

        from lampbench.models.adapters import activate, adapter_weights, add_adapter, set_adapter_weights

        model = bench.llm.twin()
        self.below = [TASK] if self.config.task_lora else []
        if self.config.task_lora:
            learned = bench.method("lora", **self.uses()["lora"])
            assert learned.module is not None  # it is fitted
            # Frozen below the users', as if it were merged into the LLM: no dropout.
            add_adapter(model, TASK, replace(learned.config, dropout=0.0), seed=0)
            set_adapter_weights(model, TASK, adapter_weights(learned.module.get_submodule("llm"), TASK))
        add_adapter(model, USER, self.config, seed=int(bench.rng("lora-user").integers(2**62)))
        self.start = adapter_weights(model, USER)
        activate(model, [*self.below, USER], training=[USER])
        return nn.ModuleDict({"llm": model})

    def predict(self, bench: Bench, examples: Sequence[Example]) -> Iterator[Prediction]:
        from lampbench.models.adapters import AdapterBank
        from lampbench.models.requests import Request

        model = self._module.get_submodule("llm")
        bank = AdapterBank(model, USER, self.below)
        llm = bench.llm.using(model, bank)
        kept = bench.kept_weights("users")
        histories = [example.item_rows.tobytes() for example in examples]
        left = Counter(histories)
        start = 0
        while start < len(examples):
            end = _end_of_group(histories, start, self.config.users_at_once)
            group = [examples[i] for i in range(start, end)]
            firsts: dict[bytes, Example] = {}
            for history, example in zip(histories[start:end], group, strict=True):
                firsts.setdefault(history, example)
            names = self._load(bench, bank, kept, firsts)
            place = {history: i for i, history in enumerate(names)}
            requests = [
                Request(example.input, adapter=place[history])
                for example, history in zip(group, histories[start:end], strict=True)
            ]
            yield from bench.generate(group, requests, llm=llm)
            left -= Counter(histories[start:end])
            if not self.config.keep_adapters:
                for history, name in names.items():
                    if name is not None and not left[history]:
                        kept.drop(name)
            start = end

    def bytes_per_user(self, bench: Bench, example: Example) -> int:
        """The user's adapter; the history itself is not needed any more."""
        from lampbench.models.adapters import adapter_bytes

        return adapter_bytes(self._module.get_submodule("llm"), USER) if len(example.item_rows) else 0

    # Training

    def _load(
        self, bench: Bench, bank: AdapterBank, kept: KeptWeights, users: Mapping[bytes, Example]
    ) -> dict[bytes, str | None]:
        """Put the adapter of each history into the bank, trained now unless it is kept.

        Returns:
            Per history, in the order of the bank, the name under which its adapter is kept; None: nothing to
            train on.
        """
        names: dict[bytes, str | None] = {}
        adapters: list[Weights | None] = []
        with bench.progress(f"training users ({bench.task.name})", len(users)) as bar:
            for history, example in users.items():
                pairs = pairs_from_items(bench.task, example.profile, bench.rng, self.config.history_fields)
                names[history] = name = _fingerprint(pairs) if pairs else None
                make = partial(self.train_user, bench, pairs)
                adapters.append(kept.get(name, make) if name is not None else None)
                bar.advance()
        bank.load(adapters)
        return names

    def train_user(self, bench: Bench, pairs: Sequence[Pair]) -> Weights:
        """The adapter that these pairs make: the same whoever was trained before."""
        from lampbench.models.adapters import activate, adapter_weights, set_adapter_weights
        from lampbench.training import settings_from, train

        c, module = self.config, self._module
        model = module.get_submodule("llm")
        llm = bench.llm.using(model)
        options = replace(c, batch_size=min(c.batch_size, len(pairs)))
        settings = settings_from(options, len(pairs), seed=bench.seed, dtype=bench.llm.dtype)

        def loss(batch: Sequence[Pair]) -> Tensor:
            return llm.loss(
                [pair.input for pair in batch],
                [pair.target for pair in batch],
                max_input_tokens=bench.settings.max_input_tokens,
                max_target_tokens=c.max_target_tokens,
                dropout=module.training,
            )

        set_adapter_weights(model, USER, self.start)
        activate(model, [*self.below, USER], training=[USER])
        # Without checkpoints: a user is trained in seconds, and those that are done are on disk.
        train(module, pairs, loss, settings)
        return adapter_weights(model, USER)

    @property
    def _module(self) -> nn.Module:
        assert self.module is not None  # built before anything is asked of a method
        return self.module


def _end_of_group(histories: Sequence[bytes], start: int, most: int) -> int:
    """The end of the longest run of questions from `start` with at most so many different histories."""
    seen: set[bytes] = set()
    for position in range(start, len(histories)):
        seen.add(histories[position])
        if len(seen) > most:
            return position
    return len(histories)


def _fingerprint(pairs: Sequence[Pair]) -> str:
    text = "\x1e".join(f"{pair.input}\x1f{pair.target}" for pair in pairs)
    return hashlib.sha256(text.encode()).hexdigest()[:32]
