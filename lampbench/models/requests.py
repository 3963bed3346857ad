"""Requests as tokens: tokenised once, cut at the limit, padded into batches with soft vectors in place."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor
from transformers import GenerationConfig

from lampbench.errors import RequestError
from lampbench.models.chat_template import ChatTemplate


@dataclass(frozen=True, eq=False)
class Request:
    """What the LLM is asked.

    Attributes:
        prompt: the text; special tokens are added by the LLM's tokenizer.
        soft: vectors in front of the prompt's token embeddings, [n_soft, hidden_size], of any float type and
            on any device; None for a plain prompt.
        adapter: which adapter reads it, in an LLM that has several (`lampbench.models.adapters.AdapterBank`).
    """

    prompt: str
    soft: Tensor | None = None
    adapter: int = 0


@dataclass(frozen=True)
class Generation:
    """What the LLM answered.

    Attributes:
        text: the output, without special tokens and outer white space.
        prompt_tokens: tokens of the prompt as the LLM read it, special tokens included.
        soft_tokens: soft vectors in front of it.
        generated_tokens: tokens of the output, the end token included, padding not.
        truncated: whether the end of the prompt was cut off.
        seconds: its even share of the time that its batch took.
    """

    text: str
    prompt_tokens: int
    soft_tokens: int
    generated_tokens: int
    truncated: bool
    seconds: float = field(default=0.0, compare=False)


@dataclass(frozen=True, eq=False)
class TokenizedRequest:
    """A request, and the target that it is scored on, as token ids.

    Attributes:
        ids: tokens of the prompt, special tokens included.
        soft: the soft vectors in front of them.
        truncated: whether the end of the prompt was cut off.
        target: tokens of the target, the end token included; empty in generation.
        adapter: which adapter reads it, in an LLM that has several.
    """

    ids: tuple[int, ...]
    soft: Tensor | None = None
    truncated: bool = False
    target: tuple[int, ...] = ()
    adapter: int = 0

    @property
    def n_soft(self) -> int:
        """How many soft vectors there are."""
        return 0 if self.soft is None else self.soft.shape[0]

    @property
    def length(self) -> int:
        """Positions of the prompt, soft vectors included."""
        return self.n_soft + len(self.ids)


@dataclass(frozen=True)
class SpecialTokens:
    """The token ids that generation needs, and no other setting of a checkpoint.

    Attributes:
        pad: fills up batches; has a row in the embeddings.
        end: closes targets; None if neither tokenizer nor model knows one.
        ends: all tokens that end an answer.
        start: the first decoder token of an encoder-decoder model.
        bos: opens texts; None where there is none.
        forced_bos: what some encoder-decoder models must generate first.
        rows: rows of the input embeddings: how many tokens the model knows.
    """

    pad: int
    end: int | None
    ends: tuple[int, ...]
    start: int
    bos: int | None
    forced_bos: int | None
    rows: int

    @classmethod
    def of(cls, model: Any, tokenizer: Any) -> SpecialTokens:
        """Those of `model`, with the tokenizer's end token among `ends`: it is the one that targets teach."""

        def look_up(name: str) -> Any:
            value = getattr(model.generation_config, name, None)
            return value if value is not None else getattr(model.config, name, None)

        known = look_up("eos_token_id")
        ends = [] if known is None else list(known) if isinstance(known, (list, tuple)) else [known]
        end = tokenizer.eos_token_id
        if end is None:
            end = ends[0] if ends else None
        elif end not in ends:
            ends.append(end)
        rows = model.get_input_embeddings().weight.shape[0]
        # A padding token that was added to the tokenizer alone has no embedding.
        pads = (tokenizer.pad_token_id, look_up("pad_token_id"), end, 0)
        pad = next(token for token in pads if isinstance(token, int) and 0 <= token < rows)
        start = look_up("decoder_start_token_id")
        bos = tokenizer.bos_token_id
        return cls(
            pad=pad,
            end=end,
            ends=tuple(ends),
            start=int(start if start is not None else pad),
            bos=bos if bos is not None else look_up("bos_token_id"),
            forced_bos=look_up("forced_bos_token_id"),
            rows=rows,
        )

    def generation_config(self, **options: Any) -> GenerationConfig:
        """A transformers configuration with these tokens and `options`, and defaults elsewhere."""
        return GenerationConfig(
            bos_token_id=self.bos,
            eos_token_id=list(self.ends) or None,
            pad_token_id=self.pad,
            decoder_start_token_id=self.start,
            forced_bos_token_id=self.forced_bos,
            **options,
        )

    def until_end(self, ids: list[int]) -> list[int]:
        """`ids` up to the first end token and with it. What follows is padding, of whatever value."""
        for position, token in enumerate(ids):
            if token in self.ends:
                return ids[: position + 1]
        return ids


