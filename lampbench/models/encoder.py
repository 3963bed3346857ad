"""The text encoder: sentence-transformers models, frozen for embeddings or copied for training.

Any sentence-transformers model works, by hub name or folder; so do plain Hugging Face encoders, and the encoder
half of encoder-decoder models, whose pooling is known: a `1_Pooling/config.json` in the folder, or one of the
names in `lampbench.loading.encoder_parts.KNOWN_POOLING`. Vectors are the pooled last hidden state and are never
normalised here: Persona-Plug wants unit vectors (arXiv:2409.11901), Contriever does not (arXiv:2112.09118), so
each method says what it needs.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from lampbench.dtypes import autocast
from lampbench.errors import RequestError
from lampbench.files.folders import expanded
from lampbench.loading.devices import resolve_device, resolve_dtype
from lampbench.loading.encoder_parts import load_parts
from lampbench.loading.encoder_prompts import NO_PROMPTS, Prompts
from lampbench.loading.identity import known, model_revision
from lampbench.models.batching import TokenBudget
from lampbench.models.fingerprint import weights_fingerprint
from lampbench.models.requests import check_embedded

# Token positions of one batch, padding included: enough to keep the device busy, small enough for its caches
# (CPU) or its memory (GPU, a few GB for a base-sized model).
BATCH_TOKENS = {"cpu": 4_096, "cuda": 131_072}


class EncoderModule(nn.Module):
    """Texts to vectors: tokenizer, transformer, pooling. As a module it trains like any other.

    Attributes:
        transformer: the model that makes hidden states.
        pooling: the sentence-transformers module that pools them (no parameters).
        dim: size of a vector.
        max_length: tokens after which a text is cut.
    """

    def __init__(self, transformer: Any, tokenizer: Any, pooling: nn.Module, max_length: int) -> None:
        super().__init__()
        self.transformer = transformer
        self.tokenizer = tokenizer
        self.pooling = pooling
        self.max_length = max_length
        self.dim = _pooled_dim(pooling)

    def forward(self, texts: Sequence[str]) -> Tensor:
        """The vectors of `texts`, [n, dim], with gradients where the weights have them."""
        return self.embed(self.tokenize(texts))

    def tokenize(self, texts: Sequence[str]) -> list[list[int]]:
        """Token ids per text, special tokens included, cut at `max_length`.

        Raises:
            RequestError: a token has no embedding.
        """
        if not texts:
            return []
        encoded = self.tokenizer(
            list(texts), truncation=True, max_length=self.max_length, return_attention_mask=False
        )
        rows = self.transformer.get_input_embeddings().weight.shape[0]
        for ids in encoded["input_ids"]:
            check_embedded(ids, rows, self.tokenizer)
        return encoded["input_ids"]

    def embed(self, token_ids: Sequence[Sequence[int]]) -> Tensor:
        """The vectors of tokenized texts, [n, dim], in one batch padded to its longest text."""
        device = next(self.transformer.parameters()).device
        longest = max([1, *map(len, token_ids)])
        pad = self.tokenizer.pad_token_id or 0
        ids = torch.tensor([[*row, *[pad] * (longest - len(row))] for row in token_ids], dtype=torch.long)
        lengths = torch.tensor([len(row) for row in token_ids])
        mask = (torch.arange(longest) < lengths[:, None]).long()
        ids, mask = ids.reshape(-1, longest).to(device), mask.to(device)
        hidden = self.transformer(input_ids=ids, attention_mask=mask).last_hidden_state
        return self.pooling({"token_embeddings": hidden, "attention_mask": mask})["sentence_embedding"]


class TextEncoder:
    """A frozen encoder.

    Attributes:
        id: the hub name, or the name of the folder.
        revision: see `lampbench.loading.identity.model_revision`; of a tuned copy, with a hash of its weights.
        pooling: how hidden states are pooled: `cls`, `mean`, …
        prompts: what its authors put in front of queries and documents. `encode` does not: see `own_prompts`.
        dtype: the precision of the arithmetic; the weights stay float32, so that a trainable copy starts
            exactly.
        dim: size of a vector.
        max_length: tokens after which a text is cut.
        n_parameters: number of weights.
    """

    def __init__(
        self,
        module: EncoderModule,
        *,
        id: str,
        revision: str | None,
        dtype: torch.dtype,
        prompts: Prompts = NO_PROMPTS,
    ) -> None:
        self.module = module.eval().requires_grad_(False)
        self.id = id
        self.revision = revision
        self.dtype = dtype
        self.prompts = prompts
        self.pooling = _pooling_name(module.pooling)
        self.dim = module.dim
        self.max_length = module.max_length
        self.n_parameters = sum(p.numel() for p in module.transformer.parameters())
        self._budget = TokenBudget(BATCH_TOKENS.get(self.device.type, BATCH_TOKENS["cpu"]))

    @classmethod
    def load(
        cls, name_or_path: str | Path, *, device: str = "auto", dtype: str = "auto", offline: bool = False
    ) -> TextEncoder:
        """Load an encoder.

        Args:
            name_or_path: a hub name or a folder.
            device: `auto`, `cpu`, `cuda`, `cuda:1`, …
            dtype: precision of the arithmetic: `auto`, `float32`, `bfloat16`, `float16`.
            offline: use what is on disk only.

        Raises:
            RequestError: there is no such model, or it cannot be used: see `load_parts`.
        """
        name, place = str(expanded(name_or_path)), resolve_device(device)
        parts = load_parts(name, offline)
        module = EncoderModule(parts.transformer, parts.tokenizer, parts.pooling, parts.max_length)
        return cls(
            module.float().to(place),
            id=Path(name).resolve().name if Path(name).is_dir() else name,
            revision=model_revision(name),
            dtype=resolve_dtype(dtype, place),
            prompts=parts.prompts,
        )

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return next(self.module.parameters()).device

    def own_prompts(self) -> Prompts:
        """Its authors' prompts, for methods that put them in front of what they encode.

        Raises:
            RequestError: there are none, or they must be left out of the pooling, which is not done here.
        """
        if not self.prompts:
            raise RequestError(f"encoder '{self.id}' names no prompts: leave out prompts=true")
        if not getattr(self.module.pooling, "include_prompt", True):
            raise RequestError(f"encoder '{self.id}' pools without its prompts, which lampbench does not do")
        return self.prompts

    @torch.no_grad()
    def encode(
        self,
        texts: Sequence[str],
        *,
        batch_tokens: int | None = None,
        on_progress: Callable[[int, int], None] | None = None,
    ) -> Tensor:
        """The vectors of `texts`, float32 [n, dim] on the CPU, not normalised; each distinct text is encoded
        once.

        Args:
            texts: what to encode.
            batch_tokens: token positions per batch, padding included. By default what suits the device, and
                less after it ran out of memory.
            on_progress: called with (done, total) distinct texts after each batch.
        """
        rows: dict[str, int] = {}
        row_of_text = [rows.setdefault(text, len(rows)) for text in texts]
        token_ids = self.module.tokenize(list(rows))
        vectors = torch.empty(len(rows), self.dim)
        done = 0

        def embed(batch: list[int]) -> list[None]:
            nonlocal done
            with autocast(self.device, self.dtype):
                pooled = self.module.embed([token_ids[row] for row in batch])
            vectors[batch] = pooled.float().cpu()
            done += len(batch)
            if on_progress is not None:
                on_progress(done, len(rows))
            return [None] * len(batch)

        # Texts of like length share a batch. The longest come first, so that what does not fit shows at once.
        longest_first = sorted(range(len(rows)), key=lambda row: -len(token_ids[row]))
        budget = TokenBudget(batch_tokens) if batch_tokens else self._budget
        for _ in budget.run(longest_first, lambda row: max(1, len(token_ids[row])), embed):
            pass
        return vectors if len(rows) == len(texts) else vectors[row_of_text]

    def trainable_copy(self) -> EncoderModule:
        """A copy with weights of its own, in float32 and with gradients, for a method to train."""
        module = EncoderModule(
            copy.deepcopy(self.module.transformer),
            self.module.tokenizer,
            copy.deepcopy(self.module.pooling),
            self.max_length,
        )
        module.float().requires_grad_(True)
        # BERT's layer behind [CLS], a leftover of its pretraining, is no part of the vector.
        pooler = getattr(module.transformer, "pooler", None)
        if isinstance(pooler, nn.Module):
            pooler.requires_grad_(False)
        return module

    def using(self, module: EncoderModule) -> TextEncoder:
        """This encoder's interface around a tuned copy of it; vectors of its own, told apart by its weights.

        The copy is set to evaluation mode and otherwise left as it is.
        """
        other = copy.copy(self)
        other.module = module.eval()
        other.revision = f"{known(self.revision)}+{weights_fingerprint(module.transformer)[:16]}"
        return other


def _pooled_dim(pooling: Any) -> int:
    return int(pooling.pooling_output_dimension)


def _pooling_name(pooling: Any) -> str:
    mode = getattr(pooling, "pooling_mode", None) or pooling.get_pooling_mode_str()
    return mode if isinstance(mode, str) else "+".join(mode)
