"""Answer extraction: the answer inside what an LLM says, for LLMs that say more than they were asked.

It is off unless it is asked for, because it changes scores: the official rules take the output as it is. What
the LLM said is kept beside an answer that differs from it, so the record can tell how often that was.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Literal, get_args

from lampbench.tasks import Task

Extract = Literal["none", "first-line", "label"]
"""`first-line`: the first line that holds anything. `label`: the first of the task's labels that occurs as a
word of its own, in whatever case (of two that begin at one place, the longer); without one, and for tasks
without labels, the whole."""

EXTRACTIONS: tuple[str, ...] = get_args(Extract)


def extract(how: Extract, task: Task, text: str) -> str:
    """The answer to a question of `task` in what the LLM said."""
    return _RULES[how](task, text)


def _first_line(task: Task, text: str) -> str:
    return next((line.strip() for line in text.splitlines() if line.strip()), "")


def _label(task: Task, text: str) -> str:
    found = []
    for label in task.labels:
        # No word or number goes on before or behind it: 4 is neither in 45 nor in 4.5, but ends "it is a 4."
        match = re.search(rf"(?<![\w-])(?<!\d\.){re.escape(label)}(?![\w-])(?!\.\d)", text, re.IGNORECASE)
        if match:
            found.append((match.start(), -len(label), label))
    return min(found)[2] if found else text


_RULES: Mapping[str, Callable[[Task, str], str]] = {
    "none": lambda task, text: text,
    "first-line": _first_line,
    "label": _label,
}
