"""SHA-256 of files, without reading a large file that has been read before.

A model of 20 GB takes a minute to hash, and its identity is asked for by every command. The hash of a large file
is therefore remembered in the cache folder, together with all by which the operating system tells that a file is
still the same one. The memory is a help and never a condition: where it is damaged, locked away or full, files
are read again.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from lampbench.errors import RunError
from lampbench.files.folders import cache_dir
from lampbench.files.locks import locked
from lampbench.files.seals import Damaged, read_sealed, write_sealed

MEMORY = "file-hashes.json"
"""The name of the memory, in the folder of everything that can be made again."""

LARGE = 1 << 20  # bytes; smaller files are read whenever they are asked for

# A file as young as this may change again without a change of its time: FAT, the coarsest, counts in 2 s.
SETTLED_NS = 2_000_000_000

_BLOCK = 1 << 22

Stamp = list[int]
Known = dict[str, list[Any]]  # by place: the stamp, and the hash


def file_hashes(paths: Iterable[Path], on_progress: Callable[[int], object] | None = None) -> list[str]:
    """The SHA-256 of each file's content, in 64 hexadecimal digits.

    Args:
        paths: files, or links to files.
        on_progress: called with the megabytes that have been read so far.

    Raises:
        OSError: a file cannot be read.
    """
    known, new, hashes, n_read = _recall(), Known(), [], 0

    def on_read(n: int) -> None:
        nonlocal n_read
        n_read += n
        if on_progress is not None:
            on_progress(n_read >> 20)

    for path in paths:
        place, stamp = str(path.resolve()), _stamp(path)
        earlier = known.get(place)
        if earlier is not None and earlier[0] == stamp:
            hashes.append(earlier[1])
            continue
        hashes.append(_sha256(path, on_read))
        size, modified, *_ = stamp
        settled = time.time_ns() - modified > SETTLED_NS and _stamp(path) == stamp
        if size >= LARGE and settled:
            new[place] = [stamp, hashes[-1]]
    if new:
        # Nobody waits for the memory in vain: it may lie where this user cannot write.
        with contextlib.suppress(RunError):
            _remember(new)
    return hashes


def _stamp(path: Path) -> Stamp:
    """What changes with a file: size, time of modification, time of its last change of any kind, and inode.

    The third cannot be set back as the second can (`touch -r`, `rsync -t`).
    """
    found = path.stat()
    return [found.st_size, found.st_mtime_ns, found.st_ctime_ns, found.st_ino]


def _sha256(path: Path, on_read: Callable[[int], object]) -> str:
    hasher = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(_BLOCK):
            hasher.update(block)
            on_read(len(block))
    return hasher.hexdigest()


def _recall() -> Known:
    """What is remembered; nothing, if the memory is not as it was written."""
    try:
        return dict(read_sealed(cache_dir() / MEMORY)["files"])
    except (FileNotFoundError, Damaged, KeyError):
        return {}


def _remember(new: Known) -> None:
    memory = cache_dir() / MEMORY
    with locked(memory):
        there = {place: entry for place, entry in _recall().items() if os.path.exists(place)}
        write_sealed(memory, {"files": there | new}, "what is known of files")
