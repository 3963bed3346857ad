"""Published numbers: all there, all with a source, and beside a run only when they measure the same thing."""

from __future__ import annotations

from dataclasses import astuple, replace
from pathlib import Path

import pytest

from lampbench.errors import RequestError
from lampbench.records.record import DataRecord, MethodRecord, ModelRecord, Record
from lampbench.report.published import comparable, load_published, load_sources

# Table 1 of arXiv:2409.11901v2 as it is printed: validation rows (as its slides have them), and test rows.
VALIDATION = """
                 adhoc   bm25  recency  contriever  ropg-rl  ropg-kd  rspg-pre  rspg-post  pplug
LaMP-1 accuracy  0.498  0.629    0.639       0.641    0.682    0.676     0.672      0.670  0.680
LaMP-2 accuracy  0.326  0.345    0.361       0.362    0.365    0.365     0.391      0.416  0.565
LaMP-2 f1        0.255  0.282    0.291       0.282    0.292    0.291     0.312      0.337  0.501
LaMP-3 mae       0.335  0.293    0.305       0.297    0.273    0.274     0.266      0.246  0.231
LaMP-3 rmse      0.639  0.585    0.596       0.592    0.561    0.566     0.560      0.539  0.534
LaMP-4 rouge1    0.173  0.192    0.194       0.190    0.190    0.193     0.195      0.207  0.216
LaMP-4 rougeL    0.157  0.175    0.177       0.174    0.174    0.176     0.179      0.188  0.197
LaMP-5 rouge1    0.472  0.467    0.469       0.471    0.473    0.472     0.479      0.480  0.487
LaMP-5 rougeL    0.419  0.419    0.422       0.421    0.425    0.423     0.429      0.429  0.435
LaMP-7 rouge1    0.454  0.451    0.452       0.440    0.458    0.451     0.460      0.468  0.536
LaMP-7 rougeL    0.401  0.401    0.402       0.391    0.407    0.402     0.409      0.416  0.484
"""
TEST = """
                 adhoc  lora-user   bm25  recency  contriever    rrf  ropg-rl  ropg-kd  rspg-pre  rspg-post  pplug
LaMP-1 accuracy  0.502      0.506  0.626    0.622       0.636  0.570    0.655    0.668     0.663      0.672  0.700
LaMP-2 accuracy  0.359      0.360  0.387    0.377       0.396  0.375    0.391    0.396     0.405      0.430  0.559
LaMP-2 f1        0.276      0.278  0.306    0.295       0.304  0.299    0.300    0.306     0.314      0.339  0.495
LaMP-3 mae       0.308      0.301  0.298    0.296       0.299  0.314    0.286    0.290     0.282      0.264  0.242
LaMP-3 rmse      0.611      0.600  0.611    0.605       0.616  0.614    0.591    0.604     0.585      0.568  0.557
LaMP-4 rouge1    0.176      0.178  0.186    0.189       0.183  0.190    0.191    0.187     0.190      0.203  0.211
LaMP-4 rougeL    0.160      0.163  0.171    0.173       0.169  0.176    0.177    0.172     0.176      0.186  0.193
LaMP-5 rouge1    0.478      0.478  0.477    0.475       0.483  0.478    0.475    0.477     0.483      0.480  0.487
LaMP-5 rougeL    0.428      0.429  0.427    0.426       0.433  0.428    0.427    0.428     0.431      0.429  0.439
LaMP-7 rouge1    0.449      0.449  0.446    0.444       0.440  0.446    0.448    0.441     0.450      0.461  0.537
LaMP-7 rougeL    0.396      0.397  0.394    0.393       0.390  0.395    0.397    0.391     0.400      0.409  0.484
"""


@pytest.mark.parametrize(
    ("source", "split", "table"),
    [("pplug-slides-table1", "dev", VALIDATION), ("pplug-arxiv-2409.11901v2-table1", "test", TEST)],
)
def test_the_numbers_are_those_of_the_printed_table(source: str, split: str, table: str) -> None:
    head, *rows = [line.split() for line in table.strip().splitlines()]
    expected = {
        (method, task, metric): float(value)
        for task, metric, *values in rows
        for method, value in zip(head, values, strict=True)
    }
    found = [p for p in load_published() if p.source == source]
    assert {(p.method, p.task, p.metric): p.value for p in found} == expected
    assert {(p.setting, p.split, p.llm) for p in found} == {("time", split, "google/flan-t5-xxl")}


def test_every_number_has_a_source_and_every_source_a_number() -> None:
    assert {p.source for p in load_published()} == set(load_sources())
    assert all(s.title and s.where for s in load_sources().values())


def test_no_number_is_given_twice() -> None:
    keys = [astuple(p)[:-1] for p in load_published()]
    assert len(keys) == len(set(keys))


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
