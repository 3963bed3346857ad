"""From a hub name or a folder to a loaded language model and its tokenizer, or one line on why not."""

from __future__ import annotations

import copy
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import transformers
from huggingface_hub import errors as hub_errors
from huggingface_hub import utils as hub_utils
from safetensors import SafetensorError
from transformers.activations import NewGELUActivation

from lampbench.batching import is_out_of_memory
from lampbench.bounded_json import BadJson, read_json
from lampbench.errors import RequestError, RunError
from lampbench.identity import model_revision
from lampbench.verify import WEIGHT_FILES, verify_weights

VOCABULARY_FILES = ("tokenizer.json", "*.model", "*.spm", "vocab.*", "tekken.json")


@dataclass(frozen=True)
class Checkpoint:
    """A loaded language model.

    Attributes:
        model: the model with its language-modelling head, in evaluation mode.
        tokenizer: its tokenizer, which truncates on the right.
        id: the hub name, or the name of the folder.
        revision: see `lampbench.identity.model_revision`.
    """

    model: Any
    tokenizer: Any
    id: str
    revision: str | None


def load_checkpoint(
    name_or_path: str | Path, *, device: torch.device, dtype: torch.dtype, offline: bool, spread: bool = False
) -> Checkpoint:
    """Load a language model, encoder-decoder or decoder-only, and its tokenizer.

    Args:
        name_or_path: a hub name or a folder.
        device: where the weights go.
        dtype: their precision.
        offline: use what is on disk only; also when HF_HUB_OFFLINE is set.
        spread: spread the layers over all GPUs (accelerate's "balanced" map) instead of `device`.

    Raises:
        RequestError: there is no such model, or it cannot be loaded; says which and why.
        RunError: the head or the input embeddings of the loaded model are not those of the checkpoint.
    """
    name = str(name_or_path)
    folder = _folder(name)
    offline = offline or os.environ.get("HF_HUB_OFFLINE", "0").upper() in {"1", "ON", "YES", "TRUE"}
    if folder is not None:
        _check_files(folder)
    source = str(folder) if folder is not None else name
    common: dict[str, Any] = {"local_files_only": offline or folder is not None, "trust_remote_code": False}
    # Straight to the GPU: a model that fits there need not fit into the memory of the machine.
    place: dict[str, Any] = {}
    if spread:
        place = {"device_map": "balanced"}
    elif device.type == "cuda":
        place = {"device_map": {"": device}}
    with quiet_transformers():
        config = _read(name, folder, offline, "configuration", transformers.AutoConfig, source, common)
        tokenizer = _read(name, folder, offline, "tokenizer", transformers.AutoTokenizer, source, common)
        kind: Any = transformers.AutoModelForSeq2SeqLM
        if not config.is_encoder_decoder:
            kind = transformers.AutoModelForCausalLM
        # Weights of another shape are reported below: with the names that transformers only prints.
        options = {"config": config, "dtype": dtype, "output_loading_info": True, **place, **common}
        options["ignore_mismatched_sizes"] = True
        model, info = _read(name, folder, offline, "weights", kind, source, options)
    _check_complete(name, model, info)
    if any(p.is_meta for p in model.parameters()):
        raise RequestError(f"LLM '{name}' does not fit into the GPUs of this machine together")
    _fuse_gelu(model)
    if not place:
        model.to(device)
    revision = model_revision(name)
    verify_weights(model, name, folder, revision if folder is None else None)
    tokenizer.truncation_side = "right"
    if tokenizer.vocab_size > (rows := model.get_input_embeddings().weight.shape[0]):
        raise RequestError(
            f"LLM '{name}': its tokenizer knows {tokenizer.vocab_size} tokens and its embeddings {rows}: the "
            "tokenizer belongs to another model"
        )
    if not tokenizer("lamp", add_special_tokens=False)["input_ids"]:
        # transformers 5 rebuilds some tokenizers around the vocabulary alone; that may not fit the file.
        raise RequestError(
            f"LLM '{name}': its tokenizer, a {type(tokenizer).__name__}, finds no token in a text"
        )
    return Checkpoint(
        model.eval(),
        tokenizer,
        id=folder.resolve().name if folder is not None else name,
        revision=revision,
    )


