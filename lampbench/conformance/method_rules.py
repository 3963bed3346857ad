"""Conformance: proof that a method keeps the rules, in seconds, on tiny data and tiny random models.

Per task: the questions are answered once and in order; one at a time and in another order they get the same
answers; what was learned survives saving and loading; the same seed gives the same answers; an empty history
does not break it, in training or in prediction; the frozen LLM is not touched, and not run past those who count
what it costs; the answers do not depend on the outputs of the questions that are asked, and the method holds none
of them. (It is a program and could open any file: that its answers stay the same with other outputs is the proof
that it did not.)
"""

from __future__ import annotations

import json
import shutil
import tempfile
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lampbench.errors import LampbenchError
from lampbench.method.registry import MethodInfo, find_method, list_methods
from lampbench.models.run_models import ModelChoice, Models
from lampbench.tasks import Task, get_task

if TYPE_CHECKING:
    from lampbench.data.dataset import Example
    from lampbench.method.fitting import Fitted
    from lampbench.runner.session import Session
    from lampbench.runner.setup import Setup

# What the outputs of the questions are, where they are texts.
PLANTED = "planted gold"

# One task without a label in its items, one with ratings, one with free text.
TASKS = ("LaMP-1", "LaMP-3", "LaMP-4")

LLM, ENCODER = "tiny-llm", "tiny-bert"
DATA, OTHER_GOLDS = "data", "other-golds"  # the same questions, with other outputs

Answer = tuple[str, tuple[str, ...]]
"""What a question was answered, and the ids of the items in its prompt."""

MethodsDir = str | Path | Sequence[str | Path] | None


@dataclass
class CheckReport:
    """What the check of one method found.

    Attributes:
        method: its name.
        done: names of the rules that it kept, each with its task.
        failures: rule and reason.
        seconds: wall time.
    """

    method: str
    done: list[str] = field(default_factory=list)
    failures: list[tuple[str, str]] = field(default_factory=list)
    seconds: float = 0.0

    @property
    def passed(self) -> bool:
        """Whether every rule was kept."""
        return not self.failures

    def to_json(self) -> dict[str, Any]:
        """Everything, as JSON values."""
        return {**asdict(self), "failures": [list(f) for f in self.failures], "passed": self.passed}

    def __str__(self) -> str:
        if self.passed:
            return f"{self.method}: ok, {len(self.done)} checks in {self.seconds:.1f} s"
        lines = [
            f"{self.method}: FAILED {len(self.failures)} of {len(self.done) + len(self.failures)} checks"
        ]
        return "\n".join(lines + [f"  {rule}: {reason}" for rule, reason in self.failures])


class _Broken(Exception):
    """A rule was broken; the text says how."""


def check_methods(
    name: str,
    methods_dir: MethodsDir = None,
    *,
    say: Callable[[str], Any] | None = None,
    tasks: Sequence[str] = TASKS,
    llm: str = "t5",
) -> list[CheckReport]:
    """Check one method, or all of them.

    Args:
        name: a method or `all`; of all, the broken ones fail.
        methods_dir: more folders with methods.
        say: called with a text per method as it is done.
        tasks: on which tasks.
        llm: with an LLM of which kind; see `lampbench.mini.tiny_models.write_tiny_llm`.

    Raises:
        RequestError: no such method, or (unless all are asked for) it is broken.
    """
    infos = list_methods(methods_dir) if name == "all" else [find_method(name, methods_dir)]
    reports = []
    with tempfile.TemporaryDirectory(prefix="lampbench-check-") as temporary:
        folder = Path(temporary)
        _write_models_and_data(folder, [get_task(task) for task in tasks], llm)
        models = Models(
            ModelChoice(
                llm=str(folder / LLM),
                encoder=str(folder / ENCODER),
                retriever=str(folder / ENCODER),
                device="cpu",
                dtype="float32",
                offline=True,
            )
        )
        for info in infos:
            report = _check(info, methods_dir, folder, models, tasks)
            reports.append(report)
            if say is not None:
                say(str(report))
    return reports


def _check(
    info: MethodInfo, methods_dir: MethodsDir, folder: Path, models: Models, tasks: Sequence[str]
) -> CheckReport:
    report = CheckReport(info.name)
    start = time.monotonic()
    if info.error:
        report.failures.append(("imports", info.error))
        return report
    for task in tasks:
        with _rule(report, f"{task}: options"):
            session, job = _session(info, methods_dir, folder, models, task, DATA)
            other, _ = _session(info, methods_dir, folder, models, task, OTHER_GOLDS)
            _Trial(report, session, other, job).run()
    report.seconds = time.monotonic() - start
    return report


