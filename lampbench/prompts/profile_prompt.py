"""The prompt that joins items of a profile to an input, kept to a number of tokens.

How the items stand in it is said by `Task.prompt`; this is what LaMP's official program makes of it. No model runs
here, only the LLM's tokenizer.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from lampbench.prompts.texts import Fields, Item, check_fields, field_of, fill
from lampbench.prompts.token_budget import plan_budget
from lampbench.tasks import Task, get_task
from lampbench.tasks.wording import slots_in


def personalized_prompt(
    task: Task | str,
    input: str,
    items: Sequence[Item],
    tokenizer: Any,
    max_length: int,
    fields: Fields = "released",
) -> str:
    """The input with the selected items before it, or inside it, shortened to a token budget.

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
            words of lampbench's own. Where items have one part only, it is always shown.

    Raises:
        RequestError: there is no such `fields`, or an item lacks a field. (The official program answers with
            the raw input then, which makes a wrong file look like a method that does not help.)
    """
    task = get_task(task)
    check_fields(fields)
    shortened = _shortened(task, input, items, tokenizer, max_length, fields) if items else None
    if shortened is None:
        return input
    joined = ", and ".join(shortened)
    if task.prompt.inside_after is None:
        return f"{joined}{task.prompt.glue}{input}"
    before, found, after = input.partition(task.prompt.inside_after)
    return f"{before}{found}, and {joined}{after}" if found else input


def _shortened(
    task: Task, input: str, items: Sequence[Item], tokenizer: Any, max_length: int, fields: Fields
) -> list[str] | None:
    """The items as they stand in the prompt; None where their fixed parts do not fit into it."""
    prompt = task.prompt.of_part(fields, task.text_field)
    cut = task.text_field in slots_in(prompt.item)
    texts = [field_of(task, item, task.text_field) if cut else "" for item in items]
    counted = [fill(prompt.counted or "", task, i) for i in items] if prompt.fixed_tokens is None else []
    reserved = [prompt.reserved] if prompt.reserved else []
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
        fixed_tokens=lengths[n + 1 : 2 * n + 1] if prompt.fixed_tokens is None else [prompt.fixed_tokens] * n,
        text_tokens=lengths[1 : n + 1],
        glue_tokens=prompt.glue_tokens + (lengths[-1] if reserved else 0),
    )
    if plan is None:
        return None
    kept = [tokens[: max(n - special, 0)] for tokens, n in zip(ids[1 : n + 1], plan.kept, strict=True)]
    return [
        fill(prompt.item, task, item, **{task.text_field: _decode(tokenizer, tokens)})
        for item, tokens in zip(items, kept, strict=True)
    ]


def _decode(tokenizer: Any, ids: Sequence[int]) -> str:
    """Text of the tokens, with the spacing of transformers 4, which published numbers were measured with.

    Up to 4.44 decoding removed the space before punctuation unless a tokenizer declined; later versions do so
    only where one asks for it, and T5 tokenizers saved before that do not say.
    """
    undeclared = "clean_up_tokenization_spaces" not in getattr(tokenizer, "init_kwargs", {})
    clean_up = True if undeclared and type(tokenizer).__name__.startswith("T5") else None
    return tokenizer.decode(ids, skip_special_tokens=True, clean_up_tokenization_spaces=clean_up)
