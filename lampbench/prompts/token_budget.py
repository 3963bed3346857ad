"""The official rule by which selected items share the token budget of a prompt, as arithmetic on counts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class BudgetPlan:
    """How selected items share a token budget. Every length counts the special tokens of a text.

    Attributes:
        share: the part of the maximum that was left to the input, at most.
        budget: what is left for the profile.
        allowance: what each item may use, its fixed part included.
        limits: the length to which each item's text is cut; 0 leaves it whole.
        kept: the length of each item's text after that.
    """

    share: float
    budget: int
    allowance: int
    limits: tuple[int, ...]
    kept: tuple[int, ...]


def plan_budget(
    max_length: int,
    *,
    input_tokens: int,
    fixed_tokens: Sequence[int],
    text_tokens: Sequence[int],
    glue_tokens: int,
) -> BudgetPlan | None:
    """The shares of the items, as the official program computes them; None where their fixed parts do not
    fit.

    The input gets up to 60 % of `max_length`; the rest is divided evenly, and what an item does not use
    passes to those after it. Where an item would get a negative length, the share of the input falls by a
    tenth of `max_length`, step by step down to nothing (LaMP/prompts/prompts.py in LaMP-Benchmark/LaMP).

    Args:
        max_length: how many tokens the LLM will read.
        input_tokens: length of the raw input.
        fixed_tokens: length of each item's fixed part; at least one.
        text_tokens: length of each item's text, uncut.
        glue_tokens: what the words around the items cost, apart from 2 tokens between any two items.
    """
    n = len(fixed_tokens)
    share = 0.6
    # Floats on purpose: six subtractions end at 2.8e-17 and not below 0, so that a share of nothing is tried
    # too.
    while share >= 0:
        budget = max_length - min(input_tokens, int(share * max_length))
        allowance = (budget - glue_tokens - 2 * (n - 1)) // n
        limits: list[int] = []
        kept: list[int] = []
        saved = 0
        for fixed, text in zip(fixed_tokens, text_tokens, strict=True):
            limit = allowance + saved - fixed
            if limit < 0:
                break
            # The official program hands a limit of 0 to a tokenizer that takes it for no limit at all. The
            # text then stays whole, and later items pay for it.
            limits.append(limit)
            kept.append(min(limit, text) if limit > 0 else text)
            saved = limit - kept[-1]
        else:
            return BudgetPlan(share, budget, allowance, tuple(limits), tuple(kept))
        share -= 0.1
    return None
