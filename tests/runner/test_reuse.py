"""Runs that reuse generations: nothing is generated twice, and what a method costs stays what it costs."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from made_methods import PRESET, TRICKSTER

from lampbench.errors import RunError
from lampbench.models.frozen_llm import FrozenLLM
from lampbench.records.record import Record
from lampbench.report.leaderboard import build_leaderboard
from lampbench.runner.run import run

Runner = Callable[..., Record]

# Asks for every question what bm25 asks, and then the question alone.
TWICE = '''"""Two prompts per question."""

from __future__ import annotations

from lampbench.method import RetrievalMethod


class Method(RetrievalMethod):
    name = "twice"
    summary = "The answers of two methods, the second of them"

    def uses(self):
        return ("bm25", "adhoc")

    def predict(self, bench, examples):
        list(bench.method("bm25").predict(examples))
        yield from bench.method("adhoc").predict(examples)
'''


# Puts the items into the prompt that a trained retriever ranks first.
BORROWER = '''"""Another method's ranking."""

from __future__ import annotations

from lampbench.method import RetrievalMethod


class Method(RetrievalMethod):
    name = "borrower"
    summary = "Another method's ranking"

    def uses(self):
        return ("ropg-kd",)

    def prepare(self, bench, examples):
        rankings = bench.method("ropg-kd").rankings(examples)
        self.ranked = {e.id: ranking for e, ranking in zip(examples, rankings, strict=True)}

    def rank(self, bench, example):
        return self.ranked[example.id]
