"""The wall: while a method works, nothing leads to the outputs of the questions that it is asked."""

from __future__ import annotations

import errno
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from places import HELPERS

from lampbench.conformance.method_rules import check_methods
from lampbench.data import open_task
from lampbench.errors import RequestError, RunError
from lampbench.method.registry import find_method, list_methods, load
from lampbench.records.record import Record
from lampbench.runner.gold_wall import read_golds, wall_off
from lampbench.runner.run import run

SETTINGS = ("user", "time")
HEAD = "qx7w"  # planted texts begin with it twice

ALL = sorted(info.name for info in list_methods() if info.origin == "lampbench")


def plant(folder: Path) -> None:
    """Put a text of its own in place of each dev output, also where it is an item of a later profile."""
    stem = folder / "LaMP_4"
    golds = json.loads((stem / "dev_outputs.json").read_text())
    questions = {q["id"]: q for q in json.loads((stem / "dev_questions.json").read_text())}
    later = json.loads((stem / "test_questions.json").read_text())
    for number, gold in enumerate(golds["golds"]):
        planted = f"{HEAD}{HEAD} {number}"
        asked = questions[gold["id"]]
        for question in later:
            if question["user_id"] == asked["user_id"]:
                for item in question["profile"]:
                    if item["title"] == gold["output"] and item["text"] in asked["input"]:
                        item["title"] = planted
        gold["output"] = planted
    (stem / "dev_outputs.json").write_text(json.dumps(golds))
    (stem / "test_questions.json").write_text(json.dumps(later))


@pytest.fixture
def planted(tiny_data: Path, tmp_path: Path, request: pytest.FixtureRequest) -> Path:
    """A data folder whose dev outputs of LaMP-4 can be told anywhere."""
    for setting in SETTINGS:
        shutil.copytree(tiny_data / setting / "LaMP_4", tmp_path / "data" / setting / "LaMP_4")
        plant(tmp_path / "data" / setting)
    return tmp_path / "data"


@pytest.fixture
def preset(tmp_path: Path, tiny_llm: Path, tiny_encoder: Path) -> Path:
    path = tmp_path / "tiny.toml"
    path.write_text(
        f'summary = "tiny"\nllm = "{tiny_llm}"\nencoder = "{tiny_encoder}"\ndata = "{tmp_path / "data"}"\n'
        'setting = "user"\nmax_input_tokens = 100\nbeams = 1\n[max_new_tokens]\ndefault = 4\n',
        encoding="utf-8",
    )
    return path


@pytest.mark.skipif(sys.platform != "linux", reason="asks /proc which files are open")
@pytest.mark.parametrize("setting", SETTINGS)
def test_no_object_and_no_open_file_holds_a_gold_while_a_method_works(
    setting: str, planted: Path, preset: Path, tmp_path: Path
) -> None:
    assert HEAD * 2 in (planted / setting / "LaMP_4" / "dev_outputs.json").read_text()
    if setting == "time":  # the answer to a question is an item of the same user's later profile
        assert HEAD * 2 in (planted / setting / "LaMP_4" / "test_questions.json").read_text()
    probe = HELPERS / "wall_probe.py"
    words = [setting, planted, preset, tmp_path / "results", HEAD, ",".join(ALL)]
    done = subprocess.run(
        [sys.executable, str(probe), *map(str, words)], capture_output=True, text=True, env=os.environ
    )
    assert done.returncode == 0, done.stderr[-2000:]
    looks: dict[str, list[dict[str, Any]]] = {}
    for line in map(json.loads, done.stdout.splitlines()):
        if "method" in line:
            at_work = looks.setdefault(line["method"], [])
        else:
            at_work.append(line)
    assert sorted(looks) == ALL
    for method, seen in looks.items():
        assert "generate" in {look["at"] for look in seen}, method
        assert [look for look in seen if look["memory"] or look["files"]] == [], method


def rotate(path: Path, labels: tuple[str, ...]) -> None:
    content = json.loads(path.read_text())
    for gold in content["golds"]:
        gold["output"] = labels[(labels.index(gold["output"]) + 1) % len(labels)]
    path.write_text(json.dumps(content))


