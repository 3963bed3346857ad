"""Answer extraction: off by default, named, and counted."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from made_methods import PRESET

from lampbench.cli.app import main
from lampbench.models.frozen_llm import FrozenLLM
from lampbench.models.requests import Generation
from lampbench.prompts.answer_extraction import extract, is_ambiguous
from lampbench.records.predictions import read_predictions
from lampbench.records.record import Record, write_record
from lampbench.report.leaderboard import build_leaderboard
from lampbench.report.leaderboard_file import render
from lampbench.report.run_table import results_table
from lampbench.runner.run import run
from lampbench.tasks import TASKS, get_task
from lampbench.tasks.lamp2 import TAGS


@pytest.mark.parametrize(
    ("task", "said", "answer"),
    [
        # Answers of other forms than the label's
        ("LaMP-1", "(2)", "[2]"),
        ("LaMP-1", "2", "[2]"),
        ("LaMP-1", "2.", "[2]"),
        ("LaMP-1", "[ 2 ]", "[2]"),
        ("LaMP-1", "Reference 2", "[2]"),
        ("LaMP-1", "The answer is 2", "[2]"),
        ("LaMP-1", "There are 2 papers.", "There are 2 papers."),
        ("LaMP-1", '[1]: "A title with 2 words"', "[1]"),
        ("LaMP-2", "Dark-comedy", "dark comedy"),
        ("LaMP-2", "dark_comedy", "dark comedy"),
        ("LaMP-2", "Sci Fi", "sci-fi"),
        ("LaMP-2", "thought provoking", "thought-provoking"),
        ("LaMP-2", "_comedy_", "comedy"),
        ("LaMP-2", "- #comedy", "comedy"),
        ("LaMP-3", "4.0", "4"),
        ("LaMP-3", "a 4-star review", "4"),
        ("LaMP-3", "4 stars", "4"),
        ("LaMP-3", "four", "four"),
        ("LaMP-3", "this one", "this one"),
        # Parts of other words and numbers
        ("LaMP-2", "classical", "classical"),
        ("LaMP-2", "action-packed", "action-packed"),
        ("LaMP-3", "4,000 or 45 or 3.5", "4,000 or 45 or 3.5"),
        ("LaMP-3", "$5 and 2% less: 4", "4"),
        # Scales
        ("LaMP-3", "From 1 (bad) to 5 (good) this one earns 4", "4"),
        ("LaMP-3", "On a scale of 1 to 5, I'd say 3.", "3"),
        ("LaMP-3", "Score (1-5): 4", "4"),
        ("LaMP-3", "Rating (out of 5): 4", "4"),
        ("LaMP-3", "5 (best) to 1 (worst): 2", "2"),
        ("LaMP-3", "1 = worst, 5 = best. 2", "2"),
        ("LaMP-3", "with 1 being the worst and 5 being the best, 2", "2"),
        ("LaMP-3", "between 1 and 5: 2", "2"),
        ("LaMP-3", "just answer with 1, 2, 3, 4, or 5: 4", "4"),
        ("LaMP-3", "**4**/5", "4"),
        ("LaMP-3", "4 out of 5 stars", "4"),
        ("LaMP-3", "4 of a possible 5", "4"),
        ("LaMP-3", "4/10", "4/10"),
        ("LaMP-3", "4 out of 10", "4 out of 10"),
        ("LaMP-3", "on a scale of 1 to 5", "on a scale of 1 to 5"),
        ("LaMP-3", "1. Good plot\n2. Good acting\nSo it earns 4", "4"),
        ("LaMP-1", "Between [1] and [2]: [2]", "[2]"),
        ("LaMP-2", f"tags: [{', '.join(TAGS)}] I choose violence", "violence"),
        # Thinking
        ("LaMP-3", "<think>says 1 star</think> 4", "4"),
        ("LaMP-3", "<THINKING>1 or 2?\n</THINKING>\n\n4", "4"),
        ("LaMP-3", "<reasoning>1</reasoning><reflection>2</reflection>4", "4"),
        ("LaMP-3", "<think>I see <think> and 1 </think> 4", "4"),
        ("LaMP-3", "says 1 star, not 2 </think> 4", "4"),
        ("LaMP-3", "4 <think>says 1 star", "4"),
        ("LaMP-3", "[THINK]1[/THINK]4", "4"),
        ("LaMP-3", "4 <think>1</think> <think>2</think>", "4"),
        ("LaMP-3", "◁think▷1◁/think▷4 <seed:think>2</seed:think>", "4"),
        ("LaMP-3", "<think>says 1 star", ""),
        ("LaMP-4", "<think>A headline?</think>\n\nRain comes", "Rain comes"),
        # Several labels of which one is announced
        ("LaMP-3", "1. The review is positive. Score: 5", "5"),
        ("LaMP-3", "It lasted 3 years. Rating: **4**", "4"),
        ("LaMP-3", "**Rating:** 4\nReason: 5 of its buttons work, 2 do not", "4"),
        ("LaMP-3", "2 weeks old. I'd give a score of 4.", "4"),
        ("LaMP-3", "Not 3. The answer is $\\boxed{4}$", "4"),
        ("LaMP-3", "3, or rather <answer>4</answer>", "4"),
        ("LaMP-3", "4\n\nThe reviewer names 2 faults.", "4"),
        ("LaMP-3", "It has 2 faults and 5 virtues.\n\n**4 stars**", "4"),
        ("LaMP-3", "Rating: 3? No. Final answer: 4", "4"),
        ("LaMP-3", "Score for the plot: 3\nScore for the cast: 5\nOverall score: 4", "4"),
        ("LaMP-3", "The score of this review, on a scale of 1 to 5, would be 4. It names 3 flaws", "4"),
        ("LaMP-2", 'The tag that best fits is "dystopia", though "action" is possible.', "dystopia"),
        ("LaMP-2", "Tag name: comedy. It has violence", "comedy"),
        ("LaMP-2", '{"tag": "comedy", "other": "action"}', "comedy"),
        ("LaMP-2", 'The most fitting tag is "true story", more than classic.', "true story"),
        ("LaMP-1", "The answer is [2], because [1] is older.", "[2]"),
        ("LaMP-2", "This is a Dark Comedy.", "dark comedy"),
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
def test_the_label_is_found_or_the_answer_left_alone(task: str, said: str, answer: str) -> None:
    assert extract("label", get_task(task), said) == answer
    assert not is_ambiguous("label", get_task(task), said)


@pytest.mark.parametrize(
    ("task", "said"),
    [
        ("LaMP-1", "[1] and [2]"),
        ("LaMP-1", "Reference 1 is older than reference 2"),
        ("LaMP-2", "comedy, action"),
        ("LaMP-2", "This is a Dark Comedy, not a comedy."),
        ("LaMP-2", "Tag: comedy or action"),
        ("LaMP-3", "3-4"),
        ("LaMP-3", "3 to 4 stars"),
        ("LaMP-3", "Rating: 4 or 5"),
        ("LaMP-3", "after 3 years still 4 stars"),
        ("LaMP-3", "Score for the plot: 3. Score for the cast: 4."),
        ("LaMP-3", "<think>4</think>3 or 2"),
    ],
)
def test_of_several_labels_none_is_taken_by_its_place(task: str, said: str) -> None:
    assert is_ambiguous("label", get_task(task), said)
    assert extract("label", get_task(task), said) == said.removeprefix("<think>4</think>")
    assert not is_ambiguous("none", get_task(task), said)


def test_the_first_line_that_holds_anything() -> None:
    task = get_task("LaMP-4")
    assert extract("first-line", task, "\n  Rain comes \n\nNote: it is rain.") == "Rain comes"
    assert extract("first-line", task, " \n ") == ""
    assert extract("first-line", task, "<think>\nRain?\n</think>\n\nRain comes\nto all") == "Rain comes"


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
def run_saying(
    tmp_path: Path, tiny_llm: Path, tiny_encoder: Path, tiny_data: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., Record]:
    """A run of an LLM that gives one answer to every second question, and another one to the others."""
    preset = tmp_path / "tiny.toml"
    preset.write_text(PRESET.format(llm=tiny_llm, encoder=tiny_encoder, data=tiny_data), encoding="utf-8")

    def run_here(*says: str, **options: Any) -> Record:
        def generate(self: FrozenLLM, batch: list[Any], **_: object) -> list[Generation]:
            return [Generation(says[len(r.ids) % 2], len(r.ids), 0, 9, False) for r in batch]

        monkeypatch.setattr(FrozenLLM, "_generate", generate)
        (record,) = run("adhoc", "LaMP-3", preset=str(preset), results=tmp_path, progress="none", **options)
        return record

    return run_here


def test_what_was_extracted_is_scored_counted_and_kept_beside_what_was_said(
    run_saying: Callable[..., Record],
) -> None:
    run_here = partial(run_saying, "It is a 4.\nAnd that is that.", "4")
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


def test_an_answer_with_several_labels_is_unparsed_and_counted(
    run_saying: Callable[..., Record], tmp_path: Path
) -> None:
    record = run_saying("3 or 4", "4", extract="label")
    torn = sum(line["output"] == "3 or 4" for line in read_predictions(record.predictions).values())
    assert 0 < torn < record.data.n
    assert record.counts["ambiguous"] == record.counts["unparsed"] == torn
    table = [line.split() for line in results_table([record]).splitlines()]
    assert ["LaMP-3", "ambiguous", str(torn)] in table
    page = [line.split() for line in render(build_leaderboard(tmp_path)).splitlines()]
    assert ["|", "|", "ambiguous", "|", str(record.data.n), "|", str(torn), "|"] in page
    assert run_saying("4", "4", extract="label", fresh=True).counts["ambiguous"] == 0


def test_answers_that_older_rules_extracted_are_extracted_anew(
    run_saying: Callable[..., Record], monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as older:
        older.setattr("lampbench.runner.session.EXTRACTION_VERSION", 1)
        first, plain = run_saying("3 of 5", "4", extract="label"), run_saying("3 of 5", "4")
    # Of before records kept what decided them.
    write_record(replace(first, spec=None), first.folder.parents[3])
    for again in (run_saying("3 of 5", "4", extract="label"), run_saying("3 of 5", "4", extract="label")):
        assert again.request != first.request
    assert run_saying("3 of 5", "4").started == plain.started


def test_an_unknown_extraction_is_refused(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    with pytest.raises(SystemExit) as end:
        main(["run", "--method", "adhoc", "--results", str(tmp_path), "--extract", "labels"])
    assert end.value.code == 2
    assert "unknown extraction 'labels': did you mean 'label'" in capsys.readouterr().err