'''


@pytest.fixture
def run_here(tmp_path: Path, tiny_llm: Path, tiny_encoder: Path, tiny_data: Path) -> Runner:
    """`run` of one method, quietly."""
    preset = PRESET.format(llm=tiny_llm, encoder=tiny_encoder, data=tiny_data)
    (tmp_path / "tiny.toml").write_text(preset, encoding="utf-8")
    (tmp_path / "methods").mkdir()
    for name, text in (("trickster", TRICKSTER), ("twice", TWICE), ("borrower", BORROWER)):
        (tmp_path / "methods" / f"{name}.py").write_text(text, encoding="utf-8")

    def run_one(method: str, **options: Any) -> Record:
        options = {"results": tmp_path / "results", "preset": str(tmp_path / "tiny.toml"), **options}
        (record,) = run(method, "LaMP-3", progress="none", methods_dir=tmp_path / "methods", **options)
        return record

    return run_one


@pytest.fixture
def generated(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The prompts that have gone through the LLM, as they go."""
    asked: list[str] = []
    stream = FrozenLLM.stream

    def listening(self: FrozenLLM, requests: Any, **limits: Any) -> Any:
        def heard() -> Any:
            for request in requests:
                asked.append(request.prompt)
                yield request

        return stream(self, heard(), **limits)

    monkeypatch.setattr(FrozenLLM, "stream", listening)
    return asked


def test_the_same_run_without_its_results_generates_nothing_and_ends_the_same(
    run_here: Runner, generated: list[str]
) -> None:
    first = run_here("bm25")
    assert (len(generated), first.cost.llm_calls, first.cost.reused_generations) == (6, 6, 0)
    predictions = first.predictions.read_bytes()
    assert first.folder is not None
    shutil.rmtree(first.folder)
    second = run_here("bm25")
    assert len(generated) == 6
    assert second.predictions.read_bytes() == predictions
    assert second.metrics == first.metrics
    assert (second.cost.llm_calls, second.cost.reused_generations) == (0, 6)
    assert second.cost.prompt_tokens == first.cost.prompt_tokens


def test_the_seconds_that_reused_answers_took_slow_the_rate(
    run_here: Runner, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = FrozenLLM._generate

    def slow(self: FrozenLLM, batch: Any, **options: Any) -> Any:
        from dataclasses import replace

        return [replace(generation, seconds=100.0) for generation in made(self, batch, **options)]

    monkeypatch.setattr(FrozenLLM, "_generate", slow)
    run_here("bm25")
    again = run_here("bm25", suite="again")
    assert again.cost.reused_seconds["predict"] == 600.0
    assert again.cost.seconds["predict"] < 600.0
    assert again.cost.examples_per_second == pytest.approx(6 / 600, rel=0.2)


def test_a_method_built_on_others_finds_their_answers(run_here: Runner, generated: list[str]) -> None:
    run_here("bm25")
    record = run_here("twice")
    assert len(generated) == 12  # bm25's six prompts once, adhoc's six once
    assert record.cost.calls_by_phase["predict"] == record.cost.llm_calls == 6
    assert record.cost.reused_by_phase["predict"] == record.cost.reused_generations == 6
    written = json.loads((record.predictions.parent / "record.json").read_text())
    assert (written["cost"]["llm_calls"], written["cost"]["reused_generations"]) == (6, 6)


def test_seeds_and_other_options_share_what_is_the_same(run_here: Runner, generated: list[str]) -> None:
    run_here("recency")
    assert run_here("recency", seed=1).cost.reused_generations == 6
    assert run_here("recency", set=["k=1"]).cost.reused_generations == 0
    assert len(generated) == 12


def test_fresh_generates_again(run_here: Runner, generated: list[str]) -> None:
    run_here("bm25")
    assert run_here("bm25", fresh=True).cost.llm_calls == 6
    assert len(generated) == 12


def test_an_interrupted_run_counts_every_answer_once(
    run_here: Runner, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TRICK", "interrupt:4")
    with pytest.raises(KeyboardInterrupt):
        run_here("trickster")
    monkeypatch.setenv("TRICK", "")
    record = run_here("trickster")
    cost = record.cost
    assert cost.examples == 6
    # The fifth answer was given before the interruption and not written to the log: it was asked for twice.
    assert cost.llm_calls + cost.reused_generations == 7
    assert cost.reused_generations == 1


def test_an_interrupted_run_goes_on_with_the_same_code_only(
    run_here: Runner, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TRICK", "interrupt:4")
    with pytest.raises(KeyboardInterrupt):
        run_here("trickster")
    monkeypatch.setenv("TRICK", "")
    monkeypatch.setattr("lampbench.method.registry.code_print", lambda cls, *file: "other code")
    cost = run_here("trickster").cost
    assert (cost.examples, cost.llm_calls + cost.reused_generations) == (
        6,
        6,
    )  # each was asked for anew, once


def test_a_spoilt_llm_leaves_no_answer_behind(run_here: Runner, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRICK", "melt")
    with pytest.raises(RunError, match="changed the frozen LLM"):
        run_here("trickster")
    monkeypatch.setenv("TRICK", "")
    record = run_here("trickster")
    assert (record.cost.llm_calls, record.cost.reused_generations) == (6, 0)


def test_another_model_behind_the_same_interface_is_neither_looked_up_nor_kept(
    run_here: Runner, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "methods" / "tuned.py").write_text(
        '"""A copy of the LLM."""\n\nimport lampbench.method\n\n\nclass Method(lampbench.method.Method):\n'
        '    name = "tuned"\n    summary = "A copy answers"\n\n    def predict(self, bench, examples):\n'
        "        copy = bench.llm.using(bench.llm.trainable_copy())\n"
        "        yield from bench.generate(examples, [e.input for e in examples], llm=copy)\n"
    )
    run_here("adhoc")
    first, second = run_here("tuned"), run_here("tuned", suite="again")
    assert [r.cost.llm_calls for r in (first, second)] == [6, 6]
    assert [r.cost.reused_generations for r in (first, second)] == [0, 0]


def change_a_weight(folder: Path) -> None:
    file = folder / "model.safetensors"
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 0xFF
    file.write_bytes(content)


def change_the_template(folder: Path) -> None:
    (folder / "chat_template.jinja").write_text("{{ messages[0]['content'] }} please")


def change_nothing(folder: Path) -> None:
    (folder / "README.md").write_text("About this model.")


@pytest.mark.parametrize(
    ("change", "reused"), [(change_a_weight, 0), (change_the_template, 0), (change_nothing, 6)]
)
def test_an_llm_that_has_changed_in_its_folder_answers_anew(
    run_here: Runner, tmp_path: Path, tiny_llm: Path, change: Callable[[Path], None], reused: int
) -> None:
    folder = shutil.copytree(tiny_llm, tmp_path / "llm")
    (folder / "chat_template.jinja").write_text("{{ messages[0]['content'] }}")
    options = {"llm": str(folder), "chat_template": True}
    first = run_here("adhoc", **options)
    assert first.cost.llm_calls == 6
    change(folder)
    again = run_here("adhoc", **options, results=tmp_path / "again")
    assert again.cost.reused_generations == reused
    assert (again.request == first.request) == (again.llm == first.llm) == bool(reused)


def test_what_a_file_says_predicts_nothing_again_and_what_it_does_everything(
    run_here: Runner, tmp_path: Path
) -> None:
    file = tmp_path / "methods" / "twice.py"
    first = run_here("twice")
    file.write_text(file.read_text().replace("Two prompts per question.", "Asks twice.") + "# Twice.\n")
    again = run_here("twice")
    assert (again.finished, again.method.sha256) == (first.finished, first.method.sha256)  # the same record
    file.write_text(file.read_text().replace('"adhoc"', '"recency"'))
    other = run_here("twice", results=tmp_path / "again")
    assert (other.request, other.method.sha256) != (first.request, first.method.sha256)


def test_without_a_known_revision_nothing_is_reused(
    run_here: Runner, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[str] = []
    monkeypatch.setattr("lampbench.progress.Progress.say", lambda self, text: told.append(text))
    monkeypatch.setattr("lampbench.loading.checkpoint.model_revision", lambda name: None)
    monkeypatch.setattr("lampbench.models.run_models.model_revision", lambda name, on_progress: None)
    first = run_here("adhoc")
    monkeypatch.setattr("lampbench.loading.identity._PROCESS", "another")
    again = run_here("adhoc", suite="again")
    assert (first.llm.revision, again.cost.reused_generations) == (None, 0)
    assert first.request != again.request
    assert told.count("the llm: its revision is not known, so that nothing it makes is used again") == 2


def test_the_cost_table_does_not_depend_on_who_ran_first(run_here: Runner, tmp_path: Path) -> None:
    run_here("bm25")
    run_here("twice")
    (suite,) = build_leaderboard(tmp_path / "results", published=[]).suites
    costs = {cost.method: cost for cost in suite.costs}
    assert (costs["bm25"].llm_calls, costs["twice"].llm_calls) == (1, 2)


def test_a_method_is_charged_for_those_it_is_built_on_whoever_fitted_them(
    run_here: Runner, tmp_path: Path
) -> None:
    with (tmp_path / "tiny.toml").open("a") as preset:
        preset.write("[method.ropg-kd]\nmax_steps = 1\ncandidates = 2\nquestions = 4\n")
    first = run_here("borrower")
    tuned = run_here("ropg-kd")
    assert tuned.cost.calls_by_phase["fit"] == 8
    second = run_here("borrower", suite="again")
    for record in (first, second):
        assert record.cost.calls_by_phase["fit"] == 0
        assert record.cost.reused_by_phase["fit"] == 8  # four questions, two candidates each
    assert first.cost.reused_seconds["fit"] == second.cost.reused_seconds["fit"] > 0
