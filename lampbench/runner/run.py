"""What `lampbench run` does: check the request, open the data, load the models once, run the jobs."""

from __future__ import annotations

import shlex
import traceback
from collections.abc import Sequence
from contextlib import closing
from dataclasses import fields
from typing import Any

from lampbench.errors import LampbenchError, RunError
from lampbench.files.folders import CACHE_REMEDY, cache_dir, require_writable
from lampbench.method.base import PromptsConfig
from lampbench.models.run_models import ROLES, Models, model_name
from lampbench.progress import Progress
from lampbench.records.record import RECORD, Record, shareable
from lampbench.runner.gold_wall import open_questions
from lampbench.runner.job import run_job
from lampbench.runner.plan import make_plan
from lampbench.runner.request import ALL, Plan, RunRequest
from lampbench.runner.run_folder import find_finished, folder_of, reasons_anew
from lampbench.runner.session import Session
from lampbench.runner.setup import Setup
from lampbench.terminal import complain


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
    session = Session(plan, Models(plan.models, progress), questions, progress, cache_dir())
    for job in plan.jobs:
        if job.learns:
            session.train(job.task)  # missing: better said now than after an hour
    found = _found(session)
    todo = [job for job in plan.jobs if job not in found]
    _prepare(session, todo)
    made, failures = _made(session, todo)
    complete = [record for job in plan.jobs if (record := found.get(job) or made.get(job)) is not None]
    if failures:
        told = f"{len(failures)} of {len(plan.jobs)} runs failed; the first: {failures[0]}"
        raise RunsError(told, complete)
    return complete


def _found(session: Session) -> dict[Setup, Record]:
    """The records of earlier runs that answer what is asked."""
    plan = session.plan
    if plan.request.fresh:
        return {}
    records = {job: find_finished(session, job, session.data[job.task.name]) for job in plan.jobs}
    found = {job: record for job, record in records.items() if record is not None}
    kept = sum(record.spec is None for record in found.values())
    if kept:  # whose records tell too little to be sure that today's would be the same
        runs = "1 run was" if kept == 1 else f"{kept} runs were"
        session.progress.warn(
            f"{runs} recorded by an earlier version of lampbench and kept; --fresh runs them again"
        )
    return found


def _prepare(session: Session, todo: Sequence[Setup]) -> None:
    """Find out, before the first of them begins, whether the jobs can be done, and load the models."""
    if not session.plan.request.fresh:
        for reason in reasons_anew(session, [(job, session.data[job.task.name]) for job in todo]):
            session.progress.warn(reason)
    if todo:
        _require_results(session.plan)
        require_writable(session.cache, "cache folder", CACHE_REMEDY)
        _load(session, todo)
        _check_llm(session, todo)


def _made(session: Session, todo: Sequence[Setup]) -> tuple[dict[Setup, Record], list[str]]:
    """Do the jobs, one after the other.

    Returns:
        The records of those that went well, and what happened to the others.
    """
    records: dict[Setup, Record] = {}
    failures: list[str] = []
    command = shareable(command_of(session.plan.request))
    with closing(session):
        for job in todo:
            try:
                records[job] = run_job(session, job, session.data[job.task.name], command)
            except Exception as error:  # one failure must not cost the night's other runs
                if len(session.plan.jobs) == 1:
                    raise
                if not isinstance(error, LampbenchError):
                    complain(traceback.format_exc().rstrip())
                failures.append(f"{job.label} on {job.task.name}, seed {job.seed}: {error}")
                session.progress.say(f"failed: {failures[-1]}")
            finally:
                session.forget()
    return records, failures


def _require_results(plan: Plan) -> None:
    require_writable(plan.results, "--results", "choose another folder")


def _load(session: Session, jobs: Sequence[Setup]) -> None:
    """Load every model that a job will use now, so that a wrong one is told at the start."""
    roles = {role for job in jobs for role in job.roles}
    # A method without the option encodes nothing itself.
    prompted = all(job.config.prompts for job in jobs if isinstance(job.config, PromptsConfig))
    for role in ("llm", *sorted(roles)):
        what = f"the {role}: " if role in ROLES else ""  # a method may name a model of its own
        session.progress.say(f"loading {what}{model_name(session.models.name_of(role))}")
        model = session.models.get(role)
        if model.revision is None:
            session.progress.say(f"{what}its revision is not known, so that nothing it makes is used again")
        if getattr(model, "prompts", None) and not prompted:
            session.progress.say(
                f"{what}its prompts for queries and documents are left out without prompts=true"
            )


def _check_llm(session: Session, jobs: Sequence[Setup]) -> None:
    """Let each method look at the LLM once: what it lacks is told before anything is fitted."""
    seen = set()
    for job in jobs:
        key = (job.method.name, repr(job.config))
        if key not in seen:
            job.check_llm(session.models.llm)
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
        elif isinstance(value, (list, tuple)) and f.name in ("set", "methods_dir", "tasks_dir"):
            words += [word for each in value for word in (option, str(each))]
        elif isinstance(value, (list, tuple)):
            words += [option, ",".join(str(part) for part in value)]
        else:
            words += [option, str(value)]
    return shlex.join(words)
