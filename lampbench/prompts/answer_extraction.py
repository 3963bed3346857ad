"""Answer extraction: the answer inside what an LLM says, for LLMs that say more than they were asked.

It is off unless it is asked for, because it changes scores: the official rules take the output as it is. What
the LLM said is kept beside an answer that differs from it, so the record can tell how often that was.

What the LLM thinks is no answer, so it is dropped first: a part in tags such as `<think>`, also one that is
never closed, and one whose opening tag stood in the prompt.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Literal, get_args

from lampbench.prompts.label_search import labels_in
from lampbench.tasks import Task

EXTRACTION_VERSION = 2  # part of the key of runs that extract; 1: the first label in the text

Extract = Literal["none", "first-line", "label"]
"""`first-line`: the first line that holds anything. `label`: the one label of the task that can be the answer
(see `lampbench.prompts.label_search`); where there is none, where there are several, and for tasks without labels, the
whole."""

EXTRACTIONS: tuple[str, ...] = get_args(Extract)


def extract(how: Extract, task: Task, text: str) -> str:
    """The answer to a question of `task` in what the LLM said."""
    return _RULES[how](task, text)


def is_ambiguous(how: Extract, task: Task, text: str) -> bool:
    """Whether no answer was extracted because several labels can be it."""
    return how == "label" and len(labels_in(task, _without_thinking(text))) > 1


def _first_line(task: Task, text: str) -> str:
    return next((line.strip() for line in _without_thinking(text).splitlines() if line.strip()), "")


def _label(task: Task, text: str) -> str:
    said = _without_thinking(text)
    labels = labels_in(task, said)
    return labels.pop() if len(labels) == 1 else said


_RULES: Mapping[str, Callable[[Task, str], str]] = {
    "none": lambda task, text: text,
    "first-line": _first_line,
    "label": _label,
}

# Of the models in use: <think> (DeepSeek, Qwen), [THINK] (Mistral), ◁think▷ (Kimi), <seed:think>; and the tags
# that prompts ask for.
_TAG = re.compile(
    r"(?:<|◁|\[(?=/?think\]))(?P<closing>/?)"
    r"(?:seed:)?(?:think|thinking|thoughts?|reasoning|reflection|analysis|scratchpad)"
    r"(?:\s[^<>]{0,100})?[>▷\]]",
    re.IGNORECASE,
)


def _without_thinking(text: str) -> str:
    """What the LLM said beside its thoughts; where it has none, the text as it is."""
    said: list[str] = []
    start, thinking = 0, False
    for tag in _TAG.finditer(text):
        if tag["closing"]:
            if not thinking:
                said.clear()  # the opening tag stood in the prompt
            start, thinking = tag.end(), False
        elif not thinking:
            said.append(text[start : tag.start()])
            start, thinking = len(text), True
    if start == 0:
        return text
    return "\n".join([*said, text[start:]]).strip()
