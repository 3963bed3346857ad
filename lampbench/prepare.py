"""Official JSON to a prepared store: streaming, once per content, atomic.

A store is a folder of tables (`lampbench.store`): `items.arrow` holds every distinct profile item of the task
once, by content, whatever its ids and whichever splits it occurs in; `examples-<split>.arrow` holds the
questions, each with the rows of its items and the ids they have there. `lampbench.data` reads it.

Memory does not grow with the file but for some 28 bytes per distinct item: the hash by which repetitions are
known.

In the cache, `data/<task>-<setting>-<hash of the data folder>/` holds `sources.json`, which says what the
source files looked like, and the store under the hash of their content. So a touched file is hashed and not
prepared again, and of two processes that prepare at once the second takes the store of the first.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from lampbench.errors import RequestError, RunError, short
from lampbench.layout import SplitFiles, TaskFiles, find_files
from lampbench.official import (
    MEGABYTE,
    Malformed,
    OnProgress,
    Question,
    SourceFile,
    item_id,
    parse_gold,
    parse_question,
    show_ids,
    task_problem,
)
from lampbench.paths import CACHE_REMEDY, require_writable
from lampbench.paths import cache_dir as default_cache_dir
from lampbench.store import (
    EXAMPLE_SCHEMA,
    EXAMPLES_PER_BATCH,
    ITEMS_FILE,
    MANIFEST_FILE,
    STORE_FORMAT,
    ItemWriter,
    TableWriter,
    examples_file,
)
from lampbench.tasks import Task, get_task

SOURCES_FILE = "sources.json"

_STALE_AFTER = 24 * 3600.0  # seconds after which a temporary folder belongs to nobody


def prepare_task(
    data_dir: str | Path,
    task: Task | str,
    setting: str = "user",
    cache_dir: str | Path | None = None,
    on_progress: OnProgress | None = None,
    fresh: bool = False,
) -> Path:
    """The store of a task, made if there is none for the present content of its files.

    Args:
        data_dir: the data folder; see `lampbench.layout.find_files` for the layouts.
        task: the task or its name.
        setting: `user` or `time`.
        cache_dir: where stores are kept; `lampbench.paths.cache_dir()` by default.
        on_progress: called as `on_progress(done, total, file)`, in megabytes, while files are read.
        fresh: prepare again even if there is a store, for one that turned out to be damaged.

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
    states = {path: _state(path) for name in files.present for path in files.splits[name].paths}
    store = None if fresh else _known_store(files, home, states)
    if store is not None:
        return store
    require_writable(cache, "cache folder", CACHE_REMEDY)
    try:
        home.mkdir(parents=True, exist_ok=True)
        _sweep(home)
        if fresh:
            _remove_stores(home, keep=None)
        return _prepare(files, home, states, on_progress)
    except OSError as error:
        raise RunError(
            f"cannot write the prepared data to {home}: {error.strerror or error}; {CACHE_REMEDY}"
        ) from error


# One preparation


