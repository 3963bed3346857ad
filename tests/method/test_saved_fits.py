"""What methods have learned: kept whole, told when damaged, and learned once by two commands."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from damaging import WAYS, damage, full
from made_methods import LEARNER, PRESET
from places import CHECKOUT

from lampbench.errors import RunError
from lampbench.files.folders import cache_dir
from lampbench.files.seals import Damaged
from lampbench.method.saved_fits import check_fit
from lampbench.progress import Progress
from lampbench.records.record import Record
from lampbench.runner.run import run

Runner = Callable[..., tuple[Record, str]]

# Writes more than weights, some of it into a folder, and then one file more for the first question.
WORDY = LEARNER.replace('name = "learner"', 'name = "wordy"').replace(
    "    def predict(self, bench, examples):\n",
    "    def save(self, folder):\n"
    "        super().save(folder)\n"
    '        (folder / "words").mkdir()\n'
    '        (folder / "words" / "a.txt").write_text("one two three")\n\n'
    "    def restore(self, folder):\n"
    "        super().restore(folder)\n"
    '        assert (folder / "words" / "a.txt").read_text() == "one two three"\n\n'
    "    def predict(self, bench, examples):\n"
    '        (bench.folder / "later.txt").write_text(str(len(examples)))\n',
)


@pytest.fixture
def folder(tmp_path: Path, tiny_llm: Path, tiny_encoder: Path, tiny_data: Path) -> Path:
    preset = PRESET.format(llm=tiny_llm, encoder=tiny_encoder, data=tiny_data)
    (tmp_path / "tiny.toml").write_text(preset, encoding="utf-8")
    (tmp_path / "methods").mkdir()
    for name, text in (("learner", LEARNER), ("wordy", WORDY)):
        (tmp_path / "methods" / f"{name}.py").write_text(text, encoding="utf-8")
    return tmp_path


@pytest.fixture
def run_here(folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Runner:
    monkeypatch.setenv("FITS", str(folder / "fits"))

    def run_aloud(method: str, **options: Any) -> tuple[Record, str]:
        options = {"results": folder / "results", "preset": str(folder / "tiny.toml"), **options}
        capsys.readouterr()
        (record,) = run(
            method, "LaMP-3", progress=Progress("plain"), methods_dir=folder / "methods", **options
        )
        return record, capsys.readouterr().err

    return run_aloud


def fits(folder: Path) -> int:
    return len((folder / "fits").read_text().splitlines())


def fit_of(method: str) -> Path:
    (found,) = (path for path in (cache_dir() / "fits").iterdir() if path.name.startswith(f"{method}-"))
    return found


@pytest.mark.parametrize("how", WAYS)
@pytest.mark.parametrize("name", ["fit.json", "learned/trainable.safetensors", "learned/words/a.txt"])
def test_a_damaged_file_of_a_fit_is_named_and_the_method_fitted_again(
    run_here: Runner, folder: Path, name: str, how: str
) -> None:
    first, _ = run_here("wordy")
    file = fit_of("wordy") / name
    damage(file, how)
    with pytest.raises(Damaged, match=name):
        check_fit(fit_of("wordy"))
    second, told = run_here("wordy", suite="again")
    assert f"{file} is damaged: it is fitted again" in told
    assert fits(folder) == 2
    assert second.predictions.read_bytes() == first.predictions.read_bytes()
    third, told = run_here("wordy", suite="once-more")
    assert "damaged" not in told
    assert fits(folder) == 2
    assert third.predictions.read_bytes() == first.predictions.read_bytes()


@pytest.mark.parametrize("lost", ["fit.json", "learned/trainable.safetensors"])
def test_a_fit_that_lost_a_file_is_fitted_again(run_here: Runner, folder: Path, lost: str) -> None:
    first, _ = run_here("wordy")
    (fit_of("wordy") / lost).unlink()
    second, _ = run_here("wordy", suite="again")
    assert fits(folder) == 2
    assert second.predictions.read_bytes() == first.predictions.read_bytes()


def test_a_folder_of_a_fit_says_what_it_is_about(run_here: Runner) -> None:
    run_here("learner")
    about = json.loads((fit_of("learner") / "about.json").read_text())
    assert (about["method"], about["task"], about["seed"]) == ("learner", "LaMP-3", 0)
    assert about["models"]["llm"]["id"] == "tiny-t5"
    assert {path.name for path in fit_of("learner").iterdir()} == {"about.json", "fit.json", "learned"}


def test_a_full_disk_while_a_fit_is_saved_is_one_line_and_the_fit_goes_on_later(
    run_here: Runner, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr("lampbench.files.atomic_write.os.replace", full)
        with pytest.raises(RunError, match=r"cannot write .* to .*No space left.*LAMPBENCH_CACHE"):
            run_here("learner")
    run_here("learner")
    assert (fit_of("learner") / "fit.json").is_file()
    assert len((folder / "fits-steps").read_text().splitlines()) == 6  # the checkpoint was whole


def test_of_two_commands_one_fits_and_the_other_waits_and_restores(folder: Path) -> None:
    (folder / "methods" / "learner.py").write_text(
        LEARNER.replace(
            "        self.step = 0\n", "        self.step = 0\n        __import__('time').sleep(1)\n"
        )
    )
    code = (
        "import sys; from lampbench.runner.run import run;"
        f"run('learner', 'LaMP-3', preset='{folder}/tiny.toml', results='{folder}/results', suite=sys.argv[1],"
        f"methods_dir='{folder}/methods', progress='none')"
    )
    environment = {**os.environ, "PYTHONPATH": str(CHECKOUT), "FITS": str(folder / "fits")}
    both = [
        subprocess.Popen([sys.executable, "-c", code, suite], env=environment, stderr=subprocess.PIPE)
        for suite in ("one", "two")
    ]
    errors = [process.communicate()[1] for process in both]
    assert [process.returncode for process in both] == [0, 0], errors
    assert fits(folder) == 1
    one, two = sorted((folder / "results").glob("*/LaMP-3/learner/seed0/predictions.jsonl"))
    assert one.read_bytes() == two.read_bytes()
