"""What `lampbench run` does: check the request, open the data, load the models once, run the jobs."""

from __future__ import annotations

import shlex
import traceback
from collections.abc import Sequence
from contextlib import closing
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lampbench.errors import LampbenchError, RunError
from lampbench.files.folders import CACHE_REMEDY, cache_dir, expanded, require_writable
from lampbench.models.run_models import ROLES, Models, model_name
from lampbench.progress import Progress
from lampbench.records.record import RECORD, Record, shareable
from lampbench.runner.job import run_job
from lampbench.runner.preset import MINI_DATA
from lampbench.runner.questions import Questions, wall_off
from lampbench.runner.request import ALL, Job, Plan, RunRequest, make_plan
from lampbench.runner.run_folder import find_finished, folder_of, reasons_anew
from lampbench.runner.session import Session
from lampbench.terminal import complain

if TYPE_CHECKING:
    from lampbench.tasks import Task


class RunsError(RunError):
    """Some of several runs failed. `records` are those of the others, which are complete."""

    def __init__(self, message: str, records: Sequence[Record]) -> None:
        super().__init__(message)
        self.records = list(records)


def run(
    method: str | Sequence[str],
    task: str | Sequence[str] = ALL,
    *,
    progress: str | Progress = "auto",
    **options: Any,
) -> list[Record]:
    """Run methods on tasks; the same as the command `lampbench run`.

    Args:
        method: method names, with commas or as a list; `all` for every method.
        task: task names, likewise.
        progress: `auto`, `rich`, `plain` or `none`.
        options: the other fields of `lampbench.runner.request.RunRequest`, named like the options of the command.

    Returns:
        One record per method, task and seed, in that order; those that were there already included.

    Raises:
        RequestError: the request is wrong; nothing was written.
        RunError: the one run failed; its record says why.
        RunsError: at least one of several failed, the others were run; it holds their records.
    """
    known = {f.name for f in fields(RunRequest)}
    for name in options:
        if name not in known:
            raise TypeError(f"run() has no option '{name}'; options: {', '.join(sorted(known))}")
    request = RunRequest(method=method, task=task, **options)
    return run_plan(make_plan(request), progress if isinstance(progress, Progress) else Progress(progress))


def run_plan(plan: Plan, progress: Progress) -> list[Record]:
    """Run the jobs of a checked request; see `run`."""
    from lampbench.loading.devices import resolve_device

    resolve_device(plan.models.device)
    for reason in plan.left_out:
        progress.say(f"left out: {reason}")
    if plan.request.fresh or not all((folder_of(plan, job) / RECORD).is_file() for job in plan.jobs):
        _require_results(plan)  # before the data are read, which takes long
    questions = {task.name: open_questions(plan, task, progress) for task in plan.tasks}
    models = Models(plan.models, progress)
    session = Session(plan, models, questions, progress, cache_dir())
    for job in plan.jobs:
        if session.learns(job.method, job.config, job.task):
            session.train(job.task)  # missing: better said now than after an hour
    records: dict[int, Record] = {}
    if not plan.request.fresh:
        for number, job in enumerate(plan.jobs):
            record = find_finished(session, job, questions[job.task.name])
            if record is not None:
                records[number] = record
    todo = [(number, job) for number, job in enumerate(plan.jobs) if number not in records]
    _tell_kept(list(records.values()), progress)
    if not plan.request.fresh:
        for reason in reasons_anew(session, [(job, questions[job.task.name]) for _, job in todo]):
            progress.warn(reason)
    if todo:
        _require_results(plan)
        require_writable(session.cache, "cache folder", CACHE_REMEDY)
        _load(session, [job for _, job in todo])
        _check_llm(session, [job for _, job in todo])
    failures = []
    command = shareable(command_of(plan.request))
    with closing(session):
        for number, job in todo:
            try:
                records[number] = run_job(session, job, questions[job.task.name], command)
            except Exception as error:  # one failure must not cost the night's other runs
                if len(plan.jobs) == 1:
                    raise
                if not isinstance(error, LampbenchError):
                    complain(traceback.format_exc().rstrip())
                failures.append(f"{job.label} on {job.task.name}, seed {job.seed}: {error}")
                progress.say(f"failed: {failures[-1]}")
            finally:
                session.forget()
    complete = [records[number] for number in sorted(records)]
    if failures:
        told = f"{len(failures)} of {len(plan.jobs)} runs failed; the first: {failures[0]}"
        raise RunsError(told, complete)
    return complete


