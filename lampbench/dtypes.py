"""Precisions by name: one table for what people call them, one name for what is written down, and torch's own.

The table needs no torch: requests are judged before anything heavy is loaded.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from lampbench.errors import unknown

if TYPE_CHECKING:
    import torch

AUTO = "auto"  # what suits the device

DTYPES = {
    "fp32": "float32",
    "bf16": "bfloat16",
    "fp16": "float16",
    "float32": "float32",
    "bfloat16": "bfloat16",
    "float16": "float16",
}
"""What a precision may be called, and its name in records and keys, which is torch's."""


def dtype_called(name: str, what: str = "dtype") -> str:
    """The name in records and keys of the precision that is called `name`; `auto` is itself.

    Args:
        name: as people write it, in letters of any size, with torch's `torch.` or without.
        what: what has that name, for the message.

    Raises:
        RequestError: there is no such precision.
    """
    text = name.removeprefix("torch.").lower()
    if text == AUTO:
        return AUTO
    if text not in DTYPES:
        raise unknown(what, name, [AUTO, *DTYPES])
    return DTYPES[text]


def dtype_name(dtype: torch.dtype | str) -> str:
    """The name in records and keys: `bfloat16` for `torch.bfloat16`."""
    return str(dtype).removeprefix("torch.")


def torch_dtype(name: str) -> torch.dtype:
    """The precision that is called so, as torch has it; not for `auto`, which needs a device.

    Raises:
        RequestError: there is no such precision.
    """
    import torch

    dtype: torch.dtype = getattr(torch, dtype_called(name))
    return dtype


def autocast(device: torch.device, dtype: torch.dtype) -> torch.autocast:
    """Within it torch computes in `dtype` where that is safe, from weights in float32; float32 changes nothing."""
    import torch

    return torch.autocast(device.type, dtype, enabled=dtype != torch.float32)
