"""What disks do to files: bytes that change, and no room."""

from __future__ import annotations

import errno
import os
from pathlib import Path

WAYS = ("flipped", "zeroed", "cut")


def damage(file: Path, how: str) -> None:
    """Change a file behind the back of its owner: a byte in its middle, or its second half."""
    content = bytearray(file.read_bytes())
    half = len(content) // 2
    if how == "flipped":
        content[half] ^= 0xFF
    elif how == "zeroed":
        content[half:] = bytes(len(content) - half)
    else:
        del content[half:]
    file.write_bytes(bytes(content))


def full(*_: object, **__: object) -> None:
    """Stands in for a call that writes: the disk is full."""
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