def kept(cache: Path) -> dict[str, bytes]:
    """What fits and embeddings have left in a cache, by name."""
    files = [p for kind in ("fits", "embeddings") for p in (cache / kind).rglob("*") if p.is_file()]
    return {str(p.relative_to(cache)): p.read_bytes() for p in files if p.suffix in (".safetensors", ".npy")}


@pytest.mark.parametrize("setting", SETTINGS)
def test_other_golds_change_no_prediction_no_fit_and_no_cache(
    setting: str, tiny_data: Path, preset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "data" / setting / "LaMP_3"
    shutil.copytree(tiny_data / setting / "LaMP_3", folder)
    # One of each kind.
    methods = ["adhoc", "contriever", "finetune", "lora-user", "pplug", "ropg-kd", "rspg-post"]
    options = [
        f"{name}.{option}={','.join(map(str, v)) if isinstance(v, (list, tuple)) else v}"
        for name in methods
        for option, v in load(find_method(name)).cls.check_options.items()
    ]

    def answer(where: str) -> tuple[list[Record], dict[str, bytes]]:
        monkeypatch.setenv("LAMPBENCH_CACHE", str(tmp_path / f"cache-{where}"))
        records = run(
            methods,
            "LaMP-3",
            setting=setting,
            data=tmp_path / "data",
            preset=str(preset),
            results=tmp_path / where,
            set=options,
            progress="none",
        )
        return records, kept(tmp_path / f"cache-{where}")

    before, kept_before = answer("before")
    rotate(folder / "dev_outputs.json", open_task(tmp_path / "data", "LaMP-3", setting).task.labels)
    after, kept_after = answer("after")
    assert kept_before
    assert kept_before == kept_after
    for first, second in zip(before, after, strict=True):
        assert first.data.fingerprint != second.data.fingerprint  # it is another run
        assert answers_of(first) == answers_of(second)


def answers_of(record: Record) -> list[tuple[str, str, list[str]]]:
    lines = map(json.loads, record.predictions.read_text().splitlines())
    return [(line["id"], line["output"], line["ranked"]) for line in lines]


# The pieces


@pytest.mark.parametrize("limit", [None, 3])
def test_the_items_are_those_of_train_and_of_the_asked_profiles(tiny_data: Path, limit: int | None) -> None:
    data = open_task(tiny_data, "LaMP-4", "time")
    questions = wall_off(data, "dev", "tiny", limit)
    lawful = {json.dumps(i) for part in (data.split("train"), questions.asked) for e in part for i in bare(e)}
    assert {json.dumps(item) for item in questions.items} == lawful
    assert len(questions.items) == len(lawful)  # each once
    wanted = {e.id: e.profile for e in data.split("dev")}
    assert [e.profile for e in questions.asked] == [wanted[id] for id in questions.asked.ids]
    assert len(questions.asked) == (limit or len(data.split("dev")))
    assert [e.output for e in questions.asked] == [None] * len(questions.asked)
    assert questions.train is not None
    assert [(e.profile, e.output) for e in questions.train] == [
        (e.profile, e.output) for e in data.split("train")
    ]
    with pytest.raises(KeyError, match="is not shown here"):
        questions.asked._row_map(np.array([len(data.items)]))  # type: ignore[misc]


def bare(example: Any) -> Iterator[dict[str, Any]]:
    for item in example.profile:
        yield {name: value for name, value in item.items() if name != "id"}


def test_a_strangers_history_is_in_the_table_and_the_same_for_a_resumed_run(tiny_data: Path) -> None:
    data = open_task(tiny_data, "LaMP-4", "time")
    questions = wall_off(data, "dev", "tiny", 3)

    def rng(*names: object) -> np.random.Generator:
        return np.random.default_rng(len(str(names)))

    asked = list(questions.asked)
    all_at_once = questions.shown("random", asked, rng)
    resumed = questions.shown("random", asked[1:], rng)
    histories = {e.id: e.profile for e in all_at_once.examples}
    assert {e.id: e.profile for e in resumed.examples} == {e.id: histories[e.id] for e in asked[1:]}
    assert list(resumed.items) == list(all_at_once.items)
    own = {e.id: e.profile for e in questions.asked}
    everybody = [e.profile for e in data.split("dev")]
    for id, history in histories.items():
        assert history in everybody
        assert history != own[id]


def test_what_is_whole_is_served_from_a_cache_that_can_only_be_read(
    tiny_data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise OSError(errno.EROFS, "Read-only file system")

    wanted = list(wall_off(open_task(tiny_data, "LaMP-4"), "dev", "tiny", 3).items)
    monkeypatch.setattr("lampbench.files.locks.FileLock", refuse)
    monkeypatch.setattr("lampbench.files.folders.tempfile.TemporaryFile", refuse)
    data = open_task(tiny_data, "LaMP-4")
    assert list(wall_off(data, "dev", "tiny", 3).items) == wanted
    with pytest.raises(RequestError, match=r"cannot be written to .* set LAMPBENCH_CACHE to another folder"):
        wall_off(data, "dev", "tiny", 2)


def test_golds_are_read_after_the_run_and_must_be_those_of_its_beginning(tiny_data: Path) -> None:
    data = open_task(tiny_data, "LaMP-4")
    questions = wall_off(data, "dev", "tiny", 4)
    golds = dict(data.split("dev").golds)
    assert read_golds(questions) == {id: golds[id] for id in questions.asked.ids}
    path = questions.store / "golds-dev.arrow"
    path.write_bytes(path.read_bytes()[:-1] + b"x")
    with pytest.raises(RunError, match=r"golds-dev\.arrow is damaged, or the data were changed"):
        read_golds(questions)


CHEATS = {
    "opens": """
        import json
        from pathlib import Path
        (session,) = (c.cell_contents for c in bench._other.__closure__ if hasattr(c.cell_contents, "plan"))
        (path,) = Path(session.plan.data).rglob(f"{bench.task.official_name}/dev_outputs.json")
        golds = {g["id"]: g["output"] for g in json.loads(path.read_text())["golds"]}
        for example in examples:
            yield Prediction(id=example.id, output=golds[example.id])
    """,
    "runs": """
        import torch
        embed = bench.llm.model.get_input_embeddings()
        ids = torch.zeros((1, 3), dtype=torch.long)
        for example in examples:
            with torch.no_grad():
                bench.llm.model(input_ids=ids, decoder_input_ids=ids)
            yield Prediction(id=example.id, output="x")
    """,
}


def write_cheat(folder: Path, name: str) -> None:
    body = CHEATS[name].strip("\n")
    (folder / f"{name}.py").write_text(
        '"""A method that breaks a rule."""\n\nfrom lampbench.method import Method as Base\n'
        "from lampbench.method import Prediction\n\n\nclass Method(Base):\n"
        f'    name = "{name}"\n    summary = "breaks a rule"\n\n    def predict(self, bench, examples):\n{body}\n'
    )


def test_check_finds_a_method_that_reads_the_outputs_from_disk(tmp_path: Path) -> None:
    write_cheat(tmp_path, "opens")
    (report,) = check_methods("opens", tmp_path, tasks=["LaMP-3", "LaMP-4"])
    broken = dict(report.failures)
    changed = broken["LaMP-3: the outputs of the questions change nothing"]
    assert "with other outputs of the questions" in changed
    held = broken["LaMP-4: one answer per question, in order"]
    assert held == "it holds the output of a question that is asked: that is hidden from methods"


def test_check_finds_a_method_that_runs_the_llm_uncounted(tmp_path: Path) -> None:
    write_cheat(tmp_path, "runs")
    (report,) = check_methods("runs", tmp_path, tasks=["LaMP-3"])
    (failure,) = report.failures
    assert failure[0] == "LaMP-3: every use of the LLM is counted"
    assert "bench.ask" in failure[1]
