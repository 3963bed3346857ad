"""Methods made ready to predict: fitted now, or restored from what an earlier run has learned."""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lampbench.caches.generation_cache import GENERATIONS, GenerationCache
from lampbench.errors import RequestError, RunError
from lampbench.files.locks import locked
from lampbench.files.typed_json import plain
from lampbench.loading.identity import METHOD_LIBRARIES, library_versions
from lampbench.method.base import Method, RetrievalMethod
from lampbench.method.bench import Bench, RunSettings
from lampbench.method.bench_shared import Shared
from lampbench.method.options import as_dict
from lampbench.method.saved_fits import FitReport, describe, folder_of_fit, restore_fit, save_fit
from lampbench.prompts.answer_extraction import EXTRACTION_VERSION
from lampbench.prompts.texts import PROMPT_VERSION
from lampbench.records.environment import own_state, threads
from lampbench.records.prediction import Prediction
from lampbench.records.record import TrainingRecord, request_key
from lampbench.runner.dependencies import Configured, instance
from lampbench.runner.request import Plan
from lampbench.tasks import Task
from lampbench.tasks.registry import task_print

if TYPE_CHECKING:
    from lampbench.data.dataset import Example, Split
    from lampbench.method.registry import LoadedMethod
    from lampbench.models.run_models import Models
    from lampbench.progress import Progress
    from lampbench.runner.questions import Questions
    from lampbench.training.run_state import TrainReport

FORMAT = 1  # of what decides a run


