"""The frozen LLM: what all methods share, and where a method takes a copy or a twin of its own from."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lampbench.errors import RequestError
from lampbench.loading.checkpoint import copy_model, load_checkpoint, twin_model
from lampbench.loading.devices import resolve_device, resolve_dtype
from lampbench.models.batching import TokenBudget, default_batch_tokens
from lampbench.models.chat_template import ChatTemplate
from lampbench.models.llm import LLM
from lampbench.models.requests import mean_embedding_norm

if TYPE_CHECKING:
    from lampbench.models.adapters import AdapterBank


class FrozenLLM(LLM):
    """The LLM that all methods share, and that none of them changes.

    No weight of it requires a gradient; `loss` passes gradients on to soft vectors. A method that tunes weights
    takes a copy of the model, or a twin to put adapters into, and asks that by way of `using`.

    Attributes:
        revision: what tells the model from others of its name (`lampbench.loading.identity.model_revision`).
    """

    def __init__(
        self,
        model: Any,
        tokenizer: Any,
        *,
        id: str,
        revision: str | None = None,
        batch_tokens: int | None = None,
        chat_template: bool = False,
    ) -> None:
        if batch_tokens is not None and batch_tokens < 1:
            raise RequestError(f"batch_tokens is {batch_tokens}: a batch holds at least one token")
        device = model.get_input_embeddings().weight.device
        super().__init__(
            model.requires_grad_(False),
            tokenizer,
            id=id,
            budget=TokenBudget(batch_tokens or default_batch_tokens(model, device)),
            chat=ChatTemplate.of(tokenizer, id) if chat_template else None,
        )
        self.revision = revision

    @classmethod
    def load(
        cls,
        name_or_path: str | Path,
        *,
        device: str = "auto",
        dtype: str = "auto",
        offline: bool = False,
        batch_tokens: int | None = None,
        chat_template: bool = False,
    ) -> FrozenLLM:
        """Load a model by hub name or from a folder.

        Args:
            name_or_path: a hub name or a folder.
            device: `auto`, `cpu`, `cuda`, `cuda:1`, `mps`, or `balanced` (layers spread over all GPUs).
            dtype: `auto` (bf16 on GPUs that compute in it, else fp32), `fp32`, `bf16`, or `fp16`, under which
                every output and loss is checked for overflow.
            offline: use what is on disk only; also when HF_HUB_OFFLINE is set.
            batch_tokens: token positions per batch, padding and the beams' outputs included; the default
                suits the device (see `default_batch_tokens`).
            chat_template: put every prompt into the tokenizer's chat template, as a message of the user.

        Raises:
            RequestError: no such model, device, precision or chat template, or a folder that cannot be
                loaded.
            RunError: the weights in memory are not the checkpoint's.
        """
        place = resolve_device(device)
        loaded = load_checkpoint(
            name_or_path,
            device=place,
            dtype=resolve_dtype(dtype, place),
            offline=offline,
            spread=str(device).strip().lower() == "balanced",
        )
        return cls(
            loaded.model,
            loaded.tokenizer,
            id=loaded.id,
            revision=loaded.revision,
            batch_tokens=batch_tokens,
            chat_template=chat_template,
        )

    @cached_property
    def embedding_norm(self) -> float:
        """The mean L2 norm of the input embeddings over the vocabulary, in float32.

        The scale at which a soft vector looks like a token: 539.9738 in the released Persona-Plug
        (ModelForPer.py), which fits FLAN-T5-XXL only.
        """
        return mean_embedding_norm(self.model)

    def trainable_copy(self) -> Any:
        """A deep copy of the model with gradients on, for methods that tune weights; this one stays frozen.

        Wrap it by `using` to generate with it.
        """
        return copy_model(self.model).requires_grad_(True)

    def twin(self) -> Any:
        """The model once more, around the very same weights in memory: something to put adapters into.

        This one does not get them, not even while they are trained. The twin's own weights are frozen, and
        whoever writes them writes this model's. Wrap it by `using` to generate with it.
        """
        return twin_model(self.model)

    def using(self, model: Any, bank: AdapterBank | None = None) -> LLM:
        """This LLM's interface around another model of the same vocabulary, such as a tuned copy.

        Its weights are left as they are, so that `loss` passes gradients to those that want them; it is set to
        evaluation mode. Token budget, chat template and listener are shared.

        Args:
            model: the other model.
            bank: adapters in that model, among which each request names its own.
        """
        return LLM(
            model,
            self.tokenizer,
            id=self.id,
            budget=self.budget,
            chat=self.chat,
            listener=self.listener,
            bank=bank,
        )
