"""Records and predictions as pandas data frames, for whoever goes on from the tables in a notebook."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from lampbench.errors import RunError
from lampbench.records.record import Record
from lampbench.records.results_folder import load_records
from lampbench.report.seed_runs import read_log

if TYPE_CHECKING:
    import pandas as pd


def results_frame(results: str | Path = "results", suite: str | None = None) -> pd.DataFrame:
    """The complete runs below a results folder, one row per run and metric.

    Args:
        results: the folder that `lampbench run` writes to.
        suite: only this suite.

    Returns:
        Columns suite, task, method, seed, metric, value, low, high (the 95 % interval over questions; NaN
        where there is none), n (questions), fit_seconds and predict_seconds (those of reused generations
        included), bytes_per_user, llm.

    Raises:
        RequestError: no such folder, or a record that cannot be read.
    """
    import pandas as pd

    columns = ["suite", "task", "method", "seed", "metric", "value", "low", "high", "n"]
    columns += ["fit_seconds", "predict_seconds", "bytes_per_user", "llm"]
    records = [record for record in load_records(results, suite) if record.status == "complete"]
    return pd.DataFrame([row for record in records for row in _rows(record)], columns=columns)


def _rows(record: Record) -> list[dict[str, Any]]:
    run = {
        "suite": record.suite,
        "task": record.task,
        "method": record.method.label,
        "seed": record.seed,
        "fit_seconds": record.cost.full_seconds("fit"),
        "predict_seconds": record.cost.full_seconds("predict"),
        "bytes_per_user": record.cost.bytes_per_user,
        "llm": record.llm.id,
    }
    return [
        {**run, "metric": name, "value": m.value, "low": m.low, "high": m.high, "n": m.n}
        for name, m in record.metrics.items()
    ]


def predictions_frame(record: Record) -> pd.DataFrame:
    """The predictions of a run, one row per question.

    Args:
        record: as `load_records` or `run` returns it.

    Returns:
        Columns id, output, ranked (ids of the items in the prompt), prompt_tokens, soft_tokens,
        generated_tokens, and one per score of the question.

    Raises:
        RunError: its predictions.jsonl cannot be read, or is not the one that was scored.
    """
    import pandas as pd

    lines, problem = read_log(record)
    if problem is not None and record.status == "complete":
        raise RunError(f"{record.name}: {problem}")
    rows = []
    for id, line in lines.items():
        tokens = {f"{kind}_tokens": line["tokens"][kind] for kind in ("prompt", "soft", "generated")}
        rows.append(
            {"id": id, "output": line["output"], "ranked": line["ranked"], **tokens, **line.get("scores", {})}
        )
    return pd.DataFrame(rows)
