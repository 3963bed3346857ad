"""Clearing the cache folder, and checking all that it holds against its digests."""

from __future__ import annotations

import shutil
import sqlite3
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from lampbench.caches.answer_file import all_rows, delete_answers
from lampbench.caches.embedding_store import check_matrix
from lampbench.errors import RunError
from lampbench.files.digests import has_digest
from lampbench.files.locks import if_free
from lampbench.files.seals import Damaged, is_named_right, read_sealed
from lampbench.method.saved_fits import ABOUT, check_fit
from lampbench.runner.cache_contents import Kept

DAY = 24 * 3600.0


def prune(chosen: list[Kept], before: float | None = None) -> tuple[list[Kept], list[Kept]]:
    """Remove things from the cache folder.

    Args:
        chosen: what to remove; see `lampbench.runner.cache_contents.contents`.
        before: of generations, only those that were made before that time.

    Returns:
        What was removed, and what was left because another command is at it.

    Raises:
        RunError: the disk does not let it.
    """
    removed: list[Kept] = []
    in_use: list[Kept] = []
    for one in chosen:
        try:
            (removed if _remove(one, before) else in_use).append(one)
        except (OSError, sqlite3.Error) as error:
            raise RunError(
                f"cannot remove {one.path}: {getattr(error, 'strerror', None) or error}"
            ) from error
    return removed, in_use


def _remove(one: Kept, before: float | None) -> bool:
    if one.kind == "data" and not one.old and time.time() - one.used < DAY:
        return False  # a run opens the outputs of its data at its end, and holds no lock until then
    with if_free(one.path) as free:
        if not free:
            return False
        if one.kind == "generations" and not one.old:
            delete_answers(one.path, one.model or "", before)
        elif one.path.is_dir():
            shutil.rmtree(one.path)
        else:
            for file in (one.path, *one.path.parent.glob(f"{one.path.name}-*")):
                file.unlink(missing_ok=True)
        return True


def verify(kept: list[Kept]) -> list[str]:
    """Check things against their digests; what is wrong, one line each. What is old is passed over."""
    problems: list[str] = []
    for path, kind in dict.fromkeys((one.path, one.kind) for one in kept if not one.old):
        problems += _CHECKS[kind](path)
    return problems


def _check_data(home: Path) -> Iterator[str]:
    yield from _check_sealed(home / "sources.json")
    for manifest in sorted(home.glob("*/manifest.json")):
        yield from _check_manifest(manifest)
    yield from _check_named(home)


def _check_manifest(path: Path) -> Iterator[str]:
    """A sealed manifest, and the files that it names with their digests."""
    try:
        files = read_sealed(path)["files"]
    except (Damaged, FileNotFoundError):
        yield f"{path} is damaged"
        return
    for name, value in files.items():
        if not has_digest(path.parent / name, value):
            yield f"{path.parent / name} is damaged"


def _check_embeddings(folder: Path) -> Iterator[str]:
    problem = check_matrix(folder)
    if problem is not None:
        yield problem


def _check_fit(folder: Path) -> Iterator[str]:
    yield from _check_sealed(folder / ABOUT)
    try:
        check_fit(folder)
    except FileNotFoundError:  # it was never finished
        pass
    except Damaged as damage:
        yield str(damage)
    yield from _check_named(folder)


def _check_sealed(path: Path) -> Iterator[str]:
    """A sealed object, if there is one."""
    try:
        read_sealed(path)
    except FileNotFoundError:
        pass
    except Damaged as damage:
        yield str(damage)


def _check_named(folder: Path) -> Iterator[str]:
    """The files that are named by their content."""
    for file in sorted(folder.rglob("*")):
        if file.is_file() and is_named_right(file) is False:
            yield f"{file} is damaged"


def _check_generations(path: Path) -> Iterator[str]:
    try:
        bad = sum(not row.is_whole for row in all_rows(path))
    except sqlite3.DatabaseError as error:
        yield f"{path} is damaged ({error})"
        return
    if bad:
        yield f"{path}: {bad} answers are damaged"


def _check_mini(folder: Path) -> Iterator[str]:
    yield from _check_manifest(folder / "manifest.json")


_CHECKS: dict[str, Callable[[Path], Iterator[str]]] = {
    "data": _check_data,
    "embeddings": _check_embeddings,
    "fits": _check_fit,
    "generations": _check_generations,
    "identities": _check_sealed,
    "LaMP-mini": _check_mini,
}
