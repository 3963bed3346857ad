"""Files that others made, opened so that the reader neither hangs nor drowns: no pipe, no device, no end in sight."""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path
from typing import BinaryIO


def open_regular(path: str | os.PathLike[str]) -> BinaryIO:
    """A regular file, open for reading bytes.

    Raises:
        OSError: it cannot be opened, or it is a folder, a pipe or a device, of which the last two may never end.
    """
    # Without waiting: opening a pipe that nobody writes to would hang.
    handle = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
    try:
        mode = os.fstat(handle).st_mode
        if stat.S_ISDIR(mode):
            raise IsADirectoryError(errno.EISDIR, "it is a folder, not a file", os.fspath(path))
        if not stat.S_ISREG(mode):
            raise OSError(errno.EINVAL, "it is a pipe or a device, not a file", os.fspath(path))
        return os.fdopen(handle, "rb")
    except BaseException:
        os.close(handle)
        raise


def read_regular(path: Path, at_most: int) -> bytes:
    """The content of a regular file.

    Args:
        path: the file.
        at_most: bytes that a sensible file of its kind does not exceed.

    Raises:
        OSError: as open_regular, or the file is larger.
    """
    with open_regular(path) as file:
        if os.fstat(file.fileno()).st_size > at_most:
            raise OSError(errno.EFBIG, f"it has more than {at_most / 2**20:.0f} MiB", os.fspath(path))
        return file.read()
