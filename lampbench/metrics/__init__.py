"""Scores by the benchmark's official rules, with the value of every example kept."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lampbench.lazy import lazily

if TYPE_CHECKING:
    from lampbench.metrics.rules import (
        PROFILES,
        TOKENLESS,
        Profile,
        Score,
        as_evaluate,
        check_ids,
        f1_rows,
        interval,
        is_tokenless,
        macro_f1,
        official_rating,
        paired,
        parse_rating,
        pplug_rating,
        rouge_bootstrap_mid,
        score,
        statistic,
    )

__getattr__ = lazily(
    __name__,
    {
        "lampbench.metrics.rules": (
            "PROFILES TOKENLESS Profile Score as_evaluate check_ids f1_rows interval is_tokenless macro_f1 "
            "official_rating paired parse_rating pplug_rating rouge_bootstrap_mid score statistic"
        ),
    },
)
