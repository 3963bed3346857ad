"""Conformance: proof that a method keeps the rules, in seconds, on tiny data and tiny random models.

Per task: the questions are answered once and in order; one at a time and in another order they get the same
answers; what was learned survives saving and loading; the same seed gives the same answers; an empty history
does not break it, in training or in prediction; the frozen LLM is not touched.
"""

from __future__ import annotations

import json
import tempfile
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lampbench.errors import LampbenchError
from lampbench.models import ModelChoice, Models
from lampbench.registry import MethodInfo, find_method, list_methods
from lampbench.tasks import Task, get_task

if TYPE_CHECKING:
    from lampbench.data import Example
    from lampbench.fitting import Fitted, Session
    from lampbench.request import Job

# One task without a label in its items, one with ratings, one with free text.
TASKS = ("LaMP-1", "LaMP-3", "LaMP-4")

LLM, ENCODER = "tiny-llm", "tiny-bert"

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
        llm: with an LLM of which kind; see `lampbench.tiny.write_tiny_llm`.

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
            session, job = _session(info, methods_dir, folder, models, task)
            _check_task(report, session, job)
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


def _check_task(report: CheckReport, session: Session, job: Job) -> None:
    from lampbench.batching import TokenBudget
    from lampbench.frozen import weights_fingerprint

    task = job.task.name
    data = session.data[task]
    llm = session.models.llm
    frozen = weights_fingerprint(llm.model)
    asked = list(data.split("dev").without_outputs())
    answers: dict[str, tuple[Any, ...]] = {}
    fitted: Fitted | None = None

    with _rule(report, f"{task}: fits"):
        fitted = session.fitted(job.method, job.config, job.task, job.seed, job.settings)
    if fitted is None:
        return
    with _rule(report, f"{task}: one answer per question, in order"):
        answers = _answers(fitted, asked, job)
    if not answers:
        return
    with _rule(report, f"{task}: the batch does not change the answer"):
        budget, llm.budget = llm.budget, TokenBudget(1)  # every question in a batch of its own
        try:
            _compare(answers, _answers(fitted, asked[::-1], job), "one at a time and in another order")
        finally:
            llm.budget = budget
    with _rule(report, f"{task}: learned once, restored the same"):
        session.forget()
        again = session.fitted(job.method, job.config, job.task, job.seed, job.settings)
        _compare(answers, _answers(again, asked, job), "restored from disk")
    with _rule(report, f"{task}: the same seed gives the same answers"):
        session.discard(job.method, job.config, job.task, job.seed, job.settings)
        anew = session.fitted(job.method, job.config, job.task, job.seed, job.settings)
        _compare(answers, _answers(anew, asked, job), "fitted again with the same seed")
    with _rule(report, f"{task}: an empty history is survived"):
        from lampbench.views import view

        whole = data.split("dev").without_outputs()
        _answers(fitted, view("empty", job.task, asked, whole, fitted.bench.rng).examples, job)
    with _rule(report, f"{task}: the LLM stays frozen"):
        if weights_fingerprint(llm.model) != frozen:
            session.models.forget_llm()
            raise _Broken("the weights or the mode of the LLM have changed: work on a copy of it")


def _answers(fitted: Fitted, asked: Sequence[Example], job: Job) -> dict[str, tuple[Any, ...]]:
    from lampbench.job import checked

    found = {}
    for prediction in checked(fitted.predict(asked), asked, job.method.name):
        found[prediction.id] = (prediction.output, prediction.ranked)
    return found


def _compare(first: dict[str, Any], second: dict[str, Any], how: str) -> None:
    for id, answer in first.items():
        if second[id] != answer:
            raise _Broken(f"question '{id}' was answered {answer} and, {how}, {second[id]}")


# Tiny surroundings


def _write_models_and_data(folder: Path, tasks: Sequence[Task], llm: str) -> None:
    from lampbench.synthetic import Knobs, write_suite
    from lampbench.tiny import write_tiny_encoder, write_tiny_llm

    write_suite(
        folder / "data", Knobs(train=8, dev=5, test=0, history_min=2, history_max=6), [t.name for t in tasks]
    )
    texts = [path.read_text(encoding="utf-8") for path in sorted((folder / "data").rglob("*.json"))]
    for path in (folder / "data").rglob("*_questions.json"):
        questions = json.loads(path.read_text(encoding="utf-8"))
        questions[1]["profile"] = []  # somebody is always new
        path.write_text(json.dumps(questions), encoding="utf-8")
    write_tiny_llm(folder / LLM, texts, kind=llm)
    write_tiny_encoder(folder / ENCODER, texts)


def _session(
    info: MethodInfo, methods_dir: MethodsDir, folder: Path, models: Models, task: str
) -> tuple[Session, Job]:
    """A session with a cache of its own: nothing is found that another check has left."""
    from lampbench.data import open_task
    from lampbench.fitting import Session
    from lampbench.progress import Progress
    from lampbench.request import RunRequest, make_plan

    cache = folder / "cache"
    request = RunRequest(
        method=info.name,
        task=task,
        data=folder / "data",
        setting="user",
        results=folder / "results",
        methods_dir=methods_dir,
    )
    plan = make_plan(request)
    job = plan.jobs[0]
    small = job.method.cls.check_options
    config = plan.config_of(job.method, job.task, small)
    limits = replace(job.settings, max_new_tokens=6, beams=2)
    data = open_task(folder / "data", task, "user", cache)
    # Everything is generated anew, or the second answer to a question would be the first one by definition.
    session = Session(plan, models, {task: data}, Progress("none"), cache / info.name, reuse=False)
    return session, replace(job, config=config, settings=limits)
