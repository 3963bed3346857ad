"""Chat templates: how an instruction-tuned LLM expects to be addressed, within the limit of a prompt.

The template is the tokenizer's own. A prompt is one message of the user, and what the template puts before and
after it counts towards the prompt's limit: a long message loses its end, the words of the template stay.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from lampbench.errors import RequestError, short

# Some templates tell the LLM today's date. Here it is always this one: a run must not depend on the day.
_TODAY = "{%- macro strftime_now(format) -%}26 Jul 2024{%- endmacro %}"

_MESSAGE = "lampbench-message"


@dataclass(frozen=True)
class ChatTemplate:
    """A chat template, rendered.

    Attributes:
        head: what stands before the message, special tokens included.
        tail: what stands after it, up to where the answer begins.
        tail_tokens: tokens of the tail.
        extra_tokens: tokens of head and tail beyond the special tokens of a plain text.
    """

    head: str
    tail: str
    tail_tokens: int
    extra_tokens: int

    @classmethod
    def of(cls, tokenizer: Any, llm: str) -> ChatTemplate:
        """That of the tokenizer of the LLM named `llm`.

        Raises:
            RequestError: it has none, or one that takes no single message of the user.
        """
        if not getattr(tokenizer, "chat_template", None):
            raise RequestError(f"LLM '{llm}' has no chat template: leave out --chat-template")
        try:
            text = _render(tokenizer, _MESSAGE)
        except Exception as error:  # templates are programs, and raise what they like
            raise RequestError(f"the chat template of LLM '{llm}' failed: {error}") from error
        if text.count(_MESSAGE) != 1:
            raise RequestError(f"the chat template of LLM '{llm}' does not show the user's message once")
        head, _, tail = text.partition(_MESSAGE)

        def tokens(text: str, plain: bool = False) -> int:
            return len(tokenizer(text, add_special_tokens=plain)["input_ids"])

        whole = tokens(f"{head}a{tail}")
        # Counted in place: a tail of its own might be cut into other tokens.
        return cls(head, tail, whole - tokens(f"{head}a"), max(0, whole - tokens("a", plain=True)))

    def encode(self, message: str, tokenizer: Any, max_tokens: int) -> tuple[list[int], bool]:
        """The tokens of the message in the template, `max_tokens` at most, and whether the message was cut.

        Raises:
            RequestError: the limit leaves no token for the message, or the template refuses the message.
        """
        if max_tokens <= self.extra_tokens:
            raise RequestError(
                f"max_input_tokens is {max_tokens}, and the chat template alone has {self.extra_tokens} tokens"
            )
        try:
            # Anew for each message: many templates trim it, and they may do other things to it.
            text = _render(tokenizer, message)
        except Exception as error:
            raise RequestError(
                f"the chat template failed on the message '{short(message)}': {error}"
            ) from error
        ids = list(tokenizer(text, add_special_tokens=False, verbose=False)["input_ids"])
        if len(ids) <= max_tokens:
            return ids, False
        end = len(ids) - self.tail_tokens
        return ids[: max_tokens - self.tail_tokens] + ids[end:], True


def _render(tokenizer: Any, message: str) -> str:
    """The template around a message of the user, up to where the answer begins."""
    return tokenizer.apply_chat_template(
        [{"role": "user", "content": message}],
        tokenize=False,
        add_generation_prompt=True,
        chat_template=_TODAY + tokenizer.get_chat_template(),
        # Where the answer is limited to some tens of tokens, no LLM can think aloud first.
        enable_thinking=False,
    )