@dataclass
class Fitted:
    """A method that is ready to predict, with the bench it works on.

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

    def foundations(self) -> dict[Path, Fitted]:
        """All trained methods below this one, each once, by the folder of what it has learned."""
        found: dict[Path, Fitted] = {}
        for other in self.built_on:
            found |= {other.bench.folder: other, **other.foundations()}
        return found

    def rankings(self, examples: Sequence[Example]) -> Iterator[list[int]]:
        """The ranking of each example's profile, best first; for methods that rank.

        Raises:
            RunError: the method does not rank.
        """
        if not isinstance(self.method, RetrievalMethod):
            raise RunError(f"method '{self.name}' ranks nothing, so no other method can use its rankings")
        self.method.prepare(self.bench, examples)
        for example in examples:
            yield [int(position) for position in self.method.rank(self.bench, example)]

    def predict(self, examples: Sequence[Example]) -> Iterator[Prediction]:
        """One prediction per example, in order."""
        return self.method.predict(self.bench, examples)


def trains(method: LoadedMethod) -> bool:
    """Whether the method learns anything, and so needs the train split."""
    return method.cls.fit is not Method.fit


class Session:
    """What one command shares among its jobs: models, data, and the methods that it has fitted.

    Args:
        plan: the checked request.
        models: the models, loaded when first used.
        data: what is asked of each task, by its name.
        progress: where progress goes.
        cache: folder of everything that can be made again.
        reuse: look up what the LLM has answered before; false where that is what is being tested.
    """

    def __init__(
        self,
        plan: Plan,
        models: Models,
        data: Mapping[str, Questions],
        progress: Progress,
        cache: Path,
        *,
        reuse: bool = True,
    ) -> None:
        self.plan = plan
        self.models = models
        self.data = data
        self.progress = progress
        self.cache = cache
        self.generations = (
            GenerationCache(cache / GENERATIONS, fresh=plan.request.fresh, say=progress.say)
            if reuse
            else None
        )
        self._fitted: dict[str, Fitted] = {}
        self._ours: set[Path] = set()  # folders that this command has asked for

    def spec(
        self,
        method: LoadedMethod,
        config: Any,
        task: Task,
        seed: int,
        settings: RunSettings,
        *,
        for_fit: bool = False,
    ) -> dict[str, Any]:
        """All that decides what the method learns and answers, except the questions it is asked.

        Args:
            for_fit: leave out the options that act at prediction only, and count the code of lampbench in. (The
                records of runs are not made out of date by every change of it: they tell their commit.)
        """
        data = self.data[task.name]
        options = as_dict(config)
        if for_fit:
            options = {n: v for n, v in options.items() if n not in method.cls.predict_options}
        uses = {
            name: self.spec(other.method, other.config, task, seed, settings)
            for name, other in self._below(method, config, task).items()
        }
        needs = instance(method, config).needs
        code = {"code": self.code(method, config, task)} if for_fit else {}
        return code | {
            "format": FORMAT,
            "method": method.name,
            "file": method.code,
            "options": options,
            "uses": uses,
            "task": task.name,
            "task_file": task_print(task),
            "prompts": PROMPT_VERSION,
            "setting": data.setting,
            "train": self.train(task).fingerprint if trains(method) else None,
            "libraries": library_versions(*METHOD_LIBRARIES),
            "models": {role: self.models.identity(role) for role in ("llm", *sorted(needs))},
            "limits": asdict(settings),
            **({} if settings.extract == "none" else {"extraction": EXTRACTION_VERSION}),
            "seed": seed,
        }

    def code(self, method: LoadedMethod, config: Any, task: Task) -> list[str]:
        """Fingerprints of the code that the method learns and answers with, and those that it is built on."""
        others = self.plan.foundations.below(method, config, task).values()
        return [m.learns_with for m in (method, *(other.method for other in others))]

    def fitted(
        self,
        method: LoadedMethod,
        config: Any,
        task: Task,
        seed: int,
        settings: RunSettings,
        *,
        shared: Shared | None = None,
    ) -> Fitted:
        """The method, ready to predict: from this command, from an earlier one, or fitted now.

        Args:
            shared: what it shares with the method that asks for it.
        """
        spec = self.spec(method, config, task, seed, settings, for_fit=True)
        key = request_key({**spec, "options of prediction": as_dict(config)})
        if key not in self._fitted:
            folder = folder_of_fit(self.cache, spec)
            if self.plan.request.fresh and folder not in self._ours:
                self._remove(folder)
            self._ours.add(folder)
            bench = self._bench(task, seed, settings, folder)
            bench.history_fields = getattr(config, "history_fields", bench.history_fields)
            if shared is not None:
                bench.shared = shared
            # Before this one, whose time is then its own, whether they are fitted now or were long ago.
            built_on = tuple(
                bench.method(name, **other.asked)
                for name, other in self._below(method, config, task).items()
                if trains(other.method)
            )
            made = method.cls(config)
            report = self._ready(method, made, bench, spec)
            self._fitted[key] = Fitted(method.name, made, bench, report, built_on)
        return self._fitted[key]

    def discard(
        self, method: LoadedMethod, config: Any, task: Task, seed: int, settings: RunSettings
    ) -> None:
        """Remove what the method has learned, from memory and from disk."""
        self.forget()
        self._remove(folder_of_fit(self.cache, self.spec(method, config, task, seed, settings, for_fit=True)))

    def roles(self, method: LoadedMethod, config: Any, task: Task) -> frozenset[str]:
        """The models besides the LLM that the method needs, itself or through those it is built on."""
        return frozenset().union(*(each.needs for each in self._instances(method, config, task)))

    def check_llm(self, method: LoadedMethod, config: Any, task: Task) -> None:
        """Let the method, and those that it is built on, look at the LLM.

        Raises:
            RequestError: it cannot serve.
        """
        for each in self._instances(method, config, task):
            each.check_llm(self.models.llm)

    def learns(self, method: LoadedMethod, config: Any, task: Task) -> bool:
        """Whether training questions decide what the method does, by itself or through those it is built on."""
        others = self.plan.foundations.below(method, config, task).values()
        return trains(method) or any(trains(other.method) for other in others)

    def _instances(self, method: LoadedMethod, config: Any, task: Task) -> list[Method]:
        others = self.plan.foundations.below(method, config, task).values()
        every = [(method, config), *((other.method, other.config) for other in others)]
        return [instance(m, c) for m, c in every]

    def train(self, task: Task) -> Split:
        """The train split of the task, with outputs.

        Raises:
            RequestError: there is none; says which files were looked for, and where.
        """
        questions = self.data[task.name]
        if questions.train is None:
            raise questions.absent_train or RequestError(f"{task.name} has no train split")
        return questions.train

    def _below(self, method: LoadedMethod, config: Any, task: Task) -> dict[str, Configured]:
        return self.plan.foundations.directly_below(method, config, task)

    def _remove(self, folder: Path) -> None:
        if folder.exists():
            with locked(folder, waiting=self.progress.say):
                shutil.rmtree(folder, ignore_errors=True)

    def forget(self) -> None:
        """Let go of the methods in memory; what they learned is on disk."""
        self._fitted.clear()

    def close(self) -> None:
        """Close the files that are kept open between the jobs."""
        if self.generations is not None:
            self.generations.close()

    def _bench(self, task: Task, seed: int, settings: RunSettings, folder: Path) -> Bench:
        def other(name: str, options: dict[str, Any]) -> Fitted:
            found = self.plan.foundations.configured(name, bench, task, options)
            return self.fitted(found.method, found.config, task, seed, settings, shared=bench.shared)

        bench = Bench(
            task,
            self.data[task.name].setting,
            self.data[task.name].items,
            self.models,
            settings,
            seed=seed,
            folder=folder,
            cache=self.cache,
            progress=self.progress,
            other=other,
            generations=self.generations,
        )
        return bench

    def _ready(self, method: LoadedMethod, made: Method, bench: Bench, spec: Mapping[str, Any]) -> FitReport:
        """Build, then restore or fit. Who fits does so alone: another command waits, and restores."""
        _seed_torch(bench, "build")
        module = made.build(bench)
        if module is not None:
            made.module = module.to(bench.llm.device)
        if not trains(method):
            if module is not None:  # it learns while it predicts, and may keep that
                describe(bench.folder, spec)
            return FitReport(trainable_parameters=_count_trainable(made))
        with locked(bench.folder, waiting=self.progress.say):
            report = restore_fit(bench.folder, made, self.progress.say)
            if report is None:
                describe(bench.folder, spec)
                report = self._fit(made, bench)
                save_fit(bench.folder, made, report)
        _set_eval(made)
        return report

    def _fit(self, made: Method, bench: Bench) -> FitReport:
        trainable = _count_trainable(made)
        _seed_torch(bench, "fit")
        start, before = time.monotonic(), replace(bench.shared)
        report = made.fit(bench, self.train(bench.task))
        _set_eval(made)
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
