"""What a method may need of an LLM besides answers, tried out on it before anything is trained."""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from lampbench.errors import RequestError
from lampbench.models.likelihood import summed_losses
from lampbench.models.requests import SpecialTokens, TokenizedRequest, embed_tokens


class Abilities:
    """What one model can do; see `lampbench.method.base.Method.check_llm`.

    Args:
        model: the model, left as it is.
        special: its special tokens.
        llm: its name, for messages.
    """

    def __init__(self, model: Any, special: SpecialTokens, llm: str) -> None:
        self._model = model
        self._special = special
        self._llm = llm
        self._reads_soft = False  # until it is tried out

    def check_soft_vectors(self) -> None:
        """Look whether it reads vectors as it reads tokens: the embeddings of tokens must say what those say.

        Some classes generate from token ids only; some look up more by the ids than the embeddings.

        Raises:
            RequestError: it does not.
        """
        if self._reads_soft:
            return
        model, kind = self._model, type(self._model).__name__
        forwards = inspect.signature(model.prepare_inputs_for_generation).parameters
        if not model.config.is_encoder_decoder and "inputs_embeds" not in forwards:
            raise self._no_soft(f"a {kind}, which generates from tokens only")
        ids = self._some_tokens()
        device = model.get_input_embeddings().weight.device
        with torch.no_grad():
            soft = embed_tokens(model, torch.tensor(ids[:2], device=device))
            try:
                spelt = summed_losses(model, [TokenizedRequest(ids, target=ids)], self._special)
                given = summed_losses(model, [TokenizedRequest(ids[2:], soft, target=ids)], self._special)
            # Whatever a class raises that was not made for it.
            except Exception as error:
                raise self._no_soft(f"a {kind}: {' '.join(str(error).split())[:200]}") from error
        if not torch.allclose(spelt, given, rtol=0.01, atol=0.01):
            raise self._no_soft(f"a {kind}, to which a token's embedding is not all of the token")
        self._reads_soft = True

    def _no_soft(self, why: str) -> RequestError:
        return RequestError(
            f"LLM '{self._llm}' takes no soft vectors ({why}): use another LLM or another method"
        )

    def check_tunable(self) -> None:
        """Look whether its weights can be trained.

        Raises:
            RequestError: they are quantized.
        """
        if getattr(self._model, "hf_quantizer", None) is not None:
            raise RequestError(
                f"the weights of LLM '{self._llm}' are quantized and cannot be trained: use the LLM that it was "
                "made from"
            )

    def check_adapters(self, targets: Sequence[str]) -> None:
        """Look whether the layers that `targets` name can have adapters, another one for each request of a batch.

        Raises:
            RequestError: there are no such layers, or one is given the tokens of all requests in one row, as
                experts are.
        """
        from lampbench.models.adapters import layers_named

        names = set(layers_named(self._model, targets))
        shapes: dict[str, list[int]] = {}

        def note(name: str, layer: nn.Module, args: tuple[Tensor, ...], output: Tensor) -> None:
            shapes[name] = list(args[0].shape)

        handles = [
            module.register_forward_hook(partial(note, place))
            for place, module in self._model.named_modules()
            if place.rpartition(".")[2] in names
        ]
        ids = self._some_tokens()
        batch = [TokenizedRequest(ids, target=ids[:1]), TokenizedRequest(ids[:1], target=ids)]
        try:
            with torch.no_grad():
                summed_losses(self._model, batch, self._special)
        finally:
            for handle in handles:
                handle.remove()
        for place, shape in shapes.items():
            if len(shape) != 3 or shape[0] != len(batch):
                raise RequestError(
                    f"LLM '{self._llm}': its layer {place} is given the tokens of all requests at once, so that no "
                    "request can have an adapter of its own there: name other layers in the option targets"
                )

    def _some_tokens(self) -> tuple[int, ...]:
        """Four tokens that it knows and that open, close and fill no text."""
        special = self._special
        taken = {special.pad, special.end, special.start, special.bos, *special.ends}
        plain = [token for token in range(min(special.rows, 64)) if token not in taken] or [0]
        return tuple(plain[-1 - i % len(plain)] for i in range(4))
