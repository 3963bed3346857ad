"""The names of tasks as people write them: in outputs files, in the names of files and of folders."""

from __future__ import annotations

import re
from collections.abc import Mapping

from lampbench.tasks.registry import list_tasks

LEFT_OUT: Mapping[str, str] = {"LaMP-6": "needs the licensed Avocado corpus and is not scored here"}
"""Tasks that people have predictions for and that lampbench does not have, with the reason."""

_LAMP = r"lamp[-_ ]?(\d)"


def task_named(text: str, numbers: bool = False) -> str | None:
    """The name of the task that a whole text names: `LaMP-3` for `LaMP_3` and `lamp 3`; with `numbers` also for `3`.

    A task goes by its name and by that of its folder, which stands in its official files.
    Any number makes a task of LaMP: one that is not there is to be named in messages as the others are.
    """
    text = text.strip()
    if lamp := re.fullmatch(rf"{_LAMP}|[-_ ]?(\d)" if numbers else _LAMP, text, re.IGNORECASE):
        return f"LaMP-{next(filter(None, lamp.groups()))}"
    called = [*((name, name) for name in _others()), *((folder, name) for name, folder in _others().items())]
    return next((name for said, name in called if re.fullmatch(_spellings(said), text, re.IGNORECASE)), None)


def task_in(text: str) -> str | None:
    """The name of the task that stands somewhere in a text, such as the name of a file: of several, the longest."""
    if lamp := re.search(rf"{_LAMP}(?!\d)", text, re.IGNORECASE):
        return f"LaMP-{lamp[1]}"
    alone = r"(?<![^\W_]){}(?![^\W_])"
    found = (n for n in _others() if re.search(alone.format(_spellings(n)), text, re.IGNORECASE))
    return max(found, key=len, default=None)


def _others() -> dict[str, str]:
    """The folders of the tasks that are not of LaMP, as far as reading their files tells, by the tasks' names."""
    others = (info for info in list_tasks() if not re.fullmatch(_LAMP, info.name, re.IGNORECASE))
    return {info.name: info.said.get("folder") or info.name for info in others}


def _spellings(name: str) -> str:
    return "[-_ ]?".join(map(re.escape, re.split("[-_ ]", name)))
