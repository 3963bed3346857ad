"""A method made ready to predict: built, then fitted now, or restored from what an earlier run has learned.

How every method is seeded, built and fitted is part of what it learns, so this module counts in the fingerprint
of learned code (`lampbench.plugins.code_fingerprint`).
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lampbench.files.locks import locked
from lampbench.files.typed_json import plain
from lampbench.method.base import Method
from lampbench.method.bench import Bench
from lampbench.method.lent_method import Prompt
from lampbench.method.saved_fits import FitReport, describe, restore_fit, save_fit
from lampbench.records.environment import own_state, threads
from lampbench.records.prediction import Prediction
from lampbench.records.record import TrainingRecord

if TYPE_CHECKING:
    from torch import nn

    from lampbench.data.dataset import Example, Split
    from lampbench.training.run_state import TrainReport


@dataclass
class Fitted:
    """A method that is ready to predict, with the bench it works on; a bench lends it as a
    `lampbench.method.lent_method.LentMethod`.

    Attributes:
        name: its name.
        method: the method itself.
        bench: what it works with.
        report: what fitting it did, once those were fitted that it is built on.
        built_on: the trained methods that it is built on.
    """

    name: str
    method: Method
    bench: Bench
    report: FitReport
    built_on: tuple[Fitted, ...] = ()

    @property
    def config(self) -> Any:
        """Its options."""
        return self.method.config

    @property
    def module(self) -> nn.Module | None:
        """What it has trained."""
        return self.method.module

    def below(self) -> dict[Path, Fitted]:
        """All trained methods below this one, each once, by the folder of what it has learned."""
        found: dict[Path, Fitted] = {}
        for other in self.built_on:
            found |= {other.bench.folder: other, **other.below()}
        return found

    # What is asked of it

    def predict(self, examples: Sequence[Example]) -> Iterator[Prediction]:
        """One prediction per example, in order."""
        return self.method.predict(self.bench, examples)

    def prompts_for(self, examples: Sequence[Example]) -> Iterator[Prompt]:
        """What it would ask for each example; the LLM is not asked."""
        return self.method.prompts_for(self.bench, examples)

    def answer(self, examples: Sequence[Example], prompts: Sequence[Prompt]) -> Iterator[Prediction]:
        """Its predictions, where its prompts are known."""
        return self.method.answer(self.bench, examples, prompts)

    def rankings(self, examples: Sequence[Example]) -> Iterator[list[int]]:
        """The ranking of each example's profile, best first.

        Raises:
            RunError: the method does not rank.
        """
        return self.method.rankings(self.bench, examples)

    def alternatives(self, examples: Sequence[Example]) -> Mapping[str, Iterator[Prediction]]:
        """The answers that it chooses among, by name."""
        return self.method.alternatives(self.bench, examples)

    def bytes_per_user(self, example: Example) -> int | None:
        """Bytes that must be kept for the user of this question between questions; None: unknown."""
        return self.method.bytes_per_user(self.bench, example)


def make_ready(method: Method, bench: Bench, spec: Mapping[str, Any], train: Split | None) -> FitReport:
    """Build, then restore or fit. Who fits does so alone: another command waits, and restores.

    Args:
        method: fresh.
        bench: what it works with.
        spec: all that decides what it learns.
        train: the train split, with outputs; None for a method that learns nothing from it.
    """
    _seed_torch(bench, "build")
    module = method.build(bench)
    if module is not None:
        method.module = module.to(bench.llm.device)
    if train is None:
        if module is not None:  # it learns while it predicts, and may keep that
            describe(bench.folder, spec)
        return FitReport(trainable_parameters=_count_trainable(method))
    with locked(bench.folder, waiting=bench.say):
        report = restore_fit(bench.folder, method, bench.say)
        if report is None:
            describe(bench.folder, spec)
            report = _fit(method, bench, train)
            save_fit(bench.folder, method, report)
    _set_eval(method)
    return report


def _fit(method: Method, bench: Bench, train: Split) -> FitReport:
    trainable = _count_trainable(method)
    _seed_torch(bench, "fit")
    start, before = time.monotonic(), replace(bench.shared)
    report = method.fit(bench, train)
    _set_eval(method)
    training = _training_record(bench, report) if report is not None else None
    seconds = time.monotonic() - start
    if training is not None:
        seconds = max(seconds, training.seconds)  # a resumed training knows of the time before
    after = bench.shared
    return FitReport(
        seconds=round(seconds, 3),
        calls=after.calls - before.calls,
        trainable_parameters=trainable,
        training=training,
        reused=after.reused - before.reused,
        reused_seconds=round(after.reused_seconds - before.reused_seconds, 3),
    )


def _seed_torch(bench: Bench, what: str) -> None:
    import torch

    torch.manual_seed(int(bench.rng("torch", what).integers(2**62)))


def _count_trainable(method: Method) -> int:
    if method.module is None:
        return 0
    return sum(p.numel() for p in method.module.parameters() if p.requires_grad)


def _set_eval(method: Method) -> None:
    if method.module is not None:
        method.module.eval()


def _training_record(bench: Bench, report: TrainReport) -> TrainingRecord:
    settings = plain(asdict(bench.training)) if bench.training is not None else {}
    commit, dirty = own_state()
    return TrainingRecord(
        settings=settings,
        steps=report.steps,
        seconds=round(report.seconds, 3),
        losses=[(step, float(f"{loss:.5g}")) for step, loss in report.losses],
        dev=list(report.dev),
        selected_step=report.selected_step,
        git_commit=commit,
        git_dirty=dirty,
        threads=threads(),
    )
