"""An LLM that is asked: text and soft vectors in, text or loss out; encoder-decoder and decoder-only models alike.

Soft vectors go into `inputs_embeds` in front of the token embeddings. No token is ever added to the
vocabulary and the embeddings are never resized: under transformers 5 that silently replaces the output head
of FLAN-T5 (see `lampbench.loading.checkpoint`).
"""

from __future__ import annotations

import copy
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import nullcontext
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import torch
from torch import Tensor

from lampbench.errors import RequestError
from lampbench.loading.checkpoint import save_model
from lampbench.loading.positions import Positions
from lampbench.models.abilities import Abilities
from lampbench.models.batching import TokenBudget
from lampbench.models.chat_template import ChatTemplate
from lampbench.models.decoding import beam_search, float16_error
from lampbench.models.likelihood import summed_losses
from lampbench.models.requests import (
    Generation,
    Request,
    SpecialTokens,
    TokenizedRequest,
    pad_batch,
    tokenize_requests,
    tokenize_targets,
)

if TYPE_CHECKING:
    from lampbench.models.adapters import AdapterBank


Self = TypeVar("Self", bound="LLM")


class LLM:
    """A language model that is asked: text and soft vectors in, text or the loss of a text out.

    The model is in evaluation mode. Its weights are its owner's: a method that tunes a copy, or puts adapters into
    a twin, asks it as one of these. What all methods share is a `FrozenLLM`.

    Attributes:
        model: the transformers model.
        tokenizer: its tokenizer.
        id: the name of the checkpoint that it comes from, for messages.
        is_encoder_decoder: whether the prompt has an encoder of its own.
        chat: the template that prompts are put into; None for prompts as they are.
        budget: token positions per batch; shrinks when memory runs out.
        listener: told of every answer of this object.
        abilities: what it can do besides answering, for methods that need it.

    Args:
        bank: adapters in the model, among which each request names its own.
    """

    def __init__(
        self,
        model: Any,
        tokenizer: Any,
        *,
        id: str,
        budget: TokenBudget,
        chat: ChatTemplate | None = None,
        listener: Callable[[Generation], object] | None = None,
        bank: AdapterBank | None = None,
    ) -> None:
        self.model = model.eval()
        self.tokenizer = tokenizer
        self.id = id
        self.is_encoder_decoder = bool(model.config.is_encoder_decoder)
        self.chat = chat
        self.budget = budget
        self.listener = listener
        self._bank = bank
        self._special = SpecialTokens.of(model, tokenizer)
        # Checkpoints ship temperatures and limits, which `generate` takes over where a call is silent.
        model.generation_config = self._special.generation_config()
        self._positions = Positions.of(model)
        self.abilities = Abilities(model, self._special, id)

    def heard_by(self: Self, listener: Callable[[Generation], object] | None) -> Self:
        """This very LLM, with another listener or none."""
        other = copy.copy(self)
        other.listener = listener
        return other

    @property
    def device(self) -> torch.device:
        """Where inputs go: the device of the input embeddings."""
        return self._embed.weight.device

    @property
    def dtype(self) -> torch.dtype:
        """The precision of the weights, and so of soft vectors inside the model."""
        return self._embed.weight.dtype

    @property
    def hidden_size(self) -> int:
        """The size of an input embedding, and so of a soft vector."""
        return int(self._embed.weight.shape[1])

    @property
    def _embed(self) -> Any:
        return self.model.get_input_embeddings()

    @property
    def n_parameters(self) -> int:
        """How many weights the model has; tied ones count once."""
        return sum(p.numel() for p in self.model.parameters())

    def count_tokens(self, text: str) -> int:
        """How many tokens `text` has, special tokens included, uncut."""
        return len(self.tokenizer(text, verbose=False)["input_ids"])

    def room(self, max_input_tokens: int) -> int:
        """The limit for a prompt's own text: without the tokens of the chat template, where there is one."""
        return max_input_tokens - (self.chat.extra_tokens if self.chat else 0)

    # Generation

    def generate(
        self,
        requests: Sequence[Request | str],
        *,
        max_input_tokens: int,
        max_new_tokens: int,
        beams: int = 4,
    ) -> list[Generation]:
        """The answers to `requests`, in their order; run in batches of similar length, longest first.

        Beam search without sampling, with length penalty 1 and without early stopping; whatever else the
        checkpoint's generation configuration asks for is ignored. In float32 the answers do not depend on
        how the requests fall into batches.

        Args:
            requests: prompts, with or without soft vectors; both may be mixed.
            max_input_tokens: length at which a prompt is cut, special tokens included, soft vectors not. It
                is cut on the right, as in the official code (LaMP/data/datasets.py), for decoder-only models
                too: a prompt keeps its beginning.
            max_new_tokens: length of an answer at most.
            beams: beams of the search; 1 is greedy.

        Raises:
            RequestError: a limit below 1, soft vectors of the wrong shape, or more positions than the LLM
                has.
            RunError: a single request does not fit into memory, or float16 overflowed.
        """
        tokenized = self._tokenize(requests, max_input_tokens)
        order = sorted(range(len(tokenized)), key=lambda i: -tokenized[i].length)
        answers = self._answers((tokenized[i] for i in order), max_new_tokens, beams)
        return [answer for _, answer in sorted(zip(order, answers, strict=True), key=lambda pair: pair[0])]

    def stream(
        self,
        requests: Iterable[Request | str],
        *,
        max_input_tokens: int,
        max_new_tokens: int,
        beams: int = 4,
    ) -> Iterator[Generation]:
        """The answers to `requests`, in order, as each batch of consecutive requests is done.

        `requests` may be a generator; it is read one batch and one request ahead. See `generate`.
        """
        tokenized = (self._tokenize([request], max_input_tokens)[0] for request in requests)
        return self._answers(tokenized, max_new_tokens, beams)

    def _answers(
        self, tokenized: Iterable[TokenizedRequest], max_new_tokens: int, beams: int
    ) -> Iterator[Generation]:
        for name, value in (("max_new_tokens", max_new_tokens), ("beams", beams)):
            if value < 1:
                raise RequestError(f"{name} is {value}: it must be at least 1")
        return self.budget.run(
            tokenized,
            # Keys and values of the prompt and of the answer are held once per beam.
            cost=lambda request: beams * (request.length + max_new_tokens),
            run_batch=partial(self._generate, max_new_tokens=max_new_tokens, beams=beams),
        )

    def _generate(self, batch: list[TokenizedRequest], max_new_tokens: int, beams: int) -> list[Generation]:
        longest = max(request.length for request in batch)
        self._positions.check(longest, max_new_tokens, self.id)
        start = time.perf_counter()
        # Within inference mode: soft vectors may come with a graph, which ends here.
        chosen = self._bank.choose([r.adapter for r in batch]) if self._bank is not None else nullcontext()
        with torch.inference_mode(), chosen:
            inputs = pad_batch(batch, self.model, self._special.pad, left=not self.is_encoder_decoder)
            rows = beam_search(self.model, inputs, self._special, max_new_tokens=max_new_tokens, beams=beams)
        texts = self.tokenizer.batch_decode(rows, skip_special_tokens=True)
        seconds = (time.perf_counter() - start) / len(batch)
        answers = [
            Generation(text.strip(), len(request.ids), request.n_soft, len(row), request.truncated, seconds)
            for text, row, request in zip(texts, rows, batch, strict=True)
        ]
        if self.listener is not None:
            for answer in answers:
                self.listener(answer)
        return answers

    # Loss

    def loss(
        self,
        requests: Sequence[Request | str],
        targets: Sequence[str],
        *,
        max_input_tokens: int,
        max_target_tokens: int,
        reduction: str = "mean",
        dropout: bool = False,
    ) -> Tensor:
        """The cross-entropy of `targets` given `requests`, teacher-forced; differentiable in soft vectors.

        Where nothing needs a gradient the examples run in batches by token budget, like `generate`;
        otherwise in one batch, whose graph is kept.

        Args:
            requests: prompts, cut as in `generate`.
            targets: the texts to predict; each is closed by the end token.
            max_input_tokens: length of a prompt at most, soft vectors not counted.
            max_target_tokens: length of a target at most, its end token included.
            reduction: `mean` over all target tokens of the batch, or `none`: the mean of each example.
            dropout: leave the LLM's dropout on, as the released Persona-Plug does in training.

        Returns:
            In float32: a number, or for `none` a vector of shape [n].

        Raises:
            RequestError: not one target per request, none at all, a limit below 1, or soft vectors of the
                wrong shape.
            RunError: float16 overflowed.
        """
        if reduction not in {"mean", "none"}:
            raise ValueError(f"reduction is 'mean' or 'none', not {reduction!r}")
        if len(requests) != len(targets) or not targets:
            raise RequestError(f"{len(requests)} requests and {len(targets)} targets: give one target each")
        answers = tokenize_targets(
            targets,
            self.tokenizer,
            self._special,
            max_tokens=max_target_tokens,
            decoder_only=not self.is_encoder_decoder,
        )
        tokenized = self._tokenize(requests, max_input_tokens, answers)
        wants_gradient = torch.is_grad_enabled() and (
            any(request.soft is not None and request.soft.requires_grad for request in tokenized)
            or any(p.requires_grad for p in self.model.parameters())
        )
        run = self._summed_losses if wants_gradient else self._summed_losses_by_budget
        sums = run(tokenized, dropout)
        if self.dtype == torch.float16 and not torch.isfinite(sums).all():
            raise float16_error()
        counts = torch.tensor([len(request.target) for request in tokenized], device=sums.device)
        return sums.sum() / counts.sum() if reduction == "mean" else sums / counts

    def save(self, folder: str | Path) -> None:
        """Write model and tokenizer to `folder`, from where `load` reads the same weights."""
        save_model(self.model, self.tokenizer, Path(folder))

    def _summed_losses_by_budget(self, requests: list[TokenizedRequest], dropout: bool) -> Tensor:
        """As `_summed_losses`, in batches of similar length, longest first, and without a graph."""
        order = sorted(range(len(requests)), key=lambda i: -requests[i].length)
        sums = torch.empty(len(requests), device=self.device)
        with torch.no_grad():
            results = self.budget.run(
                (requests[i] for i in order),
                cost=lambda request: request.length + len(request.target),
                run_batch=lambda batch: list(self._summed_losses(batch, dropout).unbind()),
            )
            for i, value in zip(order, results, strict=True):
                sums[i] = value
        return sums

    def _summed_losses(self, batch: list[TokenizedRequest], dropout: bool) -> Tensor:
        """The loss of each target, in one forward pass: [n], float32."""
        # Encoder and decoder count apart; in a decoder-only model the longest example decides.
        longest = max(batch, key=lambda request: request.length + len(request.target))
        prompt, target = longest.length, len(longest.target)
        if self.is_encoder_decoder:
            prompt, target = max(r.length for r in batch), max(len(r.target) for r in batch)
        self._positions.check(prompt, target, self.id)
        return summed_losses(self.model, batch, self._special, dropout=dropout)

    def _tokenize(
        self,
        requests: Sequence[Request | str],
        max_input_tokens: int,
        targets: Sequence[tuple[int, ...]] | None = None,
    ) -> list[TokenizedRequest]:
        if any(isinstance(request, Request) and request.soft is not None for request in requests):
            self.abilities.check_soft_vectors()
        return tokenize_requests(
            requests,
            self.tokenizer,
            self._special,
            max_tokens=max_input_tokens,
            decoder_only=not self.is_encoder_decoder,
            hidden_size=self.hidden_size,
            chat=self.chat,
            targets=targets,
        )