def _fuse_gelu(model: torch.nn.Module) -> None:
    """Have torch compute the tanh form of GELU in one operation, in place.

    transformers writes it out in eight for T5 v1.1 and GPT-2, and autograd keeps what each of them returns. The
    numbers are the same up to rounding. A training step through the embedded LLM alone takes 14 % less time on
    one thread; PPlug on two threads went from 5.9 to 6.1 steps a second.
    """
    for module in list(model.modules()):
        for name, child in module.named_children():
            if isinstance(child, NewGELUActivation):
                setattr(module, name, torch.nn.GELU(approximate="tanh"))


def _read(
    name: str, folder: Path | None, offline: bool, what: str, kind: Any, source: str, options: dict[str, Any]
) -> Any:
    """What `kind.from_pretrained` returns; failures are told in one line."""
    try:
        return kind.from_pretrained(source, **options)
    # Anything at all: libraries below transformers raise bare Exceptions on damaged files.
    except Exception as error:
        if is_out_of_memory(error):
            raise RunError(
                f"LLM '{name}' does not fit into memory: use --dtype bf16, --device balanced or a smaller LLM"
            ) from error
        raise RequestError(_why(name, folder, offline, what, error)) from error


def _check_complete(name: str, model: Any, info: dict[str, Any]) -> None:
    """transformers fills weights that are absent, or of another shape, with random numbers."""
    absent = set(info["missing_keys"])
    # A matrix that several modules share is stored under one of its names, and buffers are computed.
    loaded = {id(p) for n, p in model.named_parameters(remove_duplicate=False) if n not in absent}
    parameters = model.named_parameters(remove_duplicate=False)
    missing = sorted(n for n, p in parameters if n in absent and id(p) not in loaded)
    if missing:
        more = f" and {len(missing) - 3} more" if len(missing) > 3 else ""
        raise RequestError(
            f"LLM '{name}' is no complete language model: its weights lack {', '.join(missing[:3])}{more}"
        )
    for entry in info["mismatched_keys"]:
        # Names, or names with shapes: versions of transformers differ.
        key = entry if isinstance(entry, str) else entry[0]
        raise RequestError(
            f"LLM '{name}': {key} has another shape in the weights than config.json says: they belong to "
            "different models"
        )


def copy_model(model: Any) -> Any:
    """A deep copy of `model`, with weights of its own and head and embeddings as in the original.

    Raises:
        RunError: the copy's head or embeddings differ from the original's.
    """
    twin = copy.deepcopy(model)
    for what in ("get_input_embeddings", "get_output_embeddings"):
        mine, other = getattr(model, what)(), getattr(twin, what)()
        if mine is not None and not torch.equal(mine.weight, other.weight):
            raise RunError(f"the copy of {type(model).__name__} lost its {what.removeprefix('get_')}")
    return twin


def twin_model(model: Any) -> Any:
    """A module tree of its own around the very weights of `model`: no second copy of them in memory.

    What is put into the twin, such as adapters, does not touch the original. Its weights must not be written.
    """
    # deepcopy takes what its memo holds for a copy. The flags of a Parameter (requires_grad, grad) are not
    # shared, the numbers are; one that two modules share stays one.
    shared = {id(p): torch.nn.Parameter(p.detach(), requires_grad=False) for p in model.parameters()}
    return copy.deepcopy(model, shared)


def save_model(model: Any, tokenizer: Any, folder: Path) -> None:
    """Write `model` and `tokenizer` to `folder`, such that `load_checkpoint` reads back the same weights."""
    with quiet_transformers():
        model.save_pretrained(folder)
        tokenizer.save_pretrained(folder)


