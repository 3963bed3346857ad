"""Texts: the query in an input, an item as text, the prompt that joins items to an input, the answer in an output."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lampbench.lazy import lazily

if TYPE_CHECKING:
    from lampbench.prompts.profile_prompt import personalized_prompt
    from lampbench.prompts.texts import (
        PROMPT_VERSION,
        Extraction,
        Fields,
        Item,
        history_text,
        input_from_item,
        item_text,
        output_from_item,
        own_text,
        pplug_query,
        query,
    )

__getattr__ = lazily(
    __name__,
    {
        "lampbench.prompts.profile_prompt": "personalized_prompt",
        "lampbench.prompts.texts": (
            "PROMPT_VERSION Extraction Fields Item history_text input_from_item item_text output_from_item "
            "own_text pplug_query query"
        ),
    },
)
