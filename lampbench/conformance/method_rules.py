"""Conformance: proof that a method keeps the rules, in seconds, on tiny data and tiny random models.

Per task: the questions are answered once and in order; one at a time and in another order they get the same
answers; rankings are the same with any k, unless it says otherwise; what was learned survives saving and
loading; the same seed gives the same answers; an empty history does not break it, in training or in
prediction; the frozen LLM is not touched, and not run past those who count what it costs; the answers do not
depend on the outputs of the questions that are asked, and the method holds none of them. (It is a program and
could open any file: that its answers stay the same with other outputs is the proof that it did not.)
"""

from __future__ import annotations

import json
import shutil
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lampbench.conformance.made_up import write_made_up
from lampbench.conformance.report import Broken, CheckReport, rule
from lampbench.conformance.tiny_session import MethodsDir, session_of, texts_in, tiny_models
from lampbench.method.base import RetrievalMethod
from lampbench.method.registry import MethodInfo, find_method, list_methods
from lampbench.models.run_models import Models
from lampbench.tasks import Task, get_task
from lampbench.tasks.registry import Names, chosen_tasks

if TYPE_CHECKING:
    from lampbench.data.dataset import Example
    from lampbench.method.fitting import Fitted
    from lampbench.runner.session import Session
    from lampbench.runner.setup import Setup

# What the outputs of the questions are, where they are texts.
PLANTED = "planted gold"

DATA, OTHER_GOLDS = "data", "other-golds"  # the same questions, with other outputs

Answer = tuple[str, tuple[str, ...]]
"""What a question was answered, and the ids of the items in its prompt."""


def check_methods(
    name: str,
    methods_dir: MethodsDir = None,
    *,
    say: Callable[[str], Any] | None = None,
    tasks: Names | None = None,
    llm: str = "t5",
) -> list[CheckReport]:
    """Check one method, or all of them.

    Args:
        name: a method or `all`; of all, the broken ones fail.
        methods_dir: more folders with methods.
        say: called with a text per method as it is done.
        tasks: on which tasks; None: on a few of different kinds.
        llm: with an LLM of which kind; see `lampbench.mini.tiny_models.write_tiny_llm`.

    Raises:
        RequestError: no such method, or (unless all are asked for) it is broken.
    """
    infos = list_methods(methods_dir) if name == "all" else [find_method(name, methods_dir)]
    chosen = usual_tasks() if tasks is None else chosen_tasks(tasks) if tasks else []
    reports = []
    with tempfile.TemporaryDirectory(prefix="lampbench-check-") as temporary:
        folder = Path(temporary)
        models = _write(folder, chosen, llm)
        for info in infos:
            report = _check(info, methods_dir, folder, models, [task.name for task in chosen])
            reports.append(report)
            if say is not None:
                say(str(report))
    return reports


def usual_tasks() -> list[Task]:
    """Of LaMP-mini a task whose items have no output, one with ratings, and one of free text."""
    from lampbench.mini.generator import SIZES

    tasks = [get_task(name) for name in SIZES]
    kinds: tuple[Callable[[Task], bool], ...] = (
        lambda task: task.output_field is None,
        lambda task: task.kind == "rating",
        lambda task: task.kind == "generation",
    )
    return [next(filter(kind, tasks)) for kind in kinds]


def _check(
    info: MethodInfo, methods_dir: MethodsDir, folder: Path, models: Models, tasks: Sequence[str]
) -> CheckReport:
    report = CheckReport(info.name)
    start = time.monotonic()
    if info.error:
        report.failures.append(("imports", info.error))
        return report
    for task in tasks:
        with rule(report, f"{task}: options"):
            session, job = session_of(info, methods_dir, folder, models, task, DATA)
            other, _ = session_of(info, methods_dir, folder, models, task, OTHER_GOLDS)
            _Trial(report, session, other, job).run()
    report.seconds = time.monotonic() - start
    return report


def _is_planted(text: str) -> bool:
    return text.startswith(PLANTED)


