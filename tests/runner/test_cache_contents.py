"""`lampbench cache`: what is kept is listed by what it is, cleared by choice, and checked."""

from __future__ import annotations

import json
import os
import sqlite3
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from damaging import damage
from made_methods import LEARNER

from lampbench.files.folders import cache_dir
from lampbench.files.locks import locked
from lampbench.runner.run import run

Command = Callable[..., tuple[int, str, str]]


@pytest.fixture
def filled(place: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache in which a run has left something of most kinds."""
    (place / "learner.py").write_text(LEARNER)
    monkeypatch.setenv("FITS", str(place / "fits"))
    run(
        "bm25,contriever,learner",
        "LaMP-3",
        progress="none",
        preset=str(place / "tiny.toml"),
        results=place / "results",
        methods_dir=place,
    )
    return cache_dir()


def listed(command: Command, *words: str) -> list[dict[str, Any]]:
    status, out, err = command("cache", "list", "--json", *words)
    assert (status, err) == (0, "")
    return list(json.loads(out))


def test_everything_is_listed_with_its_kind_model_and_data(filled: Path, command: Command) -> None:
    found = {one["kind"]: one for one in listed(command)}
    assert {kind: (one["model"], one["data"], one["old"]) for kind, one in found.items()} == {
        "data": (None, "LaMP-3 (user)", False),
        "embeddings": ("tiny-bert", "LaMP-3 (user)", False),
        "generations": ("tiny-t5", None, False),
        "fits": ("tiny-t5", "LaMP-3 (user)", False),
    }
    assert all(one["bytes"] > 100 and Path(one["path"]).exists() for one in found.values())
    status, out, _ = command("cache", "list")
    assert status == 0
    assert "tiny-bert" in out
    assert str(filled) in out
    assert [one["kind"] for one in listed(command, "--model", "BERT")] == ["embeddings"]
    assert {one["kind"] for one in listed(command, "--kind", "fits,data", "--data", "lamp-3")} == {
        "fits",
        "data",
    }
    assert listed(command, "--older-than", "1h") == []


def test_an_empty_cache_is_listed_pruned_and_verified(command: Command) -> None:
    assert listed(command) == []
    assert command("cache", "prune")[0] == command("cache", "verify")[0] == 0
    assert not list(cache_dir().iterdir())


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--kind", "fit"), "unknown kind 'fit': did you mean 'fits'?"),
        (("--older-than", "30"), "--older-than 30: write a number of hours, days or weeks"),
    ],
)
def test_a_wrong_choice_is_one_line(command: Command, words: tuple[str, ...], message: str) -> None:
    status, _, err = command("cache", "prune", *words)
    assert status == 2
    assert message in err


def test_what_is_pruned_is_gone_and_made_again_and_nothing_else_is(
    filled: Path, place: Path, command: Command
) -> None:
    before = sorted(one["path"] for one in listed(command))
    _, out, _ = command("cache", "prune", "--kind", "embeddings", "--dry-run")
    assert "would be removed" in out
    assert sorted(one["path"] for one in listed(command)) == before
    status, out, _ = command("cache", "prune", "--kind", "embeddings,fits", "--json")
    assert status == 0
    assert {one["kind"] for one in json.loads(out)["removed"]} == {"embeddings", "fits"}
    assert {one["kind"] for one in listed(command)} == {"data", "generations"}
    options: dict[str, Any] = {"preset": str(place / "tiny.toml"), "methods_dir": place}
    run("contriever", "LaMP-3", progress="none", results=place / "again", **options)
    assert {one["kind"] for one in listed(command)} == {"data", "generations", "embeddings"}


def test_generations_are_pruned_by_model_and_age(filled: Path, command: Command) -> None:
    from lampbench.caches.answer_file import AnswerFile
    from lampbench.caches.generation_cache import GENERATIONS

    file = AnswerFile(filled / GENERATIONS, print)
    file.put({b"1": b"one"}, "other/model")
    file.close()
    command("cache", "prune", "--kind", "generations", "--older-than", "1h")
    assert [one["model"] for one in listed(command, "--kind", "generations")] == ["other/model", "tiny-t5"]
    command("cache", "prune", "--model", "other/")
    assert [one["model"] for one in listed(command, "--kind", "generations")] == ["tiny-t5"]


def test_what_another_command_is_at_or_has_just_opened_is_left(filled: Path, command: Command) -> None:
    (fit,) = (filled / "fits").glob("learner-*")
    with locked(fit):
        _, out, _ = command("cache", "prune", "--kind", "fits,data")
    assert "left, because it is in use" in out
    assert {one["kind"] for one in listed(command, "--kind", "fits,data")} == {"fits", "data"}
    (manifest,) = (filled / "data").glob("*/*/manifest.json")
    os.utime(manifest, (0, time.time() - 2 * 24 * 3600))
    command("cache", "prune", "--kind", "fits,data")
    assert listed(command, "--kind", "fits,data") == []


def test_without_a_choice_what_no_version_reads_any_more_is_pruned(filled: Path, command: Command) -> None:
    old = {
        filled / "fits" / "lora-LaMP-3-0123456789abcdef" / "report.json": "{}",
        filled / "embeddings" / "mini-bert-plain-0123456789abcdef" / "progress.json": '{"rows": 3}',
        filled / "generations.sqlite": "of old",
    }
    for path, text in old.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    kept = [one["path"] for one in listed(command) if not one["old"]]
    assert len([one for one in listed(command) if one["old"]]) == len(old)
    command("cache", "prune")
    assert [one["path"] for one in listed(command)] == kept
    assert not any(path.exists() for path in old)


FILES = {
    "embeddings": "embeddings/*/rows.npy",
    "fits": "fits/learner-*/learned/trainable.safetensors",
    "about": "fits/learner-*/about.json",
    "generations": "generations-2.sqlite",
}


@pytest.mark.parametrize("kind", FILES)
def test_verify_names_what_is_damaged(filled: Path, command: Command, kind: str) -> None:
    status, out, _ = command("cache", "verify")
    assert (status, out) == (0, "4 things checked, nothing damaged\n")
    (file,) = filled.glob(FILES[kind])
    damage(file, "zeroed")
    status, out, _ = command("cache", "verify", "--json")
    assert status == 1
    (problem,) = json.loads(out)["problems"]
    assert str(file.parent) in problem
    assert command("cache", "verify")[0] == 1


def test_a_cache_that_can_only_be_read_is_listed_and_not_called_damaged(
    filled: Path, command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    wanted = listed(command)
    connect = sqlite3.connect

    def refuse(place: str | Path, **options: Any) -> sqlite3.Connection:
        if "immutable" not in str(place):  # for which SQLite writes a file beside it
            raise sqlite3.OperationalError("unable to open database file")
        return connect(place, **options)

    monkeypatch.setattr(sqlite3, "connect", refuse)
    assert listed(command) == wanted
    assert command("cache", "verify")[:2] == (0, "4 things checked, nothing damaged\n")
