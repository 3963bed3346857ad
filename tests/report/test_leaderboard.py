"""The leaderboard: a pure function of the records that ranks what may be compared and names what may not."""

from __future__ import annotations

import csv
import io
import json
import shutil
import statistics
import subprocess
import sys
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import pytest
from made_results import LLM, add_run, answers
from own_tasks import same, write_task

from lampbench import metrics
from lampbench.errors import RequestError
from lampbench.metrics import TOKENLESS
from lampbench.records.choice import ChoiceRecord
from lampbench.records.environment import Environment
from lampbench.records.record import MetricRecord, TrainingRecord, write_record
from lampbench.report.leaderboard import Leaderboard, build_leaderboard
from lampbench.report.leaderboard_file import FORMATS, check_leaderboard, render, write_leaderboard
from lampbench.report.published import Published
from lampbench.report.run_table import results_table
from lampbench.report.scores_table import Cell
from lampbench.report.suite import Suite


@pytest.fixture
def results(tmp_path: Path) -> Path:
    """Three methods on two tasks; `none` reads no profile, `good` is far better than both others."""
    folder = tmp_path / "results"
    for task in ("LaMP-3", "LaMP-2"):
        add_run(folder, "good", task, 0.9)
        add_run(folder, "none", task, 0.2, method_changes={"reads_profile": False, "order": 0})
        add_run(folder, "poor", task, 0.25)
    return folder


def only(board: Leaderboard) -> Suite:
    (suite,) = board.suites
    return suite


def board_of(results: Path, **options: object) -> Leaderboard:
    return build_leaderboard(results, **({"published": []} | options))  # type: ignore[arg-type]


def cells(suite: Suite, task: str, metric: str) -> dict[str, Cell | None]:
    (row,) = [row for row in suite.rows if (row.task, row.metric) == (task, metric)]
    return dict(zip(suite.columns, row.cells, strict=True))


# What is in the table


def test_rows_are_tasks_and_metrics_and_columns_are_methods_in_a_stable_order(results: Path) -> None:
    suite = only(board_of(results))
    assert suite.columns == ("none", "good", "poor")  # `none` asks to be first
    assert [(row.task, row.metric) for row in suite.rows] == [
        ("LaMP-2", "accuracy"),
        ("LaMP-2", "f1"),
        ("LaMP-3", "mae"),
        ("LaMP-3", "rmse"),
    ]


def test_the_best_is_marked_and_what_is_clearly_worse_is_not_told_equal(results: Path) -> None:
    found = cells(only(board_of(results)), "LaMP-2", "accuracy")
    assert [label for label, cell in found.items() if cell and cell.best] == ["good"]
    assert found["poor"] is not None
    assert found["poor"].p_best is not None
    assert found["poor"].p_best < 0.05
    assert found["good"] is not None
    assert found["good"].p_best is None
    assert found["good"].better is True


def test_lower_is_better_for_errors(tmp_path: Path) -> None:
    add_run(tmp_path, "good", "LaMP-3", 0.9)
    add_run(tmp_path, "none", "LaMP-3", 0.3, method_changes={"reads_profile": False})
    found = cells(only(board_of(tmp_path)), "LaMP-3", "mae")
    assert found["good"] is not None
    assert found["good"].best
    assert found["good"].better is True
    assert "**0." in render(board_of(tmp_path)).split("MAE ↓")[1].splitlines()[0]


def test_values_that_are_printed_alike_are_all_best(tmp_path: Path) -> None:
    outputs, golds = answers("LaMP-2", 0.5)
    swapped = dict(outputs)
    right, wrong = (next(i for i in golds if (outputs[i] == golds[i]) is hit) for hit in (True, False))
    swapped[right], swapped[wrong] = "no label", golds[wrong]
    add_run(tmp_path, "a", outputs=outputs)
    add_run(tmp_path, "b", outputs=swapped)
    found = cells(only(board_of(tmp_path)), "LaMP-2", "accuracy")
    assert [cell.best for cell in found.values() if cell] == [True, True]


