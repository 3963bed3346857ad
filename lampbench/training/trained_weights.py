"""The weights that a method trains, and the state of a training, on disk: written whole or not at all."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from lampbench.errors import RequestError, RunError
from lampbench.files.locks import locked
from lampbench.files.seals import Damaged, Say, all_named, find_named, keeping, write_named

WHAT = "trained weights"
SUFFIX = ".safetensors"
AGAIN = "it is trained again"


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
    """Write tensors, in main memory, to a safetensors file, atomically.

    Raises:
        RunError: one of them is not finite, or the file cannot be written.
    """
    with keeping(path, WHAT) as temporary:
        write_weights(tensors, temporary)


def write_weights(tensors: Mapping[str, Tensor], path: Path) -> None:
    """Write tensors, in main memory, to a safetensors file.

    Raises:
        OSError: the file cannot be written.
        RunError: one of them is not finite.
    """
    from safetensors import SafetensorError
    from safetensors.torch import save_file

    if broken := _not_finite(tensors):
        raise RunError(f"trained weights: '{broken}' is not finite: try a lower learning_rate")
    try:
        save_file(dict(tensors), path)
    except SafetensorError as error:  # what it says of the disk is in its text alone
        raise OSError(None, str(error)) from error


def _not_finite(tensors: Mapping[str, Tensor]) -> str | None:
    """The name of a tensor with a value that is not finite."""
    return next((name for name, t in sorted(tensors.items()) if not torch.isfinite(t).all()), None)


def save_state(state: Mapping[str, Any], folder: Path) -> None:
    """Write what torch.save can to a file of that folder, which is named by its content.

    Raises:
        RunError: it cannot be written; the older one is still there.
    """

    def write(path: Path) -> None:
        with path.open("wb") as stream:  # whose errors say what the disk said
            torch.save(dict(state), stream)

    write_named(folder, "checkpoint", ".pt", write, "a checkpoint")


def load_state(folder: Path, say: Say) -> dict[str, Any] | None:
    """The state that `save_state` wrote last, on the CPU; None if there is none that is whole.

    Args:
        say: told of one that is damaged.
    """
    then = "training starts over"
    path = find_named(folder, "checkpoint", ".pt", say, then)
    if path is None:
        return None
    try:
        state: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # whole, and yet nothing for this version of torch
        say(f"{path} cannot be read ({type(error).__name__}): {then}")
        return None
    return state


def load_trainable(module: nn.Module, path: Path) -> None:
    """Read what `save_trainable` wrote into a module of the same build, in place.

    Raises:
        Damaged: the file is absent or no such file, or a value in it is not finite.
        RequestError: it holds other parameters than the module trains.
    """
    values = load_weights(path)
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


def load_weights(path: Path) -> dict[str, Tensor]:
    """Read what `save_weights` wrote.

    Raises:
        Damaged: the file is absent or no such file, or a value in it is not finite.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        values: dict[str, Tensor] = load_file(path)
    except (OSError, SafetensorError) as error:
        raise Damaged(f"trained weights {path} cannot be read ({error})") from error
    if broken := _not_finite(values):
        raise Damaged(f"trained weights {path}: '{broken}' is not finite")
    return values


class KeptWeights:
    """Weights that are made one by one and kept in a folder, such as those of users: each is made once.

    Args:
        folder: the folder; made with the first of them. Any number of processes may use it at a time.
        say: told of what is damaged, and made again, and of what is waited for.
    """

    def __init__(self, folder: Path, say: Say) -> None:
        self._folder = folder
        self._say = say

    def get(self, name: str, make: Callable[[], Mapping[str, Tensor]]) -> dict[str, Tensor]:
        """The weights of that name, in main memory: those that are kept, or made now.

        Raises:
            RunError: they are not finite, or cannot be written.
        """
        with locked(self._folder, waiting=self._say):
            path = find_named(self._folder, name, SUFFIX, self._say, AGAIN)
            if path is not None:
                try:
                    return load_weights(path)
                except Damaged as damaged:
                    self._say(f"{damaged}: {AGAIN}")
            made = dict(make())
            write_named(self._folder, name, SUFFIX, partial(write_weights, made), WHAT)
            return made

    def drop(self, name: str) -> None:
        """Keep those of that name no longer."""
        with locked(self._folder, waiting=self._say):  # nobody is to find a file that goes while it is read
            for path in all_named(self._folder, name, SUFFIX):
                path.unlink(missing_ok=True)
