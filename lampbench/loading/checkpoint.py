"""From a hub name or a folder to a loaded language model and its tokenizer, or one line on why not."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import transformers
from huggingface_hub import utils as hub_utils
from transformers.activations import NewGELUActivation

from lampbench.errors import RequestError, RunError
from lampbench.loading.devices import is_out_of_memory
from lampbench.loading.hub import is_offline, left_alone, local_only
from lampbench.loading.identity import model_revision
from lampbench.loading.load_errors import why
from lampbench.loading.model_folder import (
    adapter_base,
    adapter_subject,
    check_llm_folder,
    find_folder,
    has_vocabulary,
)
from lampbench.loading.peft_folder import merge_adapter
from lampbench.loading.verify_weights import verify_weights


@dataclass(frozen=True)
class Checkpoint:
    """A loaded language model.

    Attributes:
        model: the model with its language-modelling head, in evaluation mode.
        tokenizer: its tokenizer, which truncates on the right.
        id: the hub name, or the name of the folder.
        revision: see `lampbench.loading.identity.model_revision`.
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
    folder = find_folder("LLM", name)
    if folder is not None and (base := adapter_base(folder)) is not None:
        try:
            below = load_checkpoint(base, device=device, dtype=dtype, offline=offline, spread=spread)
        except RequestError as error:
            raise RequestError(f"{adapter_subject(folder)} for '{base}': {error}") from error
        return _with_adapter(folder, below)
    if folder is not None:
        check_llm_folder(folder)
    offline = is_offline(offline)
    source = str(folder) if folder is not None else name
    local = folder is not None or local_only(offline)
    common: dict[str, Any] = {"local_files_only": local, "trust_remote_code": False}
    # Straight to the GPU: a model that fits there need not fit into the memory of the machine.
    place: dict[str, Any] = {}
    if spread:
        place = {"device_map": "balanced"}
    elif device.type == "cuda":
        place = {"device_map": {"": device}}
    with quiet_transformers(), left_alone(local):
        config = _read(name, folder, offline, "configuration", transformers.AutoConfig, source, common)
        tokenizer = _read(name, folder, offline, "tokenizer", transformers.AutoTokenizer, source, common)
        model = _read_model(name, folder, offline, config, source, {"dtype": dtype, **place, **common})
    if any(p.is_meta for p in model.parameters()):
        raise RequestError(f"LLM '{name}' does not fit into the GPUs of this machine together")
    _fuse_gelu(model)
    if not place:
        model.to(device)
    revision = model_revision(name)
    verify_weights(model, name, folder, revision if folder is None else None)
    tokenizer.truncation_side = "right"
    _check_tokenizer(name, tokenizer, model)
    return Checkpoint(
        model.eval(),
        tokenizer,
        id=folder.resolve().name if folder is not None else name,
        revision=revision,
    )


def _with_adapter(folder: Path, base: Checkpoint) -> Checkpoint:
    """The adapter in `folder` merged into the model that it was trained on, with its own tokenizer if it has one."""
    with quiet_transformers(), left_alone():
        model = merge_adapter(folder, base.model)
        tokenizer = base.tokenizer
        if has_vocabulary(folder):
            options = {"local_files_only": True, "trust_remote_code": False}
            tokenizer = _read(
                str(folder), folder, True, "tokenizer", transformers.AutoTokenizer, str(folder), options
            )
            tokenizer.truncation_side = "right"
            _check_tokenizer(str(folder), tokenizer, model)
    return Checkpoint(model, tokenizer, id=folder.resolve().name, revision=model_revision(folder))


def _text_half(config: Any) -> tuple[Any, dict[str, str] | None]:
    """Of a model that sees as well, the language model within: its configuration, and where its weights are.

    Gemma 3 and its like are made of a tower for pictures and a language model. The whole takes no soft vectors,
    and the tower would be counted and hold memory for nothing.
    """
    text = config.get_text_config()
    if text is config or type(text) not in transformers.MODEL_FOR_CAUSAL_LM_MAPPING:
        return config, None
    text.tie_word_embeddings = config.tie_word_embeddings
    # As files of the hub name them, and as transformers 5 does.
    return text, {r"^language_model\.": "", r"^model\.language_model\.": "model."}


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
        raise RequestError(why("LLM", name, folder, offline, what, error)) from error


def _read_model(
    name: str, folder: Path | None, offline: bool, config: Any, source: str, options: dict[str, Any]
) -> Any:
    """The language model that `config` describes, or that is within it, with all of its weights."""
    options = {**options, "output_loading_info": True}
    # Weights of another shape are reported below: with the names that transformers only prints.
    options["ignore_mismatched_sizes"] = True
    kind: Any = transformers.AutoModelForSeq2SeqLM
    if not config.is_encoder_decoder:
        kind = transformers.AutoModelForCausalLM
        config, options["key_mapping"] = _text_half(config)
    model, info = _read(name, folder, offline, "weights", kind, source, {"config": config, **options})
    if options.get("key_mapping"):
        model._weight_conversions = None  # or it would be saved under the names of the whole
    _check_complete(name, model, info)
    return model


def _check_tokenizer(name: str, tokenizer: Any, model: Any) -> None:
    """A tokenizer of another model is found now, and not by what it does to texts."""
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
