"""Batches by token budget: as many requests as fit, fewer after the device ran out of memory."""

from __future__ import annotations

import gc
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from typing import Any, TypeVar

import torch

from lampbench.errors import RunError
from lampbench.loading.devices import is_out_of_memory

T = TypeVar("T")
R = TypeVar("R")


class TokenBudget:
    """How many token positions, padding included, one batch may hold.

    It shrinks when the device runs out of memory and stays small: what did not fit once will not fit later.

    Attributes:
        tokens: the present limit.
    """

    def __init__(self, tokens: int) -> None:
        if tokens < 1:
            raise ValueError(f"a batch holds at least one token, not {tokens}")
        self.tokens = tokens

    def run(
        self, items: Iterable[T], cost: Callable[[T], int], run_batch: Callable[[list[T]], list[R]]
    ) -> Iterator[R]:
        """The results of `run_batch` for all items, in order, after each batch.

        Batches are consecutive items, read one batch and one item ahead, no more. A batch is padded to its
        longest item, so it costs its number of items times the largest `cost` among them; an item that alone
        exceeds the budget is a batch of its own.

        Args:
            items: what to run; may be a generator.
            cost: token positions of one item.
            run_batch: one result per item of a batch, in order.

        Raises:
            RunError: a single item does not fit into memory.
        """
        source = iter(items)
        waiting: deque[T] = deque()
        while True:
            batch, positions = self._next_batch(waiting, source, cost)
            if not batch:
                return
            try:
                results = run_batch(batch)
            except (RuntimeError, MemoryError) as error:
                if not is_out_of_memory(error):
                    raise
                results = None
            # Not in the handler: while it runs, the traceback keeps the failed batch's tensors alive.
            if results is None:
                if len(batch) == 1:
                    raise RunError(
                        f"out of memory on a single request of {positions} token positions (beams and answer "
                        "included): use a smaller LLM, fewer beams, shorter prompts, or a larger device"
                    )
                waiting.extendleft(reversed(batch))
                self.tokens = max(1, positions // 2)
                release_memory()
                continue
            if len(results) != len(batch):
                raise ValueError(f"{len(results)} results for a batch of {len(batch)}")
            yield from results

    def _next_batch(
        self, waiting: deque[T], source: Iterator[T], cost: Callable[[T], int]
    ) -> tuple[list[T], int]:
        batch: list[T] = []
        longest = 0
        while True:
            if not waiting:
                try:
                    waiting.append(next(source))
                except StopIteration:
                    break
            wider = max(longest, cost(waiting[0]))
            if batch and (len(batch) + 1) * wider > self.tokens:
                break
            batch.append(waiting.popleft())
            longest = wider
        return batch, len(batch) * longest


def default_batch_tokens(model: Any, device: torch.device) -> int:
    """How many token positions a batch may hold on `device`, beams counted.

    The memory to use (half of what is free on a GPU, 2 GiB on the CPU) over what one position costs: keys and
    values in every layer, and as much again for activations. At least 2048, so that even a large model has
    work to share, and at most what still made batches faster. A rough estimate will do, because batches
    shrink when it was too high.
    """
    layers = model.config.get_text_config().num_hidden_layers * (2 if model.config.is_encoder_decoder else 1)
    weight = model.get_input_embeddings().weight
    position = 4 * layers * weight.shape[1] * weight.element_size()
    memory, most = 2 << 30, 16_384
    if device.type == "cuda":
        memory, most = torch.cuda.mem_get_info(device)[0] // 2, 131_072
    return min(max(memory // position, 2048), most)


def release_memory() -> None:
    """Give cached blocks back to the GPU, so that a smaller batch finds them in one piece."""
    if torch.cuda.is_available():
        gc.collect()
        torch.cuda.empty_cache()
