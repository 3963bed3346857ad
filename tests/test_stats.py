"""Intervals cover, tests reject as often as they say, and both agree with what can be computed by hand."""

from __future__ import annotations

import itertools
import tracemalloc

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lampbench.stats import (
    bootstrap_interval,
    holm,
    paired_test,
    paired_test_statistic,
    root_mean,
)

# --- bootstrap -------------------------------------------------------------------------------------


def test_the_interval_is_that_of_the_exhaustive_bootstrap() -> None:
    values = np.array([0.0, 1.0, 5.0, 7.0])
    every = [np.mean(draw) for draw in itertools.product(values, repeat=4)]
    expected = np.quantile(every, [0.05, 0.95])
    assert bootstrap_interval(values, n=40_000, level=0.9) == pytest.approx(expected, abs=0.26)
    expected_root = np.sqrt(expected)
    assert bootstrap_interval(values, "root_mean", n=40_000, level=0.9) == pytest.approx(
        expected_root, abs=0.1
    )


def test_the_interval_of_a_mean_has_the_width_of_theory() -> None:
    values = np.random.default_rng(0).normal(3.0, 2.0, size=2000)
    low, high = bootstrap_interval(values)
    assert high - low == pytest.approx(2 * 1.96 * values.std() / np.sqrt(2000), rel=0.03)
    assert (low + high) / 2 == pytest.approx(values.mean(), abs=0.01)


def test_the_same_seed_gives_the_same_interval_and_another_seed_another() -> None:
    values = np.random.default_rng(0).random(300)
    state = np.random.get_state()[1].copy()
    assert bootstrap_interval(values, seed=1) == bootstrap_interval(values, seed=1)
    assert bootstrap_interval(values, seed=1) != bootstrap_interval(values, seed=2)
    assert (np.random.get_state()[1] == state).all(), "the global generator is left alone"


def test_ids_and_their_groups_may_be_given_as_mappings() -> None:
    values = {"a": 1.0, "b": 2.0, "c": 4.0}
    users = {"c": "y", "b": "x", "a": "x"}
    assert bootstrap_interval(values, groups=users) == bootstrap_interval([1, 2, 4], groups=["x", "x", "y"])


def test_an_interval_covers_the_truth_as_often_as_it_says() -> None:
    rng = np.random.default_rng(0)
    hits = 0
    for trial in range(400):
        low, high = bootstrap_interval(rng.random(80) < 0.3, n=400, seed=trial)
        hits += low <= 0.3 <= high
    # Three standard deviations of a count out of 400, and a little for the discreteness of the mean.
    assert hits / 400 == pytest.approx(0.95, abs=0.045)


def test_only_the_cluster_interval_covers_when_examples_of_a_user_agree() -> None:
    rng = np.random.default_rng(1)
    users = np.repeat(np.arange(60), 8)
    covered = {"users": 0, "examples": 0}
    for trial in range(200):
        values = rng.normal(size=60)[users] + 0.5 * rng.normal(size=len(users))
        for name, groups in (("users", users.tolist()), ("examples", None)):
            low, high = bootstrap_interval(values, n=300, seed=trial, groups=groups)
            covered[name] += low <= 0.0 <= high
    assert covered["users"] / 200 > 0.88
    assert covered["examples"] / 200 < 0.70


def test_a_user_with_more_examples_weighs_more() -> None:
    values = [0.0] * 9 + [1.0]
    low, high = bootstrap_interval(values, groups=["x"] * 9 + ["y"], n=2000)
    # Drawn are x x, x y or y y: means 0, 0.1 and 1.
    assert (low, high) == (0.0, 1.0)
    middle = bootstrap_interval(values, groups=["x"] * 9 + ["y"], n=2000, level=0.4)
    assert middle == pytest.approx((0.1, 0.1))


def test_examples_without_a_user_stand_for_themselves() -> None:
    values = np.random.default_rng(0).random(50)
    assert bootstrap_interval(values, groups=[None] * 50) == bootstrap_interval(values)