def tokenize_requests(
    requests: Sequence[Request | str],
    tokenizer: Any,
    special: SpecialTokens,
    *,
    max_tokens: int,
    decoder_only: bool,
    hidden_size: int,
    chat: ChatTemplate | None = None,
    targets: Sequence[tuple[int, ...]] | None = None,
) -> list[TokenizedRequest]:
    """Each request as tokens, cut on the right at `max_tokens` (special tokens counted, soft vectors not).

    With a chat template the prompt is what the user says in it, and soft vectors stand in front of the whole.

    Raises:
        RequestError: `max_tokens` is below 1, soft vectors are not of shape [n, hidden_size], or a token has no
            embedding.
    """
    if max_tokens < 1:
        raise RequestError(f"max_input_tokens is {max_tokens}: it must be at least 1")
    if not requests:
        return []
    asked = [Request(request) if isinstance(request, str) else request for request in requests]
    texts = [request.prompt for request in asked]
    encoded = (
        [chat.encode(text, tokenizer, max_tokens) for text in texts]
        if chat is not None
        else _encode(texts, tokenizer, max_tokens)
    )
    tokenized = []
    for i, (request, (ids, truncated)) in enumerate(zip(asked, encoded, strict=True)):
        if decoder_only and chat is None and ids and ids[-1] == special.end:
            # Some tokenizers close every text; here that would read as the end of the answer.
            ids = ids[:-1]
        check_embedded(ids, special.rows, tokenizer)
        soft = request.soft
        if soft is not None and (soft.ndim != 2 or soft.shape[1] != hidden_size):
            raise RequestError(f"soft vectors of shape {list(soft.shape)}: the LLM takes [n, {hidden_size}]")
        if not ids and (soft is None or not len(soft)):
            # A decoder cannot start from nothing.
            blanks = (special.bos, special.end, special.pad)
            ids = [next(token for token in blanks if token is not None)]
        target = targets[i] if targets else ()
        tokenized.append(TokenizedRequest(tuple(ids), soft, truncated, target, request.adapter))
    return tokenized


def _encode(texts: Sequence[str], tokenizer: Any, max_tokens: int) -> list[tuple[list[int], bool]]:
    """The tokens of each text, cut at `max_tokens`, and whether it was cut."""
    out = tokenizer(list(texts), truncation=True, max_length=max_tokens, return_attention_mask=False)
    if out.encodings is not None:
        return [(ids, bool(e.overflowing)) for ids, e in zip(out["input_ids"], out.encodings, strict=True)]
    # Tokenizers written in Python do not tell.
    return [
        (ids, len(ids) >= max_tokens and len(tokenizer(text)["input_ids"]) > max_tokens)
        for ids, text in zip(out["input_ids"], texts, strict=True)
    ]


def tokenize_targets(
    targets: Sequence[str], tokenizer: Any, special: SpecialTokens, *, max_tokens: int, decoder_only: bool
) -> list[tuple[int, ...]]:
    """The tokens of each target; the last of at most `max_tokens` is the end token, also where text was cut.

    Raises:
        RequestError: `max_tokens` is below 1, or a token has no embedding.
    """
    if max_tokens < 1:
        raise RequestError(f"max_target_tokens is {max_tokens}: it must be at least 1")
    limits = {"truncation": True, "max_length": max_tokens, "return_attention_mask": False}
    if decoder_only:
        rows = tokenizer(list(targets), add_special_tokens=False, **limits)["input_ids"]
    else:
        rows = tokenizer(text_target=list(targets), **limits)["input_ids"]
    for ids in rows:
        check_embedded(ids, special.rows, tokenizer)
    if special.end is None:
        return [tuple(ids) for ids in rows]
    return [
        tuple(ids) if ids and ids[-1] == special.end else (*ids[: max_tokens - 1], special.end)
        for ids in rows
    ]


