"""What one command shares among its jobs: models, data, and the methods that it has made ready to predict."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lampbench.caches.generation_cache import GENERATIONS, GenerationCache
from lampbench.errors import RequestError
from lampbench.files.locks import locked
from lampbench.loading.identity import METHOD_LIBRARIES, library_versions
from lampbench.method.base import HistoryConfig
from lampbench.method.bench import Bench
from lampbench.method.bench_shared import Shared
from lampbench.method.fitting import Fitted, make_ready
from lampbench.method.options import as_dict
from lampbench.method.saved_fits import folder_of_fit
from lampbench.prompts.answer_extraction import EXTRACTION_VERSION
from lampbench.prompts.texts import PROMPT_VERSION
from lampbench.records.record import request_key
from lampbench.runner.request import Plan
from lampbench.runner.setup import Setup
from lampbench.tasks import Task
from lampbench.tasks.registry import task_print

if TYPE_CHECKING:
    from lampbench.data.dataset import Split
    from lampbench.models.run_models import Models
    from lampbench.progress import Progress
    from lampbench.runner.gold_wall import Questions

FORMAT = 1  # of what decides a run


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

    def spec(self, setup: Setup, *, for_fit: bool = False) -> dict[str, Any]:
        """All that decides what a method learns and answers, except the questions it is asked.

        Args:
            for_fit: leave out the options that act at prediction only, and count the code of lampbench in. (Of a
                run its record holds that beside the spec, so that what differs can be told.)
        """
        method, settings = setup.method, setup.settings
        options = as_dict(setup.config)
        if for_fit:
            options = {n: v for n, v in options.items() if n not in method.cls.predict_options}
        return {
            **({"code": setup.code} if for_fit else {}),
            "format": FORMAT,
            "method": method.name,
            "file": method.code,
            "options": options,
            "uses": {name: self.spec(other) for name, other in setup.built_on.items()},
            "task": setup.task.name,
            "task_file": task_print(setup.task),
            "prompts": PROMPT_VERSION,
            "setting": self.data[setup.task.name].setting,
            "train": self.train(setup.task).fingerprint if setup.trains else None,
            "libraries": library_versions(*METHOD_LIBRARIES),
            "models": {role: self.models.identity(role) for role in ("llm", *sorted(setup.made.needs))},
            "limits": asdict(settings),
            **({} if settings.extract == "none" else {"extraction": EXTRACTION_VERSION}),
            "seed": setup.seed,
        }

    def fitted(self, setup: Setup, *, shared: Shared | None = None) -> Fitted:
        """The method, ready to predict: from this command, from an earlier one, or fitted now.

        Args:
            shared: what it shares with the method that asks for it.
        """
        spec = self.spec(setup, for_fit=True)
        key = request_key({**spec, "options of prediction": as_dict(setup.config)})
        if key not in self._fitted:
            folder = folder_of_fit(self.cache, spec)
            if self.plan.request.fresh and folder not in self._ours:
                self._remove(folder)
            self._ours.add(folder)
            bench = self._bench(setup, folder)
            if shared is not None:
                bench.shared = shared
            # Before this one, whose time is then its own, whether they are fitted now or were long ago.
            built_on = tuple(
                self.fitted(other, shared=bench.shared) for other in setup.built_on.values() if other.trains
            )
            method = setup.make()
            train = self.train(setup.task) if setup.trains else None
            report = make_ready(method, bench, spec, train)
            self._fitted[key] = Fitted(setup.method.name, method, bench, report, built_on)
        return self._fitted[key]

    def discard(self, setup: Setup) -> None:
        """Remove what the method has learned, from memory and from disk."""
        self.forget()
        self._remove(folder_of_fit(self.cache, self.spec(setup, for_fit=True)))

    def train(self, task: Task) -> Split:
        """The train split of the task, with outputs.

        Raises:
            RequestError: there is none; says which files were looked for, and where.
        """
        questions = self.data[task.name]
        if questions.train is None:
            raise questions.absent_train or RequestError(f"{task.name} has no train split")
        return questions.train

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

    def _bench(self, setup: Setup, folder: Path) -> Bench:
        def other(name: str, options: dict[str, Any]) -> Fitted:
            return self.fitted(self.plan.setups.below(setup, name, options), shared=bench.shared)

        bench = Bench(
            setup.task,
            self.data[setup.task.name].setting,
            self.data[setup.task.name].items,
            self.models,
            setup.settings,
            seed=setup.seed,
            folder=folder,
            cache=self.cache,
            progress=self.progress,
            other=other,
            generations=self.generations,
        )
        if isinstance(setup.config, HistoryConfig):
            bench.history_fields = setup.config.history_fields
        return bench