@pytest.mark.parametrize(
    ("values", "options", "message"),
    [
        ([], {}, "one row per example"),
        ([1.0, float("nan")], {}, "not finite"),
        ([1.0, float("inf")], {}, "not finite"),
        ([1.0], {"groups": ["x", "y"]}, "2 groups for 1 examples"),
        (
            {"a": 1.0, "b": 1.0},
            {"groups": {"a": "x"}},
            "1 examples have no entry in groups, the first is 'b'",
        ),
        ([1.0], {"groups": {"a": "x"}}, "groups are given by id"),
        ([1.0], {"statistic": "median"}, "unknown statistic 'median'"),
        ([1.0], {"level": 95}, "level"),
        ([1.0], {"n": 0}, "at least one resample"),
    ],
)
def test_what_has_no_interval_is_refused(values: object, options: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        bootstrap_interval(values, **options)


# --- paired randomization --------------------------------------------------------------------------


def sign_flip_p(differences: list[float]) -> float:
    """By definition: the share of sign assignments whose mean is as far from 0 as the observed one."""
    observed = abs(sum(differences))
    sums = [
        abs(sum(s * d for s, d in zip(signs, differences, strict=True)))
        for signs in itertools.product((1, -1), repeat=len(differences))
    ]
    return sum(value >= observed - 1e-9 for value in sums) / len(sums)


def test_three_wins_out_of_three_are_no_evidence() -> None:
    result = paired_test([1, 1, 1], [0, 0, 0])
    # +++ and --- are as extreme: 2 of 8.
    assert result.p == 0.25
    assert result.exact
    assert (result.difference, result.low, result.high) == (1.0, 1.0, 1.0)


@given(st.lists(st.sampled_from([-2.0, -1.0, -0.3, 0.0, 0.1, 0.7, 1.0]), min_size=1, max_size=9))
def test_small_samples_are_enumerated(differences: list[float]) -> None:
    b = np.linspace(0, 1, len(differences))
    result = paired_test(b + differences, b, n=512)
    assert result.exact
    assert result.p == pytest.approx(sign_flip_p(differences))


def test_drawn_assignments_agree_with_the_enumeration() -> None:
    differences = np.random.default_rng(3).normal(0.4, 1.0, size=12)
    exact = paired_test(differences, np.zeros(12))
    drawn = paired_test(differences, np.zeros(12), n=4000)
    assert exact.exact
    assert not drawn.exact
    assert drawn.p == pytest.approx(exact.p, abs=0.025)


def test_the_exact_p_of_scipy_is_met() -> None:
    scipy_stats = pytest.importorskip("scipy.stats")
    rng = np.random.default_rng(4)
    a, b = rng.random(10), rng.random(10) - 0.15

    def statistic(x: np.ndarray, y: np.ndarray) -> float:
        return float(np.mean(x) - np.mean(y))

    reference = scipy_stats.permutation_test(
        (a, b), statistic, permutation_type="samples", n_resamples=np.inf
    )
    assert paired_test(a, b).p == pytest.approx(reference.pvalue)


def test_for_accuracy_it_is_the_exact_mcnemar_test() -> None:
    # 9 discordant pairs, 8 of them for a; 200 concordant ones do not matter.
    a = [1] * 8 + [0] + [1] * 200
    b = [0] * 8 + [1] + [1] * 200
    result = paired_test(a, b)
    assert result.exact
    assert result.p == pytest.approx(2 * (1 + 9) / 2**9)
    assert result.n_examples == 209


def test_p_is_symmetric_and_never_zero() -> None:
    a, b = np.ones(50), np.zeros(50)
    forth, back = paired_test(a, b), paired_test(b, a)
    assert forth.p == back.p == pytest.approx(1 / 10_001)
    assert forth.difference == -back.difference
    assert (forth.low, forth.high) == (-back.high, -back.low)


def test_equal_systems_have_p_one() -> None:
    values = np.random.default_rng(0).random(30)
    result = paired_test(values, values)
    assert (result.p, result.difference, result.low, result.high) == (1.0, 0.0, 0.0, 0.0)


def test_pairs_are_formed_by_id() -> None:
    a = {"x": 1.0, "y": 0.0, "z": 0.5}
    b = {"z": 0.5, "y": 0.0, "x": 1.0}
    assert paired_test(a, b).p == 1.0
    with pytest.raises(ValueError, match="same examples"):
        paired_test(a, {"x": 1.0, "y": 0.0, "w": 0.5})
    with pytest.raises(ValueError, match="do not pair up"):
        paired_test([1.0, 2.0], [1.0])


def test_a_user_is_exchanged_as_a_whole() -> None:
    a, b = [1.0] * 12, [0.0] * 12
    users = ["x"] * 4 + ["y"] * 4 + ["z"] * 4
    result = paired_test(a, b, groups=users)
    # Three users, not twelve examples: 2 of 8 assignments, as for three examples.
    assert (result.p, result.n_units, result.n_examples) == (0.25, 3, 12)
    assert paired_test(a, b).p == 2 / 2**12


def test_the_test_rejects_a_true_null_as_often_as_it_says_and_ignoring_users_does_not() -> None:
    rng = np.random.default_rng(2)
    users = np.repeat(np.arange(20), 6)
    rejected = {"users": 0, "examples": 0}
    for trial in range(300):
        a, b = rng.normal(size=20)[users], rng.normal(size=20)[users]
        for name, groups in (("users", users.tolist()), ("examples", None)):
            rejected[name] += paired_test(a, b, groups, seed=trial, n=199).p <= 0.05
    assert rejected["users"] / 300 == pytest.approx(0.05, abs=0.04)
    assert rejected["examples"] / 300 > 0.2


def test_the_interval_and_the_test_agree_about_a_clear_difference() -> None:
    rng = np.random.default_rng(0)
    b = rng.random(500)
    result = paired_test(b + 0.03 + 0.1 * rng.normal(size=500), b)
    assert result.low > 0
    assert result.p < 0.001
    assert result.low < result.difference < result.high


@pytest.mark.parametrize("groups", [None, [0, 0, 1, 1, 2, 3, 4]])
def test_rmse_is_recomputed_for_every_exchange(groups: list[int] | None) -> None:
    a = np.array([0.0, 1.0, 4.0, 1.0, 0.0, 9.0, 1.0])
    b = np.array([1.0, 1.0, 0.0, 4.0, 16.0, 4.0, 4.0])
    unit = list(range(7)) if groups is None else groups

    def difference(swapped: tuple[int, ...]) -> float:
        flip = np.array([swapped[u] for u in unit], dtype=bool)
        return np.sqrt(np.where(flip, b, a).mean()) - np.sqrt(np.where(flip, a, b).mean())

    every = [difference(swapped) for swapped in itertools.product((0, 1), repeat=max(unit) + 1)]
    expected = np.mean(np.abs(every) >= abs(every[0]) - 1e-12)
    result = paired_test(a, b, groups, statistic="root_mean")
    assert result.exact
    assert result.p == pytest.approx(expected)
    assert result.difference == pytest.approx(every[0])
    assert paired_test_statistic(a[:, None], b[:, None], root_mean, groups).p == result.p


def test_a_statistic_may_use_several_columns() -> None:
    # A ratio of means: exchanging rows exchanges numerators together with denominators.
    a = np.array([[3.0, 4.0], [1.0, 2.0], [5.0, 5.0]])
    b = np.array([[1.0, 4.0], [2.0, 3.0], [1.0, 4.0]])
    every = []
    for swapped in itertools.product((False, True), repeat=3):
        flip = np.array(swapped)[:, None]
        x, y = np.where(flip, b, a).sum(axis=0), np.where(flip, a, b).sum(axis=0)
        every.append(x[0] / x[1] - y[0] / y[1])
    result = paired_test_statistic(a, b, lambda means: means[..., 0] / means[..., 1])
    assert result.difference == pytest.approx(every[0])
    assert result.p == np.mean(np.abs(every) >= abs(every[0]) - 1e-12)


def test_memory_is_bounded_however_many_resamples() -> None:
    values = np.random.default_rng(0).random(5000)
    tracemalloc.start()
    bootstrap_interval(values, n=2000)
    paired_test(values, 1 - values, n=2000)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    # All weights at once would be 2000 * 5000 * 8 bytes = 76 MiB.
    assert peak < 25 * 2**20


# --- Holm ------------------------------------------------------------------------------------------


def test_holm_steps_down() -> None:
    # Holm's procedure by hand: 0.01 * 4, 0.02 * 3, 0.03 * 2 (raised to 0.06), 0.5 * 1.
    assert holm([0.5, 0.01, 0.03, 0.02]) == pytest.approx([0.5, 0.04, 0.06, 0.06])
    assert holm([0.9, 0.8]) == [1.0, 1.0]
    assert holm([0.04]) == [0.04]
    assert holm([]) == []


@given(st.lists(st.floats(0, 1), min_size=1, max_size=12))
def test_holm_lies_between_no_correction_and_bonferroni_and_keeps_the_order(p: list[float]) -> None:
    adjusted = holm(p)
    for raw, value in zip(p, adjusted, strict=True):
        assert raw <= value <= min(1.0, raw * len(p)) or value == pytest.approx(min(1.0, raw * len(p)))
    order = np.argsort(p, kind="stable")
    assert np.all(np.diff(np.array(adjusted)[order]) >= 0)


@pytest.mark.parametrize("p", [[-0.1], [1.1], [float("nan")]])
def test_holm_refuses_what_is_no_probability(p: list[float]) -> None:
    with pytest.raises(ValueError, match="between 0 and 1"):
        holm(p)
