"""What the cache folder holds, thing by thing: what it is, of which model and data, how large, when last of use."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lampbench.caches.answer_file import models_in
from lampbench.caches.embedding_store import ABOUT as LABEL
from lampbench.caches.embedding_store import BLOCKS, EMBEDDINGS, KEY
from lampbench.caches.generation_cache import GENERATIONS
from lampbench.files.remembered_hashes import MEMORY
from lampbench.method.saved_fits import ABOUT, FIT, FITS

KINDS = ("data", "embeddings", "generations", "fits", "identities", "LaMP-mini")


@dataclass(frozen=True)
class Kept:
    """One thing in the cache folder.

    Attributes:
        kind: one of KINDS.
        path: its file or folder; of generations the file that it is in with others.
        model: the id of the model that made it, or None.
        data: what it was made from, for people, or None.
        bytes: its size on disk; of generations that of the answers.
        used: when it was last of use, or made (Unix time).
        old: it belongs to no present format: nothing reads it any more.
    """

    kind: str
    path: Path
    model: str | None
    data: str | None
    bytes: int
    used: float
    old: bool = False


def contents(cache: Path, before: float | None = None) -> list[Kept]:
    """What the folder holds, by kind and name; what is nobody's is left out.

    Args:
        cache: the folder.
        before: only what was last of use before that time.
    """
    kept = [*_data(cache), *_embeddings(cache), *_fits(cache), *_identities(cache), *_mini(cache)]
    kept = [one for one in kept if before is None or one.used < before] + list(_generations(cache, before))
    return sorted(kept, key=lambda one: (KINDS.index(one.kind), one.path.name, one.model or ""))


def _data(cache: Path) -> Iterator[Kept]:
    from lampbench.data.arrow_tables import STORE_FORMAT

    for home in _folders(cache / "data"):
        sources = _json(home / "sources.json")
        task, _, rest = home.name.rpartition("-")[0].rpartition("-")
        used = max((_time(manifest) for manifest in home.glob("*/manifest.json")), default=_time(home))
        old = bool(sources) and sources.get("format") != STORE_FORMAT  # damaged is not old
        yield Kept("data", home, None, f"{task} ({rest})", _size(home), used, old)


def _embeddings(cache: Path) -> Iterator[Kept]:
    for folder in _folders(cache / EMBEDDINGS):
        key = _json(folder / KEY)
        old = not (folder / BLOCKS).is_file()
        data = key.get(LABEL) or str(key.get("data", ""))[:12]
        yield Kept(
            EMBEDDINGS, folder, key.get("encoder"), data or None, _size(folder), _time(folder / KEY), old
        )


def _fits(cache: Path) -> Iterator[Kept]:
    for folder in _folders(cache / FITS):
        about = _json(folder / ABOUT)
        model = about.get("models", {}).get("llm", {}).get("id")
        data = f"{about['task']} ({about['setting']})" if {"task", "setting"} <= about.keys() else None
        old = not (folder / ABOUT).exists() and not (folder / FIT).exists()
        yield Kept(FITS, folder, model, data, _size(folder), _time(folder / ABOUT), old)


def _generations(cache: Path, before: float | None) -> Iterator[Kept]:
    for path in cache.glob("generations*.sqlite"):
        files = [path, *path.parent.glob(f"{path.name}-*")]
        if path.name != GENERATIONS:
            if before is None or _time(path) < before:
                yield Kept("generations", path, None, None, sum(map(_size, files)), _time(path), old=True)
            continue
        try:
            models = models_in(path, before)
        except sqlite3.Error:  # damaged; it is still there
            yield Kept("generations", path, None, None, sum(map(_size, files)), _time(path))
            continue
        for model, size, made in models:
            yield Kept("generations", path, model, None, size, made)


def _identities(cache: Path) -> Iterator[Kept]:
    path = cache / MEMORY
    if path.is_file():
        yield Kept("identities", path, None, None, _size(path), _time(path))


def _mini(cache: Path) -> Iterator[Kept]:
    from lampbench.mini.generator import GENERATOR_VERSION, MANIFEST
    from lampbench.runner.preset import MINI_DATA

    for folder in _folders(cache):
        if not folder.name.startswith(f"{MINI_DATA}-"):
            continue
        manifest = _json(folder / MANIFEST)
        setting = manifest.get("knobs", {}).get("setting")
        old = bool(manifest) and manifest.get("generator_version") != GENERATOR_VERSION
        yield Kept("LaMP-mini", folder, None, setting, _size(folder), _time(folder / MANIFEST), old)


def _folders(parent: Path) -> list[Path]:
    """The folders in a folder, without hidden ones, which are being made."""
    try:
        return sorted(path for path in parent.iterdir() if path.is_dir() and not path.name.startswith("."))
    except OSError:
        return []


def _json(path: Path) -> dict[str, Any]:
    """The object in a file; an empty one if there is none that can be read."""
    try:
        value = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}


def _time(path: Path) -> float:
    """When a file was changed last; of one that is not there, its folder."""
    try:
        return path.stat().st_mtime
    except OSError:
        return path.parent.stat().st_mtime if path.parent.exists() else 0.0


def _size(path: Path) -> int:
    """Bytes on disk."""
    files = path.rglob("*") if path.is_dir() else [path]
    total = 0
    for file in files:
        with suppress(OSError):  # removed meanwhile
            if file.is_file():
                total += file.stat().st_size
    return total