def test_a_method_alone_is_not_called_the_best(tmp_path: Path) -> None:
    add_run(tmp_path)
    suite = only(board_of(tmp_path))
    assert suite.comparisons == 0
    assert not any(cell and cell.best for row in suite.rows for cell in row.cells)


def test_a_method_that_did_not_run_on_a_task_has_an_empty_cell(results: Path) -> None:
    shutil.rmtree(results / "small" / "LaMP-3" / "good")
    suite = only(board_of(results))
    assert cells(suite, "LaMP-3", "mae")["good"] is None
    assert cells(suite, "LaMP-3", "mae")["poor"] is not None


def test_each_is_tested_against_the_best_and_the_reference_and_corrected_as_one_family(results: Path) -> None:
    suite = only(board_of(results))
    assert suite.reference == "none"
    # Per row: good-none and good-poor (the best), none-poor (the reference); four rows.
    assert suite.comparisons == 12
    found = cells(suite, "LaMP-2", "accuracy")
    assert found["none"] is not None
    assert found["poor"] is not None
    assert found["none"].p_reference is None
    # No p-value can be smaller than this after 12 comparisons, drawn 10,000 times.
    assert found["none"].p_best == pytest.approx(12 / 10_001)
    assert found["poor"].p_reference is not None
    assert found["poor"].p_reference > 0.05


def test_the_reference_can_be_chosen_and_must_exist(results: Path) -> None:
    assert only(board_of(results, reference="poor")).reference == "poor"
    with pytest.raises(RequestError, match="did you mean 'poor'"):
        board_of(results, reference="por")


def test_two_methods_that_read_no_profile_leave_the_reference_open(results: Path) -> None:
    add_run(results, "none2", "LaMP-2", 0.2, method_changes={"reads_profile": False})
    assert only(board_of(results)).reference is None
    add_run(results, "none", "LaMP-2", 0.2, variant="v", method_changes={"reads_profile": False})
    shutil.rmtree(results / "small" / "LaMP-2" / "none2")
    assert only(board_of(results)).reference == "none"  # a variant is not a second one


def test_seeds_are_averaged_and_their_spread_is_apart_from_the_interval(tmp_path: Path) -> None:
    runs = [add_run(tmp_path, "a", "LaMP-3", 0.5, seed=seed) for seed in range(3)]
    add_run(tmp_path, "b", "LaMP-3", 0.5)
    suite = only(board_of(tmp_path))
    for metric in ("mae", "rmse"):
        values = [run.metrics[metric].value for run in runs]
        cell = cells(suite, "LaMP-3", metric)["a"]
        assert cell is not None
        assert cell.value == pytest.approx(statistics.fmean(values))
        assert cell.sd == pytest.approx(statistics.stdev(values))
        assert cell.seeds == 3
        assert cell.low is not None
        assert cell.high is not None
        assert cell.low < cell.value < cell.high
    other = cells(suite, "LaMP-3", "mae")["b"]
    assert other is not None
    assert other.sd is None


def test_the_interval_of_one_seed_is_the_recorded_one(results: Path) -> None:
    cell = cells(only(board_of(results)), "LaMP-2", "f1")["good"]
    recorded = json.loads((results / "small/LaMP-2/good/seed0/record.json").read_text())["metrics"]["f1"]
    assert cell is not None
    assert (cell.value, cell.low, cell.high) == (recorded["value"], recorded["low"], recorded["high"])


def test_questions_of_one_user_are_not_taken_for_independent(tmp_path: Path) -> None:
    for name, quality in (("a", 0.95), ("b", 0.05)):
        add_run(tmp_path, name, "LaMP-2", quality, users=["u"] * 30 + ["v"] * 30)
    suite = only(board_of(tmp_path))
    assert suite.by_user
    cell = cells(suite, "LaMP-2", "accuracy")["b"]
    assert cell is not None
    assert cell.p_best is not None
    assert (
        cell.p_best >= 0.5
    )  # two users exchange in four ways: no evidence, whatever the number of questions


