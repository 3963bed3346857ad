"""Trained weights on disk: what is trained and nothing else, whole and finite, or made again."""

from __future__ import annotations

import math
import threading
from functools import partial
from pathlib import Path

import pytest
import torch
from damaging import WAYS, damage
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from lampbench.errors import RequestError, RunError
from lampbench.files.locks import locked
from lampbench.files.seals import Damaged, write_named
from lampbench.training.trained_weights import KeptWeights, load_trainable, save_trainable, save_weights


def weights(module: nn.Module) -> dict[str, Tensor]:
    return {name: parameter.detach().clone() for name, parameter in module.named_parameters()}


class Adapted(nn.Module):
    """A frozen part, a trained part, and two buffers of which one is to be saved."""

    saved_buffers = ("mean",)

    def __init__(self, seed: int) -> None:
        super().__init__()
        torch.manual_seed(seed)
        self.frozen = nn.Linear(64, 64).requires_grad_(False)
        self.adapter = nn.Linear(2, 2)
        self.register_buffer("mean", torch.randn(3))
        self.register_buffer("scratch", torch.randn(3))


def test_only_what_is_trained_is_saved_and_it_comes_back(tmp_path: Path) -> None:
    file = tmp_path / "deep" / "weights.safetensors"
    saved, restored = Adapted(0), Adapted(1)
    untouched = restored.frozen.weight.clone(), restored.scratch.clone()
    save_trainable(saved, file)
    assert load_file(file).keys() == {"adapter.weight", "adapter.bias", "mean"}
    load_trainable(restored, file)
    assert torch.equal(restored.adapter.weight, saved.adapter.weight)
    assert torch.equal(restored.mean, saved.mean)
    assert torch.equal(restored.frozen.weight, untouched[0])
    assert torch.equal(restored.scratch, untouched[1])
    assert list(file.parent.iterdir()) == [file]


def test_weights_that_do_not_fit_are_refused_by_name(tmp_path: Path) -> None:
    file = tmp_path / "weights.safetensors"
    save_trainable(nn.Linear(2, 3), file)
    with pytest.raises(RequestError, match=r"'bias' is \(3,\) in the file and \(4,\) here"):
        load_trainable(nn.Linear(2, 4), file)
    with pytest.raises(RequestError, match=r"'bias' is \(3,\) in the file and nothing here"):
        load_trainable(nn.Linear(2, 3, bias=False), file)
    with pytest.raises(Damaged, match="cannot be read"):
        load_trainable(nn.Linear(2, 3), tmp_path / "absent.safetensors")


def test_weights_that_are_not_finite_are_neither_saved_nor_restored(tmp_path: Path) -> None:
    module, file = nn.Linear(2, 3), tmp_path / "weights.safetensors"
    spoilt = {name: torch.full_like(tensor, math.nan) for name, tensor in weights(module).items()}
    save_file(spoilt, file)
    before = weights(module)
    with pytest.raises(Damaged, match="'bias' is not finite"):
        load_trainable(module, file)
    assert all(torch.equal(tensor, before[name]) for name, tensor in weights(module).items())
    file.unlink()
    with pytest.raises(RunError, match="'bias' is not finite"):
        save_weights(spoilt, file)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("how", [*WAYS, "infinite"])
def test_kept_weights_are_made_once_and_again_when_damaged(tmp_path: Path, how: str) -> None:
    said: list[str] = []
    made: list[str] = []

    def make(name: str) -> dict[str, Tensor]:
        made.append(name)
        return {"w": torch.arange(100.0)}

    kept = KeptWeights(tmp_path / "users", said.append)
    for name in ("ann", "bob", "ann", "bob"):
        assert torch.equal(kept.get(name, lambda: make(name))["w"], torch.arange(100.0))  # noqa: B023
    assert made == ["ann", "bob"]
    (file,) = (tmp_path / "users").glob("ann-*.safetensors")
    if how == "infinite":
        file.unlink()
        write = partial(save_file, {"w": torch.full((100,), math.inf)})
        file = write_named(file.parent, "ann", ".safetensors", write, "weights")
    else:
        damage(file, how)
    again = KeptWeights(tmp_path / "users", said.append)
    for name in ("ann", "bob"):
        assert torch.equal(again.get(name, lambda: make(name))["w"], torch.arange(100.0))  # noqa: B023
    assert made == ["ann", "bob", "ann"]
    assert len(said) == 1
    assert str(file) in said[0]
    again.drop("ann")
    assert len(list((tmp_path / "users").iterdir())) == 1


def test_kept_weights_do_not_go_while_another_reads_them(tmp_path: Path) -> None:
    kept = KeptWeights(tmp_path / "users", print)
    kept.get("ann", lambda: {"w": torch.ones(2)})
    with locked(tmp_path / "users"):
        drop = threading.Thread(target=kept.drop, args=("ann",))
        drop.start()
        drop.join(0.3)
        assert list((tmp_path / "users").iterdir())
    drop.join()
    assert not list((tmp_path / "users").iterdir())
