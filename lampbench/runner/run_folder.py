"""The place of a run: its folder, the key of what was asked, and what an earlier run has left there."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lampbench.errors import RequestError, RunError
from lampbench.files.locks import lock_file, locked
from lampbench.files.typed_json import plain
from lampbench.method.options import as_dict
from lampbench.records.attempts import PREDICTIONS, RECORD, attempt_beside, discard, is_moving, take_place
from lampbench.records.predictions import PredictionLog
from lampbench.records.record import Record, read_record, request_key, run_path, without_folders
from lampbench.runner.differences import differences, sentence

if TYPE_CHECKING:
    from lampbench.runner.gold_wall import Questions
    from lampbench.runner.request import Plan
    from lampbench.runner.session import Session
    from lampbench.runner.setup import Setup


def find_finished(session: Session, job: Setup, questions: Questions) -> Record | None:
    """The record of an earlier run that answers this very request, with its predictions in place. None if there
    is an attempt to make it anew, which is then gone on with.
    """
    folder = folder_of(session.plan, job)
    if lock_file(folder).is_file() or is_moving(folder):  # of a command that was killed, or goes on
        with contextlib.suppress(RunError), locked(folder, wait=False, tidy=True):
            settle(folder)
    return finished(session, job, questions)


def finished(session: Session, job: Setup, questions: Questions) -> Record | None:
    """See `find_finished`; changes nothing."""
    folder, spec = folder_of(session.plan, job), spec_of(session, job, questions)
    if _is_under_way(folder, spec):
        return None
    record = earlier_record(folder)
    if record is None or record.status != "complete" or not _predictions_are_there(record):
        return None
    if record.spec is None:  # too old for a key of today's rules
        return None if differences(record, spec, session, job, questions) else record
    return record if record.request == request_key(spec) and record.code == job.code else None


def reasons_anew(session: Session, asked: Sequence[tuple[Setup, Questions]]) -> list[str]:
    """Why complete runs, which do not answer what is asked, are made again: a line for each.

    Raises:
        RequestError: without `--fresh` one of them is not.
    """
    reasons, refusals = [], []
    for job, questions in asked:
        try:
            reason = why_anew(session, job, questions)
        except RequestError as error:
            refusals.append(str(error))
        else:
            reasons += [reason] if reason else []
    if refusals:
        more = f" ({len(refusals) - 1} more runs likewise)" if len(refusals) > 1 else ""
        raise RequestError(refusals[0] + more)
    return reasons


def why_anew(session: Session, job: Setup, questions: Questions) -> str | None:
    """Why a complete run, which does not answer this request, is made again, in one line; None if there is none.

    Raises:
        RequestError: without `--fresh` it is not.
    """
    plan, folder = session.plan, folder_of(session.plan, job)
    record = read_record(folder) if (folder / RECORD).is_file() else None
    if record is None or record.status != "complete":
        return None
    name = f"{plan.suite}/{job.task.name}/{job.label}/seed{job.seed} in {plan.results}"
    spec = spec_of(session, job, questions)
    if _is_under_way(folder, spec):
        return f"{name} is made again: an attempt that was begun goes on"
    found = differences(record, spec, session, job, questions)
    if not found:
        return f"{name} is made again: its predictions are not those that were scored"
    if job.learns or not all(one.is_of_code for one in found):
        raise RequestError(
            f"{name} is another run, with {sentence(found)}: choose another --variant or --suite, or replace it "
            "with --fresh"
        )
    return f"{name} is made again, because the code has changed that answers: {sentence(found)}"


def _is_under_way(folder: Path, spec: Mapping[str, Any]) -> bool:
    attempt = earlier_record(attempt_beside(folder))
    return attempt is not None and attempt.request == request_key(spec)


def _predictions_are_there(record: Record) -> bool:
    log = PredictionLog(record.predictions)
    return log.path.is_file() and log.sha256() == record.predictions_sha256


def settle(folder: Path) -> None:
    """End what a kill has interrupted: let a complete attempt take the place of the run in `folder`, and remove what
    only a run in the making needs. Call it under the run's lock.

    Raises:
        RunError: a file cannot be moved.
    """
    attempt = earlier_record(attempt_beside(folder))
    is_whole = attempt is not None and attempt.status == "complete" and _predictions_are_there(attempt)
    if is_whole or is_moving(folder):
        take_place(folder)
    record = earlier_record(folder)
    if record is not None and record.status == "complete":
        PredictionLog(folder / PREDICTIONS).settle()


def working_folder(folder: Path) -> Path:
    """Where to make the run of `folder`: there, or beside it if that would cost a record that may be complete."""
    record = earlier_record(folder)
    if (folder / RECORD).is_file() and (record is None or record.status == "complete"):
        return attempt_beside(folder)
    discard(folder)  # of a run that is no longer there
    return folder


def options_of(config: Any) -> dict[str, Any]:
    """The options of a Config as records tell them."""
    return dict(without_folders(plain(as_dict(config))))


def folder_of(plan: Plan, job: Setup) -> Path:
    """Where the run is recorded."""
    return run_path(plan.results, plan.suite, job.task.name, job.method.name, job.variant, job.seed)


def earlier_record(folder: Path) -> Record | None:
    """The record in the folder, if there is one that can be read."""
    if not (folder / RECORD).is_file():
        return None
    try:
        return read_record(folder)
    except RequestError:  # half written by a stranger, or of another version: it answers nothing
        return None


def spec_of(session: Session, job: Setup, questions: Questions) -> dict[str, Any]:
    """All that decides the result."""
    return {**session.spec(job), "split": questions.asked.name, "questions": questions.asked.fingerprint}
