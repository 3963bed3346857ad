"""Seconds and peak memory of intervals and tests at the size of a dev set: python benchmarks/resampling.py

10,000 resamples of 2,500 examples, for a mean and for macro-F1 over 15 labels. The ratio is to drawing the
values themselves, one resample after another.
"""

from __future__ import annotations

import time
import tracemalloc
from collections.abc import Callable

import numpy as np

from lampbench.metrics import f1_rows, macro_f1
from lampbench.stats import bootstrap_interval, paired_test, paired_test_statistic

N, RESAMPLES = 2500, 10_000


def measure(name: str, work: Callable[[], object], baseline: float) -> float:
    """Prints and returns the seconds of one call; memory is that of a second call, since tracing is slow."""
    start = time.perf_counter()
    work()
    seconds = time.perf_counter() - start
    tracemalloc.start()
    work()
    peak = tracemalloc.get_traced_memory()[1] / 2**20
    tracemalloc.stop()
    ratio = f"{seconds / baseline:5.2f}x" if baseline else ""
    print(f"{name:32} {seconds:6.2f} s {peak:7.1f} MiB {ratio}")
    return seconds


def main() -> None:
    rng = np.random.default_rng(0)
    a, b = rng.random(N), rng.random(N)
    gold = rng.integers(0, 15, N)
    rows_a, rows_b = (
        f1_rows(list(zip(gold.tolist(), rng.integers(-1, 15, N).tolist(), strict=True)), 15) for _ in "ab"
    )
    users = (np.arange(N) // 4).tolist()

    def plain() -> list[float]:
        return [a[rng.integers(0, N, N)].mean() for _ in range(RESAMPLES)]

    baseline = measure("one resample after another", plain, 0.0)
    measure("bootstrap_interval, mean", lambda: bootstrap_interval(a), baseline)
    measure("bootstrap_interval, by user", lambda: bootstrap_interval(a, groups=users), baseline)
    measure("bootstrap_interval, macro-F1", lambda: bootstrap_interval(rows_a, macro_f1), baseline)
    measure("paired_test, mean", lambda: paired_test(a, b), baseline)
    measure("paired_test, macro-F1", lambda: paired_test_statistic(rows_a, rows_b, macro_f1), baseline)


if __name__ == "__main__":
    main()
