"""Where a model runs and how precise it is: what `--device` and `--dtype` mean on this machine."""

from __future__ import annotations

import torch

from lampbench.dtypes import AUTO, dtype_called, torch_dtype
from lampbench.errors import RequestError, unknown

DEVICES = ("auto", "cpu", "cuda", "cuda:N", "mps", "balanced")


def resolve_device(name: str) -> torch.device:
    """The device that `name` means here.

    Args:
        name: `auto` (the first CUDA GPU, else the CPU), `cpu`, `cuda`, `cuda:1`, `mps`, or `balanced` (the
            LLM over all GPUs; everything else goes to the first one, which is what is returned).

    Raises:
        RequestError: no such device on this machine.
    """
    text = str(name).strip().lower()
    kind, _, number = text.partition(":")
    if kind not in {"auto", "cpu", "cuda", "mps", "balanced"} or (number and not number.isdigit()):
        raise unknown("device", name, DEVICES)
    gpus = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if kind == "auto":
        kind = "cuda" if gpus else "cpu"
    if kind in {"cuda", "balanced"}:
        if not gpus:
            raise RequestError(
                f"device '{name}': this machine has no GPU that torch can use; use --device cpu"
            )
        index = int(number or 0)
        if index >= gpus:
            raise RequestError(f"device '{name}': this machine has {gpus} GPU(s), cuda:0 to cuda:{gpus - 1}")
        return torch.device("cuda", index)
    if kind == "mps":
        if not torch.backends.mps.is_available():
            raise RequestError(f"device '{name}': torch finds no Apple GPU here; use --device cpu")
        return torch.device("mps")
    return torch.device("cpu")


def resolve_dtype(name: str, device: torch.device) -> torch.dtype:
    """The precision that `name` means on `device`.

    `auto` is bfloat16 on GPUs that compute in it and float32 elsewhere. float16 is never chosen: T5's
    activations overflow in it.

    Raises:
        RequestError: no such precision.
    """
    called = dtype_called(str(name))
    if called == AUTO:
        bf16 = device.type == "cuda" and torch.cuda.is_bf16_supported(including_emulation=False)
        return torch.bfloat16 if bf16 else torch.float32
    return torch_dtype(called)


def is_out_of_memory(error: BaseException) -> bool:
    """Whether `error` says that a device, or the machine, has no memory left."""
    if isinstance(error, (torch.OutOfMemoryError, MemoryError)):
        return True
    # Some kernels and the CPU allocator raise a plain RuntimeError.
    text = str(error).lower()
    return isinstance(error, RuntimeError) and any(
        sign in text
        for sign in ("out of memory", "not enough memory", "can't allocate memory", "alloc_failed")
    )
