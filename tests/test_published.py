"""Published numbers: all there, all with a source, and beside a run only when they measure the same thing."""

from __future__ import annotations

import csv
from dataclasses import astuple, replace
from pathlib import Path

import pytest

from lampbench.errors import RequestError
from lampbench.published import comparable, load_published, load_sources
from lampbench.record import DataRecord, MethodRecord, ModelRecord, Record


def test_the_numbers_are_those_of_the_reference_file(shared: Path) -> None:
    with open(shared / "published_results.csv", newline="", encoding="utf-8") as file:
        expected = [(*row[:-1], float(row[-1])) for row in list(csv.reader(file))[1:]]
    assert [astuple(p) for p in load_published()] == expected


def test_every_number_has_a_source_and_every_source_a_number() -> None:
    assert {p.source for p in load_published()} == set(load_sources())
    assert all(s.title and s.where for s in load_sources().values())


def test_no_number_is_given_twice() -> None:
    keys = [astuple(p)[:-1] for p in load_published()]
    assert len(keys) == len(set(keys))


@pytest.mark.parametrize(
    ("method", "task", "metric", "split", "value"),
    [
        # arXiv:2409.11901v2, Table 1
        ("rspg-post", "LaMP-3", "mae", "dev", 0.246),
        ("ropg-rl", "LaMP-1", "accuracy", "dev", 0.682),
        ("pplug", "LaMP-2", "f1", "test", 0.495),
        ("contriever", "LaMP-5", "rougeL", "test", 0.433),
    ],
)
def test_spot_checks(method: str, task: str, metric: str, split: str, value: float) -> None:
    sources = {"dev": "pplug-slides-table1", "test": "pplug-arxiv-2409.11901v2-table1"}
    found = [
        p.value
        for p in load_published()
        if (p.source, p.method, p.task, p.metric) == (sources[split], method, task, metric)
    ]
    assert found == [value]


def test_a_number_stands_beside_a_run_only_with_setting_split_llm_and_all_questions_the_same() -> None:
    number = next(p for p in load_published() if p.llm == "google/flan-t5-xxl" and p.task == "LaMP-1")
    assert (number.setting, number.split) == ("time", "dev")
    run = Record(
        suite="s",
        task="LaMP-1",
        seed=0,
        method=MethodRecord("alpha"),
        data=DataRecord("LaMP", "time", "dev", "f", n=1500),
        llm=ModelRecord("google/flan-t5-xxl"),
        generation={},
    )
    assert comparable(number, run)
    assert comparable(number, replace(run, llm=ModelRecord("FLAN-T5-XXL")))  # a local copy
    assert not comparable(number, replace(run, llm=ModelRecord("google/flan-t5-xl")))
    assert not comparable(number, replace(run, llm=ModelRecord("someone/flan-t5-xxl")))  # their own
    assert not comparable(number, replace(run, task="LaMP-2"))
    for change in ({"setting": "user"}, {"split": "test"}, {"n": 200}, {"limit": 1500}):
        assert not comparable(number, replace(run, data=replace(run.data, **change))), change  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "line",
    ["s,time,dev,l,e,m,LaMP-1,accuracy,high", "s,time,dev,l,e,m,LaMP-1,mae,0.5", "s,time,dev,l,e,m,LaMP-1"],
)
def test_a_wrong_line_is_named(tmp_path: Path, line: str) -> None:
    path = tmp_path / "p.csv"
    path.write_text(f"source,setting,split,llm,encoder,method,task,metric,value\n{line}\n")
    with pytest.raises(RequestError, match="line 2"):
        load_published(path)
