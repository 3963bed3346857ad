"""The word-level tokenizer of the embedded models: every word of LaMP-mini is one token, any other text is spelled.

A WordPiece vocabulary written down instead of trained: all words that the generator can produce, the digits,
letters and punctuation, and their continuation pieces. Text is lower-cased; ROUGE and the labels do not
notice.
"""

from __future__ import annotations

import re
import string
from typing import Any

from lampbench.mini.generator import Knobs, user_questions
from lampbench.tasks import TASKS

PAD, EOS, UNK, CLS, SEP = "<pad>", "</s>", "<unk>", "[CLS]", "[SEP]"
# `[1]` and `sci-fi` stay whole; a quotation mark or a comma is a token of its own.
_WORD = re.compile(r"\[\d\]|[a-z0-9]+(?:-[a-z0-9]+)*|[^\sa-z0-9]")
# Users that exist only to collect words from: enough for every word of the lexicon to come up.
_VOCABULARY_SEED, _VOCABULARY_USERS = 424_242, 1200


def words(text: str) -> list[str]:
    """The tokens of a text that consists of known words."""
    return _WORD.findall(text.lower())


def vocabulary() -> list[str]:
    """All entries in the order of their ids: special tokens, characters, continuations, words."""
    found: set[str] = set()
    knobs = Knobs(seed=_VOCABULARY_SEED)
    for task in TASKS.values():
        found.update(words(task.template))
        for number in range(_VOCABULARY_USERS):
            for question in user_questions(task, f"{number}", 1, knobs):
                found.update(words(question.input))
                found.update(words(question.output))
                for item in question.profile:
                    for name, text in item.items():
                        if name not in ("id", "date"):
                            found.update(words(text))
    from lampbench.mini.warmup import INSTRUCTION_WORDS

    found.update(INSTRUCTION_WORDS)
    characters = list(string.ascii_lowercase + string.digits + string.punctuation)
    special = [PAD, EOS, UNK, CLS, SEP]
    entries = special + characters + [f"##{c}" for c in string.ascii_lowercase + string.digits]
    return entries + sorted(found - set(entries))


def build_tokenizer(entries: list[str], *, for_encoder: bool) -> Any:
    """A fast tokenizer: ends a text with `</s>` (for the LLM) or wraps it as `[CLS] … [SEP]` (for the encoder)."""
    from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast

    ids = {entry: i for i, entry in enumerate(entries)}
    tokenizer = Tokenizer(models.WordPiece(ids, unk_token=UNK, max_input_chars_per_word=60))
    tokenizer.normalizer = normalizers.Sequence(
        [normalizers.NFD(), normalizers.StripAccents(), normalizers.Lowercase()]
    )
    tokenizer.pre_tokenizer = pre_tokenizers.Split(Regex(_WORD.pattern), behavior="removed", invert=True)
    tokenizer.decoder = decoders.WordPiece(prefix="##", cleanup=False)
    if for_encoder:
        tokenizer.post_processor = processors.TemplateProcessing(
            single=f"{CLS} $A {SEP}",
            pair=f"{CLS} $A {SEP} $B {SEP}",
            special_tokens=[(CLS, ids[CLS]), (SEP, ids[SEP])],
        )
        return PreTrainedTokenizerFast(
            tokenizer_object=tokenizer,
            pad_token=PAD,
            unk_token=UNK,
            cls_token=CLS,
            sep_token=SEP,
            model_max_length=128,
        )
    tokenizer.post_processor = processors.TemplateProcessing(
        single=f"$A {EOS}", pair=f"$A {EOS} $B {EOS}", special_tokens=[(EOS, ids[EOS])]
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, pad_token=PAD, unk_token=UNK, eos_token=EOS, model_max_length=512
    )
