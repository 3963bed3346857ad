"""Why a model cannot be loaded, in one line: what transformers and the hub raise, told in the user's terms."""

from __future__ import annotations

import pickle
import re
from pathlib import Path

from huggingface_hub import errors as hub_errors
from safetensors import SafetensorError

NO_FOREIGN_CODE = (
    "it brings program code of its own, and lampbench runs no code that comes with a model: "
    "use a model whose architecture transformers knows"
)


def why(kind: str, name: str, folder: Path | None, offline: bool, what: str, error: BaseException) -> str:
    """One line on why `what` of a model cannot be read.

    Args:
        kind: `LLM` or `encoder`.
        name: what the model was asked for by.
        folder: where it lies; None for a model of the hub.
        offline: whether the hub was left alone because that was asked for.
        what: the part of it: `configuration`, `tokenizer`, `weights`, ….
        error: what its loader raised.
    """
    subject = f"{kind} folder '{folder}'" if folder is not None else f"{kind} '{name}'"
    text = " ".join(str(error).split())
    if "trust_remote_code" in text:
        return f"{subject} cannot be used: {NO_FOREIGN_CODE}"
    if folder is not None:
        return f"{subject}: its {what} cannot be read: {_reason(error, text)}"
    causes = _causes(error)
    if any(isinstance(e, hub_errors.GatedRepoError) for e in causes):
        return f"{subject}: access must be requested on its page of the hub, then log in with `hf auth login`"
    if any(
        isinstance(e, (hub_errors.LocalEntryNotFoundError, hub_errors.OfflineModeIsEnabled)) for e in causes
    ):
        if offline:
            return (
                f"{subject} is not on this machine and the run is offline: run once without --offline "
                "(and HF_HUB_OFFLINE), or name a folder"
            )
        return f"{subject} is not on this machine and the hub cannot be reached"
    if any(isinstance(e, (hub_errors.RepositoryNotFoundError, hub_errors.HFValidationError)) for e in causes):
        return f"{subject} is neither a folder nor a public model of the hub"
    return f"{subject}: its {what} cannot be read: {_reason(error, text)}"


def _reason(error: BaseException, text: str) -> str:
    """The first sentence of what was raised."""
    if isinstance(error, pickle.UnpicklingError) or "weights_only" in text:
        return f"a pickled file holds more than weights, and {NO_FOREIGN_CODE}"
    if "sentencepiece" in text.lower() or "tiktoken" in text or "protobuf" in text.lower():
        # transformers takes a SentencePiece model that it cannot read for a tiktoken file.
        return (
            "it is a SentencePiece model, for which there is an extra: pip install 'lampbench[sentencepiece]'"
        )
    if text.startswith("Unrecognized configuration class"):
        return "config.json describes no encoder-decoder or decoder-only language model"
    reason = re.split(r"(?<=\w)\. ", text)[0][:300]
    if isinstance(error, SafetensorError):
        return f"a file is damaged or incomplete ({type(error).__name__}: {reason})"
    return reason if isinstance(error, (OSError, ValueError)) else f"{type(error).__name__}: {reason}"


def _causes(error: BaseException) -> list[BaseException]:
    causes: list[BaseException] = []
    cause: BaseException | None = error
    while cause is not None and cause not in causes:
        causes.append(cause)
        cause = cause.__cause__ or cause.__context__
    return causes
