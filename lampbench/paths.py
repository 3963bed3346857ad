"""Where lampbench keeps what it can make again: prepared data, embeddings, fitted methods."""

from __future__ import annotations

import os
from pathlib import Path


def cache_dir() -> Path:
    """The folder of everything that can be made again; not created here.

    `$LAMPBENCH_CACHE` where it is set, otherwise the user's cache folder of the operating system.
    """
    if chosen := os.environ.get("LAMPBENCH_CACHE"):
        return Path(chosen).expanduser()
    from platformdirs import user_cache_path

    return user_cache_path("lampbench")
