"""Official JSON to a prepared store: streaming, once per content, atomic.

A store is a folder of tables (`lampbench.data.arrow_tables`): `items-train.arrow` and `items-more.arrow` hold every
distinct profile item of the task once, by content, whatever its ids and whichever splits it occurs in;
`examples-<split>.arrow` holds the questions, each with the rows of its items and the ids they have there, and
`golds-<split>.arrow` their outputs. `lampbench.data.dataset` reads it.

Memory does not grow with the file but for some 28 bytes per distinct item: the hash by which repetitions are
known.

In the cache, `data/<task>-<setting>-<hash of the data folder>/` holds `sources.json`, which says what the
source files looked like and what the task reads in them, and the store under the hash of both. So a touched file is
hashed and not prepared again, and of two processes that want to prepare at once the second waits for the store of the
first.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import time
from collections.abc import Callable, Set
from contextlib import suppress
from pathlib import Path
from typing import Any

from lampbench.data.arrow_tables import (
    EXAMPLE_SCHEMA,
    EXAMPLES_PER_BATCH,
    GOLD_SCHEMA,
    MANIFEST_FILE,
    STORE_FORMAT,
    WHAT,
    ItemWriter,
    TableWriter,
    examples_file,
    golds_file,
    read_manifest,
    seal,
    verify,
)
from lampbench.data.find_files import SplitFiles, TaskFiles, find_files
from lampbench.data.official_json import (
    Malformed,
    OnProgress,
    SourceFile,
    SourceQuestion,
    item_id,
    parse_gold,
    parse_question,
    show_ids,
    task_problem,
    told_in_megabytes,
)
from lampbench.errors import RequestError, RunError, short
from lampbench.files.folders import CACHE_REMEDY, expanded, mark_used, require_writable
from lampbench.files.folders import cache_dir as default_cache_dir
from lampbench.files.locks import locked
from lampbench.files.seals import Damaged, Say, read_sealed, write_sealed
from lampbench.tasks import Task, get_task

SOURCES_FILE = "sources.json"

# Part of every fingerprint; raise it when the same files are no longer read as the same questions.
CONTENT_FORMAT = 1

_STALE_AFTER = 24 * 3600.0  # seconds after which nobody reads a store or a temporary folder that was left


def prepare_task(
    data_dir: str | Path,
    task: Task | str,
    setting: str = "user",
    cache_dir: str | Path | None = None,
    on_progress: OnProgress | None = None,
    fresh: bool = False,
    damaged: bool = False,
    say: Say = lambda text: None,
) -> Path:
    """The store of a task, made if there is none for the present content of its files.

    Args:
        data_dir: the data folder; see `lampbench.data.find_files.find_files` for the layouts.
        task: the task or its name.
        setting: `user` or `time`.
        cache_dir: where stores are kept; `lampbench.files.folders.cache_dir()` by default.
        on_progress: called as `on_progress(done, total, file)`, in megabytes, while files are read.
        fresh: prepare again even if there is a store.
        damaged: prepare again if the store that is there is not what was written, which the caller has seen.
        say: told if another process is waited for.

    Returns:
        The folder of the store.

    Raises:
        RequestError: files are missing, broken or do not fit each other, or the cache cannot be written to;
            nothing has been written.
        RunError: writing to the cache failed half-way, such as on a full disk.
    """
    task = get_task(task)
    files = find_files(data_dir, task, setting)
    if not files.present:
        raise files.nothing()
    cache = Path(cache_dir) if cache_dir is not None else default_cache_dir()
    home = _home(files, cache)
    store = _known_store(files, home, _states(files))
    if store is not None and not (fresh or damaged):
        return store
    require_writable(cache, "cache folder", CACHE_REMEDY)
    try:
        home.mkdir(parents=True, exist_ok=True)
        with locked(home, waiting=say):
            states = _states(files)
            store = None if fresh else _known_store(files, home, states)
            if store is not None and not (damaged and _is_damaged(store)):
                return store  # made while this one waited
            _sweep(home)
            return _prepare(files, home, states, on_progress, replace=fresh or damaged)
    except OSError as error:
        raise RunError(
            f"cannot write the prepared data to {home}: {error.strerror or error}; {CACHE_REMEDY}"
        ) from error


def _is_damaged(store: Path) -> bool:
    try:
        verify(store, read_manifest(store))
    except Damaged:
        return True
    return False


def _states(files: TaskFiles) -> dict[Path, dict[str, Any]]:
    return {path: _state(path) for name in files.present for path in files.splits[name].paths}


# One preparation


def _prepare(
    files: TaskFiles,
    home: Path,
    states: dict[Path, dict[str, Any]],
    on_progress: OnProgress | None,
    replace: bool,
) -> Path:
    advance = told_in_megabytes(on_progress, sum(state["size"] for state in states.values()))
    temporary = home / ".making"  # of one process at a time, which has the lock of `home`
    shutil.rmtree(temporary, ignore_errors=True)
    temporary.mkdir()
    try:
        items = ItemWriter(files.task, temporary)
        splits: dict[str, dict[str, Any]] = {}
        hashes: dict[Path, str] = {}
        train_items = 0
        with items:
            for name in files.present:
                splits[name] = _prepare_split(files, files.splits[name], temporary, items, hashes, advance)
                train_items = len(items) if name == "train" else train_items
        for path, state in states.items():
            if not path.is_file() or _state(path) != state:
                raise RequestError(f"{path} changed while it was read: is it still being downloaded?")
        fingerprint = _digest(
            [CONTENT_FORMAT, files.task.name, [[name, s["fingerprint"]] for name, s in splits.items()]]
        )
        manifest = {
            "format": STORE_FORMAT,
            "task": files.task.name,
            "setting": files.setting,
            "fingerprint": fingerprint,
            "items": {"train": train_items, "more": len(items) - train_items},
            "splits": splits,
        }
        seal(temporary, manifest)
        store = home / f"{_digest([fingerprint, _read_as(files.task)])[:16]}-{STORE_FORMAT}"
        if replace or not (store / MANIFEST_FILE).is_file():
            shutil.rmtree(store, ignore_errors=True)  # damaged, or cut off; whoever has it open keeps its map
            os.rename(temporary, store)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    sources = {
        "format": STORE_FORMAT,
        "store": store.name,
        "task": _read_as(files.task),
        "files": {_place(files, path): {**state, "sha256": hashes[path]} for path, state in states.items()},
    }
    write_sealed(home / SOURCES_FILE, sources, WHAT)
    return store


def _prepare_split(
    files: TaskFiles,
    split: SplitFiles,
    folder: Path,
    items: ItemWriter,
    hashes: dict[Path, str],
    advance: Callable[[Path], Callable[[int], None]],
) -> dict[str, Any]:
    golds: dict[str, str] | None = None
    if split.outputs.is_file():
        with SourceFile(split.outputs, files.again, advance(split.outputs)) as source:
            golds = _golds(files, source)
            hashes[split.outputs] = source.sha256()
    seen: dict[str, None] = {}  # a set that knows its order
    counts = {"examples": 0, "profile_items": 0, "empty_profiles": 0}
    repeated: list[str] = []
    with (
        SourceFile(split.questions, files.again, advance(split.questions)) as source,
        TableWriter(folder / examples_file(split.split), EXAMPLE_SCHEMA, EXAMPLES_PER_BATCH) as table,
    ):
        for number, record in source.records():
            question = _question(files.task, split.questions, number, record)
            if question.id in seen:
                repeated.append(question.id)
                continue
            seen[question.id] = None
            rows = [items.row(item, split.split) for item in question.profile]
            ids = [item_id(item) for item in question.profile]
            table.append((question.id, question.input, question.user_id, rows, ids))
            counts["examples"] += 1
            counts["profile_items"] += len(rows)
            counts["empty_profiles"] += not rows
        hashes[split.questions] = source.sha256()
    if repeated:
        raise RequestError(f"{split.questions}: {len(repeated)} ids occur again: {show_ids(repeated)}")
    if not seen:
        raise RequestError(f"{split.questions} holds no question; {files.again}")
    if golds is not None:
        _check_match(split, seen.keys(), golds)
        with TableWriter(folder / golds_file(split.split), GOLD_SCHEMA, EXAMPLES_PER_BATCH) as table:
            for id in seen:
                table.append((golds[id],))
    contents = [[path.name, hashes[path]] for path in split.paths]
    return {"fingerprint": _digest([CONTENT_FORMAT, files.task.name, contents]), **counts}


def _question(task: Task, path: Path, number: int, record: Any) -> SourceQuestion:
    try:
        return parse_question(task, record)
    except Malformed as error:
        raise RequestError(f"{path}: record {number}{_named(record)} {error}") from None


def _golds(files: TaskFiles, source: SourceFile) -> dict[str, str]:
    golds: dict[str, str] = {}
    repeated = []
    for number, entry in source.golds():
        try:
            id, output = parse_gold(files.task, entry)
        except Malformed as error:
            raise RequestError(f"{source.path}: gold {number}{_named(entry)} {error}") from None
        if id in golds:
            repeated.append(id)
        golds[id] = output
    if problem := task_problem(files.task, files.setting, source.task):
        raise RequestError(f"{source.path} {problem}: it does not belong to {files.task.name}")
    if repeated:
        raise RequestError(f"{source.path}: {len(repeated)} ids occur again: {show_ids(repeated)}")
    return golds


def _check_match(split: SplitFiles, questions: Set[str], golds: dict[str, str]) -> None:
    without_gold = sorted(questions - golds.keys())
    without_question = sorted(golds.keys() - questions)
    parts = []
    if without_gold:
        parts.append(
            f"{len(without_gold)} of {len(questions)} questions without gold ({show_ids(without_gold)})"
        )
    if without_question:
        parts.append(
            f"{len(without_question)} of {len(golds)} golds without question ({show_ids(without_question)})"
        )
    if parts:
        raise RequestError(
            f"{split.questions} and {split.outputs.name} do not match: {' and '.join(parts)}; "
            "are they of the same split and setting?"
        )


def _named(record: Any) -> str:
    id = record.get("id") if isinstance(record, dict) else None
    return f" (id '{short(id)}')" if id not in (None, "") else ""


# The folder of stores


def _home(files: TaskFiles, cache: Path) -> Path:
    place = _digest([str(files.data_dir.resolve()), files.setting, files.task.name])[:12]
    return expanded(cache) / "data" / f"{files.task.name}-{files.setting}-{place}"


def _read_as(task: Task) -> dict[str, Any]:
    """What of a task decides which columns items have, and which golds will do; all else is found in the files."""
    return {"item_fields": list(task.item_fields), "kind": task.kind, "labels": list(task.labels)}


def _state(path: Path) -> dict[str, Any]:
    stat = path.stat()
    return {"size": stat.st_size, "mtime_ns": stat.st_mtime_ns}


def _place(files: TaskFiles, path: Path) -> str:
    # Relative, because the same folder can be given relative to different working folders.
    return path.relative_to(files.data_dir).as_posix()


def _known_store(files: TaskFiles, home: Path, states: dict[Path, dict[str, Any]]) -> Path | None:
    """The store that `sources.json` names, if what it says is true of the files and of the task as they are now.

    A file whose size is the same and whose time is not is hashed: copying or touching data must not cost a
    preparation.
    """
    try:
        sources = read_sealed(home / SOURCES_FILE)
        known = sources["files"]
        store = home / sources["store"]
        places = {_place(files, path): path for path in states}
        if sources["format"] != STORE_FORMAT or known.keys() != places.keys():
            return None
        if sources["task"] != _read_as(files.task):
            return None
        touched = False
        for place, path in places.items():
            then, now = known[place], states[path]
            if {key: then[key] for key in now} == now:
                continue
            if then["size"] != now["size"] or then["sha256"] != _file_sha256(path):
                return None
            then.update(now)
            touched = True
        if not (store / MANIFEST_FILE).is_file():
            return None
    except (OSError, Damaged, KeyError, TypeError):
        # Absent, unreadable or of another version: all mean that there is no store to use.
        return None
    mark_used(store / MANIFEST_FILE)  # see _sweep
    if touched:
        with suppress(RunError):  # a cache that can only be read serves as well
            write_sealed(home / SOURCES_FILE, sources, WHAT)
    return store


def _file_sha256(path: Path) -> str:
    with SourceFile(path, "") as source:
        return source.sha256()


def _sweep(home: Path) -> None:
    """Remove what killed processes left behind, and stores that nobody has opened for a day: of contents that the
    files no longer have, or of an older format. A run that began before the files changed opens its outputs at
    its end."""
    for folder in home.iterdir():
        if not folder.is_dir():
            continue
        mark = folder / MANIFEST_FILE if not folder.name.startswith(".") else folder
        try:
            if time.time() - mark.stat().st_mtime > _STALE_AFTER:
                shutil.rmtree(folder, ignore_errors=True)
        except OSError:
            continue


def _digest(value: object) -> str:
    return hashlib.sha256(json.dumps(value).encode()).hexdigest()
