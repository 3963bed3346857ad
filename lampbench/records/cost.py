"""What a run costs: tokens, calls of the LLM, seconds per phase, memory, and bytes kept for each user."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from lampbench.records.environment import peak_gpu_bytes, peak_rss_bytes

PREDICT = "predict"
"""The phase in which questions are answered."""


@dataclass(frozen=True)
class Cost:
    """What one run has cost.

    Attributes:
        examples: questions answered; the three token counts are sums over them, with what the LLM was asked for
            other purposes while they were answered (`Bench.ask`).
        prompt_tokens: text tokens of the prompts.
        soft_tokens: soft vectors in front of them.
        generated_tokens: tokens of the outputs.
        llm_calls: prompts that the LLM has answered, those for other purposes than the answer included.
        reused_generations: prompts that it need not answer, because it had before, for this or another method
            (`lampbench.caches.generation_cache`), those included that fitted the methods which this one is
            built on. What the method needs is the sum of both numbers.
        calls_by_phase, reused_by_phase: the same by phase.
        seconds: wall time per phase (such as `fit`, `predict`), resumed parts included.
        reused_seconds: per phase, the time that the LLM took for the reused generations when they were made,
            and in `fit` what fitting the methods took that this one is built on; not part of `seconds`. What
            the method takes on its own is the sum of both.
        examples_per_second: questions answered per second of the phase `predict`, the seconds of reused
            generations included, over those questions that were answered while it was timed; None before
            there is one.
        peak_rss_bytes: most main memory held at once by the process during the run, with what it still held of
            runs before; outside Linux since the process began.
        peak_gpu_bytes: most GPU memory held at once; None without a GPU.
        bytes_per_user: what must be kept for one user between questions, in bytes, as a mean over users: the
            text of the history, its embeddings, or one vector. None if the method does not say.
    """

    examples: int = 0
    prompt_tokens: int = 0
    soft_tokens: int = 0
    generated_tokens: int = 0
    llm_calls: int = 0
    reused_generations: int = 0
    calls_by_phase: dict[str, int] = field(default_factory=dict)
    reused_by_phase: dict[str, int] = field(default_factory=dict)
    seconds: dict[str, float] = field(default_factory=dict)
    reused_seconds: dict[str, float] = field(default_factory=dict)
    examples_per_second: float | None = None
    peak_rss_bytes: int | None = None
    peak_gpu_bytes: int | None = None
    bytes_per_user: float | None = None

    def full_seconds(self, phase: str) -> float:
        """What the phase takes when nothing can be reused: its wall time and that of the reused generations."""
        return self.seconds.get(phase, 0.0) + self.reused_seconds.get(phase, 0.0)


class CostMeter:
    """Adds up a cost while a run goes on.

        meter = CostMeter()
        with meter.phase("predict"):
            meter.add_line(line)         # a line of predictions.jsonl, for each question
            meter.add_calls("predict", 1)
        meter.cost()

    Args:
        before: the cost recorded by the part of the run that was interrupted. Its seconds, peaks and calls
            are carried on; its tokens are not, because every prediction is counted from the log, old or new.
    """

    def __init__(self, before: Cost | None = None) -> None:
        before = before or Cost()
        self._seconds = dict(before.seconds)
        self._calls = dict(before.calls_by_phase)
        self._reused = dict(before.reused_by_phase)
        self._reused_seconds = dict(before.reused_seconds)
        self._peaks = (before.peak_rss_bytes, before.peak_gpu_bytes)
        self._tokens = {"prompt": 0, "soft": 0, "generated": 0}
        self._examples = 0
        self._rate = before.examples_per_second
        self._timed_examples = 0
        self._timed_seconds = 0.0
        self._kept: tuple[int, int] | None = None
        self._running: dict[str, float] = {}

    @contextmanager
    def phase(self, name: str) -> Iterator[None]:
        """Counts the wall time of the block under that name; the same name adds up.

        The time of a block that is left by an exception counts too: it was spent.
        """
        if name in self._running:
            raise ValueError(f"the phase '{name}' is already being timed")
        self._running[name] = time.perf_counter()
        try:
            yield
        finally:
            elapsed = time.perf_counter() - self._running.pop(name)
            self._seconds[name] = self._seconds.get(name, 0.0) + elapsed
            if name == PREDICT:
                self._timed_seconds += elapsed

    def seconds(self, name: str) -> float:
        """Seconds of that phase until now."""
        started = self._running.get(name)
        return self._seconds.get(name, 0.0) + (time.perf_counter() - started if started is not None else 0.0)

    def add_line(self, line: Mapping[str, Any]) -> None:
        """Counts one answered question from its line in predictions.jsonl.

        Lines that an interrupted run left are added outside the phase `predict`: nobody knows how long they
        took.
        """
        self._examples += 1
        self._timed_examples += PREDICT in self._running
        for tokens in (line.get("tokens") or {}, line.get("asked") or {}):
            for kind in self._tokens:
                self._tokens[kind] += int(tokens.get(kind, 0))

    def add_calls(self, phase: str, n: int, reused: int = 0, reused_seconds: float = 0.0) -> None:
        """Counts what the LLM has answered in a phase, and what it need not answer again.

        Args:
            phase: such as `predict`. Within it, `reused_seconds` slow the rate of answered questions down.
            n: prompts that the LLM has answered.
            reused: prompts whose answers were made before.
            reused_seconds: the time that the latter took then.
        """
        self._calls[phase] = self._calls.get(phase, 0) + n
        self._reused[phase] = self._reused.get(phase, 0) + reused
        self._reused_seconds[phase] = self._reused_seconds.get(phase, 0.0) + reused_seconds
        if phase == PREDICT and PREDICT in self._running:
            self._timed_seconds += reused_seconds

    def set_kept(self, n_bytes: int, n_users: int) -> None:
        """States that the method keeps `n_bytes` in all for `n_users` users."""
        if n_users > 0:
            self._kept = (n_bytes, n_users)

    def cost(self) -> Cost:
        """The cost until now."""
        seconds = {name: self.seconds(name) for name in [*self._seconds, *self._running]}
        predict = self._timed_seconds
        if PREDICT in self._running:
            predict += time.perf_counter() - self._running[PREDICT]
        timed = predict > 0 and self._timed_examples > 0
        return Cost(
            examples=self._examples,
            prompt_tokens=self._tokens["prompt"],
            soft_tokens=self._tokens["soft"],
            generated_tokens=self._tokens["generated"],
            llm_calls=sum(self._calls.values()),
            reused_generations=sum(self._reused.values()),
            calls_by_phase=dict(self._calls),
            reused_by_phase=dict(self._reused),
            seconds={name: round(value, 3) for name, value in seconds.items()},
            reused_seconds={name: round(value, 3) for name, value in self._reused_seconds.items()},
            examples_per_second=round(self._timed_examples / predict, 3) if timed else self._rate,
            peak_rss_bytes=_largest(self._peaks[0], peak_rss_bytes()),
            peak_gpu_bytes=_largest(self._peaks[1], peak_gpu_bytes()),
            bytes_per_user=round(self._kept[0] / self._kept[1], 1) if self._kept else None,
        )


def _largest(*values: int | None) -> int | None:
    return max((value for value in values if value is not None), default=None)
