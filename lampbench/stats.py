"""How sure a number is and whether a difference is real: bootstrap intervals, randomization tests, Holm.

Every metric of the benchmark is a function of column means over examples: accuracy, MAE and ROUGE are one
mean, RMSE is the root of one, macro-F1 is a function of the mean label indicators. So every function here
takes *rows*, one per example (`[n]` or `[n, d]`), and a *statistic* that maps column means `[..., d]` to
values `[...]`. Resampling is then a product of a weight matrix with the rows, and no Python loop runs over
resamples.

Where users contribute several examples, these are not independent. `groups` names the user of each example;
users are then resampled, or have their predictions exchanged, as wholes. An example whose group is None
stands for itself.

Everything is seeded and draws from a generator of its own. Nothing here reads files or knows about tasks.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]
Statistic = Callable[[FloatArray], FloatArray]
# A value per example, in an agreed order or under the example's id.
Rows = npt.ArrayLike | Mapping[str, float]
Groups = Sequence[Hashable] | Mapping[str, Hashable]

RESAMPLES = 10_000
# Weights held at once, however many resamples and examples: 2**18 float64 are 2 MiB and stay in cache.
_CHUNK = 2**18


def mean(means: FloatArray) -> FloatArray:
    """The statistic of metrics that are a plain mean: `[..., 1]` -> `[...]`."""
    return means[..., 0]


def root_mean(means: FloatArray) -> FloatArray:
    """The statistic of RMSE, on rows of squared errors: the root of the mean, `[..., 1]` -> `[...]`."""
    # Sums that are zero in exact arithmetic may come out as -1e-17 after swapping.
    return np.sqrt(np.maximum(means[..., 0], 0.0))


STATISTICS: Mapping[str, Statistic] = {"mean": mean, "root_mean": root_mean}


@dataclass(frozen=True)
class PairedTest:
    """The comparison of two systems on the same examples.

    Attributes:
        difference: statistic of a minus statistic of b, in the unit of the metric.
        low, high: bootstrap percentile interval of the difference.
        p: two-sided p-value of the randomization test; never 0.
        n_examples: number of examples.
        n_units: number of independent units: users where groups are given, else examples.
        exact: True where all assignments were enumerated, False where they were drawn.
    """

    difference: float
    low: float
    high: float
    p: float
    n_examples: int
    n_units: int
    exact: bool


def bootstrap_interval(
    values: Rows,
    statistic: str | Statistic = "mean",
    n: int = RESAMPLES,
    seed: int = 0,
    level: float = 0.95,
    groups: Groups | None = None,
) -> tuple[float, float]:
    """Percentile bootstrap interval of a statistic over examples (Efron & Tibshirani 1993, ch. 13).

    Args:
        values: one row per example, `[n_examples]` or `[n_examples, d]`, or a mapping from id to value.
        statistic: `mean`, `root_mean`, or a function from column means `[..., d]` to values `[...]`.
        n: number of resamples.
        seed: same seed and same values give the same interval.
        level: coverage aimed at; 0.95 gives the 2.5th and the 97.5th percentile.
        groups: the user of each example, for a cluster bootstrap: whole users are drawn, so the number of
            examples varies between resamples, as it would between populations. With few users (below about
            20) the interval is too short.

    Returns:
        (low, high). With a single example or user all resamples are equal and so low == high, which says
        nothing about certainty.

    Raises:
        ValueError: no values, a value that is not finite, or groups that do not fit the values.
    """
    names, rows = _rows(values)
    units = _by_group(rows, _aligned_groups(groups, names, len(rows)))
    samples = bootstrap_samples(units, _statistic(statistic), n, seed)
    return _percentiles(samples, level)


def paired_test(
    a: Rows,
    b: Rows,
    groups: Groups | None = None,
    seed: int = 0,
    statistic: str | Statistic = "mean",
    n: int = RESAMPLES,
    level: float = 0.95,
) -> PairedTest:
    """Two-sided paired randomization test of a against b, with a bootstrap interval of their difference.

    Under the null hypothesis the two systems are interchangeable on every example, so exchanging their rows
    changes nothing but chance (Noreen 1989; for language tasks Yeh 2000, arXiv:cs/0008005). For a mean this
    is the sign-flip test of the differences; for RMSE or F1 the statistic is computed anew from the exchanged
    rows.

    Args:
        a, b: one row per example, in the same order, or mappings over the same ids; shapes as in
            bootstrap_interval.
        groups: the user of each example; all examples of a user are exchanged together.
        seed: for the drawn assignments and the interval.
        statistic: as in bootstrap_interval.
        n: number of assignments drawn, and of bootstrap resamples.
        level: coverage of the interval.

    Returns:
        A PairedTest. With r assignments at least as extreme among n drawn ones, p is (r + 1) / (n + 1)
        (Phipson & Smyth 2010). All 2^k assignments are enumerated instead where that is not more work, k
        being the number of units on which the systems differ: exchanging equal rows changes nothing.

    Raises:
        ValueError: nothing to compare, or rows that do not pair up.
    """
    names_a, rows_a = _rows(a)
    names_b, rows_b = _rows(b)
    if (names_a is None) != (names_b is None) or set(names_a or ()) != set(names_b or ()):
        raise ValueError("a and b are not over the same examples")
    if names_a is not None and names_b is not None:
        place = {name: i for i, name in enumerate(names_b)}
        rows_b = rows_b[[place[name] for name in names_a]]
    return paired_test_statistic(
        rows_a,
        rows_b,
        _statistic(statistic),
        groups=_aligned_groups(groups, names_a, len(rows_a)),
        seed=seed,
        n=n,
        level=level,
    )


def paired_test_statistic(
    a_rows: npt.ArrayLike,
    b_rows: npt.ArrayLike,
    statistic: Statistic,
    groups: Sequence[Hashable] | None = None,
    seed: int = 0,
    n: int = RESAMPLES,
    level: float = 0.95,
) -> PairedTest:
    """paired_test for any statistic of column means: `a_rows` and `b_rows` are `[n_examples, d]`.

    Exchanging the predictions of an example is exchanging its rows, because whatever the gold contributes
    stands in both. Each sum of rows therefore moves by the row differences of the exchanged units, up for one
    system and down for the other, and that is all that is computed.
    """
    pairs = _Pairs(a_rows, b_rows, groups)
    p, exact = pairs.randomize(statistic, seed, n)
    d = pairs.d

    def difference(means: FloatArray) -> FloatArray:
        return statistic(means[..., :d]) - statistic(means[..., d:])

    low, high = _percentiles(bootstrap_samples(pairs.units, difference, n, seed), level)
    value_a, value_b = pairs.values(statistic)
    return PairedTest(value_a - value_b, low, high, p, pairs.n_examples, len(pairs.units), exact)


def randomization_p(
    a_rows: npt.ArrayLike,
    b_rows: npt.ArrayLike,
    statistic: Statistic,
    groups: Sequence[Hashable] | None = None,
    seed: int = 0,
    n: int = RESAMPLES,
) -> float:
    """The p-value of `paired_test_statistic` alone, without the interval, which takes most of its time."""
    return _Pairs(a_rows, b_rows, groups).randomize(statistic, seed, n)[0]


class _Pairs:
    """Two systems' rows on the same examples, summed per independent unit.

    Attributes:
        units: `[n_units, 2 d + 1]`: the sums of a's rows, of b's rows, and the number of rows.
    """

    def __init__(
        self, a_rows: npt.ArrayLike, b_rows: npt.ArrayLike, groups: Sequence[Hashable] | None
    ) -> None:
        _, a = _rows(a_rows)
        _, b = _rows(b_rows)
        if a.shape != b.shape:
            raise ValueError(f"a and b do not pair up: {a.shape} against {b.shape} rows")
        self.n_examples, self.d = a.shape
        self.units = _by_group(np.hstack([a, b]), _aligned_groups(groups, None, self.n_examples))
        self._sum_a, self._sum_b = a.sum(axis=0), b.sum(axis=0)

    def values(self, statistic: Statistic) -> tuple[float, float]:
        """The statistic of a and that of b."""
        n = self.n_examples
        return float(statistic(self._sum_a / n)), float(statistic(self._sum_b / n))

    def randomize(self, statistic: Statistic, seed: int, n: int) -> tuple[float, bool]:
        """The p-value, and whether all assignments were enumerated."""
        value_a, value_b = self.values(statistic)
        change = self.units[:, self.d : 2 * self.d] - self.units[:, : self.d]
        change = change[np.any(change != 0.0, axis=1)]
        exact = len(change) < 60 and 2 ** len(change) <= n
        # Assignments that tie with the observed one in exact arithmetic must tie in floating point too.
        threshold = abs(value_a - value_b) - 1e-11 * max(1.0, abs(value_a), abs(value_b))
        extreme, total = 0, 0
        for swaps in _all_swaps(len(change)) if exact else _drawn_swaps(len(change), n, seed):
            shift = swaps @ change
            drawn = statistic((self._sum_a + shift) / self.n_examples)
            drawn = drawn - statistic((self._sum_b - shift) / self.n_examples)
            extreme += int(np.count_nonzero(np.abs(drawn) >= threshold))
            total += len(swaps)
        # The enumeration holds the observed assignment itself; the drawn ones must be joined by it.
        return (extreme / total if exact else (extreme + 1) / (total + 1)), exact


def holm(pvalues: Sequence[float]) -> list[float]:
    """Holm's step-down adjustment (Holm 1979): p-values that hold for the whole family, in the order given.

    >>> [round(p, 3) for p in holm([0.01, 0.04, 0.03])]
    [0.03, 0.06, 0.06]

    Raises:
        ValueError: a p-value outside [0, 1].
    """
    p = np.asarray(pvalues, dtype=np.float64)
    if not np.all((p >= 0.0) & (p <= 1.0)):
        raise ValueError("p-values lie between 0 and 1")
    order = np.argsort(p, kind="stable")
    factors = np.arange(len(p), 0, -1)
    adjusted = np.empty_like(p)
    adjusted[order] = np.minimum(np.maximum.accumulate(p[order] * factors), 1.0)
    return [float(value) for value in adjusted]


def bootstrap_samples(units: FloatArray, statistic: Statistic, n: int, seed: int) -> FloatArray:
    """The statistic on `n` bootstrap resamples, `[n]`.

    `units` is `[n_units, d + 1]`: per independent unit the sums of its rows, then its number of rows.
    """
    if n < 1:
        raise ValueError(f"at least one resample is needed, not {n}")
    rng = np.random.default_rng(seed)
    n_units = len(units)
    samples = np.empty(n)
    step = max(1, _CHUNK // n_units)
    for start in range(0, n, step):
        size = min(step, n - start)
        drawn = rng.integers(0, n_units, size=(size, n_units), dtype=np.int32).astype(np.intp)
        drawn += np.arange(size)[:, None] * n_units
        # How often each unit was drawn in each resample: the resampled sums are then one matrix product.
        times = np.bincount(drawn.ravel(), minlength=size * n_units).reshape(size, n_units)
        sums = times.astype(np.float64) @ units
        samples[start : start + size] = statistic(sums[:, :-1] / sums[:, -1:])
    return samples


def _percentiles(samples: FloatArray, level: float) -> tuple[float, float]:
    if not 0.0 < level < 1.0:
        raise ValueError(f"level lies between 0 and 1, not {level}")
    low, high = np.quantile(samples, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


def _all_swaps(k: int) -> Iterator[FloatArray]:
    """All assignments of k units in chunks `[size, k]`; 1 means swapped."""
    step = max(1, _CHUNK // max(1, k))
    for start in range(0, 2**k, step):
        codes = np.arange(start, min(start + step, 2**k), dtype=np.int64)
        yield ((codes[:, None] >> np.arange(k)) & 1).astype(np.float64)


def _drawn_swaps(k: int, n: int, seed: int) -> Iterator[FloatArray]:
    """n random assignments of k units in chunks `[size, k]`; 1 means swapped."""
    rng = np.random.default_rng(seed)
    step = max(1, _CHUNK // max(1, k))
    for start in range(0, n, step):
        size = min(step, n - start)
        bits = np.frombuffer(rng.bytes((size * k + 7) // 8), dtype=np.uint8)
        yield np.unpackbits(bits, count=size * k).reshape(size, k).astype(np.float64)


def _statistic(statistic: str | Statistic) -> Statistic:
    if callable(statistic):
        return statistic
    if statistic not in STATISTICS:
        raise ValueError(f"unknown statistic '{statistic}'; known: {', '.join(STATISTICS)}")
    return STATISTICS[statistic]


def _rows(values: Any) -> tuple[list[str] | None, FloatArray]:
    """(ids or None, rows `[n, d]`); refuses what would silently become a wrong number."""
    names = list(values) if isinstance(values, Mapping) else None
    rows = np.asarray(list(values.values()) if isinstance(values, Mapping) else values, dtype=np.float64)
    if rows.ndim == 1:
        rows = rows[:, None]
    if rows.ndim != 2 or len(rows) == 0:
        raise ValueError(f"one row per example is needed, not an array of shape {rows.shape}")
    if not np.isfinite(rows).all():
        raise ValueError("a value is not finite")
    return names, rows


def _aligned_groups(groups: Groups | None, names: list[str] | None, n: int) -> list[Hashable] | None:
    if groups is None:
        return None
    if isinstance(groups, Mapping):
        if names is None:
            raise ValueError("groups are given by id but the values are not")
        missing = [name for name in names if name not in groups]
        if missing:
            raise ValueError(f"{len(missing)} examples have no entry in groups, the first is '{missing[0]}'")
        return [groups[name] for name in names]
    if len(groups) != n:
        raise ValueError(f"{len(groups)} groups for {n} examples")
    return list(groups)


def _by_group(rows: FloatArray, groups: list[Hashable] | None) -> FloatArray:
    """Per independent unit the sums of its rows, then its number of rows: `[n_units, d + 1]`."""
    rows = np.hstack([rows, np.ones((len(rows), 1))])
    if groups is None:
        return rows
    number: dict[Hashable, int] = {}
    # None is nobody's name: each such example gets a key that no other example has.
    keys = [("example", i) if group is None else ("group", group) for i, group in enumerate(groups)]
    index = np.array([number.setdefault(key, len(number)) for key in keys])
    units = np.zeros((len(number), rows.shape[1]))
    np.add.at(units, index, rows)
    return units
