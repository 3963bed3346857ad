"""The names that notebooks and method files import stay where they are."""

from __future__ import annotations

import importlib

import pytest

import lampbench

PUBLIC = {
    "lampbench": "list_methods load_records predictions_frame results_frame run",
    "lampbench.data": "Example ItemTable Split TaskData open_task",
    "lampbench.errors": "LampbenchError RequestError RunError unknown",
    "lampbench.method": "Bench Method NoConfig Prediction ProfileConfig RetrievalConfig RetrievalMethod RunSettings "
    "View check_they_rank",
    "lampbench.metrics": "Score as_evaluate check_ids f1_rows interval macro_f1 paired score statistic",
    "lampbench.prompts": "PROMPT_VERSION Extraction Fields history_text item_text personalized_prompt "
    "pplug_query query",
    "lampbench.retrieval": "rank_bm25 rank_dense rank_random rank_recency",
    "lampbench.stats": "bootstrap_interval holm paired_test",
    "lampbench.tasks": "SETTINGS SPLITS TASKS Metric Task get_task metric",
    "lampbench.training": "TrainReport TrainSettings settings_from train",
}


@pytest.mark.parametrize(
    ("module", "name"), [(module, name) for module, names in PUBLIC.items() for name in names.split()]
)
def test_a_public_name_is_where_it_was(module: str, name: str) -> None:
    assert getattr(importlib.import_module(module), name) is not None


def test_a_name_that_is_not_there_is_told_as_python_does() -> None:
    with pytest.raises(AttributeError, match=r"^module 'lampbench' has no attribute 'nothing'$"):
        lampbench.nothing  # noqa: B018
    with pytest.raises(ImportError, match=r"cannot import name 'Nothing' from 'lampbench.method'"):
        from lampbench.method import Nothing  # type: ignore[attr-defined]  # noqa: F401
