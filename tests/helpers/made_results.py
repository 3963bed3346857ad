"""Made-up runs in a results folder: records with predictions that give exactly what they say."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from lampbench import metrics
from lampbench.records.cost import Cost
from lampbench.records.prediction import Prediction
from lampbench.records.predictions import PredictionLog, line_of
from lampbench.records.record import DataRecord, MethodRecord, MetricRecord, ModelRecord, Record, write_record
from lampbench.tasks import get_task

LLM = ModelRecord("some/llm", "rev1", "float32", 4_000_000)


def answers(task: str, quality: float, n: int = 60, seed: int = 0) -> tuple[dict[str, str], dict[str, str]]:
    """(predictions, golds): about that share of the predictions is right. Golds depend on the task only."""
    labels = get_task(task).labels or ("red kite over hill", "blue boat at sea", "old house by lake")
    golds = {f"q{i:03}": labels[i % len(labels)] for i in range(n)}
    draw = np.random.default_rng(seed).random(n)
    wrong = {label: labels[(i + 1) % len(labels)] for i, label in enumerate(labels)}
    outputs = {
        id: gold if u < quality else wrong[gold] for (id, gold), u in zip(golds.items(), draw, strict=True)
    }
    return outputs, golds


def add_run(
    results: Path,
    method: str = "alpha",
    task: str = "LaMP-2",
    quality: float = 0.5,
    *,
    suite: str = "small",
    seed: int = 0,
    variant: str | None = None,
    n: int = 60,
    users: Sequence[str] | None = None,
    method_changes: Mapping[str, Any] | None = None,
    data_changes: Mapping[str, Any] | None = None,
    outputs: Mapping[str, str] | None = None,
    **changes: Any,
) -> Record:
    """Write one complete run and return its record. `changes` replace fields of the record."""
    made, golds = answers(task, quality, n, seed)
    outputs = made if outputs is None else outputs
    score = metrics.score(task, outputs, golds)
    record = Record(
        suite=suite,
        task=task,
        seed=seed,
        method=replace(MethodRecord(method, variant, config={"k": 4}, sha256="f"), **(method_changes or {})),
        data=replace(DataRecord("made-up", "time", "dev", f"print of {task}", n=n), **(data_changes or {})),
        llm=LLM,
        generation={"max_input_tokens": 160, "max_new_tokens": 24, "beams": 4},
        status="complete",
        metrics={
            key: MetricRecord(v, *metrics.interval(score, key, n=200), n) for key, v in score.metrics.items()
        },
        counts=score.counts | {"truncated": 3, "empty_profile": 0},
        cost=Cost(
            examples=n,
            prompt_tokens=100 * n,
            generated_tokens=5 * n,
            llm_calls=n // 2,
            reused_generations=n - n // 2,
            seconds={"fit": 1.5, "predict": 3.0},
            reused_seconds={"fit": 0.5},
            examples_per_second=20.0,
            peak_rss_bytes=100 * 2**20,
        ),
    )
    record = replace(record, **changes)
    folder = write_record(record, results).parent
    named = users or [f"u{i}" for i in range(n)]
    with PredictionLog(folder / "predictions.jsonl") as log:
        log.clear()
        lines = (
            line_of(Prediction(id, text), user)
            for (id, text), user in zip(outputs.items(), named, strict=True)
        )
        log.append(lines)
        sha256 = log.finalize(list(golds), score.per_example, score.labels)
    if record.predictions_sha256 is None:
        record = replace(record, predictions_sha256=sha256)
    write_record(record, results)
    return replace(record, folder=folder)