def test_texts_that_rouge_cannot_see_are_counted_beside_what_went_wrong(tmp_path: Path) -> None:
    record = add_run(tmp_path, task="LaMP-4", n=2, outputs={"q000": "red kite", "q001": "Новый мост"})
    page = render(board_of(tmp_path))
    assert ["LaMP-4", "tokenless", "2", "1"] in [line.replace("|", " ").split() for line in page.splitlines()]
    assert TOKENLESS in page
    assert "tokenless golds" not in page
    table = results_table([record])
    assert ["LaMP-4", "tokenless", "1"] in [line.split() for line in table.splitlines()]
    assert TOKENLESS in " ".join(table.split())


def test_costs_are_per_question_and_failures_are_counted(results: Path) -> None:
    suite = only(board_of(results))
    cost = next(cost for cost in suite.costs if cost.method == "good")
    assert (cost.tasks, cost.prompt_tokens, cost.generated_tokens, cost.llm_calls) == (2, 100, 5, 1)
    assert cost.fit_seconds == 4.0
    assert cost.examples_per_second == pytest.approx(20)
    assert {(row.task, row.kind) for row in suite.failures} == {
        ("LaMP-2", "truncated"),
        ("LaMP-3", "truncated"),
    }
    assert suite.failures[0].counts == (3, 3, 3)


def test_a_choice_stands_between_its_bounds_with_how_often_each_was_chosen(tmp_path: Path) -> None:
    for seed, chosen in enumerate((15, 45)):
        choice = ChoiceRecord(
            chosen={"alpha": chosen, "gamma": 60 - chosen},
            alone={"alpha": {"accuracy": 0.25}, "gamma": {"accuracy": 0.5}},
            upper={"accuracy": 0.75},
            lower={"accuracy": 0.125},
            success=0.5 + seed / 4,
        )
        add_run(tmp_path, "picker", seed=seed, choice=choice)
    without_golds = ChoiceRecord(chosen={"alpha": 60})
    add_run(tmp_path, "blind", choice=without_golds)
    board = board_of(tmp_path)
    (row,) = only(board).choices
    value = cells(only(board), "LaMP-2", "accuracy")["picker"]
    assert value is not None
    assert (row.method, row.seeds, row.best, row.value) == ("picker", 2, "gamma", value.value)
    assert (row.lower, row.alone, row.upper, row.success) == (0.125, 0.5, 0.75, 0.625)
    assert row.shares == {"alpha": 0.5, "gamma": 0.5}
    lines = [line.split() for line in render(board, "md").splitlines()]
    shown = f"| LaMP-2 | Accuracy ↑ | picker | 0.125 | 0.500 | gamma | {row.value:.3f} | 0.750 | 62 % |"
    assert shown.split() in lines
    assert "| LaMP-2 | picker | 50 % | 50 % |".split() in lines
    table = list(csv.DictReader(io.StringIO(render(board, "csv"))))
    written = {line["quantity"]: line["value"] for line in table if line["part"] == "choice"}
    assert written["accuracy upper"] == "0.75"
    assert written["share alpha"] == "0.5"


# What is kept out of the table


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"llm": replace(LLM, revision="rev2")}, "LLM revision rev2, not rev1"),
        ({"llm": replace(LLM, dtype="bfloat16")}, "LLM precision bfloat16, not float32"),
        ({"data_changes": {"fingerprint": "x"}}, "data fingerprint x, not print of LaMP-2"),
        ({"data_changes": {"split": "test"}}, "split test, not dev"),
        ({"prompt_version": 2}, "prompt version 2, not 1"),
        (
            {"generation": {"max_input_tokens": 512, "max_new_tokens": 24, "beams": 4}},
            "max_input_tokens 512, not 160",
        ),
        (
            {"generation": {"max_input_tokens": 160, "max_new_tokens": 8, "beams": 4}},
            "max_new_tokens 8, not 24",
        ),
    ],
)
def test_a_run_that_differs_in_what_must_be_equal_is_named_and_not_mixed(
    results: Path, change: dict[str, object], reason: str
) -> None:
    add_run(results, "odd", "LaMP-2", 1.0, **change)  # type: ignore[arg-type]
    suite = only(board_of(results))
    assert "odd" not in suite.columns
    assert [(aside.run, aside.reason) for aside in suite.odd] == [("LaMP-2 odd, seed 0", reason)]


