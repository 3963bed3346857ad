"""A file or a folder that is written whole or not at all: the old one is there or the new one, never a half.

What is written lies in a hidden file beside the real one, named after the process that writes it. A kill leaves
that file behind; whoever writes the real one next takes it away.
"""

from __future__ import annotations

import contextlib
import glob
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

from lampbench.errors import RunError


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A temporary file that takes the place of `path` once it is written and on disk; the folder must be there.

    Raises:
        OSError: the folder or the disk does not let it.
    """
    _sweep(path)
    # Not tempfile: its files are private to the user, and results are read by others.
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        yield temporary
        with temporary.open("rb") as written:
            os.fsync(written.fileno())
        os.replace(temporary, path)
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)


@contextlib.contextmanager
def replacing_folder(folder: Path) -> Iterator[Path]:
    """An empty folder that takes the place of `folder` once it is filled, for one process at a time.

    Raises:
        OSError: the disk does not let it.
    """
    new = folder.with_name(f".{folder.name}.new")
    shutil.rmtree(new, ignore_errors=True)
    new.mkdir(parents=True)
    try:
        yield new
        shutil.rmtree(folder, ignore_errors=True)
        os.replace(new, folder)
    finally:
        shutil.rmtree(new, ignore_errors=True)


def write_atomic(path: Path, text: str) -> None:
    """Write a text file in one stroke, in UTF-8, and its folder if it is not there.

    Raises:
        RunError: the folder or the disk does not let it.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with replacing(path) as temporary:
            # A lone surrogate, which UTF-8 cannot hold, becomes its own JSON escape.
            temporary.write_bytes(text.encode("utf-8", errors="backslashreplace"))
    except OSError as error:
        raise RunError(f"cannot write {path}: {error.strerror or error}") from error


def _sweep(path: Path) -> None:
    """Remove what killed processes left of this file."""
    left = list(path.parent.glob(f".{glob.escape(path.name)}.*.tmp"))
    if not left:
        return
    import psutil

    for file in left:
        pid = file.name.split(".")[-2]
        if pid.isdigit() and not psutil.pid_exists(int(pid)):
            file.unlink(missing_ok=True)
