"""Texts of LaMP: the query in an input, an item as text, and the prompt that puts selected items before an input.

The strings are those of the official programs (LaMP-Benchmark/LaMP; LaMP, arXiv:2304.11406; ROPG/RSPG,
arXiv:2404.05970), odd spaces included: published numbers were measured with them. Nothing here runs a model; a tokenizer
is needed only to keep a prompt within its token budget.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from string import Formatter
from typing import Any, Literal

from lampbench.errors import RequestError, unknown
from lampbench.tasks import Task, get_task

PROMPT_VERSION = 1
"""Raised whenever a string made here changes; records carry it, so that old and new results are not compared."""

Item = Mapping[str, Any]
Extraction = Literal["anchored", "official"]
Fields = Literal["released", "input", "output", "both"]

# The text of one item in a prompt. Every trailing space is the official program's, and so is LaMP-5's "a title".
_ITEM_PROMPTS: Mapping[str, str] = {
    "LaMP-1": '"{title}"',
    "LaMP-2": 'the tag for the movie: "{description}" is "{tag}" ',
    "LaMP-3": '{score} is the score for "{text}" ',
    "LaMP-4": '"{title}" is the title for "{text}" ',
    "LaMP-5": '"{title}" is a title for "{abstract}" ',
    "LaMP-7": '"{text}" ',
}

# What the official program counts as the fixed part of an item's text. It is not always the text itself: LaMP-5 loses
# its "for", LaMP-7 its inner space. None: a constant, see _FIXED_PART_OF_TITLE.
_COUNTED_PARTS: Mapping[str, str | None] = {
    "LaMP-1": None,
    "LaMP-2": 'the tag for the movie: " " is "{tag}" ',
    "LaMP-3": '{score} is the score for " " ',
    "LaMP-4": '"{title}" is the title for " " ',
    "LaMP-5": '"{title}" is a title " " ',
    "LaMP-7": '"" ',
}
_FIXED_PART_OF_TITLE = 2

# What stands between the joined items and the input (LaMP-1: its items go into the input).
_GLUE: Mapping[str, str] = {
    "LaMP-2": ". ",
    "LaMP-3": ". ",
    "LaMP-4": ". ",
    "LaMP-5": ". Following the given patterns ",
    "LaMP-7": " are written by a person. Following the given patterns ",
}

# The words for which the official program reserves tokens; LaMP-7 reserves for other words than it inserts.
_RESERVED: Mapping[str, str] = {
    "LaMP-5": "Following the given patterns",
    "LaMP-7": "are written by user. Following the given patterns",
}

_ITEM_TEXTS: Mapping[str, str] = {
    "LaMP-1": "{title} {abstract}",
    "LaMP-2": "{description}",
    "LaMP-3": "{text}",
    "LaMP-4": "{title} {text}",
    "LaMP-5": "{title} {abstract}",
    "LaMP-7": "{text}",
}

_HISTORY_TEXTS: Mapping[str, Mapping[str, str]] = {
    "released": {**_ITEM_TEXTS, "LaMP-4": "{text} {title}"},
    "input": {
        "LaMP-1": "{title}",
        "LaMP-2": "{description}",
        "LaMP-3": "{text}",
        "LaMP-4": "{text}",
        "LaMP-5": "{abstract}",
        "LaMP-7": "{text}",
    },
    "output": {
        "LaMP-1": "{title}",
        "LaMP-2": "{tag}",
        "LaMP-3": "{score}",
        "LaMP-4": "{title}",
        "LaMP-5": "{title}",
        "LaMP-7": "{text}",
    },
    "both": {
        "LaMP-1": "title: {title} abstract: {abstract}",
        "LaMP-2": "description: {description} tag: {tag}",
        "LaMP-3": "text: {text} score: {score}",
        "LaMP-4": "text: {text} title: {title}",
        "LaMP-5": "abstract: {abstract} title: {title}",
        "LaMP-7": "text: {text}",
    },
}


# ---------------------------------------------------------------------------------------------------------- queries


def query(task: Task | str, input: str, extraction: Extraction = "anchored") -> str:
    """The part of an input that the official retrievers search with.

    It is what follows the first occurrence of the task's marker, without white space at the ends. LaMP-1 has no
    marker: its query is the two candidate references, joined by a space (not the author's own title).

    Args:
        task: the task or its name.
        input: the input as in the data file.
        extraction: LaMP-1 only. `anchored` reads the references between the fixed words around them. `official`
            repeats the released scan, which switches between inside and outside at every quote and therefore takes
            wrong text when a title or reference holds quotes (0.7 % of the LaMP-1 user-split dev inputs).

    Raises:
        RequestError: the input is not one of this task.
    """
    task = get_task(task)
    if task.marker is not None:
        _, found, rest = input.partition(task.marker)
        if not found:
            raise _not_an_input(task, input, f"it does not contain {task.marker!r}")
        return rest.strip()
    if extraction == "anchored":
        _, first, second = _citation_parts(input)
        return f"{first} {second}"
    if extraction == "official":
        spans = _quoted_spans(input)
        if len(spans) < 3:
            raise _not_an_input(task, input, f"it has {len(spans)} quoted parts where 3 are needed")
        return f"{spans[1]} {spans[2]}"
    raise unknown("extraction", extraction, ("anchored", "official"))


def own_title(input: str) -> str:
    """The title of the author's own paper in a LaMP-1 input.

    Raises:
        RequestError: the text is not a LaMP-1 input.
    """
    return _citation_parts(input)[0]


def pplug_query(task: Task | str, input: str) -> str:
    """The text that Persona-Plug (arXiv:2409.11901) encodes as the query: LaMP-1's own title, else `query`.

    Raises:
        RequestError: the input is not one of this task.
    """
    task = get_task(task)
    return own_title(input) if task.name == "LaMP-1" else query(task, input)


_CITATION = re.compile(
    r'the paper with the title "(?P<title>.*?)", which reference is related\?'
    r'.*?\[1\]: "(?P<first>.*?)" \[2\]: "(?P<second>.*)"',
    flags=re.DOTALL,
)


def _citation_parts(input: str) -> tuple[str, str, str]:
    """Own title, first and second reference of a LaMP-1 input, read between the fixed words around them."""
    match = _CITATION.search(input)
    if match is None:
        raise _not_an_input(
            get_task("LaMP-1"), input, "title and references are not where its template has them"
        )
    return match["title"], match["first"], match["second"]


def _quoted_spans(text: str) -> list[str]:
    """The closed spans between double quotes, each quote ending what the one before it began."""
    parts = text.split('"')
    return [parts[i] for i in range(1, len(parts) - 1, 2)]


def _not_an_input(task: Task, input: str, reason: str) -> RequestError:
    shown = input if len(input) <= 120 else f"{input[:117]}..."
    return RequestError(
        f"not an input of {task.name}: {reason}; expected the form {task.template!r}, got {shown!r}"
    )


# ------------------------------------------------------------------------------------------------------------ items


def item_text(task: Task | str, item: Item, date: bool = False) -> str:
    """An item as the retrievers of LaMP see it; with `date`, followed by ` date: ` and the item's date, as in ROPG.

    Raises:
        RequestError: the item lacks a field.
    """
    task = get_task(task)
    text = _fill(_ITEM_TEXTS[task.name], task, item)
    return f"{text} date: {_field(task, item, 'date')}" if date else text


def history_text(task: Task | str, item: Item, fields: Fields = "released") -> str:
    """An item as a history encoder sees it."""
    task = get_task(task)
    if fields not in _HISTORY_TEXTS:
        raise unknown("fields", fields, _HISTORY_TEXTS)
    return _fill(_HISTORY_TEXTS[fields][task.name], task, item)


def input_from_item(task: Task | str, item: Item) -> str:
    """The input that the item would have been, had it been a question: the task's template filled from its fields."""
    task = get_task(task)
    if task.name == "LaMP-1":
        raise RequestError(
            "no input can be made from an item of LaMP-1: its items name no references to choose from"
        )
    return _fill(task.template, task, item)


def output_from_item(task: Task | str, item: Item) -> str | None:
    """The field of the item that plays the role of the task's output; None where items have none (LaMP-1, LaMP-7)."""
    task = get_task(task)
    return None if task.output_field is None else _field(task, item, task.output_field)


def _field(task: Task, item: Item, name: str) -> str:
    value = item.get(name)
    if value is None:
        where = f" (item {item['id']})" if "id" in item else ""
        problem = "is null" if name in item else "is missing"
        raise RequestError(
            f"{task.name}: field '{name}' {problem} in a profile item{where}; "
            f"items need {', '.join(task.item_fields)}; found {', '.join(map(str, item)) or 'nothing'}"
        )
    return value if isinstance(value, str) else str(value)


def _fill(template: str, task: Task, item: Item, **replaced: str) -> str:
    names = [name for _, name, _, _ in Formatter().parse(template) if name]
    return template.format(
        **{name: replaced[name] if name in replaced else _field(task, item, name) for name in names}
    )


# ---------------------------------------------------------------------------------------------------------- prompts


def personalized_prompt(
    task: Task | str, input: str, items: Sequence[Item], tokenizer: Any, max_length: int
) -> str:
    """The input with the selected items in front of it (LaMP-1: inside it), shortened to fit a token budget."""
    task = get_task(task)
    if not items:
        return input
    texts = [_field(task, item, task.text_field) for item in items]
    counted = _COUNTED_PARTS[task.name]
    fixed_texts = [] if counted is None else [_fill(counted, task, item) for item in items]
    reserved_texts = [_RESERVED[task.name]] if task.name in _RESERVED else []
    # One call for everything: the shares tried below differ in arithmetic only.
    token_ids = tokenizer(
        [input, *texts, *fixed_texts, *reserved_texts],
        add_special_tokens=False,
        truncation=False,
        verbose=False,
    )["input_ids"]
    special = tokenizer.num_special_tokens_to_add()
    counts = [len(ids) + special for ids in token_ids]
    n, n_input = len(items), counts[0]
    text_ids, text_counts = token_ids[1 : n + 1], counts[1 : n + 1]
    fixed = counts[n + 1 : n + 1 + n] if fixed_texts else [_FIXED_PART_OF_TITLE] * n
    reserve = counts[-1] if reserved_texts else 0
    separator = 0 if task.name == "LaMP-1" else 1

    share = 0.6
    while share >= 0:
        budget = max_length - min(n_input, math.floor(share * max_length))
        allowance = (budget - separator - 2 * (n - 1) - reserve) // n
        limits = _limits(allowance, fixed, text_counts)
        if limits is not None:
            break
        share -= 0.1
    else:
        return input

    shortened = []
    for limit, ids, text in zip(limits, text_ids, texts, strict=True):
        kept = ids if limit == 0 else ids[: max(limit - special, 0)]
        shortened.append(tokenizer.decode(kept, skip_special_tokens=True))
    parts = [
        _fill(_ITEM_PROMPTS[task.name], task, item, **{task.text_field: text})
        for item, text in zip(items, shortened, strict=True)
    ]
    joined = ", and ".join(parts)
    if task.name == "LaMP-1":
        before, found, after = input.partition("title")
        return f"{before}{found}, and {joined}{after}" if found else input
    return f"{joined}{_GLUE[task.name]}{input}"


def _limits(allowance: int, fixed: Sequence[int], text_counts: Sequence[int]) -> list[int] | None:
    saved, limits = 0, []
    for fixed_count, text_count in zip(fixed, text_counts, strict=True):
        limit = allowance + saved - fixed_count
        if limit < 0:
            return None
        kept = text_count if limit == 0 else min(limit, text_count)
        saved += allowance - fixed_count - kept
        limits.append(limit)
    return limits