def test_models_of_unknown_revision_are_not_taken_for_the_same(results: Path) -> None:
    for i, method in enumerate(("good", "none", "poor", "odd")):
        for task in ("LaMP-2", "LaMP-3"):
            models = {"llm": {"revision": "unknown-2" if method == "odd" else "unknown-1"}}
            add_run(results, method, task, i / 4, llm=replace(LLM, revision=None), spec={"models": models})
    suite = only(board_of(results))
    assert {(aside.run, aside.reason) for aside in suite.odd} == {
        (f"{task} odd, seed 0", "LLM revision unknown-2, not unknown-1") for task in ("LaMP-2", "LaMP-3")
    }


def test_methods_without_an_encoder_stand_beside_those_with_the_usual_one(results: Path) -> None:
    from lampbench.records.record import ModelRecord

    usual, other = ModelRecord("enc", "1"), ModelRecord("enc", "2")
    add_run(results, "with1", encoder=usual)
    add_run(results, "with2", encoder=usual)
    add_run(results, "odd", encoder=other)
    suite = only(board_of(results))
    assert suite.columns == ("none", "good", "poor", "with1", "with2")
    assert [aside.reason for aside in suite.odd] == ["encoder enc (2), not enc (1)"]


def test_seeds_of_one_method_stand_together_whatever_its_file_says(results: Path) -> None:
    add_run(results, "said", seed=0, spec={"file": "c"}, method_changes={"sha256": "before"})
    add_run(results, "said", seed=1, spec={"file": "c"}, method_changes={"sha256": "commented"})
    add_run(results, "said", seed=2, spec={"file": "other"}, method_changes={"sha256": "before"})
    suite = only(board_of(results))
    assert [(aside.run, aside.reason) for aside in suite.odd] == [
        ("LaMP-2 said, seed 2", "the file of the method has changed since seed 0")
    ]


def test_seeds_with_other_options_are_not_averaged(results: Path) -> None:
    add_run(results, "good", seed=1, method_changes={"config": {"k": 8}})
    add_run(results, "good", seed=2, method_changes={"sha256": "other"})
    suite = only(board_of(results))
    assert [aside.reason for aside in suite.odd] == [
        "other options than seed 0",
        "the file of the method has changed since seed 0",
    ]
    cell = cells(suite, "LaMP-2", "accuracy")["good"]
    assert cell is not None
    assert cell.seeds == 1


def test_a_run_whose_predictions_are_gone_or_changed_is_not_believed(results: Path) -> None:
    (results / "small/LaMP-2/good/seed0/predictions.jsonl").unlink()
    path = results / "small/LaMP-2/poor/seed0/predictions.jsonl"
    path.write_text(path.read_text().replace("0.0", "1.0", 1))
    assert [aside.reason for aside in only(board_of(results)).odd] == [
        "its predictions.jsonl is missing or cannot be read",
        "its predictions.jsonl is not the one that was scored",
    ]


def test_a_record_that_claims_more_than_its_predictions_give_is_not_believed(results: Path) -> None:
    run = add_run(results, "poor", "LaMP-2", 0.25)
    write_record(replace(run, metrics=run.metrics | {"accuracy": MetricRecord(0.99, 0.9, 1.0, 60)}), results)
    assert (
        only(board_of(results)).odd[0].reason.startswith("its record says accuracy 0.99 and its predictions")
    )


def test_limited_failed_unfinished_and_unscored_runs_are_listed_and_unranked(results: Path) -> None:
    add_run(results, "limited", quality=1.0, data_changes={"limit": 60})
    add_run(results, "failed", status="failed", error="out of memory")
    add_run(results, "halfway", status="started")
    add_run(results, "hidden", metrics={})
    suite = only(board_of(results))
    assert suite.columns == ("none", "good", "poor")
    assert [aside.run for aside in suite.limited] == ["LaMP-2 limited, seed 0"]
    assert suite.limited[0].metrics[0] == ("accuracy", 1.0)
    assert [aside.reason for aside in suite.failed] == [
        "out of memory",
        "unfinished: the same command goes on with it",
    ]
    assert [aside.run for aside in suite.unscored] == ["LaMP-2 hidden, seed 0"]
    text = render(board_of(results))
    for heading in ("Limited runs", "Failed or unfinished", "Without golds"):
        assert heading in text


