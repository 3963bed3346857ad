"""A complete run is replaced by nothing that was asked otherwise, unless somebody says so."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from made_commands import Command, run_words

from lampbench.errors import RequestError
from lampbench.mini.tiny_models import write_tiny_llm
from lampbench.records.attempts import RECORD
from lampbench.records.record import Record, read_record, without_folders
from lampbench.runner.older_records import former_revision
from lampbench.runner.plan import make_plan
from lampbench.runner.request import RunRequest

Runner = Callable[..., list[Record]]


def content(record: Record) -> bytes:
    assert record.folder is not None
    return (record.folder / RECORD).read_bytes()


def load_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("a model was loaded")

    monkeypatch.setattr("lampbench.models.frozen_llm.FrozenLLM.load", refuse)


def make_older(record: Record, **changes: Any) -> bytes:
    """Make the record one of schema 2 with a key of former rules, and other facts where `changes` has them."""
    assert record.folder is not None
    path = record.folder / RECORD
    facts = json.loads(path.read_text())
    del facts["spec"]
    facts |= {"schema": 2, "request": "0" * 64}
    for name, value in changes.items():
        inner = facts
        *above, last = name.split("__")
        for part in above:
            inner = inner[part]
        inner[last] = value
    path.write_text(json.dumps(facts))
    return path.read_bytes()


def test_models_of_one_name_do_not_share_a_place(
    command: Command, place: Path, tiny_texts: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    one, two = (
        write_tiny_llm(place / run / "checkpoint-500", tiny_texts, seed=i) for i, run in enumerate("ab")
    )
    assert command(*run_words(place, "--llm", one))[0] == 0
    path = place / "results" / "tiny-checkpoint-500" / "LaMP-3" / "adhoc" / "seed0" / RECORD
    first = path.read_bytes()
    with monkeypatch.context() as patched:
        load_nothing(patched)
        status, _, told = command(*run_words(place, "--llm", two))
    assert status == 2
    assert told.count("\n") == 1
    assert "tiny-checkpoint-500/LaMP-3/adhoc/seed0 in" in told
    assert "is another run, with llm revision sha256:" in told
    assert path.read_bytes() == first
    assert command(*run_words(place, "--llm", two, "--suite", "b"))[0] == 0
    assert command(*run_words(place, "--llm", two, "--fresh"))[0] == 0
    assert read_record(path).llm.revision != json.loads(first)["llm"]["revision"]


def test_data_of_one_name_do_not_share_a_place(command: Command, place: Path) -> None:
    for cohort in ("cohort-1", "cohort-2"):
        shutil.copytree(place / "data", place / cohort / "LaMP")
    file = place / "cohort-2" / "LaMP" / "user" / "LaMP_3" / "dev_questions.json"
    file.write_text(file.read_text().replace("review:", "review: again", 1))
    assert command(*run_words(place, "--data", place / "cohort-1" / "LaMP"))[0] == 0
    status, _, told = command(*run_words(place, "--data", place / "cohort-2" / "LaMP"))
    assert status == 2
    assert "is another run, with questions (hash) " in told


def test_other_code_that_learns_replaces_nothing_unasked(run_here: Runner, folder: Path) -> None:
    (first,) = run_here("learner")
    before = content(first)
    with (folder / "methods" / "learner.py").open("a") as file:
        file.write("\nCHANGED = 1\n")
    with pytest.raises(RequestError, match=r"is another run, with method file .* replace it with --fresh"):
        run_here("learner")
    assert content(first) == before
    (second,) = run_here("learner", fresh=True)
    assert content(second) != before


def test_a_preset_that_was_edited_replaces_nothing_unasked(run_here: Runner, folder: Path) -> None:
    (first,) = run_here("bm25")
    preset = folder / "tiny.toml"
    preset.write_text(preset.read_text().replace("k = 2", "k = 1"))
    with pytest.raises(RequestError, match="is another run, with k 2 and not 1: choose"):
        run_here("bm25")
    preset.write_text(preset.read_text().replace("k = 1", "k = 2").replace("default = 5", "default = 4"))
    with pytest.raises(RequestError, match="with max_new_tokens 5 and not 4: choose"):
        run_here("bm25")
    assert read_record(first.folder or folder) == first


def test_a_record_of_a_newer_version_is_left_alone(run_here: Runner) -> None:
    (record,) = run_here("adhoc")
    assert record.folder is not None
    path = record.folder / RECORD
    path.write_text(path.read_text().replace('"schema": 3', '"schema": 99'))
    before = path.read_bytes()
    with pytest.raises(RequestError, match="has schema version 99"):
        run_here("adhoc")
    assert path.read_bytes() == before


def test_a_record_keeps_what_decided_it_and_no_folder(run_here: Runner, folder: Path) -> None:
    (record,) = run_here("contriever", set=["k=1"])
    assert record.spec is not None
    assert record.spec["options"]["k"] == 1
    assert record.spec["models"].keys() == {"llm", "retriever"}
    assert record.spec["questions"] == record.data.fingerprint
    assert str(folder.parent) not in content(record).decode()


def test_folders_of_one_name_are_told_apart_without_telling_them() -> None:
    one, two = (without_folders({"/a/": [f"/home/{who}/led"]}, marked=True) for who in ("me", "you"))
    assert one != two
    assert "/home" not in str(one)
    assert without_folders([f"/home/{who}/led" for who in ("me", "you")]) == ["led", "led"]


def test_runs_of_an_earlier_version_are_kept_and_said_so_once(
    run_here: Runner, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    records = run_here("adhoc,contriever,learner")
    before = [make_older(record) for record in records]
    load_nothing(monkeypatch)
    kept = run_here("adhoc,contriever,learner")
    assert [record.metrics for record in kept] == [record.metrics for record in records]
    assert [content(record) for record in kept] == before
    told = capsys.readouterr().err.splitlines()
    assert told == [
        "3 runs were recorded by an earlier version of lampbench and kept; --fresh runs them again"
    ]


@pytest.mark.parametrize(
    ("fact", "value", "message"),
    [
        ("method__config__k", 7, "with k 7 and not 2"),
        ("llm__revision", "sha256:0123456789abcdef", "with llm revision sha256:0123456789abc"),
        ("llm__id", "other-t5", "with llm id other-t5 and not tiny-t5"),
        ("llm__dtype", "bfloat16", "with llm dtype bfloat16 and not float32"),
        ("retriever__revision", "sha256:0123456789abcdef", "with retriever revision sha256:012345"),
        ("data__fingerprint", "0" * 64, r"with questions \(hash\) 0000"),
        ("data__split", "test", "with split test and not dev"),
        ("generation__beams", 4, "with beams 4 and not 1"),
        ("generation__chat_template", True, "with llm chat_template on and not None"),
    ],
)
def test_an_older_record_that_tells_of_another_run_is_no_answer(
    run_here: Runner, fact: str, value: Any, message: str
) -> None:
    (record,) = run_here("contriever")
    before = make_older(record, **{fact: value})
    with pytest.raises(RequestError, match=message):
        run_here("contriever")
    assert content(record) == before


def test_what_an_older_record_cannot_tell_passes(run_here: Runner) -> None:
    (record,) = run_here("contriever")
    config = {name: value for name, value in record.method.config.items() if name != "use_date"}
    before = make_older(record, method__config=config, llm__revision="unknown", method__sha256="0" * 64)
    (kept,) = run_here("contriever")
    assert content(kept) == before


def test_the_first_of_several_refusals_is_told_with_their_number(run_here: Runner, folder: Path) -> None:
    run_here("adhoc,bm25,recency")
    preset = folder / "tiny.toml"
    preset.write_text(preset.read_text().replace("default = 5", "default = 4"))
    with pytest.raises(RequestError, match=r"adhoc/seed0 .* with --fresh \(2 more runs likewise\)$"):
        run_here("adhoc,bm25,recency")


def test_other_libraries_replace_nothing_unasked(run_here: Runner, monkeypatch: pytest.MonkeyPatch) -> None:
    (first,) = run_here("adhoc")
    before = content(first)
    monkeypatch.setattr("lampbench.models.run_models.library_versions", lambda *names: {"torch": "1.0"})
    with pytest.raises(RequestError, match=r"another run, with .*llm libraries torch .* and not 1\.0"):
        run_here("adhoc")
    assert content(first) == before


def test_a_limit_is_told_in_words(run_here: Runner) -> None:
    run_here("adhoc", suite="mine")
    with pytest.raises(RequestError, match="is another run, with limit None and not 3: choose another"):
        run_here("adhoc", suite="mine", limit=3)


def test_an_option_that_came_later_had_its_default(run_here: Runner) -> None:
    (record,) = run_here("contriever", set=["use_date=true"], variant="dated")
    config = {name: value for name, value in record.method.config.items() if name != "use_date"}
    make_older(record, method__config=config)
    with pytest.raises(RequestError, match="with use_date None and not True"):
        run_here("contriever", set=["use_date=true"], variant="dated")


def test_the_embedded_models_are_known_by_their_former_revisions() -> None:
    from lampbench.runner.preset import load_preset

    mini = load_preset("mini")
    assert former_revision(Path(mini.llm), "llm") == "sha256:b67064db0e9cbf69"
    assert former_revision(Path(mini.encoder), "encoder") == "sha256:8c0b5ec1f53d2872"


def test_names_that_lose_a_character_are_told_apart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def suite(**options: Any) -> str:
        return make_plan(RunRequest("adhoc", results=tmp_path, **options)).suite

    monkeypatch.chdir(tmp_path)
    for name in ("my llm", "my-llm", "my_llm", "my!llm"):
        (tmp_path / name).mkdir()
    assert suite() == "mini"
    assert suite(llm="google/flan-t5-large") == "mini-flan-t5-large"
    assert suite(llm="./my-llm/") == "mini-my-llm"
    assert suite(llm="./my_llm") == "mini-my_llm"
    lossy = {suite(llm=f"./{name}") for name in ("my llm", "my!llm")}
    assert len(lossy) == 2
    assert all(name.startswith("mini-my-llm-") for name in lossy)
    monkeypatch.chdir(tmp_path / "my-llm")
    assert suite(data=".") == "mini-my-llm"
