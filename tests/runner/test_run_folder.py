"""Where a run is made, when an earlier one answers the same request, and when it may be replaced."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from made_results import add_run

from lampbench.errors import RequestError
from lampbench.files.locks import lock_file
from lampbench.records.attempts import RECORD, attempt_beside
from lampbench.records.record import Record, write_record_into
from lampbench.runner.plan import make_plan
from lampbench.runner.request import RunRequest
from lampbench.runner.run_folder import earlier_record, options_of, settle, working_folder

Runner = Callable[..., list[Record]]


@pytest.fixture
def run(tmp_path: Path) -> Record:
    """A complete run."""
    return add_run(tmp_path / "results")


def folder_of(record: Record) -> Path:
    assert record.folder is not None
    return record.folder


# Where


def test_a_complete_run_stays_while_it_is_made_anew(run: Record) -> None:
    assert working_folder(folder_of(run)) == attempt_beside(folder_of(run))


def test_so_does_a_record_that_cannot_be_read(run: Record) -> None:
    (folder_of(run) / RECORD).write_text("{", encoding="utf-8")
    assert earlier_record(folder_of(run)) is None
    assert working_folder(folder_of(run)) == attempt_beside(folder_of(run))


@pytest.mark.parametrize("status", ["started", "failed"])
def test_what_is_not_complete_is_gone_on_with_in_its_place(run: Record, status: str) -> None:
    write_record_into(folder_of(run), replace(run, status=status))
    assert working_folder(folder_of(run)) == folder_of(run)


def test_an_attempt_at_a_run_that_is_no_longer_there_is_removed(run: Record) -> None:
    attempt = attempt_beside(folder_of(run))
    attempt.mkdir()
    write_record_into(attempt, replace(run, status="started"))
    (folder_of(run) / RECORD).unlink()
    assert working_folder(folder_of(run)) == folder_of(run)
    assert not attempt.exists()


def test_a_complete_attempt_takes_the_place_and_a_begun_one_waits(run: Record) -> None:
    attempt = attempt_beside(folder_of(run))
    attempt.mkdir()
    write_record_into(attempt, replace(run, status="started", command="anew"))
    settle(folder_of(run))
    assert attempt.exists()
    write_record_into(attempt, replace(run, command="anew"))
    (attempt / "predictions.jsonl").write_bytes(run.predictions.read_bytes())
    settle(folder_of(run))
    assert not attempt.exists()
    again = earlier_record(folder_of(run))
    assert again is not None
    assert again.command == "anew"


def test_options_are_recorded_without_the_folders_of_a_machine() -> None:
    request = RunRequest("rspg-pre", "LaMP-4", set=["selector=/home/me/reader"])
    (job,) = make_plan(request).jobs
    options = options_of(job.config)
    assert options["selector"] == "reader"
    assert options["pool"] == ["contriever", "ropg-rl", "ropg-kd", "recency", "bm25", "adhoc"]


# Whether


def test_a_run_is_found_again_until_something_is_asked_for_otherwise(run_here: Runner) -> None:
    first = run_here("bm25", suite="s", seed="0,1")
    assert run_here("bm25", suite="s", seed="0,1") == first
    told = r"s/LaMP-3/bm25/seed0 .* is another run, with limit None and not 2.* \(1 more runs likewise\)$"
    with pytest.raises(RequestError, match=told):
        run_here("bm25", suite="s", seed="0,1", limit=2)


def test_predictions_that_are_not_those_that_were_scored_are_made_again(
    run_here: Runner, capsys: pytest.CaptureFixture[str]
) -> None:
    (first,) = run_here("bm25")
    lines = first.predictions.read_text(encoding="utf-8")
    first.predictions.write_text(lines.replace('"output"', '"output" ', 1), encoding="utf-8")
    (second,) = run_here("bm25")
    assert second.predictions.read_text(encoding="utf-8") == lines
    assert "its predictions are not those that were scored" in capsys.readouterr().err


def test_no_lock_is_left_beside_a_run(run_here: Runner) -> None:
    (record,) = run_here("bm25")
    assert not lock_file(folder_of(record)).exists()