def test_a_run_that_is_not_ranked_has_its_task_method_and_seed_apart_in_the_csv(results: Path) -> None:
    add_run(results, "good", seed=3, variant="v", data_changes={"limit": 60})
    add_run(results, "failed", "LaMP-3", status="failed", error="out of memory", metrics={})
    lines = list(csv.DictReader(io.StringIO(render(board_of(results), "csv"))))
    named = ("task", "method", "seed", "quantity", "reason")
    found = {
        part: [[line[n] for n in named] for line in lines if line["part"] == part]
        for part in ("limited", "failed")
    }
    assert found == {
        "limited": [
            ["LaMP-2", "good+v", "3", metric, "60 questions drawn at random"] for metric in ("accuracy", "f1")
        ],
        "failed": [["LaMP-3", "failed", "0", "", "out of memory"]],
    }


def test_runs_and_trainings_by_changed_code_are_counted(results: Path) -> None:
    assert "uncommitted" not in render(board_of(results))
    add_run(results, "edited", environment=Environment(git_commit="c0ffee", git_dirty=True))
    add_run(results, "fitted-before", training=TrainingRecord(git_commit="c0ffee", git_dirty=True))
    assert "; 2 of 8 runs from a checkout with uncommitted changes" in render(board_of(results))


# Published numbers

NUMBERS = [
    Published("their-paper", "time", "dev", "some/llm", "", "theirs", "LaMP-2", "accuracy", 0.5),
    Published("their-paper", "time", "dev", "other/llm", "", "theirs", "LaMP-2", "accuracy", 0.6),
]


def test_a_published_number_never_enters_a_measured_table(results: Path) -> None:
    board = board_of(results, published=NUMBERS)
    assert "theirs" not in only(board).columns
    assert only(board).beside == ()  # 60 questions are not the benchmark's split
    assert [table.columns for table in board.published] == [
        (("theirs", "some/llm", ""), ("theirs", "other/llm", ""))
    ]


def test_a_published_number_stands_beside_a_suite_of_the_same_split_and_llm(tmp_path: Path) -> None:
    add_run(tmp_path, "mine", n=1410)
    suite = only(board_of(tmp_path, published=NUMBERS))
    assert suite.official
    assert [table.columns for table in suite.beside] == [(("theirs", "some/llm", ""),)]


# Files


