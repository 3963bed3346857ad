"""What methods have learned, on disk: found whole by every later run, or learned again.

A method's folder in `fits/`:

    about.json      all that decides what it learns, for people
    checkpoints/    while it is fitted
    learned/        what Method.save wrote
    fit.json        written last: the report, and the digest of every file in learned/

Files that a method keeps beside these are its own; their names hold their digests (`lampbench.files.seals`).
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lampbench.files.atomic_write import replacing_folder
from lampbench.files.digests import file_digest, has_digest
from lampbench.files.folders import mark_used
from lampbench.files.seals import Damaged, Say, read_sealed, room_for, write_sealed
from lampbench.files.typed_json import WrongShape, plain, read_as
from lampbench.records.record import TrainingRecord, request_key

if TYPE_CHECKING:
    from lampbench.method.base import Method

FORMAT = 2  # of the folders; part of their names

FITS = "fits"
"""The name of the folder of them all, in the folder of everything that can be made again."""

WHAT = "a fitted method"

ABOUT, CHECKPOINTS, LEARNED, FIT = "about.json", "checkpoints", "learned", "fit.json"


@dataclass(frozen=True)
class FitReport:
    """What fitting did.

    Attributes:
        seconds: wall time.
        calls: prompts that the LLM answered for it.
        reused: prompts whose answers were made before and only looked up.
        reused_seconds: the time that the LLM took for the latter when they were made.
        trainable_parameters: number of trained scalars.
        training: the training run, if there was one.
    """

    seconds: float = 0.0
    calls: int = 0
    trainable_parameters: int = 0
    training: TrainingRecord | None = None
    reused: int = 0
    reused_seconds: float = 0.0


def folder_of_fit(cache: Path, spec: Mapping[str, Any]) -> Path:
    """Where a method keeps what it learns, by all that decides what that is."""
    key = request_key({**spec, "fits": FORMAT})
    return cache / FITS / f"{spec['method']}-{spec['task']}-{key[:16]}"


def describe(folder: Path, spec: Mapping[str, Any]) -> None:
    """Note in the folder of a fit what decides it, for people who look at what is kept; and that it is of use now.

    Raises:
        RunError: the disk does not let it.
    """
    if (folder / ABOUT).is_file():
        mark_used(folder / ABOUT)
    else:
        write_sealed(folder / ABOUT, spec, WHAT)


def save_fit(folder: Path, method: Method, report: FitReport) -> None:
    """Keep what the method has learned; the caller holds the lock of the folder.

    Raises:
        RunError: the disk does not let it, or the method has nothing that is fit to be kept.
    """
    with room_for(WHAT, folder):
        shutil.rmtree(folder / LEARNED, ignore_errors=True)  # first, for its room
        with replacing_folder(folder / LEARNED) as new:
            method.save(new)
        files = _digests(folder / LEARNED)
    write_sealed(folder / FIT, {"report": plain(report), "files": files}, WHAT)
    shutil.rmtree(folder / CHECKPOINTS, ignore_errors=True)


def restore_fit(folder: Path, method: Method, say: Say) -> FitReport | None:
    """Give a freshly built method what an earlier one has learned; the caller holds the lock of the folder.

    Args:
        say: told of a fit that is damaged.

    Returns:
        The report of that fit; None if there is none that is whole.
    """
    try:
        report = check_fit(folder)
        method.restore(folder / LEARNED)
    except FileNotFoundError:
        return None
    except Damaged as damage:
        say(f"{damage}: it is fitted again")
        return None
    mark_used(folder / ABOUT)
    return report


def check_fit(folder: Path) -> FitReport:
    """The report of a fit whose files are all as they were written.

    Raises:
        FileNotFoundError: the folder holds no finished fit.
        Damaged: a file is not what was written; names it.
    """
    kept = read_sealed(folder / FIT)
    for name, value in kept["files"].items():
        if not has_digest(folder / LEARNED / name, value):
            raise Damaged(f"{folder / LEARNED / name} is damaged")
    try:
        return read_as(FitReport, kept["report"])
    except WrongShape as error:
        raise Damaged(f"{folder / FIT}: {error}") from error


def _digests(learned: Path) -> dict[str, str]:
    """The digest of each file that a method has saved, by its path inside, in order."""
    files = (path for path in sorted(learned.rglob("*")) if path.is_file())
    return {path.relative_to(learned).as_posix(): file_digest(path) for path in files}
