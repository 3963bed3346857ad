"""The weights that a method trains, on disk: only those, written whole or not at all."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor, nn

from lampbench.errors import RequestError
from lampbench.replacing import replacing


def trainable(module: nn.Module) -> dict[str, Tensor]:
    """By name: parameters that require gradients, and buffers named in the module's `saved_buffers`."""
    tensors: dict[str, Tensor] = {name: p for name, p in module.named_parameters() if p.requires_grad}
    wanted = set(getattr(module, "saved_buffers", ()))
    return tensors | {name: buffer for name, buffer in module.named_buffers() if name in wanted}


def set_trainable(module: nn.Module, values: Mapping[str, Tensor]) -> None:
    """Give these tensors of `module` the values of that name, in place."""
    with torch.no_grad():
        for name, tensor in trainable(module).items():
            tensor.copy_(values[name])


def save_trainable(module: nn.Module, path: Path) -> None:
    """Write what `module` trains to a safetensors file, atomically.

    These are the parameters that require gradients, and buffers whose names the module lists in an attribute
    `saved_buffers`. A frozen part, such as the LLM under an adapter, is never written.
    """
    tensors = {name: t.detach().to("cpu", copy=True).contiguous() for name, t in trainable(module).items()}
    save_weights(tensors, path)


def save_weights(tensors: Mapping[str, Tensor], path: Path) -> None:
    """Write tensors, in main memory, to a safetensors file, atomically."""
    from safetensors.torch import save_file

    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as temporary:
        save_file(dict(tensors), temporary)


def load_trainable(module: nn.Module, path: Path) -> None:
    """Read what `save_trainable` wrote into a module of the same build, in place.

    Raises:
        RequestError: the file is absent, or holds other parameters than the module trains.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        values = load_file(path)
    except (OSError, SafetensorError) as error:
        raise RequestError(
            f"trained weights {path} cannot be read ({error}): train again with --fresh"
        ) from error
    wanted = trainable(module)
    for name in sorted(wanted.keys() | values.keys()):
        have = tuple(values[name].shape) if name in values else "nothing"
        want = tuple(wanted[name].shape) if name in wanted else "nothing"
        if have != want:
            raise RequestError(
                f"trained weights {path} do not fit: '{name}' is {have} in the file and {want} here; "
                "they come from other settings, train again with --fresh"
            )
    set_trainable(module, values)