def test_the_same_records_give_the_same_bytes_in_any_order_of_writing(results: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    for path in sorted(results.rglob("*.json*"), reverse=True):
        target = other / path.relative_to(results)
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(path.read_bytes())
    for format in FORMATS:
        assert render(build_leaderboard(results), format) == render(build_leaderboard(other), format)


def test_the_hash_seed_does_not_matter(results: Path) -> None:
    code = (
        "import sys; from lampbench.report.leaderboard import *; from lampbench.report.leaderboard_file import *;"
        "sys.stdout.buffer.write(render(build_leaderboard(sys.argv[1])).encode())"
    )
    outputs = [
        subprocess.run(
            [sys.executable, "-c", code, str(results)],
            env={"PYTHONHASHSEED": seed, "PYTHONPATH": ":".join(sys.path)},
            capture_output=True,
            check=True,
        ).stdout
        for seed in ("1", "2")
    ]
    assert outputs[0] == outputs[1] != b""


def test_check_passes_on_a_fresh_file_and_shows_what_is_stale(results: Path, tmp_path: Path) -> None:
    path = tmp_path / "board.md"
    write_leaderboard(path, board_of(results))
    assert check_leaderboard(path, board_of(results)) == ""
    add_run(results, "new", "LaMP-2", 0.5)
    diff = check_leaderboard(path, board_of(results))
    assert "+| Task" in diff
    assert "new" in diff
    write_leaderboard(path, board_of(results))
    assert check_leaderboard(path, board_of(results)) == ""
    with pytest.raises(RequestError, match="cannot read"):
        check_leaderboard(tmp_path / "none.md", board_of(results))


def test_line_ends_of_windows_are_stale(results: Path, tmp_path: Path) -> None:
    path = write_leaderboard(tmp_path / "board.md", board_of(results))
    path.write_bytes(path.read_bytes().replace(b"\n", b"\r\n"))
    assert check_leaderboard(path, board_of(results)) != ""


def test_the_format_is_that_of_the_file_name(results: Path, tmp_path: Path) -> None:
    for name, start in (
        ("b.md", "# Lead"),
        ("b.csv", "part,"),
        ("b.tex", "% Needs"),
        ("b.html", "<!doctype"),
    ):
        assert write_leaderboard(tmp_path / name, board_of(results)).read_text().startswith(start)
    with pytest.raises(RequestError, match="--format"):
        write_leaderboard(tmp_path / "board", board_of(results))
    with pytest.raises(RequestError, match="unknown format"):
        render(board_of(results), "pdf")


@pytest.mark.parametrize("format", FORMATS)
def test_a_leaderboard_replaces_a_leaderboard_in_whatever_format(
    results: Path, tmp_path: Path, format: str
) -> None:
    path = tmp_path / "board.md"
    for old in ("", render(board_of(results), format), f"<<<<<<< ours\n{render(board_of(results), format)}"):
        path.write_text(old, encoding="utf-8")
        assert check_leaderboard(write_leaderboard(path, board_of(results)), board_of(results)) == ""


@pytest.mark.parametrize(
    "text",
    ["# Mine\n\nWrite the page with `lampbench leaderboard`.\n", "a,b\n1,2\n", "# Leaderboard\n\nOurs.\n"],
)
def test_a_file_of_somebody_else_is_not_replaced(results: Path, tmp_path: Path, text: str) -> None:
    path = tmp_path / "README.md"
    path.write_text(text)
    for format in FORMATS:
        with pytest.raises(RequestError, match=f"--output {path}: .* was not made by lampbench leaderboard"):
            write_leaderboard(path, board_of(results), format)
    assert path.read_text() == text
    (tmp_path / "folder.md").mkdir()
    with pytest.raises(RequestError, match="name another file"):
        write_leaderboard(tmp_path / "folder.md", board_of(results))


def test_the_folder_of_the_file_must_be_there(results: Path, tmp_path: Path) -> None:
    with pytest.raises(RequestError, match=f"no such folder {tmp_path / 'absent'}; make it first"):
        write_leaderboard(tmp_path / "absent" / "board.md", board_of(results))
    assert not (tmp_path / "absent").exists()


def test_a_suite_in_which_nothing_can_be_ranked_still_has_its_page(tmp_path: Path) -> None:
    add_run(tmp_path, status="failed", error="broken")
    text = render(board_of(tmp_path))
    assert "Suite small" in text
    assert "broken" in text


def test_one_suite_can_be_shown_alone(results: Path) -> None:
    add_run(results, suite="second")
    assert [suite.name for suite in board_of(results).suites] == ["second", "small"]
    assert [suite.name for suite in board_of(results, suite="second").suites] == ["second"]


def test_many_methods_are_split_into_blocks_of_at_most_nine(tmp_path: Path) -> None:
    for i in range(11):
        add_run(tmp_path, f"m{i:02}", n=6)
    text = render(board_of(tmp_path))
    headers = [line for line in text.splitlines() if line.startswith("| Task") and "Metric" in line]
    assert [line.count(" m") for line in headers] == [5, 6]


def test_the_csv_has_every_number_to_ten_decimals(results: Path) -> None:
    board = board_of(results, published=NUMBERS)
    rows = list(csv.DictReader(io.StringIO(render(board, "csv"))))
    measured = {
        (r["task"], r["method"], r["quantity"]): float(r["value"]) for r in rows if r["part"] == "measured"
    }
    suite = only(board)
    assert len(measured) == len(suite.rows) * len(suite.columns)
    cell = cells(suite, "LaMP-3", "rmse")["poor"]
    assert cell is not None
    assert measured["LaMP-3", "poor", "rmse"] == pytest.approx(cell.value, abs=1e-10)
    assert {r["part"] for r in rows} == {"measured", "cost", "count", "published"}


HOSTILE = "a|b <script>alert(1)</script> & **x** `y` [z](http://e.org) $m$ \\cmd{q} %c\r\nnew\u202e line"


def test_hostile_text_stays_in_its_cell(results: Path) -> None:
    add_run(results, "failed", status="failed", error=HOSTILE, metrics={})
    board = board_of(results)

    markdown = render(board, "md")
    (line,) = [line for line in markdown.splitlines() if "alert" in line]
    assert line.replace("\\|", "").count("|") == 3  # two cells
    assert "<script" not in markdown
    assert "\\[z\\](http" in line
    assert "\u202e" not in markdown

    page = render(board, "html")
    seen: list[str] = []

    class Tags(HTMLParser):
        def handle_starttag(self, tag: str, attrs: object) -> None:
            seen.append(tag)

        def handle_data(self, data: str) -> None:
            if "alert" in data:
                seen.append(data)

    Tags().feed(page)
    assert "script" not in seen
    assert any("<script>alert(1)</script> & **x**" in data for data in seen)

    latex = render(board, "latex")
    (line,) = [line for line in latex.splitlines() if "alert" in line]
    assert r"\textbackslash{}cmd\{q\} \%c new line" in line
    assert line.endswith(r"\\")


def test_the_page_is_made_without_torch_and_pandas(results: Path) -> None:
    code = (
        "import sys; from lampbench.report.leaderboard import *; from lampbench.report.leaderboard_file import *;"
        "import lampbench.report.compare;"
        "[render(build_leaderboard(sys.argv[1]), f) for f in FORMATS];"
        "heavy = {'torch', 'transformers', 'sklearn', 'evaluate', 'pandas', 'pyarrow'} & set(sys.modules);"
        "sys.exit(f'imported: {heavy}' if heavy else 0)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(results)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


def test_made_up_runs_are_scored_like_real_ones() -> None:
    outputs, golds = answers("LaMP-2", 0.9)
    assert metrics.score("LaMP-2", outputs, golds).metrics["accuracy"] > 0.8


@pytest.mark.parametrize("start", ["=", "+", "-", "@", "\t=", "\n@", "＝"])
def test_a_text_in_the_csv_is_no_formula_and_a_number_stays_one(tmp_path: Path, start: str) -> None:
    formula = f'{start}HYPERLINK("http://x","y")'
    add_run(tmp_path, "alpha", status="failed", error=formula, metrics={})
    below_zero = {"accuracy": MetricRecord(-0.5, None, None, 60)}
    add_run(tmp_path, "beta", data_changes={"limit": 60}, metrics=below_zero)
    text = render(build_leaderboard(tmp_path), "csv")
    rows = {row["part"]: row for row in csv.DictReader(io.StringIO(text))}
    assert rows["failed"]["reason"] == "'" + formula.strip()
    assert rows["limited"]["value"] == "-0.5"


def test_a_metric_that_a_task_has_no_more_is_shown_by_its_key(tmp_path: Path) -> None:
    write_task(tmp_path / "tasks", "Mine", same(label="Hits"), '"rouge1"')
    add_run(tmp_path / "results", "a", "Mine")
    add_run(tmp_path / "results", "b", "Mine", data_changes={"limit": 60})
    add_run(tmp_path / "results", "c", "LaMP-2")
    assert "Hits ↑ 0." in render(board_of(tmp_path / "results"), "md")
    write_task(tmp_path / "tasks", "Mine", '"rouge1"')
    for gone in (False, True):
        if gone:
            (tmp_path / "tasks" / "mine.py").unlink()
        board = board_of(tmp_path / "results")
        for form in FORMATS:
            render(board, form)
        markdown = render(board, "md")
        assert "Hits" not in markdown
        assert "same 0." in markdown
        assert ("Mine a, seed 0" in markdown) == gone
        assert [row.run for row in only(board).odd] == (["Mine a, seed 0"] if gone else [])
