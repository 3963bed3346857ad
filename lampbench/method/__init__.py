"""What a method is, all that it may use, and how it is found."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lampbench.lazy import lazily

if TYPE_CHECKING:
    from lampbench.method.base import (
        HistoryConfig,
        Method,
        NoConfig,
        ProfileConfig,
        PromptsConfig,
        RetrievalConfig,
        RetrievalMethod,
        View,
        check_they_rank,
    )
    from lampbench.method.bench import Bench, RunSettings
    from lampbench.records.prediction import Prediction

__getattr__ = lazily(
    __name__,
    {
        "lampbench.method.base": (
            "HistoryConfig Method NoConfig ProfileConfig PromptsConfig RetrievalConfig RetrievalMethod View "
            "check_they_rank"
        ),
        "lampbench.method.bench": "Bench RunSettings",
        "lampbench.records.prediction": "Prediction",
    },
)
