"""Texts of LaMP: the query in an input, an item as text, and the prompt that joins items to an input.

The strings are those of the official programs (github.com/LaMP-Benchmark/LaMP; arXiv:2304.11406,
arXiv:2404.05970), odd spaces included, because published numbers were measured with them. No model runs here;
a tokenizer is needed only to keep a prompt within its token budget.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from string import Formatter
from typing import Any, Literal

from lampbench.budget import plan_budget
from lampbench.errors import RequestError, unknown
from lampbench.tasks import Task, get_task

PROMPT_VERSION = 1
"""Raised whenever a string made here changes; records carry it, so that old and new results are told
apart."""

Item = Mapping[str, Any]
"""One entry of a profile, as in the JSON."""

Extraction = Literal["anchored", "official"]
Fields = Literal["released", "input", "output", "both"]

# One item in a prompt. Every trailing space is the official program's, and so is the "a" of LaMP-5, which the
# paper prints as "the".
_ITEM_PROMPT: Mapping[str, str] = {
    "LaMP-1": '"{title}"',
    "LaMP-2": 'the tag for the movie: "{description}" is "{tag}" ',
    "LaMP-3": '{score} is the score for "{text}" ',
    "LaMP-4": '"{title}" is the title for "{text}" ',
    "LaMP-5": '"{title}" is a title for "{abstract}" ',
    "LaMP-7": '"{text}" ',
}

# The same words about a part of the item only. They are lampbench's own; there is nothing official for it.
_PART_PROMPT: Mapping[str, Mapping[str, str]] = {
    "input": {
        "LaMP-2": 'the movie: "{description}" ',
        "LaMP-3": 'the review: "{text}" ',
        "LaMP-4": 'the article: "{text}" ',
        "LaMP-5": 'the abstract: "{abstract}" ',
    },
    "output": {
        "LaMP-2": 'the tag for a movie is "{tag}" ',
        "LaMP-3": "{score} is the score for a review ",
        "LaMP-4": '"{title}" is the title for an article ',
        "LaMP-5": '"{title}" is a title for an abstract ',
    },
}

# What the official program counts as the fixed part of that text. It is not always the text without its
# variable part: LaMP-5 loses its "for". LaMP-1 counts nothing and takes a constant instead.
_COUNTED_PART: Mapping[str, str] = {
    "LaMP-2": 'the tag for the movie: " " is "{tag}" ',
    "LaMP-3": '{score} is the score for " " ',
    "LaMP-4": '"{title}" is the title for " " ',
    "LaMP-5": '"{title}" is a title " " ',
    "LaMP-7": '"" ',
}
_FIXED_TOKENS_OF_LAMP_1 = 2

# What stands between the joined items and the input. LaMP-1 has none: its items go into the input.
_GLUE: Mapping[str, str] = {
    "LaMP-2": ". ",
    "LaMP-3": ". ",
    "LaMP-4": ". ",
    "LaMP-5": ". Following the given patterns ",
    "LaMP-7": " are written by a person. Following the given patterns ",
}

# The words for which tokens are set aside. LaMP-7 sets them aside for other words than it inserts.
_RESERVED: Mapping[str, str] = {
    "LaMP-5": "Following the given patterns",
    "LaMP-7": "are written by user. Following the given patterns",
}

_ITEM_TEXT: Mapping[str, str] = {
    "LaMP-1": "{title} {abstract}",
    "LaMP-2": "{description}",
    "LaMP-3": "{text}",
    "LaMP-4": "{title} {text}",
    "LaMP-5": "{title} {abstract}",
    "LaMP-7": "{text}",
}

_HISTORY_TEXT: Mapping[str, Mapping[str, str]] = {
    "released": {**_ITEM_TEXT, "LaMP-4": "{text} {title}"},
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


def query(task: Task | str, input: str, extraction: Extraction = "anchored") -> str:
    """The part of an input that the official retrievers search with.

    It is what follows the first occurrence of the task's marker, without white space at its ends. LaMP-1 has
    no marker: its query is the two candidate references joined by a space, not the title of the author's own
    paper.

    Args:
        task: the task or its name.
        input: the input as in the data file.
        extraction: matters for LaMP-1 only. `anchored` reads the references between the fixed words around
            them. `official` repeats the released scan, in which each quote ends what the one before it began:
            an inner quote in a title or reference shifts everything after it (17 of the 2,500 dev inputs of
            the user split).

    Raises:
        RequestError: the input is not one of this task; with `official`, it has fewer than three quoted
        spans.
    """
    task = get_task(task)
    if extraction not in ("anchored", "official"):
        raise unknown("extraction", extraction, ("anchored", "official"))
    if task.marker is not None:
        _, found, rest = input.partition(task.marker)
        if not found:
            raise _foreign_input(task, input, f"it does not contain {task.marker!r}")
        return rest.strip()
    if extraction == "official":
        # Odd parts lie between two quotes; the last part is open at its end, so it is never a span.
        spans = input.split('"')[1:-1:2]
        if len(spans) < 3:
            raise _foreign_input(
                task, input, f"it has {len(spans)} quoted spans and the official scan needs 3"
            )
        return f"{spans[1]} {spans[2]}"
    _, first, second = _citation_parts(input)
    return f"{first} {second}"


def own_title(input: str) -> str:
    """The title of the author's own paper in a LaMP-1 input.

    Raises:
        RequestError: the text is not a LaMP-1 input.
    """
    return _citation_parts(input)[0]


def pplug_query(
    task: Task | str, input: str, extraction: Literal["anchored", "released"] = "anchored"
) -> str:
    """The query text of Persona-Plug (arXiv:2409.11901): LaMP-1's own title, otherwise `query`.

    Args:
        task: the task or its name.
        input: the input as in the data file.
        extraction: `released` repeats two habits of the released code: a LaMP-1 title ends at its first `",`,
            and the text after a marker and one space keeps the white space at its end.

    Raises:
        RequestError: the input is not one of this task.
    """
    task = get_task(task)
    if extraction not in ("anchored", "released"):
        raise unknown("extraction", extraction, ("anchored", "released"))
    if extraction == "anchored":
        return own_title(input) if task.marker is None else query(task, input)
    if task.marker is None:
        return own_title(input).split('",', maxsplit=1)[0]
    _, found, rest = input.partition(f"{task.marker} ")
    if not found:
        raise _foreign_input(task, input, f"it does not contain {task.marker + ' '!r}")
    return rest


def _citation_parts(input: str) -> tuple[str, str, str]:
    """Own title and both references of a LaMP-1 input, read between the fixed words around them."""
    _, start, rest = input.partition('the paper with the title "')
    title, middle, rest = rest.partition('", which reference is related?')
    _, one, rest = rest.partition('[1]: "')
    first, two, rest = rest.partition('" [2]: "')
    second, end, _ = rest.rpartition('"')
    if not (start and middle and one and two and end):
        raise _foreign_input(
            get_task("LaMP-1"), input, "title and references are not where the template has them"
        )
    return title, first, second


def _foreign_input(task: Task, input: str, reason: str) -> RequestError:
    shown = input if len(input) <= 100 else f"{input[:97]}..."
    return RequestError(
        f"not an input of {task.name}: {reason}; was it read from another task's file? {shown!r}"
    )


def item_text(task: Task | str, item: Item, date: bool = False) -> str:
    """An item as the retrievers of LaMP see it.

    Args:
        task: the task or its name.
        item: the item.
        date: append ` date: ` and the item's date, as ROPG does; an item without a date stays as it is.

    Raises:
        RequestError: the item lacks a field.
    """
    task = get_task(task)
    text = _fill(_ITEM_TEXT[task.name], task, item)
    return text if not date or item.get("date") is None else f"{text} date: {item['date']}"


def history_text(task: Task | str, item: Item, fields: Fields = "released") -> str:
    """An item as a history encoder sees it (Persona-Plug, arXiv:2409.11901).

    Args:
        task: the task or its name.
        item: the item.
        fields: `released`: the text of the released code, which is that of `item_text` but for LaMP-4, where
            the article comes first, and which holds neither tags nor scores. `input`: what plays the task's
            input in the item. `output`: what plays its output. `both`: input, then output, each after the
            name of its field; the paper's Table 7 shows histories so, with their labels. LaMP-1 items have no
            output (nobody recorded the choice): the title is both, being what the input names the paper by
            and what the author wrote, and `both` adds the abstract. LaMP-7 items are the user's own tweets,
            without a plain wording to start from: the text is both.

    Raises:
        RequestError: the item lacks a field, or there is no such `fields`.
    """
    task = get_task(task)
    if fields not in _HISTORY_TEXT:
        raise unknown("fields", fields, _HISTORY_TEXT)
    return _fill(_HISTORY_TEXT[fields][task.name], task, item)


def input_from_item(task: Task | str, item: Item) -> str:
    """The task's input for an item: its template, filled from the item's fields.

    For LaMP-7 that asks to paraphrase the user's own tweet, since items hold no other wording.

    Raises:
        RequestError: the item lacks a field, or the task is LaMP-1, whose items name no references.
    """
    task = get_task(task)
    if task.marker is None:
        raise RequestError(
            f"an item of {task.name} makes no input: it names no two references to choose from"
        )
    return _fill(task.template, task, item)


def output_from_item(task: Task | str, item: Item) -> str | None:
    """The task's output for an item; None where items hold none (LaMP-1, LaMP-7).

    Raises:
        RequestError: the item lacks that field.
    """
    task = get_task(task)
    return None if task.output_field is None else _field(task, item, task.output_field)


def _field(task: Task, item: Item, name: str) -> str:
    value = item.get(name)
    if value is None:
        which = f"item {item['id']!r}" if "id" in item else "an item"
        state = "null" if name in item else "missing"
        there = ", ".join(map(str, item)) or "nothing"
        raise RequestError(
            f"{task.name}: field '{name}' of {which} is {state}; items need {', '.join(task.item_fields)}, "
            f"this one has {there}"
        )
    # Scores are strings in the official files and numbers in some copies of them.
    return value if isinstance(value, str) else str(value)


@cache
def _slots(template: str) -> tuple[str, ...]:
    return tuple(name for _, name, _, _ in Formatter().parse(template) if name)


def _fill(template: str, task: Task, item: Item, **replaced: str) -> str:
    """The template with its slots filled from the item, or from `replaced` where that has them."""
    return template.format(
        **{
            name: replaced[name] if name in replaced else _field(task, item, name)
            for name in _slots(template)
        }
    )


def personalized_prompt(
    task: Task | str,
    input: str,
    items: Sequence[Item],
    tokenizer: Any,
    max_length: int,
    fields: Fields = "released",
) -> str:
    """The input with the selected items before it (LaMP-1: inside it), shortened to a token budget.

    Identical to the official prompts (in-prompt augmentation, arXiv:2404.05970 Table 2, as released). Each
    item's long field is cut to what `plan_budget` leaves it; titles, tags and scores are never cut. Without
    items, or where the fixed parts alone do not fit, the prompt is the raw input.

    The budget is the official estimate and no guarantee. Joining costs a few tokens more or less than it
    says, and an input longer than its share is not cut here: such a prompt exceeds `max_length`, and the LLM
    cuts its end. Counts are the tokenizer's own, and those of T5 moved once: up to transformers 4 the space
    at the end of a fixed part was a token, since 5 it is not, which leaves each text one token more.

    Args:
        task: the task or its name.
        input: the input as in the data file.
        items: the selected items, best first, as in the JSON.
        tokenizer: the LLM's tokenizer (transformers); lengths count the special tokens that it adds.
        max_length: how many tokens the LLM will read.
        fields: what of an item is shown. `released` and `both`: the official text, which holds both parts.
            `input` and `output`: only what plays the task's input or output in it (see `history_text`), in
            words of lampbench's own. Items of LaMP-1 and LaMP-7 have one part only, and it is always shown.

    Raises:
        RequestError: there is no such `fields`, or an item lacks a field. (The official program answers with
            the raw input then, which makes a wrong file look like a method that does not help.)
    """
    task = get_task(task)
    if fields not in _HISTORY_TEXT:
        raise unknown("fields", fields, _HISTORY_TEXT)
    if not items:
        return input
    template, counted_part = _ITEM_PROMPT[task.name], _COUNTED_PART.get(task.name)
    if part := _PART_PROMPT.get(fields, {}).get(task.name):
        template, counted_part = part, part.replace(f"{{{task.text_field}}}", " ")
    cut = task.text_field in _slots(template)
    texts = [_field(task, item, task.text_field) if cut else "" for item in items]
    counted = [_fill(counted_part, task, item) for item in items] if counted_part is not None else []
    reserved = [_RESERVED[task.name]] if task.name in _RESERVED else []
    # One call tokenizes everything, because a call costs as much as several texts. The cutting is done here:
    # what a tokenizer makes of a length of 0 depends on its special tokens and its version.
    ids = tokenizer(
        [input, *texts, *counted, *reserved],
        add_special_tokens=False,
        truncation=False,
        return_attention_mask=False,
        verbose=False,
    )["input_ids"]
    special = tokenizer.num_special_tokens_to_add()
    lengths = [len(tokens) + special for tokens in ids]
    n = len(items)
    plan = plan_budget(
        max_length,
        input_tokens=lengths[0],
        fixed_tokens=lengths[n + 1 : 2 * n + 1] if counted else [_FIXED_TOKENS_OF_LAMP_1] * n,
        text_tokens=lengths[1 : n + 1],
        glue_tokens=(0 if task.name == "LaMP-1" else 1) + (lengths[-1] if reserved else 0),
    )
    if plan is None:
        return input
    parts = []
    for item, tokens, kept in zip(items, ids[1 : n + 1], plan.kept, strict=True):
        text = _decode(tokenizer, tokens[: max(kept - special, 0)])
        parts.append(_fill(template, task, item, **{task.text_field: text}))
    joined = ", and ".join(parts)
    if task.name == "LaMP-1":
        before, found, after = input.partition("title")
        return f"{before}{found}, and {joined}{after}" if found else input
    return f"{joined}{_GLUE[task.name]}{input}"


def _decode(tokenizer: Any, ids: Sequence[int]) -> str:
    """Text of the tokens, with the spacing of transformers 4, which published numbers were measured with.

    Up to 4.44 decoding removed the space before punctuation unless a tokenizer declined; later versions do so
    only where one asks for it, and T5 tokenizers saved before that do not say.
    """
    undeclared = "clean_up_tokenization_spaces" not in getattr(tokenizer, "init_kwargs", {})
    clean_up = True if undeclared and type(tokenizer).__name__.startswith("T5") else None
    return tokenizer.decode(ids, skip_special_tokens=True, clean_up_tokenization_spaces=clean_up)
