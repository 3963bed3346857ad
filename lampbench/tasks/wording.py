"""How a task puts things into words: what it reads in an input, and how items are told in texts and prompts.

What a task leaves open is filled in here, from its fields and its template. No text in here is a published one;
those are in the files of the tasks.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cache
from string import Formatter


@cache
def slots_in(template: str) -> tuple[str, ...]:
    """The names of a template's slots, in order."""
    return tuple(name for _, name, _, _ in Formatter().parse(template) if name)


def form_of(template: str) -> re.Pattern[str]:
    """Matches the inputs of a template; what is in its slots are the groups."""
    seen: set[str] = set()
    form = ""
    for words, name, _, _ in Formatter().parse(template.strip()):
        form += re.escape(words)
        if name:
            form += f"(?P={name})" if name in seen else f"(?P<{name}>.*?)"
            seen.add(name)
    return re.compile(form, re.DOTALL)


def words_before(template: str) -> str | None:
    """The words before the only slot of a template that ends with it; None for another template."""
    parts = list(Formatter().parse(template))
    return parts[0][0].strip() or None if len(parts) == 1 else None


class ForeignInput(ValueError):
    """A text is no input of the task; says why."""


@dataclass(frozen=True)
class InputReader:
    """How an input is read where its query is not simply what follows a marker. All may raise ForeignInput.

    Attributes:
        query: what the official retrievers search with.
        own: the user's own text in the input, which may not be the query.
        official_query: the query as the official program cuts it out, where that differs.
        clipped_own: the user's own text as far as it is there in an input whose end may be gone.
    """

    query: Callable[[str], str]
    own: Callable[[str], str]
    official_query: Callable[[str], str] | None = None
    clipped_own: Callable[[str], str] | None = None

    @classmethod
    def of_template(cls, template: str, own: str) -> InputReader:
        """Reads what is in the slots of a template: all of it is the query, that of the slot `own` is the user's."""
        form = form_of(template)
        own = own if own in form.groupindex else next(iter(form.groupindex))

        def values(input: str) -> dict[str, str]:
            match = form.fullmatch(input.strip())
            if match is None:
                raise ForeignInput("it is not as the template has it")
            return match.groupdict()

        return cls(query=lambda input: " ".join(values(input).values()), own=lambda input: values(input)[own])


@dataclass(frozen=True)
class ItemTexts:
    """An item as text; every attribute is a template with the item's fields for slots, empty: the default.

    Attributes:
        retrieval: what retrievers search in; by default all fields but a label or rating, joined by spaces.
        history: what a history encoder sees; by default the same.
        input: what plays the task's input in the item; by default the text field.
        output: what plays its output; by default the output field, or `input` where items have none.
        both: one after the other, each after its field's name.
        name: what the text field is called: "tweet".
    """

    retrieval: str = ""
    history: str = ""
    input: str = ""
    output: str = ""
    both: str = ""
    name: str = ""

    def filled(self, searched: Sequence[str], text: str, output: str | None) -> ItemTexts:
        """With a text for everything.

        Args:
            searched: the fields that retrievers see by default.
            text: the text field.
            output: the output field, if items have one.
        """
        retrieval = self.retrieval or " ".join(f"{{{name}}}" for name in searched)
        parts = [text, output] if output else [text]
        return ItemTexts(
            retrieval=retrieval,
            history=self.history or retrieval,
            input=self.input or f"{{{text}}}",
            output=self.output or f"{{{output or text}}}",
            both=self.both or " ".join(f"{name}: {{{name}}}" for name in parts),
            name=self.name or text.replace("_", " "),
        )


@dataclass(frozen=True)
class ProfilePrompt:
    """How items stand in a prompt; the texts are templates with the item's fields for slots.

    Attributes:
        item: one item.
        input_part, output_part: the same about a part of it, where items have an output.
        counted: what is counted of `item` as its fixed part; None: all but the text field.
        fixed_tokens: the length of the fixed part, where it is not counted.
        glue: what stands between the joined items and the input.
        reserved: the words for which tokens are set aside; None: those of `glue`.
        glue_tokens: tokens that are set aside besides.
        inside_after: the items stand in the input, after the first occurrence of this word; None: before it.
    """

    item: str = ""
    input_part: str = ""
    output_part: str = ""
    counted: str | None = None
    fixed_tokens: int | None = None
    glue: str = ". "
    reserved: str | None = None
    glue_tokens: int = 1
    inside_after: str | None = None

    def filled(self, text: str, output: str | None, text_name: str) -> ProfilePrompt:
        """With words for everything; `text`, `output` are the fields, and `text_name` tells what the text is."""
        if output is None:
            said = replace(self, item=self.item or f'"{{{text}}}" ')
        else:
            name = output.replace("_", " ")
            said = replace(
                self,
                item=self.item or f'the {name} for the {text_name} "{{{text}}}" is "{{{output}}}" ',
                input_part=self.input_part or f'the {text_name} "{{{text}}}" ',
                output_part=self.output_part or f'the {name} is "{{{output}}}" ',
            )
        counted = said.item.replace(f"{{{text}}}", " ") if said.counted is None else said.counted
        reserved = said.glue.strip(" .") if said.reserved is None else said.reserved
        return replace(said, counted=counted, reserved=reserved)

    def of_part(self, part: str, text: str) -> ProfilePrompt:
        """The prompt that shows the `input` or `output` part of items; of another part, or of the only one, the same.

        Args:
            text: the text field.
        """
        item = {"input": self.input_part, "output": self.output_part}.get(part)
        return replace(self, item=item, counted=item.replace(f"{{{text}}}", " ")) if item else self
