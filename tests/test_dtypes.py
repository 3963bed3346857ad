"""What precisions are called, and what is written down of them."""

from __future__ import annotations

import subprocess
import sys

import pytest
import torch

from lampbench.dtypes import autocast, dtype_called, dtype_name, torch_dtype


@pytest.mark.parametrize(
    ("called", "name"), [("bf16", "bfloat16"), ("float16", "float16"), ("auto", "auto"), ("FP32", "float32")]
)
def test_what_is_written_down_is_the_long_name(called: str, name: str) -> None:
    assert dtype_called(called) == name
    if called != "auto":
        assert dtype_name(torch_dtype(called)) == name


def test_the_names_of_precisions_need_no_torch() -> None:
    code = "import sys; from lampbench.dtypes import dtype_called; dtype_called('bf16'); print('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout == "False\n"


def test_autocast_computes_in_the_precision_and_leaves_float32_alone() -> None:
    matrix = torch.eye(2)
    for dtype in (torch.bfloat16, torch.float32):
        with autocast(torch.device("cpu"), dtype):
            assert (matrix @ matrix).dtype == dtype
