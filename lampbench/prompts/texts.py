"""The query in an input, an item as text, and an item as a question with its answer.

The words are in the files of the tasks; this is what LaMP's official programs do with them
(github.com/LaMP-Benchmark/LaMP; arXiv:2304.11406, arXiv:2404.05970).
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import astuple
from typing import Any, Literal

from lampbench.errors import RequestError, unknown
from lampbench.tasks import Task, get_task
from lampbench.tasks.wording import ForeignInput, slots_in

PROMPT_VERSION = 1
"""Raised whenever a string made here changes; records carry it, so that old and new results are told
apart."""

Item = Mapping[str, Any]
"""One entry of a profile, as in the JSON."""

Extraction = Literal["anchored", "official"]
Fields = Literal["released", "input", "output", "both"]

_HISTORY_TEXT: Mapping[str, str] = {
    "released": "history",
    "input": "input",
    "output": "output",
    "both": "both",
}
"""The attribute of a task's texts that holds each of `Fields`."""


def check_fields(fields: str) -> None:
    """Refuse what is none of `Fields`.

    Raises:
        RequestError: it is none.
    """
    if fields not in _HISTORY_TEXT:
        raise unknown("fields", fields, _HISTORY_TEXT)


def query(task: Task | str, input: str, extraction: Extraction = "anchored") -> str:
    """The part of an input that the official retrievers search with.

    It is what follows the first occurrence of the task's marker, without white space at its ends; a task
    without a marker has a reader of its own.

    Args:
        task: the task or its name.
        input: the input as in the data file.
        extraction: `anchored` reads the input between the fixed words of its template. `official` cuts it as
            the released program does, where that does something else.

    Raises:
        RequestError: the input is not one of this task.
    """
    task = get_task(task)
    if extraction not in ("anchored", "official"):
        raise unknown("extraction", extraction, ("anchored", "official"))
    if task.reader is None:
        return _after(task, input, task.marker or "").strip()
    official = task.reader.official_query if extraction == "official" else None
    return _read(task, input, official or task.reader.query)


def own_text(task: Task | str, input: str) -> str:
    """The user's own text in an input, which is not what is searched with where an input holds other texts too.

    Raises:
        RequestError: the input is not one of this task.
    """
    task = get_task(task)
    return query(task, input) if task.reader is None else _read(task, input, task.reader.own)


def pplug_query(
    task: Task | str, input: str, extraction: Literal["anchored", "released"] = "anchored"
) -> str:
    """The query text of Persona-Plug (arXiv:2409.11901): the user's own text.

    Args:
        task: the task or its name.
        input: the input as in the data file.
        extraction: `released` repeats two habits of the released code: it clips the user's own text where it
            reads it between other words, and the text after a marker and one space keeps the white space at
            its end.

    Raises:
        RequestError: the input is not one of this task.
    """
    task = get_task(task)
    if extraction not in ("anchored", "released"):
        raise unknown("extraction", extraction, ("anchored", "released"))
    if extraction == "anchored":
        return own_text(task, input)
    if task.reader is None:
        return _after(task, input, f"{task.marker} ")
    own = own_text(task, input)
    return own if task.reader.clipped_own is None else _read(task, input, task.reader.clipped_own)


def _after(task: Task, input: str, marker: str) -> str:
    _, found, rest = input.partition(marker)
    if not found:
        raise _foreign_input(task, input, f"it does not contain {marker!r}")
    return rest


def _read(task: Task, input: str, read: Callable[[str], str]) -> str:
    try:
        return read(input)
    except ForeignInput as error:
        raise _foreign_input(task, input, str(error)) from None


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
    text = fill(task.texts.retrieval, task, item)
    return text if not date or item.get("date") is None else f"{text} date: {item['date']}"


def history_text(task: Task | str, item: Item, fields: Fields = "released") -> str:
    """An item as a history encoder sees it (Persona-Plug, arXiv:2409.11901).

    Args:
        task: the task or its name.
        item: the item.
        fields: `released`: the text of the released code, which holds neither tags nor scores. `input`: what
            plays the task's input in the item. `output`: what plays its output. `both`: input, then output,
            each after the name of its field; the paper's Table 7 shows histories so, with their labels. Where
            items have no output, their one part is both (see the files of the tasks).

    Raises:
        RequestError: the item lacks a field, or there is no such `fields`.
    """
    task = get_task(task)
    check_fields(fields)
    return fill(getattr(task.texts, _HISTORY_TEXT[fields]), task, item)


def wording_print(task: Task) -> str:
    """What a task says for the texts of this module that are about an item, in 16 hexadecimal digits.

    Two tasks with equal prints make the same texts of the same item.
    """
    said = *astuple(task.texts), task.template, task.output_field
    return hashlib.sha256(repr(said).encode("utf-8", "surrogatepass")).hexdigest()[:16]


def input_from_item(task: Task | str, item: Item) -> str:
    """The task's input for an item: its template, filled from the item's fields.

    Where items hold no output, that asks for another wording of what the user wrote.

    Raises:
        RequestError: the item lacks a field, or items have nothing for a slot of the template.
    """
    task = get_task(task)
    if not task.items_make_inputs:
        missing = [name for name in slots_in(task.template) if name not in task.item_fields]
        raise RequestError(f"an item of {task.name} makes no input: it has no {' and no '.join(missing)}")
    return fill(task.template, task, item)


def output_from_item(task: Task | str, item: Item) -> str | None:
    """The task's output for an item; None where items hold none.

    Raises:
        RequestError: the item lacks that field.
    """
    task = get_task(task)
    return None if task.output_field is None else field_of(task, item, task.output_field)


def field_of(task: Task, item: Item, name: str) -> str:
    """What an item says in a field, as text.

    Raises:
        RequestError: nothing, or null.
    """
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


def fill(template: str, task: Task, item: Item, **replaced: str) -> str:
    """The template with its slots filled from the item, or from `replaced` where that has them."""
    return template.format(
        **{
            name: replaced[name] if name in replaced else field_of(task, item, name)
            for name in slots_in(template)
        }
    )
