"""The text encoder: sentence-transformers models, frozen for embeddings or copied for training.

Any sentence-transformers model works, by hub name or folder; so do plain Hugging Face encoders, and the encoder
half of encoder-decoder models, whose pooling is known: a `1_Pooling/config.json` in the folder, or one of the
names in `KNOWN_POOLING`. Vectors are the pooled last hidden state and are never normalised here: Persona-Plug
wants unit vectors (arXiv:2409.11901), Contriever does not (arXiv:2112.09118), so each method says what it needs.
"""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from lampbench.batching import TokenBudget
from lampbench.checkpoint import quiet_transformers
from lampbench.devices import resolve_device, resolve_dtype
from lampbench.errors import RequestError
from lampbench.frozen import weights_fingerprint
from lampbench.identity import known, model_revision

# Pooling of encoders that are published without it, by hub name (also inside a path, as in the hub's cache).
KNOWN_POOLING = {
    r"BAAI(/|--)bge-": "cls",  # github.com/FlagOpen/FlagEmbedding: the hidden state of [CLS]
    r"facebook(/|--)contriever": "mean",  # github.com/facebookresearch/contriever: masked mean
    r"allenai(/|--)longformer-": "cls",  # arXiv:2404.05970 (RSPG): what stands at the first token
}

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

    def __init__(self, transformer: nn.Module, tokenizer: Any, pooling: nn.Module, max_length: int) -> None:
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
        """Token ids per text, special tokens included, cut at `max_length`."""
        if not texts:
            return []
        encoded = self.tokenizer(
            list(texts), truncation=True, max_length=self.max_length, return_attention_mask=False
        )
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
        revision: see `lampbench.identity.model_revision`; of a tuned copy, with a hash of its weights.
        pooling: how hidden states are pooled: `cls`, `mean`, …
        dtype: the precision of the arithmetic; the weights stay float32, so that a trainable copy starts
            exactly.
        dim: size of a vector.
        max_length: tokens after which a text is cut.
        n_parameters: number of weights.
    """

    def __init__(self, module: EncoderModule, *, id: str, revision: str | None, dtype: torch.dtype) -> None:
        self.module = module.eval().requires_grad_(False)
        self.id = id
        self.revision = revision
        self.dtype = dtype
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
            RequestError: there is no such model, its pooling is unknown, or something other than a
                normalisation follows its pooling.
        """
        name, place = str(Path(name_or_path).expanduser()), resolve_device(device)
        try:
            with quiet_transformers():
                if _file(name, "modules.json", offline) is not None:
                    module = _load_sentence_transformer(name, offline)
                else:
                    module = _load_plain(name, offline)
        except (OSError, ValueError) as error:
            where = "on this machine (offline)" if offline else "as a folder or on the hub"
            reason = str(error).strip().partition("\n")[0]
            raise RequestError(f"encoder '{name}' cannot be loaded {where}: {reason}") from error
        return cls(
            module.float().to(place),
            id=Path(name).resolve().name if Path(name).is_dir() else name,
            revision=model_revision(name),
            dtype=resolve_dtype(dtype, place),
        )

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return next(self.module.parameters()).device

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
            with torch.autocast(self.device.type, self.dtype, enabled=self.dtype != torch.float32):
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


# --- loading


def _load_sentence_transformer(name: str, offline: bool) -> EncoderModule:
    from huggingface_hub import constants
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.models import Normalize, Pooling

    model = SentenceTransformer(
        name,
        device="cpu",
        cache_folder=constants.HF_HUB_CACHE,  # not one of its own: the commit is looked up in this one
        local_files_only=offline,
        model_kwargs={"dtype": torch.float32},
    )
    modules = list(model)
    if len(modules) < 2 or not hasattr(modules[0], "auto_model") or not isinstance(modules[1], Pooling):
        raise RequestError(
            f"encoder '{name}': its modules.json does not start with a Transformer and a Pooling"
        )
    for extra in modules[2:]:
        if not isinstance(extra, Normalize):
            raise RequestError(
                f"encoder '{name}': its modules.json lists a {type(extra).__name__} after the pooling; "
                "only encoders whose embedding is the pooled last hidden state can be used"
            )
    transformer: Any = modules[0].auto_model
    tokenizer = model.tokenizer
    return EncoderModule(
        transformer, tokenizer, modules[1], _max_length(model.max_seq_length, tokenizer, transformer)
    )


def _load_plain(name: str, offline: bool) -> EncoderModule:
    from sentence_transformers.models import Pooling
    from transformers import AutoModel, AutoTokenizer

    mode = _plain_pooling(name, offline)
    transformer = AutoModel.from_pretrained(name, local_files_only=offline, dtype=torch.float32)
    if transformer.config.is_encoder_decoder:
        transformer = transformer.get_encoder()
    tokenizer = AutoTokenizer.from_pretrained(name, local_files_only=offline)
    pooling = Pooling(transformer.config.hidden_size, pooling_mode=mode)
    return EncoderModule(transformer, tokenizer, pooling, _max_length(None, tokenizer, transformer))


def _plain_pooling(name: str, offline: bool) -> str:
    """The pooling of a model without modules.json: from its pooling file, or from its name."""
    file = _file(name, "1_Pooling/config.json", offline)
    if file is not None:
        config = json.loads(file.read_text(encoding="utf-8"))
        # One flag per mode in files of sentence-transformers 5 and before, the name of the mode since.
        flags = {"pooling_mode_cls_token": "cls", "pooling_mode_mean_tokens": "mean"}
        modes = [config["pooling_mode"]] if "pooling_mode" in config else []
        modes = modes or [mode for flag, mode in flags.items() if config.get(flag)]
        if modes not in (["cls"], ["mean"]):
            raise RequestError(f"encoder '{name}': 1_Pooling/config.json must choose cls or mean pooling")
        return modes[0]
    for pattern, mode in KNOWN_POOLING.items():
        if re.search(rf"(^|/|--){pattern}", name):
            return mode
    if _file(name, "config.json", offline) is None:
        wanted = "a folder with a config.json or a model of the hub"
        how = "that is on this machine (offline)" if offline else "that can be reached"
        raise RequestError(f"encoder '{name}' is not {wanted} {how}")
    raise RequestError(
        f"encoder '{name}' does not say how it pools: write {{\"pooling_mode_cls_token\": true}} or "
        f'{{"pooling_mode_mean_tokens": true}} to {name}/1_Pooling/config.json'
    )


def _file(name: str, file: str, offline: bool) -> Path | None:
    """A file of a folder or of a hub repository; None if it has none (offline: none on disk)."""
    if Path(name).is_dir():
        path = Path(name) / file
        return path if path.is_file() else None
    from huggingface_hub import hf_hub_download
    from huggingface_hub.errors import EntryNotFoundError, HFValidationError

    try:
        return Path(hf_hub_download(name, file, local_files_only=offline))
    except (EntryNotFoundError, HFValidationError):
        return None


def _max_length(configured: int | None, tokenizer: Any, transformer: Any) -> int:
    positions = getattr(transformer.config, "max_position_embeddings", None) or 512
    return min(configured or positions, positions, tokenizer.model_max_length)


def _pooled_dim(pooling: Any) -> int:
    return int(pooling.pooling_output_dimension)


def _pooling_name(pooling: Any) -> str:
    mode = getattr(pooling, "pooling_mode", None) or pooling.get_pooling_mode_str()
    return mode if isinstance(mode, str) else "+".join(mode)