def _prepare(
    files: TaskFiles, home: Path, states: dict[Path, dict[str, Any]], on_progress: OnProgress | None
) -> Path:
    total = sum(state["size"] for state in states.values())
    done = 0

    def advance(path: Path) -> Callable[[int], None] | None:
        if on_progress is None:
            return None

        def on_read(n: int) -> None:
            nonlocal done
            done += n
            on_progress(done // MEGABYTE, max(total // MEGABYTE, 1), path.name)

        return on_read

    temporary = Path(tempfile.mkdtemp(dir=home, prefix=".making-"))
    try:
        items = ItemWriter(files.task, temporary / ITEMS_FILE)
        splits: dict[str, dict[str, Any]] = {}
        hashes: dict[Path, str] = {}
        with items:
            for name in files.present:
                splits[name] = _prepare_split(files, files.splits[name], temporary, items, hashes, advance)
        for path, state in states.items():
            if not path.is_file() or _state(path) != state:
                raise RequestError(f"{path} changed while it was read: is it still being downloaded?")
        fingerprint = _digest(
            [STORE_FORMAT, files.task.name, [[name, s["fingerprint"]] for name, s in splits.items()]]
        )
        manifest = {
            "format": STORE_FORMAT,
            "task": files.task.name,
            "setting": files.setting,
            "fingerprint": fingerprint,
            "items": len(items),
            "splits": splits,
        }
        _write_json(temporary / MANIFEST_FILE, manifest)
        store = home / fingerprint[:16]
        _settle(temporary, store)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    sources = {
        "format": STORE_FORMAT,
        "store": store.name,
        "files": {_place(files, path): {**state, "sha256": hashes[path]} for path, state in states.items()},
    }
    _write_json(home / SOURCES_FILE, sources)
    _remove_stores(home, keep=store)
    return store


def _prepare_split(
    files: TaskFiles,
    split: SplitFiles,
    folder: Path,
    items: ItemWriter,
    hashes: dict[Path, str],
    advance: Callable[[Path], Callable[[int], None] | None],
) -> dict[str, Any]:
    golds: dict[str, str] | None = None
    if split.outputs.is_file():
        with SourceFile(split.outputs, files.remedy, advance(split.outputs)) as source:
            golds = _golds(files, source)
            hashes[split.outputs] = source.sha256()
    seen: set[str] = set()
    counts = {"examples": 0, "profile_items": 0, "empty_profiles": 0}
    repeated: list[str] = []
    with (
        SourceFile(split.questions, files.remedy, advance(split.questions)) as source,
        TableWriter(folder / examples_file(split.split), EXAMPLE_SCHEMA, EXAMPLES_PER_BATCH) as table,
    ):
        for number, record in source.records():
            question = _question(files.task, split.questions, number, record)
            if question.id in seen:
                repeated.append(question.id)
                continue
            seen.add(question.id)
            rows = [items.row(item) for item in question.profile]
            output = None if golds is None else golds.get(question.id)
            ids = [item_id(item) for item in question.profile]
            table.append((question.id, question.input, output, question.user_id, rows, ids))
            counts["examples"] += 1
            counts["profile_items"] += len(rows)
            counts["empty_profiles"] += not rows
        hashes[split.questions] = source.sha256()
    if repeated:
        raise RequestError(f"{split.questions}: {len(repeated)} ids occur again: {show_ids(repeated)}")
    if not seen:
        raise RequestError(f"{split.questions} holds no question; get it again with: {files.remedy}")
    if golds is not None:
        _check_match(split, seen, golds)
    contents = [[path.name, hashes[path]] for path in split.paths]
    return {"fingerprint": _digest([STORE_FORMAT, files.task.name, contents]), **counts}


def _question(task: Task, path: Path, number: int, record: Any) -> Question:
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


def _check_match(split: SplitFiles, questions: set[str], golds: dict[str, str]) -> None:
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
    return cache.expanduser() / "data" / f"{files.task.name}-{files.setting}-{place}"


def _state(path: Path) -> dict[str, Any]:
    stat = path.stat()
    return {"size": stat.st_size, "mtime_ns": stat.st_mtime_ns}


def _place(files: TaskFiles, path: Path) -> str:
    # Relative, because the same folder can be given relative to different working folders.
    return path.relative_to(files.data_dir).as_posix()


def _known_store(files: TaskFiles, home: Path, states: dict[Path, dict[str, Any]]) -> Path | None:
    """The store that `sources.json` names, if what it says is true of the files as they are now.

    A file whose size is the same and whose time is not is hashed: copying or touching data must not cost a
    preparation.
    """
    try:
        sources = json.loads((home / SOURCES_FILE).read_text(encoding="utf-8"))
        known = sources["files"]
        store = home / sources["store"]
        places = {_place(files, path): path for path in states}
        if sources["format"] != STORE_FORMAT or known.keys() != places.keys():
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
        if touched:
            _write_json(home / SOURCES_FILE, sources)
    except (OSError, ValueError, KeyError, TypeError):
        # Absent, unreadable or of another version: all mean that there is no store to use.
        return None
    return store


def _file_sha256(path: Path) -> str:
    with SourceFile(path, "") as source:
        return source.sha256()


def _settle(temporary: Path, store: Path) -> None:
    """Give the finished folder its name; if another process was faster, its folder holds the same."""
    for _ in range(3):
        if (store / MANIFEST_FILE).is_file():
            return
        try:
            os.rename(temporary, store)
        except OSError:
            if (store / MANIFEST_FILE).is_file():
                return
            shutil.rmtree(store, ignore_errors=True)
        else:
            return
    raise OSError(f"cannot replace {store}")


def _remove_stores(home: Path, keep: Path | None) -> None:
    """Remove stores of contents that the files no longer have; whoever reads one keeps its memory map."""
    for folder in home.iterdir():
        if folder.is_dir() and folder != keep and not folder.name.startswith("."):
            shutil.rmtree(folder, ignore_errors=True)


def _sweep(home: Path) -> None:
    """Remove what processes that were killed left behind."""
    for folder in home.glob(".making-*"):
        try:
            if time.time() - folder.stat().st_mtime > _STALE_AFTER:
                shutil.rmtree(folder, ignore_errors=True)
        except OSError:
            continue


def _write_json(path: Path, value: object) -> None:
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            json.dump(value, file, indent=1)
        os.replace(name, path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


def _digest(value: object) -> str:
    return hashlib.sha256(json.dumps(value).encode()).hexdigest()