def check_embedded(ids: Sequence[int], rows: int, tokenizer: Any) -> None:
    """Refuse what a tokenizer knows and its model does not, such as tokens that were added to the former alone.

    Asked of texts and not of tokenizers: many have tokens of this kind that no text contains.

    Raises:
        RequestError: a token has no row in the embeddings.
    """
    if (last := max(ids, default=0)) >= rows:
        raise RequestError(
            f"token '{tokenizer.convert_ids_to_tokens(last)}' (id {last}) stands in a text and the model has no "
            f"embedding for it, but {rows} rows: resize the embeddings to the tokenizer's {len(tokenizer)} tokens "
            "and save the model anew, or take the token out of tokenizer.json"
        )


def embed_tokens(model: Any, ids: Tensor) -> Tensor:
    """The input embeddings of token ids of any shape, [..., hidden_size], as they go into `inputs_embeds`."""
    embed = model.get_input_embeddings()
    # Most models that scale their embeddings do so in this module, some (Pegasus, Marian) only on the road
    # from token ids, which soft prompts do not take.
    scale = 1.0
    if model.config.is_encoder_decoder and not hasattr(embed, "embed_scale"):
        scale = getattr(model.get_encoder(), "embed_scale", 1.0)
    return embed(ids) * scale if scale != 1.0 else embed(ids)


def mean_embedding_norm(model: Any) -> float:
    """The mean L2 norm of the input embeddings over the vocabulary, in float32."""
    weight = model.get_input_embeddings().weight
    total = 0.0
    # In slices: a float32 copy of a large vocabulary would take GBs.
    with torch.no_grad():
        for start in range(0, len(weight), 8192):
            ids = torch.arange(start, min(start + 8192, len(weight)), device=weight.device)
            total += float(embed_tokens(model, ids).float().norm(dim=-1).double().sum())
    return total / len(weight)


def pad_batch(
    batch: Sequence[TokenizedRequest], model: Any, pad: int, *, left: bool, with_targets: bool = False
) -> dict[str, Tensor]:
    """What a model's forward takes for `batch`: `attention_mask`, and `input_ids` or `inputs_embeds`.

    Token ids where the whole batch is text; embeddings where a request has soft vectors.

    Args:
        batch: the requests.
        model: the model; its input embeddings are used.
        pad: the padding token.
        left: pad on the left.
        with_targets: the target follows the prompt.
    """
    texts = [request.ids + request.target if with_targets else request.ids for request in batch]
    width = max(request.n_soft + len(text) for request, text in zip(batch, texts, strict=True))
    ids = torch.full((len(batch), width), pad)
    mask = torch.zeros((len(batch), width), dtype=torch.long)
    rows: list[int] = []
    columns: list[int] = []
    for row, (request, text) in enumerate(zip(batch, texts, strict=True)):
        length = request.n_soft + len(text)
        start = width - length if left else 0
        ids[row, start + request.n_soft : start + length] = torch.tensor(text, dtype=torch.long)
        mask[row, start : start + length] = 1
        rows += [row] * request.n_soft
        columns += range(start, start + request.n_soft)
    device = model.get_input_embeddings().weight.device
    ids, mask = ids.to(device), mask.to(device)
    if not rows:
        return {"input_ids": ids, "attention_mask": mask}
    embeds = embed_tokens(model, ids)
    soft = torch.cat([request.soft.to(embeds) for request in batch if request.soft is not None])
    place = (torch.tensor(rows, device=device), torch.tensor(columns, device=device))
    return {"inputs_embeds": embeds.index_put(place, soft), "attention_mask": mask}
