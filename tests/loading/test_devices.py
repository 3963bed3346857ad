"""Device and precision names mean something on this machine, or the request is refused in one line."""

from __future__ import annotations

import pytest
import torch

from lampbench.errors import RequestError
from lampbench.loading.devices import resolve_device, resolve_dtype


@pytest.fixture
def no_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)


@pytest.fixture
def two_gpus(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)


@pytest.mark.usefixtures("no_gpu")
def test_auto_is_the_cpu_without_a_gpu() -> None:
    assert resolve_device("auto") == torch.device("cpu")


@pytest.mark.usefixtures("two_gpus")
def test_auto_is_the_first_gpu() -> None:
    assert resolve_device("auto") == torch.device("cuda", 0)
    assert resolve_device("cuda") == torch.device("cuda", 0)
    assert resolve_device("balanced") == torch.device("cuda", 0)
    assert resolve_device("cuda:1") == torch.device("cuda", 1)
    assert resolve_device("cpu") == torch.device("cpu")


@pytest.mark.usefixtures("two_gpus")
def test_a_gpu_that_is_not_there_is_refused() -> None:
    with pytest.raises(RequestError, match=r"'cuda:2'.*2 GPU\(s\), cuda:0 to cuda:1"):
        resolve_device("cuda:2")


@pytest.mark.usefixtures("no_gpu")
@pytest.mark.parametrize("name", ["cuda", "cuda:0", "balanced"])
def test_a_gpu_is_refused_where_there_is_none(name: str) -> None:
    with pytest.raises(RequestError, match=f"device '{name}'.*--device cpu"):
        resolve_device(name)


@pytest.mark.parametrize("name", ["gpu", "cuda:x", "tpu", ""])
def test_unknown_devices_are_refused(name: str) -> None:
    with pytest.raises(RequestError, match="unknown device"):
        resolve_device(name)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("fp32", torch.float32),
        ("float32", torch.float32),
        ("bf16", torch.bfloat16),
        ("torch.bfloat16", torch.bfloat16),
        ("fp16", torch.float16),
    ],
)
def test_precisions_have_short_and_long_names(name: str, expected: torch.dtype) -> None:
    assert resolve_dtype(name, torch.device("cpu")) == expected


@pytest.mark.parametrize(("supported", "expected"), [(True, torch.bfloat16), (False, torch.float32)])
def test_auto_is_bf16_on_gpus_that_compute_in_it(
    monkeypatch: pytest.MonkeyPatch, supported: bool, expected: torch.dtype
) -> None:
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation=True: supported)

    assert resolve_dtype("auto", torch.device("cuda", 0)) == expected
    assert resolve_dtype("auto", torch.device("cpu")) == torch.float32


def test_unknown_precisions_are_refused() -> None:
    with pytest.raises(RequestError, match="unknown dtype 'int8'"):
        resolve_dtype("int8", torch.device("cpu"))
