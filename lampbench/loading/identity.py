"""What a model is: the content of its folder or the commit of its hub snapshot, and who computes with it.

One identity for LLM, encoder and retriever. Records, the keys of runs and fits, of the LLM's answers and of
embeddings all take it from here, so that none of them takes one model for another.

A folder counts in full: whatever a loader may read. What counts in vain costs a run that is made again; what was
left out would go on giving the answers of another model.
"""

from __future__ import annotations

import hashlib
import os
import uuid
from collections.abc import Callable, Iterator
from fnmatch import fnmatch
from functools import cache
from importlib import metadata
from pathlib import Path

from lampbench.errors import RequestError
from lampbench.files.folders import expanded
from lampbench.files.remembered_hashes import file_hashes
from lampbench.loading.model_folder import adapter_base

# What no loader reads: texts for people, what a training left beside the weights, earlier states of it.
IGNORED_FILES = (
    *("README*", "LICENSE*", "NOTICE*", "*.md", "*.log", "events.out.tfevents.*"),
    *("optimizer.*", "scheduler.*", "scaler.pt", "rng_state*", "trainer_state.json", "training_args.bin"),
)
IGNORED_FOLDERS = ("checkpoint-*", "global_step*", "runs", "__pycache__")

LIBRARIES = ("torch", "transformers", "tokenizers")
ENCODER_LIBRARIES = (*LIBRARIES, "sentence-transformers")
METHOD_LIBRARIES = ("numpy", "peft", "rank-bm25", "rouge-score")  # draw, rank, train and score

# The embedded models have kept the revisions that records knew them by before the whole of a folder counted.
FORMER = {
    "sha256:2fecf109844b7169675b8b7ad9736501607f460d3c609d03ef8b2af78faa92eb": "sha256:b67064db0e9cbf69",  # mini-t5
    "sha256:44b3683ae4e1cb154e89fd7f1ceb956f9a1cda647c0c171d0be36cd942fab563": "sha256:8c0b5ec1f53d2872",  # mini-bert
}

_PROCESS = uuid.uuid4().hex


def model_revision(name: str | Path, on_progress: Callable[[int], object] | None = None) -> str | None:
    """What tells this model from others of its name.

    Args:
        name: a folder or a hub name.
        on_progress: called with the megabytes that have been read so far.

    Returns:
        `sha256:` and a hash of all that the folder holds, and for an adapter of the model below it; of a hub
        model the commit of the snapshot on this machine. None if that, or the model below, is not there.

    Raises:
        RequestError: a file of the folder cannot be read.
    """
    folder = expanded(name)
    if not folder.is_dir():
        return hub_commit(str(name))
    try:
        content = folder_content(folder, on_progress)
    except OSError as error:
        raise RequestError(
            f"model folder '{folder}': {error.filename or 'a file'}: {error.strerror}"
        ) from error
    base = adapter_base(folder)
    if base is not None:  # an adapter is loaded on another model
        below = model_revision(base, on_progress)
        if below is None:
            return None
        content = f"sha256:{hashlib.sha256(f'{content} on {below}'.encode()).hexdigest()}"
    return FORMER.get(content, content)


def known(revision: str | None) -> str:
    """The revision as keys take it. One that is not known is nobody's: no other process has the same key."""
    return revision or f"unknown-{_PROCESS}"


def folder_content(folder: Path, on_progress: Callable[[int], object] | None = None) -> str:
    """`sha256:` and a hash of the names and the content of all files that count, wherever the folder lies."""
    names = sorted(_counting(folder))
    hasher = hashlib.sha256()
    for name, content in zip(names, file_hashes((folder / name for name in names), on_progress), strict=True):
        hasher.update(os.fsencode(name) + f"\0{content}\n".encode("ascii"))
    return f"sha256:{hasher.hexdigest()}"


def hub_commit(name: str) -> str | None:
    """The commit of the snapshot of a hub model that is on this machine; None if there is none.

    It is told by the place of the files: transformers 5 no longer keeps it in the configuration.
    """
    from huggingface_hub import try_to_load_from_cache

    for file in ("config.json", "modules.json"):  # old encoders have only the second at the top
        try:
            found = try_to_load_from_cache(name, file)
        except ValueError:  # no name that the hub could have
            return None
        if isinstance(found, str):
            return Path(found).parent.name  # of the link: what it leads to lies among the blobs
    return None


def library_versions(*names: str) -> dict[str, str]:
    """The versions of those that are installed."""
    return {name: version for name in names if (version := _version(name)) is not None}


@cache
def _version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def _counting(folder: Path, above: tuple[Path, ...] = ()) -> Iterator[str]:
    """The files that count, by their place in the folder, with `/`; links are followed, but not in circles."""
    above = (*above, folder.resolve())
    for entry in os.scandir(folder):
        name, path = entry.name, Path(entry.path)
        if name.startswith("."):
            continue
        if path.is_dir():
            if path.resolve() not in above and not any(fnmatch(name, kind) for kind in IGNORED_FOLDERS):
                yield from (f"{name}/{below}" for below in _counting(path, above))
        elif path.is_file() and not any(fnmatch(name, kind) for kind in IGNORED_FILES):
            yield name
