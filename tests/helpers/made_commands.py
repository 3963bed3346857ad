"""The words of a run on the fixture `place`."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

Command = Callable[..., tuple[int, str, str]]
"""What the fixture `command` gives: words to (exit status, standard output, standard error)."""


def run_words(place: Path, *more: object) -> list[object]:
    """`run` of one cheap method on one task; later options win over earlier ones."""
    return [
        *("run", "--method", "adhoc", "--task", "LaMP-3", "--preset", place / "tiny.toml"),
        *("--results", place / "results", "--quiet", *more),
    ]
