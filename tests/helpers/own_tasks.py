"""Tasks of somebody's own, in a folder of theirs."""

from __future__ import annotations

from pathlib import Path

from lampbench.tasks.registry import search_in

FILE = '''"""{name}."""

from lampbench.tasks.base import Metric, Task


def rows(predictions, golds):
    return [[float(p == g)] for p, g in zip(predictions, golds, strict=True)]


TASK = Task(
    name="{name}",
    title="{name}",
    kind="generation",
    template="Name it: {{text}}",
    item_fields=("text", "title"),
    output_field="title",
    metrics=({metrics},),
)
'''

SAME = 'Metric("{key}", "{label}", higher_is_better={higher}, rows=rows)'
"""A metric: the share of the answers that are the gold; may be given out for a loss."""


def same(key: str = "same", label: str = "Same", higher: bool = True) -> str:
    """A metric of that key and label, as a file says it."""
    return SAME.format(key=key, label=label, higher=higher)


def write_task(folder: Path, name: str, *metrics: str) -> Path:
    """A file with a task, which is found from now on; `metrics` are as the file says them."""
    folder.mkdir(exist_ok=True)
    path = folder / f"{name.lower()}.py"
    path.write_text(FILE.format(name=name, metrics=", ".join(metrics)), encoding="utf-8")
    search_in(folder)
    return path
