"""Answer extraction: off by default, named, and counted."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from made_methods import PRESET

from lampbench.cli import main
from lampbench.extraction import extract
from lampbench.llm import FrozenLLM, Generation
from lampbench.prediction_log import read_predictions
from lampbench.record import Record
from lampbench.runner import run
from lampbench.tasks import TASKS, get_task


@pytest.mark.parametrize(
    ("task", "said", "answer"),
    [
        ("LaMP-1", "The answer is [2], because [1] is older.", "[2]"),
        ("LaMP-1", "2", "2"),
        ("LaMP-2", "This is a Dark Comedy, not a comedy.", "dark comedy"),
        ("LaMP-2", "tag: sci-fi", "sci-fi"),
        ("LaMP-2", "tragicomedy", "tragicomedy"),
        ("LaMP-2", "comedy-drama", "comedy-drama"),
        ("LaMP-2", "**comedy**", "comedy"),
        ("LaMP-3", "I would give it a 4.", "4"),
        ("LaMP-3", "4/5", "4"),
        ("LaMP-3", "4.5 stars, say 5", "5"),
        ("LaMP-3", "0.5", "0.5"),
        ("LaMP-3", "12", "12"),
        ("LaMP-3", "five", "five"),
        ("LaMP-4", "A headline\nwith 2 lines", "A headline\nwith 2 lines"),
    ],
)
def test_the_first_label_is_found_or_the_answer_left_alone(task: str, said: str, answer: str) -> None:
    assert extract("label", get_task(task), said) == answer


def test_the_first_line_that_holds_anything() -> None:
    task = get_task("LaMP-4")
    assert extract("first-line", task, "\n  Rain comes \n\nNote: it is rain.") == "Rain comes"
    assert extract("first-line", task, " \n ") == ""


@given(
    task=st.sampled_from([task for task in TASKS.values() if task.labels]),
    number=st.integers(0, 14),
    before=st.sampled_from(["", "Answer: ", "**", "\n", "(", "I say "]),
    after=st.sampled_from(["", ".", "!\nBecause of it.", "**", ")", ", surely"]),
)
def test_every_label_is_found_in_what_llms_put_around_it(
    task: Any, number: int, before: str, after: str
) -> None:
    label = task.labels[number % len(task.labels)]
    assert extract("label", task, f"{before}{label}{after}") == label
    assert extract("label", task, f"{before}{label.upper()}{after}") == label
    assert extract("none", task, f"{before}{label}{after}") == f"{before}{label}{after}"


@pytest.fixture
def talkative(monkeypatch: pytest.MonkeyPatch) -> None:
    """An LLM that answers every second question in a sentence."""

    def generate(self: FrozenLLM, batch: list[Any], **_: object) -> list[Generation]:
        says = ("It is a 4.\nAnd that is that.", "4")
        return [Generation(says[len(r.ids) % 2], len(r.ids), 0, 9, False) for r in batch]

    monkeypatch.setattr(FrozenLLM, "_generate", generate)


@pytest.mark.usefixtures("talkative")
def test_what_was_extracted_is_scored_counted_and_kept_beside_what_was_said(
    tmp_path: Path, tiny_llm: Path, tiny_encoder: Path, tiny_data: Path
) -> None:
    preset = tmp_path / "tiny.toml"
    preset.write_text(PRESET.format(llm=tiny_llm, encoder=tiny_encoder, data=tiny_data), encoding="utf-8")

    def run_here(**options: Any) -> Record:
        (record,) = run("adhoc", "LaMP-3", preset=str(preset), results=tmp_path, progress="none", **options)
        return record

    plain, label, line = run_here(), run_here(extract="label"), run_here(extract="first-line")
    assert [r.suite for r in (plain, label, line)] == [
        "tiny",
        "tiny-extract-label",
        "tiny-extract-first-line",
    ]
    said = {id: found["output"] for id, found in read_predictions(plain.predictions).items()}
    long = {id for id, text in said.items() if text != "4"}
    assert 0 < len(long) < plain.data.n
    assert plain.counts["unparsed"] == len(long)
    assert "extracted" not in plain.counts
    assert "extract" not in plain.generation

    assert label.generation["extract"] == "label"
    assert label.counts["extracted"] == line.counts["extracted"] == len(long)
    assert (label.counts["unparsed"], line.counts["unparsed"]) == (0, len(long))
    for id, found in read_predictions(label.predictions).items():
        assert found["output"] == "4"
        assert found.get("said", "4") == said[id]
        assert ("said" in found) == (id in long)
    assert {found["output"] for found in read_predictions(line.predictions).values()} == {"4", "It is a 4."}
    assert plain.request != label.request
    # What the LLM said is the same however the answer is found in it.
    assert [r.cost.llm_calls for r in (plain, label, line)] == [plain.data.n, 0, 0]


def test_an_unknown_extraction_is_refused(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    with pytest.raises(SystemExit) as end:
        main(["run", "--method", "adhoc", "--results", str(tmp_path), "--extract", "labels"])
    assert end.value.code == 2
    assert "unknown extraction 'labels': did you mean 'label'" in capsys.readouterr().err