class _Trial:
    """The rules, tried with one method on one task.

    Args:
        report: where it notes what is found.
        session: in which the method works.
        other_golds: one like it, with other outputs of the questions that are asked.
        job: the method.
    """

    def __init__(self, report: CheckReport, session: Session, other_golds: Session, job: Setup) -> None:
        self.report = report
        self.session = session
        self.other_golds = other_golds
        self.job = job
        self.task = job.task.name
        self.llm = session.models.llm
        self.asked = list(session.data[self.task].asked)
        self.answers: dict[str, Answer] = {}

    def run(self) -> None:
        """Try the rules, one after the other; without an answer there is nothing to compare."""
        from lampbench.models.fingerprint import weights_fingerprint
        from lampbench.models.uncounted_calls import runs_uncounted

        frozen = weights_fingerprint(self.llm.model)
        fitted: Fitted | None = None
        with runs_uncounted(self.llm.model) as uncounted:
            with self._rule("fits"):
                fitted = self.session.fitted(self.job)
            if fitted is None:
                return
            with self._rule("one answer per question, in order"):
                self.answers = self._answers(fitted, self.asked)
        if not self.answers:
            return
        with self._rule("every use of the LLM is counted"):
            if uncounted:
                raise Broken(
                    f"it runs the LLM's {uncounted[0]} itself, which nobody counts: ask by bench.ask, "
                    "bench.generate or bench.llm"
                )
        self._try_other_ways(fitted)
        self._try_other_data(fitted)
        with self._rule("the LLM stays frozen"):
            if weights_fingerprint(self.llm.model) != frozen:
                self.session.models.forget_llm()
                raise Broken("the weights or the mode of the LLM have changed: work on a copy of it")

    def _try_other_ways(self, fitted: Fitted) -> None:
        """Asked otherwise, restored or fitted again it answers the same."""
        session, budget = self.session, self.llm.budget
        with self._rule("the batch does not change the answer"):
            tokens, budget.tokens = budget.tokens, 1  # every question in a batch of its own
            try:
                self._compare(self._answers(fitted, self.asked[::-1]), "one at a time and in another order")
            finally:
                budget.tokens = tokens
        with self._rule("its rankings have no k"):
            self._rank_for_others(fitted)
        with self._rule("learned once, restored the same"):
            session.forget()
            self._compare(self._answers(session.fitted(self.job), self.asked), "restored from disk")
        with self._rule("the same seed gives the same answers"):
            session.discard(self.job)
            anew = self._answers(session.fitted(self.job), self.asked)
            self._compare(anew, "fitted again with the same seed")

    def _rank_for_others(self, fitted: Fitted) -> None:
        """Who uses its rankings relies on its `prompt_options`: they are the same with any k."""
        if not isinstance(fitted.method, RetrievalMethod) or "k" not in fitted.method.prompt_options:
            return
        other = replace(self.job, config=replace(self.job.config, k=self.job.config.k + 1))
        again = self.session.fitted(other).rankings(self.asked)
        for example, ranking, changed in zip(self.asked, fitted.rankings(self.asked), again, strict=True):
            if ranking != changed:
                raise Broken(
                    f"question '{example.id}' is ranked {ranking}, and {changed} with a larger k: leave k out of "
                    "prompt_options"
                )

    def _try_other_data(self, fitted: Fitted) -> None:
        """What it must not know changes nothing, and what may be missing breaks nothing."""
        from lampbench.method.profile_controls import view

        with self._rule("the outputs of the questions change nothing"):
            others = list(self.other_golds.data[self.task].asked)
            self._compare(
                self._answers(self.other_golds.fitted(self.job), others),
                "with other outputs of the questions in the data, which it must not know,",
            )
        with self._rule("an empty history is survived"):
            items = self.session.data[self.task].items
            nobody = view("empty", self.job.task, self.asked, items, fitted.bench.rng)
            self._answers(fitted, nobody.examples)

    def _rule(self, name: str) -> AbstractContextManager[None]:
        return rule(self.report, f"{self.task}: {name}")

    def _answers(self, fitted: Fitted, asked: Sequence[Example]) -> dict[str, Answer]:
        from lampbench.conformance.reachable import find_text
        from lampbench.runner.job import checked

        found: dict[str, Answer] = {}
        predictions = fitted.predict(asked)
        for prediction in checked(predictions, asked, fitted.name):
            if not found and find_text((fitted, predictions), _is_planted) is not None:
                raise Broken("it holds the output of a question that is asked: that is hidden from methods")
            found[prediction.id] = (prediction.output, prediction.ranked)
        return found

    def _compare(self, again: dict[str, Answer], how: str) -> None:
        for id, answer in self.answers.items():
            if again[id] != answer:
                raise Broken(f"question '{id}' was answered {answer} and, {how}, {again[id]}")


# Tiny surroundings


def _write(folder: Path, tasks: Sequence[Task], llm: str) -> Models:
    """Write the data, those with other golds too, and models that can read them."""
    from lampbench.mini.generator import SIZES, Knobs, write_suite

    knobs = Knobs(train=8, dev=5, test=0, history_min=2, history_max=6)
    (folder / DATA).mkdir()
    for task in tasks:
        if task.name in SIZES:
            write_suite(folder / DATA, knobs, [task.name])
        else:
            write_made_up(folder / DATA, task)
    models = tiny_models(folder, texts_in(folder / DATA), llm)
    for path in (folder / DATA).rglob("*_questions.json"):
        questions = json.loads(path.read_text(encoding="utf-8"))
        questions[1]["profile"] = []  # somebody is always new
        path.write_text(json.dumps(questions), encoding="utf-8")
    shutil.copytree(folder / DATA, folder / OTHER_GOLDS)
    for name in (DATA, OTHER_GOLDS):
        for task in tasks:
            (path,) = (folder / name).rglob(f"{task.official_name}/dev_outputs.json")
            content = json.loads(path.read_text(encoding="utf-8"))
            for number, gold in enumerate(content["golds"]):
                if not task.labels:
                    gold["output"] = f"{PLANTED} {number} of {name}"
                elif name == OTHER_GOLDS:
                    place = task.labels.index(gold["output"]) + 1
                    gold["output"] = task.labels[place % len(task.labels)]
            path.write_text(json.dumps(content), encoding="utf-8")
    return models
