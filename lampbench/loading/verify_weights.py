"""Proof that the model in memory is the one on disk.

transformers can replace weights without an error: version 5 forces `tie_word_embeddings=True` for the T5
family, although T5 1.1, FLAN-T5, mT5 and UMT5 have an output head of their own. `from_pretrained` keeps that
head, but `tie_weights` and `resize_token_embeddings` overwrite it by the input embeddings; neither is ever
called in lampbench. Every output after that is wrong.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
import transformers
from huggingface_hub import try_to_load_from_cache
from safetensors import safe_open
from torch import Tensor, nn

from lampbench.errors import RunError
from lampbench.loading.model_folder import WEIGHT_FILES


def verify_weights(model: Any, name: str, folder: Path | None, commit: str | None) -> None:
    """Compare head and input embeddings with the checkpoint; mark a model that has its own head as untied.

    The mark makes later calls of `tie_weights`, copies and saved files right as well. It also corrects UMT5,
    whose outputs transformers 5 scales as if its head were tied.

    Args:
        model: the loaded model.
        name: what it was asked for by, for messages.
        folder: where its files are; None for a hub model.
        commit: the commit of a hub model.

    Raises:
        RunError: they differ, or the checkpoint's files are not found.
    """
    if getattr(model, "hf_quantizer", None) is not None:
        return  # quantized on load: not comparable by value
    files = _Weights(name, folder, commit)
    inputs, head = model.get_input_embeddings(), model.get_output_embeddings()
    head_names = _names(model, head.weight, within=head) if head is not None else []
    input_names = [n for n in _names(model, inputs.weight) if n not in head_names]
    for what, module, names in (("input embeddings", inputs, input_names), ("output head", head, head_names)):
        if module is None:
            continue
        key = files.find(names)
        tied = module is head and head.weight is inputs.weight
        # In the T5 family `tie_word_embeddings: false` says that outputs are not scaled, no more: a file without
        # a head is of a tied model. Elsewhere a head that is promised and absent has been found missing before.
        if key is None and tied:
            continue
        if not (files.equal(key, module.weight) if key else files.holds(module.weight)):
            raise RunError(
                f"LLM '{name}': the {what} in memory and in the checkpoint ({key or names[0]}) differ: "
                f"transformers {transformers.__version__} replaced them on loading; try another version of it"
            )
        if module is head and not tied:
            model.config.tie_word_embeddings = False


def _names(model: nn.Module, weight: Tensor, within: nn.Module | None = None) -> list[str]:
    """The names under which the model knows `weight` (as the weight of the module `within` only)."""
    if within is None:
        return [n for n, p in model.named_parameters(remove_duplicate=False) if p is weight]
    return [f"{n}.weight" for n, m in model.named_modules(remove_duplicate=False) if m is within]


class _Weights:
    """The tensors of a checkpoint on disk, read by name and in slices."""

    def __init__(self, name: str, folder: Path | None, commit: str | None) -> None:
        self._name, self._folder, self._commit = name, folder, commit
        self._file_of: dict[str, Path] = {}
        for file in WEIGHT_FILES:
            path = self._path(file)
            if path is None:
                continue
            if file.endswith(".index.json"):
                shards = json.loads(path.read_text(encoding="utf-8"))["weight_map"]
                found = {key: self._path(shard) for key, shard in shards.items()}
                self._file_of = {key: shard for key, shard in found.items() if shard is not None}
            elif path.suffix == ".safetensors":
                with safe_open(path, "pt") as tensors:
                    self._file_of = dict.fromkeys(tensors.keys(), path)
            else:
                self._file_of = dict.fromkeys(_load_bin(path), path)
            return
        raise RunError(f"LLM '{name}': its weight files are not found, so that its head cannot be verified")

    def _path(self, file: str) -> Path | None:
        if self._folder is not None:
            path = self._folder / file
            return path if path.is_file() else None
        cached = try_to_load_from_cache(self._name, file, revision=self._commit)
        return Path(cached) if isinstance(cached, str) else None

    def find(self, names: list[str]) -> str | None:
        """The checkpoint's key for a tensor that the model calls by one of `names`.

        Checkpoints saved from the model without its head lack the first part of the name; those saved from a
        larger model have one more.
        """
        for name in names:
            if name in self._file_of:
                return name
        for name in names:
            for key in self._file_of:
                if key.endswith(f".{name}") or ("." in key and name.endswith(f".{key}")):
                    return key
        return None

    def holds(self, weight: Tensor) -> bool:
        """Whether `weight` is there under any name; transformers has renamed the head of GPT-NeoX."""
        return any(self.equal(key, weight) for key in self._file_of)

    def equal(self, key: str, weight: Tensor, rows: int = 8192) -> bool:
        """Whether the tensor `key`, in the precision of `weight`, is `weight`; read `rows` rows at a time."""
        path = self._file_of[key]
        if path.suffix != ".safetensors":
            stored = _load_bin(path)[key]
            return stored.shape == weight.shape and torch.equal(stored.to(weight.dtype), weight.cpu())
        with safe_open(path, "pt") as tensors:
            part = tensors.get_slice(key)
            if list(part.get_shape()) != list(weight.shape):
                return False
            return all(
                torch.equal(part[i : i + rows].to(weight.dtype), weight[i : i + rows].cpu())
                for i in range(0, weight.shape[0], rows)
            )


def _load_bin(path: Path) -> dict[str, Tensor]:
    try:
        return torch.load(path, map_location="cpu", mmap=True, weights_only=True)
    except RuntimeError:  # files of torch before 1.6 cannot be mapped
        return torch.load(path, map_location="cpu", weights_only=True)
