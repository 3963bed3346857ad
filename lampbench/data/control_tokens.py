"""Texts that an LLM's tokenizer turns into control tokens: `</s>` in a tweet ends the prompt for T5.

The official programs pass such texts on as they are, and so does lampbench, to give the same prompts; the audit
counts them. Which strings are control tokens depends on the tokenizer; here are those of the usual families:

* T5, BART, Llama 2, Mistral: `<s>`, `</s>`, `<pad>`, `<unk>`, `<mask>`, `<extra_id_0>`, `[INST]`, `<<SYS>>`;
* BERT: `[CLS]`, `[SEP]`, `[PAD]`, `[UNK]`, `[MASK]`;
* Gemma: `<bos>`, `<eos>`, `<start_of_turn>`, `<end_of_turn>`;
* GPT, Llama 3, ChatML, DeepSeek, each with a word between its bars: `<|endoftext|>`, `<|im_start|>`, `<｜User｜>`.

They are found as tokenizers find them: also within words, and only in this case.
"""

from __future__ import annotations

import re

_CONTROL = re.compile(
    r"</?s>|<(?:pad|unk|mask|bos|eos|cls|sep|extra_id_\d+|start_of_turn|end_of_turn)>"
    r"|\[(?:CLS|SEP|PAD|UNK|MASK|/?INST)\]|<</?SYS>>|<\|[^\s|<>]{1,40}\|>|<｜[^\s｜<>]{1,40}｜>"
)


def control_token(text: str) -> str | None:
    """The first control token in a text; None where there is none.

    >>> control_token("the end</s>"), control_token("I <3 [this]")
    ('</s>', None)
    """
    if "<" not in text and "[" not in text:
        return None
    match = _CONTROL.search(text)
    return match[0] if match else None
