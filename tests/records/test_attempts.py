"""A new attempt never costs the record of the run that it repeats."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from places import CHECKOUT

from lampbench.errors import RequestError, RunError
from lampbench.records.attempts import (
    OFFICIAL,
    PREDICTIONS,
    RECORD,
    attempt_beside,
    discard,
    is_moving,
    take_place,
)
from lampbench.records.predictions import PredictionLog, read_predictions
from lampbench.records.record import Record
from lampbench.records.results_folder import load_attempts, load_records
from lampbench.runner.run_folder import settle

Runner = Callable[..., list[Record]]


def contents(folder: Path) -> dict[str, bytes]:
    """Every file below a folder, hidden ones too."""
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def the_run(results: Path) -> Record:
    """The one run of a folder, with the predictions that were scored."""
    (record,) = load_records(results)
    assert PredictionLog(record.predictions).sha256() == record.predictions_sha256
    return record


def test_an_interrupted_attempt_leaves_the_earlier_run_and_is_gone_on_with(
    run_here: Runner, folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (first,) = run_here("trickster")
    assert first.folder is not None
    before = contents(first.folder)
    monkeypatch.setenv("TRICK", "interrupt:4")
    with pytest.raises(KeyboardInterrupt):
        run_here("trickster", fresh=True)
    assert contents(first.folder) == before
    assert [record.status for record in load_attempts(folder / "results")] == ["started"]
    monkeypatch.setenv("TRICK", f"count:{folder / 'asked'}")
    (second,) = run_here("trickster")
    assert len((folder / "asked").read_text().splitlines()) == 2
    assert "is made again: an attempt that was begun goes on" in capsys.readouterr().err
    assert second == the_run(folder / "results")
    assert second.predictions.read_bytes() == before["predictions.jsonl"]
    assert set(contents(first.folder.parent)) == {"seed0/record.json", "seed0/predictions.jsonl"}


def test_a_failed_attempt_leaves_the_earlier_run_and_is_listed(
    run_here: Runner,
    folder: Path,
    command: Callable[..., tuple[int, str, str]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    (first,) = run_here("trickster")
    monkeypatch.setenv("TRICK", "raise:2")
    with pytest.raises(ValueError, match="as you"):
        run_here("trickster", fresh=True)
    assert the_run(folder / "results") == first
    _, out, _ = command("list", "runs", "--results", folder / "results")
    assert "(new attempt)" in out
    assert "ValueError: as you like it" in out
    monkeypatch.setenv("TRICK", "")
    run_here("trickster", fresh=True)
    assert load_attempts(folder / "results") == []


@pytest.mark.parametrize("moves", [0, 1])
def test_wherever_a_replacement_stops_the_old_run_or_the_new_one_is_whole(
    run_here: Runner, folder: Path, monkeypatch: pytest.MonkeyPatch, moves: int
) -> None:
    (old,) = run_here("trickster", limit=3, suite="s")
    (new,) = run_here("trickster", suite="s", results=folder / "elsewhere")
    assert old.folder is not None
    assert new.folder is not None
    shutil.copytree(new.folder, attempt_beside(old.folder))
    replace = os.replace
    left = list(range(moves))

    def stop(source: Path, target: Path) -> None:
        if not left:
            raise OSError(28, "no space")
        left.pop()
        replace(source, target)

    with monkeypatch.context() as patched:
        patched.setattr("lampbench.records.attempts.os.replace", stop)
        with pytest.raises(RunError, match=r"in the place of .*: no space"):
            take_place(old.folder)
    there = the_run(folder / "results")
    assert there.data.limit == (None if moves else 3)
    assert len(read_predictions(there.predictions)) == there.data.n
    monkeypatch.setenv("TRICK", "raise:0")  # nothing is left to ask
    (settled,) = run_here("trickster", suite="s")
    assert settled == new == the_run(folder / "results")
    assert contents(old.folder.parent) == contents(new.folder.parent)


def test_the_official_file_of_the_run_before_goes_with_it(tmp_path: Path) -> None:
    folder = tmp_path / "seed0"
    for place, names in (
        (folder, ("old", RECORD, PREDICTIONS, OFFICIAL)),
        (attempt_beside(folder), ("new", RECORD, PREDICTIONS)),
    ):
        place.mkdir()
        for name in names[1:]:
            (place / name).write_text(names[0])
    take_place(folder)
    assert contents(tmp_path) == {f"seed0/{name}": b"new" for name in (RECORD, PREDICTIONS)}


def test_a_discarded_attempt_is_never_taken_for_one_on_its_way(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "seed0"
    attempt_beside(folder).mkdir()
    for name in (RECORD, PREDICTIONS, OFFICIAL):
        (attempt_beside(folder) / name).write_text("old")
    monkeypatch.setattr(
        "lampbench.records.attempts.shutil.rmtree", lambda path, **_: (path / RECORD).unlink()
    )  # killed
    discard(folder)
    assert not is_moving(folder)


def test_a_damaged_attempt_takes_no_place(run_here: Runner, folder: Path) -> None:
    (old,) = run_here("trickster", limit=3, suite="s")
    (new,) = run_here("trickster", suite="s", results=folder / "elsewhere")
    assert old.folder is not None
    assert new.folder is not None
    shutil.copytree(new.folder, attempt_beside(old.folder))
    (attempt_beside(old.folder) / PREDICTIONS).write_text("")
    settle(old.folder)
    assert the_run(folder / "results") == old


def test_two_commands_that_make_one_run_make_it_once(folder: Path) -> None:
    code = (
        "from lampbench.runner.run import run;"
        f"run('trickster', 'LaMP-3', preset='{folder}/tiny.toml', results='{folder}/results',"
        f"methods_dir='{folder}/methods', progress='none')"
    )
    environment = {
        **os.environ,
        "PYTHONPATH": str(CHECKOUT),
        "TRICK": f"count:{folder / 'asked'}",
    }
    both = [subprocess.Popen([sys.executable, "-c", code], env=environment) for _ in range(2)]
    assert [process.wait() for process in both] == [0, 0]
    assert len((folder / "asked").read_text().splitlines()) == 6
    record = the_run(folder / "results")
    assert record.folder is not None
    assert set(contents(record.folder.parent)) == {"seed0/record.json", "seed0/predictions.jsonl"}


def test_a_run_that_another_command_has_ended_meanwhile_is_not_replaced(
    run_here: Runner, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (first,) = run_here("trickster", suite="s")
    # As if both had looked before the first had ended.
    monkeypatch.setattr("lampbench.runner.run.find_finished", lambda *_: None)
    monkeypatch.setattr("lampbench.runner.run.reasons_anew", lambda *_: [])
    with pytest.raises(RequestError, match="with limit None and not 3"):
        run_here("trickster", suite="s", limit=3)
    assert run_here("trickster", suite="s") == [first]
    assert the_run(folder / "results") == first