@contextmanager
def quiet_transformers() -> Iterator[None]:
    """Without transformers' loading bars and warnings; the hub's download bars stay. Restores what was."""
    log = transformers.utils.logging
    level, bars = log.get_verbosity(), log.is_progress_bar_enabled()
    downloads = not hub_utils.are_progress_bars_disabled()
    log.set_verbosity_error()
    log.disable_progress_bar()
    if downloads:
        hub_utils.enable_progress_bars()
    try:
        yield
    finally:
        log.set_verbosity(level)
        if bars:
            log.enable_progress_bar()
        if not downloads:
            hub_utils.disable_progress_bars()


def _folder(name: str) -> Path | None:
    """The folder that `name` means; None if it is a hub name."""
    path = Path(name).expanduser()
    if path.is_dir():
        return path
    if path.is_file():
        raise RequestError(f"LLM '{name}' is a file: name the folder that holds config.json and the weights")
    if path.is_absolute() or name.startswith((".", "~")) or name.count("/") > 1 or "\\" in name:
        raise RequestError(f"LLM '{name}': there is no such folder")
    return None


def _check_files(folder: Path) -> None:
    """What transformers reports badly, or not at all, when a file is absent or broken."""
    if not (folder / "config.json").is_file():
        raise RequestError(f"LLM folder '{folder}' has no config.json: it is not a saved model")
    _read_json(folder / "config.json")
    if not any((folder / file).is_file() for file in WEIGHT_FILES):
        raise RequestError(f"LLM folder '{folder}' has no weights: expected model.safetensors")
    # Without a vocabulary transformers may make an empty tokenizer. ByT5 reads bytes and has none.
    if not any(True for kind in VOCABULARY_FILES for _ in folder.glob(kind)):
        config = folder / "tokenizer_config.json"
        if not config.is_file() or _read_json(config).get("tokenizer_class") != "ByT5Tokenizer":
            raise RequestError(f"LLM folder '{folder}' has no tokenizer: expected tokenizer.json")


def _read_json(path: Path) -> dict[str, Any]:
    try:
        content = read_json(path)
    except (OSError, BadJson) as error:
        raise RequestError(f"LLM folder '{path.parent}': {path.name} is not valid JSON ({error})") from error
    if not isinstance(content, dict):
        raise RequestError(f"LLM folder '{path.parent}': {path.name} is not a JSON object")
    return content


def _why(name: str, folder: Path | None, offline: bool, what: str, error: BaseException) -> str:
    """One line on why `what` of a model cannot be read."""
    text = " ".join(str(error).split())
    reason = re.split(r"(?<=\w)\. ", text)[0][:300]
    if not isinstance(error, (OSError, ValueError)):
        reason = f"{type(error).__name__}: {reason}"
    if isinstance(error, SafetensorError):
        reason = f"a file is damaged or incomplete ({reason})"
    if text.startswith("Unrecognized configuration class"):
        reason = "config.json describes no encoder-decoder or decoder-only language model"
    if folder is not None:
        return f"LLM folder '{folder}': its {what} cannot be read: {reason}"
    causes: list[BaseException] = []
    cause: BaseException | None = error
    while cause is not None and cause not in causes:
        causes.append(cause)
        cause = cause.__cause__ or cause.__context__
    if any(isinstance(e, hub_errors.GatedRepoError) for e in causes):
        return (
            f"LLM '{name}': access must be requested on its page of the hub, then log in with `hf auth login`"
        )
    if any(isinstance(e, hub_errors.LocalEntryNotFoundError) for e in causes):
        if offline:
            return (
                f"LLM '{name}' is not on this machine and the run is offline: run once without --offline "
                "(and HF_HUB_OFFLINE), or name a folder"
            )
        return f"LLM '{name}' is not on this machine and the hub cannot be reached"
    if any(isinstance(e, (hub_errors.RepositoryNotFoundError, hub_errors.HFValidationError)) for e in causes):
        return f"LLM '{name}' is neither a folder nor a public model of the hub"
    return f"LLM '{name}': its {what} cannot be read: {reason}"
