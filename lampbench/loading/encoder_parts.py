"""From a hub name or a folder to the parts of a text encoder, or one line on why not."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from lampbench.errors import LampbenchError, RequestError
from lampbench.files.bounded_json import BadJson, read_json
from lampbench.loading.checkpoint import quiet_transformers
from lampbench.loading.encoder_prompts import NO_PROMPTS, Prompts
from lampbench.loading.hub import hub_file, is_offline, left_alone, local_only
from lampbench.loading.load_errors import NO_FOREIGN_CODE, why
from lampbench.loading.model_folder import find_folder, read_object
from lampbench.loading.positions import learned_positions

# Pooling of encoders that are published without it, by hub name (also inside a path, as in the hub's cache).
KNOWN_POOLING = {
    r"BAAI(/|--)bge-": "cls",  # github.com/FlagOpen/FlagEmbedding: the hidden state of [CLS]
    r"facebook(/|--)contriever": "mean",  # github.com/facebookresearch/contriever: masked mean
    r"allenai(/|--)longformer-": "cls",  # arXiv:2404.05970 (RSPG): what stands at the first token
}


@dataclass(frozen=True)
class EncoderParts:
    """What an encoder is made of.

    Attributes:
        transformer: the model that makes hidden states.
        tokenizer: its tokenizer.
        pooling: the sentence-transformers module that pools them (no parameters).
        max_length: tokens after which a text is cut.
        prompts: what its authors put in front of a text.
    """

    transformer: Any
    tokenizer: Any
    pooling: Any
    max_length: int
    prompts: Prompts = NO_PROMPTS


def load_parts(name: str, offline: bool) -> EncoderParts:
    """Load an encoder on the CPU in float32.

    Args:
        name: a hub name or a folder.
        offline: use what is on disk only.

    Raises:
        RequestError: there is no such model, its pooling is unknown, something other than a normalisation
            follows its pooling, or it brings code of its own.
    """
    folder = find_folder("encoder", name)
    offline = is_offline(offline)
    source = _Source(name, folder, folder is not None or local_only(offline))
    try:
        with quiet_transformers(), _quiet_sentence_transformers(), left_alone(source.local):
            modules = source.file("modules.json")
            return _load_plain(source) if modules is None else _load_sentence_transformer(source, modules)
    except LampbenchError:
        raise
    # Anything at all: libraries below transformers raise bare Exceptions on damaged files.
    except Exception as error:
        raise RequestError(why("encoder", name, folder, offline, "files", error)) from error


@dataclass(frozen=True)
class _Source:
    """Where the files are."""

    name: str
    folder: Path | None
    local: bool  # ask no hub

    @property
    def path(self) -> str:
        return str(self.folder) if self.folder is not None else self.name

    def file(self, file: str) -> Path | None:
        """A file of the model; None if it has none (or, without a hub, none on disk)."""
        if self.folder is None:
            return hub_file(self.name, file, self.local)
        return self.folder / file if (self.folder / file).is_file() else None

    @property
    def options(self) -> dict[str, Any]:
        return {"local_files_only": self.local, "trust_remote_code": False}


def _load_sentence_transformer(source: _Source, modules: Path) -> EncoderParts:
    from huggingface_hub import constants
    from sentence_transformers import SentenceTransformer

    _check_modules(source.name, modules)
    model = SentenceTransformer(
        source.path,
        device="cpu",
        cache_folder=constants.HF_HUB_CACHE,  # not one of its own: the commit is looked up in this one
        model_kwargs={"dtype": torch.float32},
        **source.options,
    )
    transformer: Any = model[0].auto_model
    return EncoderParts(
        transformer,
        model.tokenizer,
        model[1],
        _max_length(model.max_seq_length, model.tokenizer, transformer),
        Prompts.of(model.prompts, model.default_prompt_name),
    )


def _check_modules(name: str, file: Path) -> None:
    """Look at the classes in modules.json before sentence-transformers imports them."""
    try:
        types = [str(entry["type"]) for entry in read_json(file)]
    except (OSError, BadJson, TypeError, KeyError) as error:
        raise RequestError(f"encoder '{name}': its modules.json is no list of modules ({error!r})") from error
    for kind in types:
        if not kind.startswith("sentence_transformers."):
            raise RequestError(f"encoder '{name}': its modules.json lists a {kind}: {NO_FOREIGN_CODE}")
    names = [kind.rpartition(".")[2] for kind in types]
    if names[:2] != ["Transformer", "Pooling"]:
        raise RequestError(
            f"encoder '{name}': its modules.json does not start with a Transformer and a Pooling"
        )
    for extra in names[2:]:
        if extra != "Normalize":
            raise RequestError(
                f"encoder '{name}': its modules.json lists a {extra} after the pooling; "
                "only encoders whose embedding is the pooled last hidden state can be used"
            )


def _load_plain(source: _Source) -> EncoderParts:
    from sentence_transformers.models import Pooling
    from transformers import AutoModel, AutoTokenizer

    mode = _plain_pooling(source)
    transformer = AutoModel.from_pretrained(source.path, dtype=torch.float32, **source.options)
    if transformer.config.is_encoder_decoder:
        transformer = transformer.get_encoder()
    tokenizer = AutoTokenizer.from_pretrained(source.path, **source.options)
    pooling = Pooling(transformer.config.hidden_size, pooling_mode=mode)
    return EncoderParts(transformer, tokenizer, pooling, _max_length(None, tokenizer, transformer))


def _plain_pooling(source: _Source) -> str:
    """The pooling of a model without modules.json: from its pooling file, or from its name."""
    name = source.name
    file = source.file("1_Pooling/config.json")
    if file is not None:
        config = read_object("encoder", file)
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
    if source.file("config.json") is None:
        wanted = "a folder with a config.json or a model of the hub"
        how = "that is on this machine" if source.local else "that can be reached"
        raise RequestError(f"encoder '{name}' is not {wanted} {how}")
    raise RequestError(
        f"encoder '{name}' does not say how it pools: write {{\"pooling_mode_cls_token\": true}} or "
        f'{{"pooling_mode_mean_tokens": true}} to {name}/1_Pooling/config.json'
    )


def _max_length(configured: int | None, tokenizer: Any, transformer: Any) -> int:
    named = getattr(transformer.config, "max_position_embeddings", None) or 512
    positions = named if named > 0 else 512  # XLNet: -1 for no limit
    table = learned_positions(transformer)
    return min(configured or positions, positions, tokenizer.model_max_length, table or positions)


@contextmanager
def _quiet_sentence_transformers() -> Iterator[None]:
    """Without its warning that prompts are applied by default: here they are not (see `TextEncoder.prompts`)."""
    log = logging.getLogger("sentence_transformers")
    level = log.level
    log.setLevel(logging.ERROR)
    try:
        yield
    finally:
        log.setLevel(level)
