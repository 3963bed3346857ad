"""The folder of a model: which one a name means, and what must lie in it, before any loader reads it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from lampbench.errors import RequestError
from lampbench.files.bounded_json import BadJson, read_json
from lampbench.files.folders import expanded

# In the order in which transformers looks for them.
WEIGHT_FILES = (
    "model.safetensors",
    "model.safetensors.index.json",
    "pytorch_model.bin",
    "pytorch_model.bin.index.json",
)
VOCABULARY_FILES = ("tokenizer.json", "*.model", "*.spm", "vocab.*", "tekken.json")
ADAPTER_CONFIG, ADAPTER_WEIGHTS = "adapter_config.json", "adapter_model.safetensors"


def find_folder(kind: str, name: str) -> Path | None:
    """The folder that `name` means; None if it is a hub name. `kind` is `LLM` or `encoder`.

    Raises:
        RequestError: it is a file, or a path to nothing.
    """
    path = expanded(name)
    if path.is_dir():
        return path
    if path.suffix == ".gguf":
        raise RequestError(_gguf(f"{kind} '{name}'"))
    if path.is_file():
        raise RequestError(
            f"{kind} '{name}' is a file: name the folder that holds config.json and the weights"
        )
    if path.is_absolute() or name.startswith((".", "~")) or name.count("/") > 1 or "\\" in name:
        raise RequestError(f"{kind} '{name}': there is no such folder")
    return None


def check_llm_folder(folder: Path) -> None:
    """What transformers reports badly, or not at all, when a file is absent or broken.

    Raises:
        RequestError: a file is.
    """
    has_weights = any((folder / file).is_file() for file in WEIGHT_FILES)
    if not has_weights and any(folder.glob("*.gguf")):
        raise RequestError(_gguf(f"LLM folder '{folder}'"))
    if not (folder / "config.json").is_file():
        raise RequestError(f"LLM folder '{folder}' has no config.json: it is not a saved model")
    read_object("LLM", folder / "config.json")
    if not has_weights:
        raise RequestError(f"LLM folder '{folder}' has no weights: expected model.safetensors")
    # Without a vocabulary transformers may make an empty tokenizer. ByT5 reads bytes and has none.
    if not has_vocabulary(folder):
        config = folder / "tokenizer_config.json"
        if not config.is_file() or read_object("LLM", config).get("tokenizer_class") != "ByT5Tokenizer":
            raise RequestError(f"LLM folder '{folder}' has no tokenizer: expected tokenizer.json")


def has_vocabulary(folder: Path) -> bool:
    """Whether a tokenizer lies in the folder."""
    return any(True for kind in VOCABULARY_FILES for _ in folder.glob(kind))


def read_object(kind: str, path: Path) -> dict[str, Any]:
    """A JSON object of a model's folder.

    Raises:
        RequestError: it is none.
    """
    try:
        content = read_json(path, finite=False)  # the library that writes them has infinite limits
    except (OSError, BadJson) as error:
        raise RequestError(
            f"{kind} folder '{path.parent}': {path.name} is not valid JSON ({error})"
        ) from error
    if not isinstance(content, dict):
        raise RequestError(f"{kind} folder '{path.parent}': {path.name} is not a JSON object")
    return content


def adapter_base(folder: Path) -> str | None:
    """The model that the adapter in `folder` was trained on: a folder or a hub name; None if it is no adapter.

    Raises:
        RequestError: the adapter does not say, its weights are missing, or the folder that it names is.
    """
    if not (folder / ADAPTER_CONFIG).is_file() or (folder / "config.json").is_file():
        return None
    base = read_object("LLM", folder / ADAPTER_CONFIG).get("base_model_name_or_path")
    if not isinstance(base, str) or not base:
        raise RequestError(
            f"{adapter_subject(folder)} and does not say of which model: {ADAPTER_CONFIG} has no "
            "base_model_name_or_path"
        )
    if not (folder / ADAPTER_WEIGHTS).is_file():
        raise RequestError(f"{adapter_subject(folder)} and has no weights: expected {ADAPTER_WEIGHTS}")
    for place in (expanded(base), folder / base):
        if not place.is_dir():
            continue
        if (place / ADAPTER_CONFIG).is_file() and not (place / "config.json").is_file():
            raise RequestError(
                f"{adapter_subject(folder)} for '{base}', which is an adapter too: merge that one first"
            )
        return str(place)
    if base.startswith(("/", ".", "~")) or base.count("/") > 1:
        raise RequestError(
            f"{adapter_subject(folder)} for '{base}', and there is no such folder: write where that model lies, or "
            f"its hub name, as base_model_name_or_path into {ADAPTER_CONFIG}"
        )
    return base


def adapter_subject(folder: Path) -> str:
    """How messages about an adapter begin."""
    return f"LLM folder '{folder}' is an adapter"


def _gguf(subject: str) -> str:
    return (
        f"{subject} holds GGUF weights, which llama.cpp reads and lampbench does not: name the model that they "
        "were made from (its config.json and safetensors)"
    )