@contextmanager
def _rule(report: CheckReport, name: str) -> Iterator[None]:
    """Notes whether the block went through; what it raises is a failure of the rule."""
    try:
        yield
    except _Broken as error:
        report.failures.append((name, str(error)))
    except (Exception, SystemExit) as error:
        at = traceback.extract_tb(error.__traceback__)[-1]
        place = "" if isinstance(error, LampbenchError) else f" ({Path(at.filename).name}, line {at.lineno})"
        report.failures.append((name, f"{type(error).__name__}: {' '.join(str(error).split())}{place}"))
    else:
        report.done.append(name)


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
        from lampbench.models.call_guard import runs_uncounted
        from lampbench.models.fingerprint import weights_fingerprint

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
                raise _Broken(
                    f"it runs the LLM's {uncounted[0]} itself, which nobody counts: ask by bench.ask, "
                    "bench.generate or bench.llm"
                )
        self._try_other_ways(fitted)
        self._try_other_data(fitted)
        with self._rule("the LLM stays frozen"):
            if weights_fingerprint(self.llm.model) != frozen:
                self.session.models.forget_llm()
                raise _Broken("the weights or the mode of the LLM have changed: work on a copy of it")

    def _try_other_ways(self, fitted: Fitted) -> None:
        """Asked otherwise, restored or fitted again it answers the same."""
        session, budget = self.session, self.llm.budget
        with self._rule("the batch does not change the answer"):
            tokens, budget.tokens = budget.tokens, 1  # every question in a batch of its own
            try:
                self._compare(self._answers(fitted, self.asked[::-1]), "one at a time and in another order")
            finally:
                budget.tokens = tokens
        with self._rule("learned once, restored the same"):
            session.forget()
            self._compare(self._answers(session.fitted(self.job), self.asked), "restored from disk")
        with self._rule("the same seed gives the same answers"):
            session.discard(self.job)
            anew = self._answers(session.fitted(self.job), self.asked)
            self._compare(anew, "fitted again with the same seed")

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
        return _rule(self.report, f"{self.task}: {name}")

    def _answers(self, fitted: Fitted, asked: Sequence[Example]) -> dict[str, Answer]:
        from lampbench.conformance.reachable import find_text
        from lampbench.runner.job import checked

        found: dict[str, Answer] = {}
        predictions = fitted.predict(asked)
        for prediction in checked(predictions, asked, fitted.name):
            if not found and find_text((fitted, predictions), _is_planted) is not None:
                raise _Broken("it holds the output of a question that is asked: that is hidden from methods")
            found[prediction.id] = (prediction.output, prediction.ranked)
        return found

    def _compare(self, again: dict[str, Answer], how: str) -> None:
        for id, answer in self.answers.items():
            if again[id] != answer:
                raise _Broken(f"question '{id}' was answered {answer} and, {how}, {again[id]}")


# Tiny surroundings


def _write_models_and_data(folder: Path, tasks: Sequence[Task], llm: str) -> None:
    from lampbench.mini.generator import Knobs, write_suite
    from lampbench.mini.tiny_models import write_tiny_encoder, write_tiny_llm

    write_suite(
        folder / DATA, Knobs(train=8, dev=5, test=0, history_min=2, history_max=6), [t.name for t in tasks]
    )
    texts = [path.read_text(encoding="utf-8") for path in sorted((folder / DATA).rglob("*.json"))]
    for path in (folder / DATA).rglob("*_questions.json"):
        questions = json.loads(path.read_text(encoding="utf-8"))
        questions[1]["profile"] = []  # somebody is always new
        path.write_text(json.dumps(questions), encoding="utf-8")
    write_tiny_llm(folder / LLM, texts, kind=llm)
    write_tiny_encoder(folder / ENCODER, texts)
    shutil.copytree(folder / DATA, folder / OTHER_GOLDS)
    for name in (DATA, OTHER_GOLDS):
        for task in tasks:
            (path,) = (folder / name).rglob(f"{task.official_name}/dev_outputs.json")
            content = json.loads(path.read_text(encoding="utf-8"))
            for number, gold in enumerate(content["golds"]):
                if task.kind == "generation":
                    gold["output"] = f"{PLANTED} {number} of {name}"
                elif name == OTHER_GOLDS:
                    place = task.labels.index(gold["output"]) + 1
                    gold["output"] = task.labels[place % len(task.labels)]
            path.write_text(json.dumps(content), encoding="utf-8")


def _session(
    info: MethodInfo, methods_dir: MethodsDir, folder: Path, models: Models, task: str, data: str
) -> tuple[Session, Setup]:
    """A session with a cache of its own: nothing is found that another check has left."""
    from lampbench.data.dataset import open_task
    from lampbench.progress import Progress
    from lampbench.runner.plan import make_plan
    from lampbench.runner.questions import wall_off
    from lampbench.runner.request import RunRequest
    from lampbench.runner.session import Session

    cache = folder / "cache" / data
    request = RunRequest(
        method=info.name,
        task=task,
        data=folder / data,
        setting="user",
        results=folder / "results",
        methods_dir=methods_dir,
    )
    plan = make_plan(request)
    job = plan.jobs[0]
    small = plan.setups.resolve(
        job.method,
        job.method.cls.check_options,
        job.task,
        job.seed,
        replace(job.settings, max_new_tokens=6, beams=2),
    )
    questions = wall_off(open_task(folder / data, task, "user", cache), "dev", data, None)
    # Everything is generated anew, or the second answer to a question would be the first one by definition.
    return Session(plan, models, {task: questions}, Progress("none"), cache / info.name, reuse=False), small
