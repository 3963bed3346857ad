"""Where lampbench keeps what it can make again (prepared data, embeddings, fitted methods), and whether it may."""

from __future__ import annotations

import contextlib
import os
import tempfile
from pathlib import Path

from lampbench.errors import RequestError

CACHE_REMEDY = "set LAMPBENCH_CACHE to another folder"


def cache_dir() -> Path:
    """The folder of everything that can be made again; not created here.

    `$LAMPBENCH_CACHE` where it is set, otherwise the user's cache folder of the operating system.
    """
    if chosen := os.environ.get("LAMPBENCH_CACHE"):
        return expanded(chosen)
    from platformdirs import user_cache_path

    return user_cache_path("lampbench")


def expanded(path: str | os.PathLike[str]) -> Path:
    """A path as a person writes it, with the home folder in place of a `~` at its start.

    A shell does so for a word that begins with it, not in `--data=~/LaMP` and not in Python. The `~name` of
    nobody stays as it is: such a folder is missing like any other.
    """
    return Path(os.path.expanduser(path))


def require_writable(folder: Path, what: str, remedy: str) -> None:
    """Makes sure that files can be put into a folder, which need not exist; asking leaves nothing behind.

    Args:
        folder: the folder.
        what: what it is, for the message: an option, or "data folder".
        remedy: what to do if it is of no use, for the message.

    Raises:
        RequestError: no file can be put there.
    """
    nearest = folder
    try:
        while not _is_there(nearest) and nearest != nearest.parent:
            nearest = nearest.parent
        if not nearest.is_dir():
            raise NotADirectoryError(f"{nearest} is not a folder")
        with tempfile.TemporaryFile(dir=nearest):
            pass
    except OSError as error:
        reason = f"no file can be made in {nearest}: {error.strerror}" if error.strerror else str(error)
        raise RequestError(f"{what} {folder} cannot be written to ({reason}): {remedy}") from error


def mark_used(path: Path) -> None:
    """Note on a kept file that it has been of use now, by its time of change: what is old is pruned first."""
    with contextlib.suppress(OSError):
        os.utime(path)


def _is_there(path: Path) -> bool:
    # Neither exists nor lexists: a link that leads nowhere is in the way, and a name too long is an error.
    try:
        path.lstat()
    except (FileNotFoundError, NotADirectoryError):
        return False
    return True
