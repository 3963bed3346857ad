"""Scores by the benchmark's official rules, with the value of every example kept."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lampbench.lazy import lazily

if TYPE_CHECKING:
    from lampbench.metrics.hf_evaluate import as_evaluate
    from lampbench.metrics.known import answer_kind
    from lampbench.metrics.labels import f1_rows, macro_f1
    from lampbench.metrics.ratings import official_rating, parse_rating, pplug_rating
    from lampbench.metrics.rouge import TOKENLESS, is_tokenless
    from lampbench.metrics.scoring import (
        RULES,
        Rules,
        Score,
        check_golds,
        check_ids,
        interval,
        logged_rows,
        paired,
        rouge_bootstrap_mid,
        score,
        statistic,
    )

__getattr__ = lazily(
    __name__,
    {
        "lampbench.metrics.hf_evaluate": "as_evaluate",
        "lampbench.metrics.known": "answer_kind",
        "lampbench.metrics.labels": "f1_rows macro_f1",
        "lampbench.metrics.ratings": "official_rating parse_rating pplug_rating",
        "lampbench.metrics.rouge": "TOKENLESS is_tokenless",
        "lampbench.metrics.scoring": (
            "RULES Rules Score check_golds check_ids interval logged_rows paired "
            "rouge_bootstrap_mid score statistic"
        ),
    },
)
