"""Every method keeps the rules of the bench, and adding one takes one file."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest
from places import CHECKOUT

from lampbench.cli.app import main
from lampbench.conformance.method_rules import check_methods
from lampbench.conformance.report import CheckReport
from lampbench.data import open_task
from lampbench.method.registry import list_methods
from lampbench.prompts import item_text, query
from lampbench.records.results_folder import load_records
from lampbench.retrieval import rank_bm25, rank_dense
from lampbench.runner.run import run

README = CHECKOUT / "README.md"


@pytest.fixture(scope="module")
def reports() -> dict[str, CheckReport]:
    """The conformance check of all methods, made once."""
    return {report.name: report for report in check_methods("all")}


@pytest.mark.parametrize("name", [info.name for info in list_methods()])
def test_the_method_keeps_the_rules(reports: dict[str, CheckReport], name: str) -> None:
    report = reports[name]
    assert report.passed, str(report)
    assert len(report.done) == 33  # eleven rules on three tasks


def test_the_checks_can_fail(tmp_path: Path) -> None:
    (tmp_path / "wrong.py").write_text(
        '''"""Breaks every rule that can be broken."""
import lampbench.method
import numpy as np
import torch
from dataclasses import replace
from torch import nn


class Method(lampbench.method.Method):
    name = "wrong"
    summary = "Wrong throughout"

    def build(self, bench):
        return nn.Linear(1, 1)

    def fit(self, bench, train):
        self.learned = np.random.default_rng().integers(10**9)

    def predict(self, bench, examples):
        with torch.no_grad():
            next(bench.llm.model.parameters()).add_(1.0)
        for number, p in enumerate(bench.generate(examples, [e.input for e in examples])):
            first = examples[number].profile[0]["id"] if number != 1 else "none"
            yield replace(p, output=f"{getattr(self, 'learned', 'lost')} {number}", ranked=(first,))
'''
    )
    (report,) = check_methods("wrong", tmp_path, tasks=["LaMP-3"])
    broken = {rule.removeprefix("LaMP-3: "): reason for rule, reason in report.failures}
    assert "the batch does not change the answer" in broken
    assert "learned once, restored the same" in broken
    assert "the same seed gives the same answers" in broken
    assert "an empty history is survived" in broken
    assert "the LLM stays frozen" in broken
    assert "IndexError" in broken["an empty history is survived"]
    assert "wrong.py, line" in broken["an empty history is survived"]
    assert not report.passed


def test_a_ranking_that_ends_after_k_items_is_found_unless_it_is_said(tmp_path: Path) -> None:
    ends = '''"""The first k items alone are ranked."""
from lampbench.method import RetrievalMethod


class Method(RetrievalMethod):
    name = "ends"

    def rank(self, bench, example):
        return range(min(self.config.k, len(example.item_ids)))
'''
    file = tmp_path / "ends.py"
    file.write_text(ends)
    (report,) = check_methods("ends", tmp_path, tasks=["LaMP-3"])
    ((rule, reason),) = report.failures
    assert rule == "LaMP-3: its rankings have no k"
    assert "with a larger k: leave k out of prompt_options" in reason
    file.write_text(ends + "\n    prompt_options = frozenset()\n")
    (report,) = check_methods("ends", tmp_path, tasks=["LaMP-3"])
    assert report.passed, str(report)


def test_a_broken_file_fails_its_check_and_no_other(tmp_path: Path) -> None:
    (tmp_path / "torn.py").write_text(
        "import a_module_that_is_not_there\n\n\nclass Method:\n    name = 'torn'\n"
    )
    by_name = {r.name: r for r in check_methods("all", tmp_path, tasks=[])}
    assert by_name["torn"].failures == [
        ("imports", "ModuleNotFoundError: No module named 'a_module_that_is_not_there'")
    ]
    assert all(report.passed for name, report in by_name.items() if name != "torn")


def test_retrieval_methods_rank_as_the_functions_do(
    tmp_path: Path, tiny_data: Path, tiny_llm: Path, tiny_encoder: Path
) -> None:
    from lampbench.models.encoder import TextEncoder

    options = {"data": tiny_data, "llm": str(tiny_llm), "encoder": str(tiny_encoder), "results": tmp_path}
    records = run(
        "bm25,contriever", "LaMP-1,LaMP-4", set=["contriever.use_date=true"], progress="none", **options
    )
    encoder = TextEncoder.load(tiny_encoder, device="cpu")
    for record in records:
        lines = [json.loads(line) for line in record.predictions.read_text().splitlines()]
        for example, line in zip(open_task(tiny_data, record.task).split("dev"), lines, strict=True):
            asked = query(record.task, example.input)
            dated = record.method.name == "contriever"
            texts = [item_text(record.task, item, dated) for item in example.profile]
            if dated:
                vectors = encoder.encode([asked, *texts]).numpy()
                ranking = rank_dense(vectors[0], np.asarray(vectors[1:]))
            else:
                ranking = rank_bm25(asked, texts)
            assert line["ranked"] == [example.item_ids[i] for i in ranking[:4]]


# Adding a method


def command(*words: object) -> int:
    with pytest.raises(SystemExit) as end:
        main([str(word) for word in words])
    return int(end.value.code or 0)


def test_the_readme_adds_a_method_with_one_file(
    tmp_path: Path,
    tiny_data: Path,
    tiny_llm: Path,
    tiny_encoder: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    text = re.search(r"```python\n(.*?)```", README.read_text(encoding="utf-8"), re.DOTALL)
    assert text is not None
    folder = tmp_path / "methods"
    folder.mkdir()
    (folder / "longest.py").write_text(text.group(1), encoding="utf-8")
    (folder / "torn.py").write_text("this is no Python\n", encoding="utf-8")

    assert command("list", "methods", "--methods-dir", folder) == 0
    listed = capsys.readouterr().out
    assert re.search(r"^longest +\S", listed, re.MULTILINE)
    assert re.search(r"^torn +BROKEN: SyntaxError", listed, re.MULTILINE)

    assert command("check", "longest", "--methods-dir", folder) == 0
    assert "longest: ok" in capsys.readouterr().out

    results, board = tmp_path / "results", tmp_path / "leaderboard.md"
    models = ("--data", tiny_data, "--llm", tiny_llm, "--encoder", tiny_encoder)
    words = ("--methods-dir", folder, "--results", results, "--suite", "mine", "--quiet", *models)
    assert command("run", "--method", "longest,adhoc", "--task", "LaMP-3,LaMP-4", *words) == 0
    assert "longest" in capsys.readouterr().out.splitlines()[0]
    assert {r.method.origin for r in load_records(results)} == {"lampbench", "--methods-dir"}

    assert command("leaderboard", "--results", results, "--output", board) == 0
    header = next(line for line in board.read_text().splitlines() if line.startswith("|"))
    assert "longest" in header
    assert "adhoc" in header

    assert command("run", "--method", "torn", *words) == 2
    assert "method 'torn' is broken: SyntaxError" in capsys.readouterr().err