def _require_results(plan: Plan) -> None:
    require_writable(plan.results, "--results", "choose another folder")


def _tell_kept(records: Sequence[Record], progress: Progress) -> None:
    """Say which runs are found whose records tell too little to be sure that today's would be the same."""
    kept = sum(record.spec is None for record in records)
    if kept:
        runs = "1 run was" if kept == 1 else f"{kept} runs were"
        progress.warn(f"{runs} recorded by an earlier version of lampbench and kept; --fresh runs them again")


def open_questions(plan: Plan, task: Task, progress: Progress) -> Questions:
    """The data of a task, prepared if need be, and the questions that are asked.

    Raises:
        RequestError: files are missing or wrong.
    """
    from lampbench.data.dataset import open_task

    folder = _data_folder(plan, task, progress)
    name = "LaMP-mini" if plan.data == MINI_DATA else folder.resolve().name
    with progress.bar(f"preparing {task.name} (MB)") as bar:
        data = open_task(folder, task, plan.setting, on_progress=bar.update, say=progress.say)
    return wall_off(data, plan.request.split, name, plan.request.limit)


def _data_folder(plan: Plan, task: Task, progress: Progress) -> Path:
    if plan.data != MINI_DATA:
        return expanded(plan.data)
    from lampbench.mini.generator import Knobs, write_suite

    knobs = Knobs(setting=plan.setting)
    folder = cache_dir() / f"{MINI_DATA}-{plan.setting}-{knobs.fingerprint}"
    with progress.bar(f"generating LaMP-mini ({task.name})"):
        write_suite(folder, knobs, [task.name], CACHE_REMEDY, ours=True, say=progress.say)
    return folder


def _load(session: Session, jobs: Sequence[Job]) -> None:
    """Load every model that a job will use now, so that a wrong one is told at the start."""
    roles = {role for job in jobs for role in session.roles(job.method, job.config, job.task)}
    for role in ("llm", *sorted(roles)):
        what = f"the {role}: " if role in ROLES else ""  # a method may name a model of its own
        session.progress.say(f"loading {what}{model_name(session.models.name_of(role))}")
        model = session.models.get(role)
        if model.revision is None:
            session.progress.say(f"{what}its revision is not known, so that nothing it makes is used again")
        if getattr(model, "prompts", None) and not all(getattr(job.config, "prompts", True) for job in jobs):
            session.progress.say(
                f"{what}its prompts for queries and documents are left out without prompts=true"
            )


def _check_llm(session: Session, jobs: Sequence[Job]) -> None:
    """Let each method look at the LLM once: what it lacks is told before anything is fitted."""
    seen = set()
    for job in jobs:
        key = (job.method.name, repr(job.config))
        if key not in seen:
            session.check_llm(job.method, job.config, job.task)
        seen.add(key)


def command_of(request: RunRequest) -> str:
    """The request as a command line."""
    words = ["lampbench", "run"]
    for f in fields(request):
        value = getattr(request, f.name)
        if f.name not in ("method", "task") and value == f.default:
            continue
        option = "--" + f.name.replace("_", "-")
        if isinstance(value, bool):
            words += [option if value else option.replace("--", "--no-", 1)]
        elif f.name == "set":
            words += [word for setting in value for word in (option, setting)]
        elif isinstance(value, (list, tuple)):
            words += [option, ",".join(str(part) for part in value)]
        else:
            words += [option, str(value)]
    return shlex.join(words)
