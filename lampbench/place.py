"""The place of a run: its folder, the key of what was asked, and what an earlier run has left there."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lampbench.attempts import RECORD, attempt_beside, is_moving, take_place
from lampbench.configure import as_dict
from lampbench.errors import RequestError, RunError
from lampbench.jsonfile import plain
from lampbench.locks import locked
from lampbench.models import model_name
from lampbench.prediction_log import PredictionLog
from lampbench.record import Record, read_record, request_key, run_path, shareable

if TYPE_CHECKING:
    from lampbench.fitting import Session
    from lampbench.job import Questions
    from lampbench.request import Job


def find_finished(session: Session, job: Job, questions: Questions) -> Record | None:
    """The record of an earlier run that answers this very request, with its predictions in place. None if there
    is an attempt to make it anew, which is then gone on with.
    """
    folder = folder_of(session, job)
    if _is_unsettled(folder):
        with contextlib.suppress(RunError), locked(folder, tidy=True):  # what is read-only can still be read
            settle(folder)
    return finished_in(folder, key_of(session, job, questions))


def finished_in(folder: Path, key: str) -> Record | None:
    """See `find_finished`."""
    attempt = earlier_record(attempt_beside(folder))
    if attempt is not None and attempt.request == key:
        return None
    record = earlier_record(folder)
    if record is None or record.status != "complete" or record.request != key:
        return None
    log = PredictionLog(record.predictions)
    return record if log.path.is_file() and log.sha256() == record.predictions_sha256 else None


def settle(folder: Path) -> None:
    """Let a complete attempt, which a kill has kept from it, take the place of the run in `folder`. Call it under
    the run's lock.

    Raises:
        RunError: its files cannot be moved.
    """
    if _is_unsettled(folder):
        take_place(folder)


def _is_unsettled(folder: Path) -> bool:
    attempt = earlier_record(attempt_beside(folder))
    return is_moving(folder) or (attempt is not None and attempt.status == "complete")


def working_folder(folder: Path) -> Path:
    """Where to make the run of `folder`: there, or beside it if that would cost a record that may be complete."""
    record = earlier_record(folder)
    if (folder / RECORD).is_file() and (record is None or record.status == "complete"):
        return attempt_beside(folder)
    shutil.rmtree(attempt_beside(folder), ignore_errors=True)  # of a run that is no longer there
    return folder


def check_place(session: Session, job: Job, questions: Questions) -> None:
    """See that a run whose place was named (`--variant`, `--suite`) does not replace a complete one that was
    asked something else. Places that lampbench names differ where the options do.

    Raises:
        RequestError: it would.
    """
    plan, earlier = session.plan, earlier_record(folder_of(session, job))
    if plan.request.variant is None and plan.request.suite is None:
        return
    if earlier is None or earlier.status != "complete" or plan.request.fresh:
        return
    there = {
        **earlier.method.config,
        "limit": earlier.data.limit,
        "split": earlier.data.split,
        "setting": earlier.data.setting,
        "data": earlier.data.name,
        "llm": earlier.llm.id,
    }
    asked = {
        **options_of(job.config),
        "limit": questions.limit,
        "split": questions.asked.name,
        "setting": plan.setting,
        "data": questions.name,
        "llm": model_name(plan.models.llm),
    }
    for name in there.keys() & asked.keys():
        if plain(there[name]) != plain(asked[name]):
            raise RequestError(
                f"{earlier.name} in {plan.results} is another run, with {name} {there[name]} and not "
                f"{asked[name]}: choose another --variant or --suite, or replace it with --fresh"
            )


def options_of(config: Any) -> dict[str, Any]:
    """The options of a Config as records tell them."""
    return {name: shareable(v) if isinstance(v, str) else v for name, v in as_dict(config).items()}


def folder_of(session: Session, job: Job) -> Path:
    """Where the run is recorded."""
    plan = session.plan
    return run_path(plan.results, plan.suite, job.task.name, job.method.name, job.variant, job.seed)


def earlier_record(folder: Path) -> Record | None:
    """The record in the folder, if there is one that can be read."""
    if not (folder / RECORD).is_file():
        return None
    try:
        return read_record(folder)
    except RequestError:  # half written by a stranger, or of another version: it answers nothing
        return None


def key_of(session: Session, job: Job, questions: Questions) -> str:
    """Hash of all that decides the result."""
    spec: Mapping[str, Any] = session.spec(job.method, job.config, job.task, job.seed, job.settings)
    asked = {"split": questions.asked.name, "questions": questions.asked.fingerprint}
    return request_key({**spec, **asked})
