from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lampbench.prompts.token_budget import plan_budget


@pytest.mark.parametrize(
    ("max_length", "share", "budget", "allowance", "limits", "kept"),
    [
        (64, 0.4, 39, 11, (2, 2, 2), (2, 2, 2)),
        (96, 0.6, 55, 16, (7, 7, 7), (7, 7, 7)),
        (128, 0.6, 87, 27, (18, 18, 28), (18, 8, 28)),
    ],
)
def test_the_worked_example_divides_its_tokens_as_published(
    max_length: int, share: float, budget: int, allowance: int, limits: tuple[int, ...], kept: tuple[int, ...]
) -> None:
    plan = plan_budget(
        max_length, input_tokens=41, fixed_tokens=[9, 9, 9], text_tokens=[23, 8, 28], glue_tokens=1
    )
    assert plan is not None
    assert (round(plan.share, 9), plan.budget, plan.allowance) == (share, budget, allowance)
    assert (plan.limits, plan.kept) == (limits, kept)


def test_the_share_of_the_input_falls_to_nothing_and_no_further() -> None:
    def share(max_length: int) -> float | None:
        plan = plan_budget(max_length, input_tokens=100, fixed_tokens=[9], text_tokens=[50], glue_tokens=1)
        return None if plan is None else round(plan.share, 9)

    assert [share(max_length) for max_length in (25, 22, 17, 10, 9)] == [0.6, 0.5, 0.4, 0.0, None]


def test_a_limit_of_nothing_leaves_a_text_whole_and_later_items_pay() -> None:
    plan = plan_budget(102, input_tokens=0, fixed_tokens=[50, 10], text_tokens=[30, 60], glue_tokens=0)
    assert plan is not None
    assert plan.allowance == 50
    assert (plan.limits, plan.kept) == ((0, 10), (30, 10))


@settings(deadline=None)
@given(
    st.integers(-10, 600),
    st.integers(1, 600),
    st.lists(st.tuples(st.integers(1, 60), st.integers(0, 300)), min_size=1, max_size=6),
    st.integers(0, 12),
)
def test_no_plan_spends_more_than_the_budget(
    max_length: int, input_tokens: int, parts: list[tuple[int, int]], glue: int
) -> None:
    fixed, texts = [part[0] for part in parts], [part[1] for part in parts]
    plan = plan_budget(
        max_length, input_tokens=input_tokens, fixed_tokens=fixed, text_tokens=texts, glue_tokens=glue
    )
    if plan is None:
        return
    assert all(kept <= text for kept, text in zip(plan.kept, texts, strict=True))
    if 0 not in plan.limits:
        spent = sum(fixed) + sum(plan.kept) + glue + 2 * (len(parts) - 1)
        assert spent + min(input_tokens, int(plan.share * max_length)) <= max_length
