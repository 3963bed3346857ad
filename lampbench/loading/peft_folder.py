"""Folders that hold an adapter (library peft) and not a model: the adapter is merged into the model below it."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

from safetensors import safe_open

from lampbench.errors import RequestError
from lampbench.loading.model_folder import ADAPTER_CONFIG, ADAPTER_WEIGHTS, adapter_subject


def merge_adapter(folder: Path, model: Any) -> Any:
    """`model` with the adapter in `folder` merged into its weights, in place.

    Raises:
        RequestError: the adapter is of a kind that cannot be merged, or belongs to another model.
    """
    from peft import PeftConfig, PeftModel, get_peft_model_state_dict

    subject = adapter_subject(folder)
    tied = model.get_output_embeddings() is not None and (
        model.get_output_embeddings().weight is model.get_input_embeddings().weight
    )
    try:
        config = PeftConfig.from_pretrained(str(folder))
        if config.is_prompt_learning:
            raise RequestError(
                f"{subject} of kind {config.peft_type.value}, which cannot be merged into a model's weights, as "
                "LoRA can"
            )
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # what is missing is found below
            adapted = PeftModel.from_pretrained(model, str(folder))
    except RequestError:
        raise
    # Anything at all: a foreign configuration, a damaged file, layers that the model has not.
    except Exception as error:
        reason = " ".join(str(error).split())[:300]
        raise RequestError(f"{subject} and does not fit the model that it names: {reason}") from error
    with safe_open(folder / ADAPTER_WEIGHTS, "pt") as tensors:
        stored = set(tensors.keys())
    # What a file lacks, peft leaves as it begins, with a warning.
    if wrong := sorted(stored ^ set(get_peft_model_state_dict(adapted))):
        raise RequestError(
            f"{subject} whose weights are not those that its {ADAPTER_CONFIG} tells of: {wrong[0]}"
        )
    merged = adapted.merge_and_unload(safe_merge=True)
    head = merged.get_output_embeddings()
    if tied and head.weight is not merged.get_input_embeddings().weight:
        raise RequestError(
            f"{subject} that changes the input embeddings or the head of a model in which they are one: merge it "
            "with peft and save the whole model"
        )
    return merged.requires_grad_(False).eval()
