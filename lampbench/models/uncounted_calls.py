"""Who runs the LLM past the objects that count what it costs."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

from torch import nn

_AT_WORK: ContextVar[bool] = ContextVar("at work", default=False)


@contextmanager
def at_work() -> Iterator[None]:
    """Marks that a model runs by way of `LLM`, so that its work is counted; see `runs_uncounted`."""
    before = _AT_WORK.set(True)
    try:
        yield
    finally:
        _AT_WORK.reset(before)


@contextmanager
def runs_uncounted(model: nn.Module) -> Iterator[list[str]]:
    """While it lasts, the names of the parts of `model` that somebody runs past `LLM`.

    Copies of the model that are made meanwhile are watched too.
    """
    ran: list[str] = []

    def note(module: nn.Module, *_: Any) -> None:
        if not _AT_WORK.get():
            ran.append(type(module).__name__)

    # Embedding a prompt is no call of the LLM; a part of it that has layers of its own is.
    parts = [model, *(child for child in model.children() if any(True for _ in child.children()))]
    hooks = [part.register_forward_pre_hook(note) for part in parts]
    try:
        yield ran
    finally:
        for hook in hooks:
            hook.remove()
