"""Batches stay within the token budget, and the budget follows what the device can hold."""

from __future__ import annotations

import weakref
from collections.abc import Iterator
from itertools import pairwise
from types import SimpleNamespace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from lampbench.errors import RunError
from lampbench.loading.devices import is_out_of_memory
from lampbench.models.batching import TokenBudget, default_batch_tokens


def double(batch: list[int]) -> list[int]:
    return [2 * item for item in batch]


@given(st.lists(st.integers(1, 60)), st.integers(1, 200))
def test_batches_hold_what_the_budget_allows_and_keep_the_order(costs: list[int], tokens: int) -> None:
    batches: list[list[int]] = []

    def run(batch: list[int]) -> list[int]:
        batches.append(batch)
        return double(batch)

    results = list(TokenBudget(tokens).run(costs, lambda cost: cost, run))

    assert results == double(costs)
    for batch in batches:
        assert len(batch) == 1 or len(batch) * max(batch) <= tokens
    for batch, following in pairwise(batches):
        assert (len(batch) + 1) * max(*batch, following[0]) > tokens, "a batch was left half empty"


def test_items_are_read_one_batch_ahead_and_results_come_after_each_batch() -> None:
    read: list[int] = []

    def source() -> Iterator[int]:
        for item in range(1000):
            read.append(item)
            yield item

    results = TokenBudget(40).run(source(), lambda _: 10, double)

    assert [next(results) for _ in range(4)] == [0, 2, 4, 6]
    assert len(read) == 5
    next(results)
    assert len(read) == 9


def test_out_of_memory_halves_the_batch_and_the_budget_stays_small() -> None:
    sizes: list[int] = []

    def run(batch: list[int]) -> list[int]:
        sizes.append(len(batch))
        if len(batch) > 3:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB")
        return double(batch)

    budget = TokenBudget(160)

    assert list(budget.run(range(20), lambda _: 10, run)) == double(list(range(20)))
    assert sizes[:3] == [16, 8, 4]
    assert set(sizes[3:]) == {2}
    sizes.clear()
    assert list(budget.run(range(4), lambda _: 10, run)) == [0, 2, 4, 6]
    assert sizes == [2, 2], "the next run should start with what fitted in the last one"


def test_a_failed_batch_is_let_go_before_the_next_one_starts() -> None:
    class Activations:
        pass

    failed: list[weakref.ref[Activations]] = []

    def run(batch: list[int]) -> list[int]:
        assert all(ref() is None for ref in failed)
        activations = Activations()
        failed.append(weakref.ref(activations))
        if len(batch) > 1:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return double(batch)

    assert list(TokenBudget(4).run(range(4), lambda _: 1, run)) == [0, 2, 4, 6]


def test_a_single_item_that_does_not_fit_ends_the_run() -> None:
    def run(batch: list[int]) -> list[int]:
        raise RuntimeError("CUDA out of memory. Tried to allocate 40.00 GiB")

    with pytest.raises(RunError, match="single request of 7 token positions"):
        list(TokenBudget(100).run(range(8), lambda _: 7, run))


def test_other_errors_are_not_mistaken_for_a_lack_of_memory() -> None:
    def run(batch: list[int]) -> list[int]:
        raise RuntimeError("expected scalar type Float but found Half")

    with pytest.raises(RuntimeError, match="expected scalar type"):
        list(TokenBudget(100).run(range(8), lambda _: 1, run))


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (torch.OutOfMemoryError("anything"), True),
        (MemoryError(), True),
        (RuntimeError("CUDA error: out of memory"), True),
        (RuntimeError("MPS backend out of memory (MPS allocated: 9.05 GB)"), True),
        (RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried to"), True),
        (RuntimeError("DefaultCPUAllocator: not enough memory: you tried to allocate 8 bytes"), True),
        (RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"), True),
        (RuntimeError("CUDA error: device-side assert triggered"), False),
        (ValueError("out of memory"), False),
    ],
)
def test_what_counts_as_out_of_memory(error: BaseException, expected: bool) -> None:
    assert is_out_of_memory(error) is expected


def test_a_runner_that_loses_results_is_caught() -> None:
    with pytest.raises(ValueError, match="3 results for a batch of 4"):
        list(TokenBudget(4).run(range(4), lambda _: 1, lambda batch: batch[:3]))


def model_of(*, hidden: int, layers: int, encoder_decoder: bool) -> SimpleNamespace:
    weight = torch.empty(10, hidden, device="meta")
    config = SimpleNamespace(num_hidden_layers=layers, is_encoder_decoder=encoder_decoder)
    config.get_text_config = lambda: config
    return SimpleNamespace(config=config, get_input_embeddings=lambda: SimpleNamespace(weight=weight))


def test_the_default_budget_falls_with_the_size_of_the_model() -> None:
    cpu = torch.device("cpu")
    tiny = model_of(hidden=192, layers=4, encoder_decoder=True)
    base = model_of(hidden=768, layers=12, encoder_decoder=True)
    huge = model_of(hidden=4096, layers=24, encoder_decoder=True)
    budgets = [default_batch_tokens(model, cpu) for model in (tiny, base, huge)]

    assert budgets[0] == 16_384
    assert budgets[0] > budgets[1] > budgets[2] == 2048


def test_the_default_budget_on_a_gpu_follows_its_free_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    base = model_of(hidden=768, layers=12, encoder_decoder=False)
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (4 << 30, 8 << 30))
    small = default_batch_tokens(base, torch.device("cuda", 0))
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (8 << 30, 8 << 30))
    large = default_batch_tokens(base, torch.device("cuda", 0))

    assert large == pytest.approx(2 * small, abs=1)
