"""Presets are data, checked when they are read; the default one runs without anything else."""

from __future__ import annotations

from pathlib import Path

import pytest

from lampbench.errors import RequestError
from lampbench.method.registry import find_method, load
from lampbench.mini.generator import SIZES
from lampbench.models.run_models import ModelChoice, Models
from lampbench.runner.plan import make_plan
from lampbench.runner.preset import load_preset, preset_names
from lampbench.runner.request import RunRequest
from lampbench.runner.run import run
from lampbench.runner.setup import method_config
from lampbench.tasks import TASKS, get_task

GOOD = """
summary = "mine"
llm = "me/my-llm"
encoder = "me/my-encoder"
data = "data"
setting = "time"
max_input_tokens = 256
beams = 4
[max_new_tokens]
default = 64
LaMP_3 = 5
[options]
k = 3
[method.bm25]
use_date = true
[method.bm25.LaMP-4]
k = 1
"""


def write(tmp_path: Path, text: str) -> str:
    path = tmp_path / "mine.toml"
    path.write_text(text, encoding="utf-8")
    return str(path)


def test_a_preset_of_ones_own(tmp_path: Path) -> None:
    preset = load_preset(write(tmp_path, GOOD))
    assert (preset.name, preset.retriever, preset.dtype) == ("mine", "me/my-encoder", "auto")
    assert preset.max_new_tokens["LaMP-3"] == 5
    assert {preset.max_new_tokens[task] for task in TASKS if task != "LaMP-3"} == {64}
    bm25, adhoc = load(find_method("bm25")), load(find_method("adhoc"))
    config = method_config(preset, bm25, get_task("LaMP-3"), {})
    assert (config.k, config.use_date) == (3, True)
    assert method_config(preset, bm25, get_task("LaMP-4"), {}).k == 1
    assert method_config(preset, bm25, get_task("LaMP-4"), {"k": "2"}).k == 2  # the command line wins
    method_config(preset, adhoc, get_task("LaMP-3"), {})  # which has no k, and needs none


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('llm = "me/my-llm"', "", "it has no llm"),
        ("beams = 4", 'beams = "four"', "beams must be an integer, not 'four'"),
        ("beams = 4", "beams = true", "beams must be an integer, not 'True'"),
        ("beams = 4", "beams = 0", "beams must be from 1 to 2147483647, not 0"),
        ("beams = 4", "beams = 99999999999999999999", "beams must be from 1 to 2147483647"),
        ("beams = 4", "beams = 4\nbeam = 5", "unknown entry 'beam'"),
        ("beams = 4", 'beams = 4\ndtype = "fp23"', r"mine.toml: unknown dtype 'fp23': did you mean 'fp32'"),
        ("beams = 4", "beams = ", "Invalid value"),
        ("beams = 4", "beams = " + "9" * 5000, "a number of too many digits"),
        ("beams = 4", "beams = " + "[" * 50_000, "lists or tables too deep inside one another"),
        (GOOD[GOOD.index("[method") :], "[method]\nbm25 = 3", "method.bm25 must be a table, not '3'"),
        ("[method.bm25.LaMP-4]", "[method.bm25.LaMP-9]", "mine.toml: unknown task 'LaMP-9'"),
        ("default = 64", "default = true", "max_new_tokens must be positive integers, not 'True'"),
        ('setting = "time"', 'setting = "times"', "did you mean 'time'"),
        ("LaMP_3 = 5", "LaMP_9 = 5", "unknown task 'LaMP_9'"),
        ("LaMP_3 = 5", "LaMP_3 = 0", "max_new_tokens must be positive integers, not '0'"),
    ],
)
def test_a_wrong_preset_is_told_in_one_line(tmp_path: Path, old: str, new: str, message: str) -> None:
    with pytest.raises(RequestError, match=message) as error:
        load_preset(write(tmp_path, GOOD.replace(old, new)))
    assert "\n" not in str(error.value)


def test_the_presets_of_lampbench_fit_its_methods(tmp_path: Path) -> None:
    for name in preset_names():
        plan = make_plan(RunRequest("all", preset=name, results=tmp_path))
        assert plan.suite == name
        assert {job.variant for job in plan.jobs} == {None}
        assert {job.config.k for job in plan.jobs if hasattr(job.config, "k")} == {4}


def test_the_suite_is_named_after_what_differs_from_the_preset(tmp_path: Path, tiny_llm: Path) -> None:
    def suite(**options: object) -> str:
        return make_plan(RunRequest("bm25", results=tmp_path, **options)).suite  # type: ignore[arg-type]

    assert suite() == "mini"
    assert suite(setting="user", split="test") == "mini-test"
    assert suite(llm=str(tiny_llm), dtype="bf16", limit=9) == "mini-tiny-t5-bfloat16-limit9"
    assert suite(preset="base", encoder="me/my-encoder", setting="user") == "base-my-encoder-user"
    assert suite(suite="mine", limit=9) == "mine"


def test_another_encoder_retrieves_only_where_one_model_does_both(tmp_path: Path) -> None:
    def models(**options: str) -> ModelChoice:
        return make_plan(RunRequest("bm25", results=tmp_path, encoder="me/mine", **options)).models

    assert models(preset="mini").retriever == "me/mine"
    assert models(preset="base").retriever == "facebook/contriever"
    assert models(preset="base", retriever="me/other").retriever == "me/other"


def test_a_model_of_the_hub_is_known_by_the_commit_on_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    found = "/cache/models--me--mine/snapshots/0123abc/config.json"
    monkeypatch.setattr("huggingface_hub.try_to_load_from_cache", lambda name, file: found)
    models = Models(ModelChoice("me/mine", "me/mine", "me/mine", device="cpu"))
    assert {"id": "me/mine", "revision": "0123abc"}.items() <= models.identity("llm").items()


def test_the_default_runs_without_data_or_models_of_ones_own(tmp_path: Path) -> None:
    (record,) = run("recency", "LaMP-3", limit=4, results=tmp_path, progress="none")
    assert record.data.name == "LaMP-mini"
    assert (record.data.n, record.data.counts["dev"]) == (4, SIZES["LaMP-3"][1])
    assert record.llm.id == "mini-t5"
