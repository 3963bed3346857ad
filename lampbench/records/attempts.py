"""A new attempt at a run that is recorded already: made beside it, it takes its place when it is complete.

    results/<suite>/<task>/<method>/seed0/            the run, as readers find it
                                    .seed0.attempt/   the attempt: a record and predictions of its own
                                    .seed0.lock       whoever makes this run

Of the two files the record goes first, in one stroke: from then on the new run is the one that is recorded, and
its predictions are those in the attempt's folder, which has no record any more. So readers find one run or the
other, whenever a kill comes; the next command on this run moves what is left.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from lampbench.errors import RunError

RECORD = "record.json"
PREDICTIONS = "predictions.jsonl"
OFFICIAL = "predictions_official.json"
"""The predictions of a split without golds, in the schema that the benchmark's own leaderboard takes."""


def attempt_beside(folder: Path) -> Path:
    """The folder of an attempt at the run in `folder`."""
    return folder.with_name(f".{folder.name}.attempt")


def predictions_of(folder: Path) -> Path:
    """The predictions that belong to the record in `folder`."""
    moving = attempt_beside(folder) / PREDICTIONS
    return moving if moving.is_file() and is_moving(folder) else folder / PREDICTIONS


def is_moving(folder: Path) -> bool:
    """Whether a kill has hit an attempt on its way into the place of the run in `folder`."""
    attempt = attempt_beside(folder)
    left = (attempt / PREDICTIONS).is_file() or (attempt / OFFICIAL).is_file()
    return left and not (attempt / RECORD).is_file()


def discard(folder: Path) -> None:
    """Remove the attempt at the run in `folder`; the record last, without which it would be on its way."""
    attempt = attempt_beside(folder)
    for name in (PREDICTIONS, OFFICIAL):
        (attempt / name).unlink(missing_ok=True)
    shutil.rmtree(attempt, ignore_errors=True)


def take_place(folder: Path) -> None:
    """Put the attempt, which is complete or on its way, in the place of the run in `folder`. Call it under the
    run's lock.

    Raises:
        RunError: a file cannot be moved. The same command goes on from there.
    """
    attempt = attempt_beside(folder)
    try:
        if (attempt / RECORD).is_file():
            os.replace(attempt / RECORD, folder / RECORD)
        if (attempt / PREDICTIONS).is_file():
            (folder / OFFICIAL).unlink(missing_ok=True)  # of the run before
            os.replace(attempt / PREDICTIONS, folder / PREDICTIONS)
        if (attempt / OFFICIAL).is_file():
            os.replace(attempt / OFFICIAL, folder / OFFICIAL)
    except OSError as error:
        raise RunError(f"cannot put {attempt} in the place of {folder}: {error.strerror or error}") from error
    shutil.rmtree(attempt, ignore_errors=True)
