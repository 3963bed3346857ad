"""The table that ends a run: each row is labelled and starred by the metric of its own task."""

from __future__ import annotations

from pathlib import Path

from made_results import add_run
from own_tasks import same, write_task

from lampbench.report.run_table import results_table


def test_a_row_is_judged_by_the_metric_of_its_own_task(tmp_path: Path) -> None:
    tasks, results = tmp_path / "tasks", tmp_path / "results"
    write_task(tasks, "Gain", same(label="Hits"))
    write_task(tasks, "Loss", same(label="Misses", higher=False))
    records = [add_run(results, m, task, q) for task in ("Gain", "Loss") for m, q in (("a", 0.2), ("b", 0.9))]
    rows = results_table(records).splitlines()[1:3]
    assert [row.split("  ")[0] for row in rows] == ["Gain Hits ↑", "Loss Misses ↓"]
    starred = [[cell.endswith("*") for cell in row.split()[3:]] for row in rows]
    assert starred == [[False, True], [True, False]]
