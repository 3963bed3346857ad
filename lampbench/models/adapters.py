"""LoRA adapters (arXiv:2106.09685, the library peft): put into a twin of the frozen LLM, trained, exchanged.

An adapter adds scale * B A x to what a frozen matrix W makes of x; A has `rank` rows, B as many columns. B
starts at zero, so an adapter that has learned nothing changes nothing.

    model = llm.twin()                                   # the LLM's own weights, in a module tree of its own
    add_adapter(model, "task", AdapterShape(rank=8), seed=0)
    activate(model, ["task"], training=["task"])
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from lampbench.errors import RequestError
from lampbench.models.adapter_shape import AdapterShape

Weights = dict[str, Tensor]
"""An adapter by itself: `<layer>.A`, float32 [rank, inputs], and `<layer>.B`, [outputs, rank], per layer."""


def add_adapter(model: Any, name: str, shape: AdapterShape, *, seed: int) -> None:
    """Put a fresh adapter into `model`, in place; it is not active yet.

    Its weights are float32 whatever the precision of the model, and depend on `seed` alone.

    Raises:
        RequestError: the model has no layer of a name in the shape.
    """
    from peft import LoraConfig, inject_adapter_in_model

    active = [layer.active_adapters for _, layer in adapted_layers(model)]
    config = LoraConfig(
        r=shape.rank,
        lora_alpha=shape.alpha,  # type: ignore[arg-type]
        lora_dropout=shape.dropout,
        target_modules=layers_named(model, shape.targets),
        bias="none",
    )
    with torch.random.fork_rng(devices=[]), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that a second adapter joins the first
        torch.manual_seed(seed)
        inject_adapter_in_model(config, model, name)
    for parameter in _parameters(model, name).values():
        parameter.data = parameter.data.float()
    activate(model, active[0] if active else [])


def activate(model: nn.Module, names: Sequence[str], *, training: Sequence[str] = ()) -> None:
    """Let these adapters of `model` take part, and give gradients to those in `training` alone."""
    for _, layer in adapted_layers(model):
        layer.set_adapter(list(names))
    for name, parameter in model.named_parameters():
        parameter.requires_grad_(any(f".{adapter}." in name for adapter in training) and ".lora_" in name)


def adapter_weights(model: nn.Module, name: str) -> Weights:
    """The weights of an adapter, copied to main memory."""
    return {key: p.detach().to("cpu", copy=True) for key, p in _parameters(model, name).items()}


def set_adapter_weights(model: nn.Module, name: str, weights: Mapping[str, Tensor]) -> None:
    """Give an adapter of `model` these weights, in place."""
    with torch.no_grad():
        for key, parameter in _parameters(model, name).items():
            parameter.copy_(weights[key])


def adapter_bytes(model: nn.Module, name: str) -> int:
    """What an adapter takes to keep, in bytes."""
    return sum(p.numel() * p.element_size() for p in _parameters(model, name).values())


def adapted_layers(model: nn.Module) -> list[tuple[str, Any]]:
    """Names and modules of the layers of `model` that have adapters."""
    from peft.tuners.lora import LoraLayer

    return [(name, module) for name, module in model.named_modules() if isinstance(module, LoraLayer)]


def _parameters(model: nn.Module, name: str) -> dict[str, nn.Parameter]:
    found = {}
    for place, layer in adapted_layers(model):
        if name in layer.lora_A:
            found[f"{place}.A"] = layer.lora_A[name].weight
            found[f"{place}.B"] = layer.lora_B[name].weight
    return found


def layers_named(model: nn.Module, targets: Sequence[str]) -> list[str]:
    """The last parts of the names of all matrices that `targets` mean."""
    linear = {
        name.removesuffix(".base_layer").rpartition(".")[2]
        for name, module in model.named_modules()
        # GPT-2 writes its matrices as Conv1D.
        if (isinstance(module, nn.Linear) or type(module).__name__ == "Conv1D") and ".lora_" not in name
    }
    linear.discard("lm_head")  # in many models the embeddings once more
    chosen: set[str] = set()
    for target in targets:
        found = {target, f"{target}_proj"} & linear
        if not found:
            raise RequestError(
                f"targets: the LLM has no layers named '{target}'; it has {', '.join(sorted(linear))}"
            )
        chosen |= found
    return sorted(chosen)


class AdapterBank:
    """Many adapters of one shape in one model, side by side: every request of a batch has its own.

        bank = AdapterBank(model, "user")
        bank.load([weights_of_ann, weights_of_ben, None])
        llm.using(model, bank).generate([Request("…", adapter=1), …], …)

    peft has a way of its own (`adapter_names`), which goes through the adapters one after the other in every layer.
    With 32 users in a batch answering then takes 2.3 to 2.9 times as long (benchmarks/adapters.py; the embedded
    LLM, 4 beams and 1, one thread), and no row can have two adapters, which `below` asks for.

    Args:
        model: a model with adapters.
        name: the adapter in it whose places, shape and scale they have.
        below: other adapters in it that take part for every request.
    """

    def __init__(self, model: nn.Module, name: str, below: Sequence[str] = ()) -> None:
        self._model = model
        self._below = list(below)
        self._layers = {place: layer for place, layer in adapted_layers(model) if name in layer.lora_A}
        self._scale = {place: float(layer.scaling[name]) for place, layer in self._layers.items()}
        self._weights: Weights = {}
        self._device = {p: layer.lora_A[name].weight.device for p, layer in self._layers.items()}

    def load(self, adapters: Sequence[Weights | None]) -> None:
        """Hold these adapters and no others; None: the model as it is."""
        some = next((adapter for adapter in adapters if adapter is not None), None)
        self._weights = {}
        if some is None:
            return
        for place in self._layers:
            for half in ("A", "B"):
                key = f"{place}.{half}"
                rows = [torch.zeros_like(some[key]) if a is None else a[key] for a in adapters]
                self._weights[key] = torch.stack(rows).to(self._device[place])

    @contextmanager
    def choose(self, positions: Sequence[int]) -> Iterator[None]:
        """Within the block, row i of every batch goes through adapter `positions[i]`.

        A row may be there several times in a row, as beams are.
        """
        handles = []
        activate(self._model, self._below)
        try:
            if self._weights:
                for place, layer in self._layers.items():
                    where = torch.tensor(positions, device=self._device[place])
                    a, b = (self._weights[f"{place}.{half}"][where].mT for half in ("A", "B"))
                    handles.append(layer.register_forward_hook(partial(_add, a, b * self._scale[place])))
            yield
        finally:
            for handle in handles:
                handle.remove()


def _add(a: Tensor, b: Tensor, layer: nn.Module, args: tuple[Tensor, ...], output: Tensor) -> Tensor:
    """The layer's output with the rows' own adapters; a: [n, inputs, rank], b: [n, rank, outputs]."""
    (x,) = args
    if x.ndim != 3 or x.shape[0] % len(a):
        raise ValueError(f"{list(x.shape)} is no batch of {len(a)} requests with their beams")
    # The beams of a request stand together: one product for all of its tokens.
    rows = x.to(a.dtype).reshape(len(a), -1, x.shape[-1])
    return (output + (rows @ a @ b).reshape(output.shape)).to(output.dtype)
