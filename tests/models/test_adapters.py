"""Adapters in a twin of the frozen LLM: they start at nothing, leave it alone, and do not mix."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from tiny_llms import TINY_LLMS, open_tiny

from lampbench.errors import RequestError
from lampbench.models.adapter_shape import AdapterShape
from lampbench.models.adapters import (
    AdapterBank,
    Weights,
    activate,
    adapted_layers,
    adapter_bytes,
    adapter_weights,
    add_adapter,
    set_adapter_weights,
)
from lampbench.models.batching import TokenBudget
from lampbench.models.fingerprint import weights_fingerprint
from lampbench.models.frozen_llm import FrozenLLM
from lampbench.models.requests import Request

PROMPTS = ["w5 w6 w7 w8", "w9 w10", "w11 w12 w13 w14 w15 w16", "w20"]
TARGETS = ["w30 w31", "w32", "w33 w34 w35", "w36"]
LIMITS: dict[str, int] = {"max_input_tokens": 16, "max_new_tokens": 5, "beams": 3}


@pytest.fixture(scope="module", params=sorted(TINY_LLMS))
def llm(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> FrozenLLM:
    folder = TINY_LLMS[request.param](tmp_path_factory.mktemp(request.param))
    return open_tiny(folder, device="cpu", dtype="fp32")


def adapted(llm: FrozenLLM, name: str = "user", **shape: Any) -> Any:
    model = llm.twin()
    add_adapter(model, name, AdapterShape(**{"rank": 2, "alpha": 8.0, "dropout": 0.0, **shape}), seed=0)
    activate(model, [name], training=[name])
    return model


def strong(model: Any, seed: int) -> Weights:
    """Adapter weights so large that they decide the answers."""
    generator = torch.Generator().manual_seed(seed)
    weights = adapter_weights(model, "user")
    return {name: torch.randn(w.shape, generator=generator) for name, w in weights.items()}


def losses(llm: FrozenLLM) -> torch.Tensor:
    return llm.loss(PROMPTS, TARGETS, max_input_tokens=16, max_target_tokens=6, reduction="none").detach()


def answers(llm: FrozenLLM, requests: Any = PROMPTS) -> list[str]:
    return [generation.text for generation in llm.generate(requests, **LIMITS)]


def test_a_fresh_adapter_changes_nothing(llm: FrozenLLM) -> None:
    model = adapted(llm)
    twin = llm.using(model)
    assert len(adapted_layers(model)) > 0
    assert torch.equal(losses(twin), losses(llm))
    assert answers(twin) == answers(llm)


def test_the_twin_holds_the_llms_own_weights_and_its_adapters_alone_are_trained(llm: FrozenLLM) -> None:
    before = weights_fingerprint(llm.model)
    model = adapted(llm)
    own = {p.data_ptr() for p in llm.model.parameters()}
    theirs = [p.data_ptr() for name, p in model.named_parameters() if ".lora_" not in name]
    assert set(theirs) == own

    trained = [p for p in model.parameters() if p.requires_grad]
    optimizer = torch.optim.SGD(trained, lr=1.0)
    llm.using(model).loss(PROMPTS, TARGETS, max_input_tokens=16, max_target_tokens=6).backward()
    optimizer.step()
    assert {name.split(".lora_")[1][0] for name, p in model.named_parameters() if p.requires_grad} == {
        "A",
        "B",
    }
    assert all(p.grad is None for p in llm.model.parameters())
    assert not torch.equal(losses(llm.using(model)), losses(llm))
    assert weights_fingerprint(llm.model) == before
    assert not adapted_layers(llm.model)


def test_head_and_embeddings_of_the_twin_are_those_of_the_checkpoint(llm: FrozenLLM) -> None:
    model = adapted(llm)
    for what in ("get_input_embeddings", "get_output_embeddings"):
        assert torch.equal(getattr(model, what)().weight, getattr(llm.model, what)().weight)
        assert not hasattr(getattr(model, what)(), "lora_A")


def test_the_weights_depend_on_the_seed_alone(llm: FrozenLLM) -> None:
    torch.manual_seed(5)
    state = torch.get_rng_state()
    first = adapter_weights(adapted(llm), "user")
    assert torch.equal(torch.get_rng_state(), state)
    torch.manual_seed(6)
    second = adapter_weights(adapted(llm), "user")
    assert all(torch.equal(first[name], second[name]) for name in first)


def test_its_size_is_that_of_its_matrices(llm: FrozenLLM) -> None:
    model = adapted(llm, rank=3, targets=("q",))
    expected = 0
    for name, module in llm.model.named_modules():
        if name.rpartition(".")[2] in ("q", "q_proj"):
            expected += 3 * (module.in_features + module.out_features) * 4
    assert adapter_bytes(model, "user") == expected > 0


def test_the_scale_is_alpha_over_rank_and_both_halves_multiply(llm: FrozenLLM) -> None:
    model = adapted(llm, targets=("q",))
    set_adapter_weights(model, "user", strong(model, 1))
    _, layer = adapted_layers(model)[0]
    x = torch.randn(1, 2, layer.in_features)
    weights = (layer.lora_B["user"].weight @ layer.lora_A["user"].weight) * 4.0  # 8 / 2
    torch.testing.assert_close(layer(x), x @ (layer.base_layer.weight + weights).T)


def test_every_request_goes_through_its_own_adapter_whatever_the_batch(llm: FrozenLLM) -> None:
    model = adapted(llm)
    users: list[Weights | None] = [strong(model, 1), strong(model, 2), None]
    alone: list[list[str]] = []
    for weights in users:
        activate(model, ["user"] if weights else [])
        if weights:
            set_adapter_weights(model, "user", weights)
        alone.append(answers(llm.using(model)))
    assert alone[0] != alone[1] != alone[2]
    assert alone[2] == answers(llm)

    bank = AdapterBank(model, "user")
    bank.load(users)
    who = [1, 0, 2, 1]
    requests = [Request(prompt, adapter=user) for prompt, user in zip(PROMPTS, who, strict=True)]
    expected = [alone[user][i] for i, user in enumerate(who)]
    together = llm.using(model, bank)
    assert answers(together, requests) == expected
    together.budget = TokenBudget(1)  # one at a time
    assert answers(together, requests[::-1]) == expected[::-1]


def test_an_adapter_stands_on_another_one_that_takes_part_for_all(llm: FrozenLLM) -> None:
    model = adapted(llm)
    user = strong(model, 1)
    set_adapter_weights(model, "user", user)
    add_adapter(model, "task", AdapterShape(rank=1, alpha=1.0, dropout=0.0, targets=("v",)), seed=1)
    task = {
        name: torch.randn(w.shape, generator=torch.Generator().manual_seed(3))
        for name, w in adapter_weights(model, "task").items()
    }
    set_adapter_weights(model, "task", task)
    activate(model, ["task", "user"])
    both = answers(llm.using(model))
    bank = AdapterBank(model, "user", ["task"])
    bank.load([user])
    assert answers(llm.using(model, bank)) == both
    activate(model, ["task"])
    bank.load([None])
    assert answers(llm.using(model, bank)) == answers(llm.using(model)) != both
    activate(model, ["task", "user"], training=["user"])
    assert {n.split(".")[-2] for n, p in model.named_parameters() if p.requires_grad} == {"user"}


def test_layers_that_are_not_there_are_told_with_those_that_are(llm: FrozenLLM) -> None:
    with pytest.raises(RequestError, match=r"no layers named 'query'; it has .*\bk"):
        add_adapter(llm.twin(), "user", AdapterShape(targets=("q", "query")), seed=0)


def test_adapters_of_a_bf16_llm_are_float32(tmp_path: Path) -> None:
    llm = FrozenLLM.load(TINY_LLMS["t5"](tmp_path), device="cpu", dtype="bf16")
    model = adapted(llm)
    assert {w.dtype for w in adapter_weights(model, "user").values()} == {torch.float32}
    bank = AdapterBank(model, "user")
    bank.load([strong(model, 1)])
    set_adapter_weights(model, "user", strong(model, 1))
    expected = answers(llm.using(model))
    assert answers(llm.using(model, bank)) == expected != answers(llm)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"rank": 0}, "rank must be at least 1"),
        ({"alpha": 0.0}, "alpha must be above 0"),
        ({"dropout": 1.0}, "dropout must be from 0"),
        ({"targets": ()}, "targets must name"),
    ],
)
def test_shapes_that_make_no_sense_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        AdapterShape(**options)
