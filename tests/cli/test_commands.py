"""The command line: a wrong request is one clear line and status 2, and nothing is written."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from made_commands import Command, run_words
from made_results import add_run

from lampbench.cli.app import main, spread_set
from lampbench.errors import RunError
from lampbench.records.record import MetricRecord, Record
from lampbench.records.results_folder import load_records
from lampbench.report.run_table import results_table
from lampbench.runner.job import run_job
from lampbench.runner.setup import Setup

# What must answer at once


def test_help_and_lists_load_nothing_heavy() -> None:
    code = (
        "import sys\n"
        "from lampbench.cli.app import main\n"
        "for words in (['--help'], ['list', 'methods'], ['list', 'tasks'], ['list', 'presets']):\n"
        "    try: main(words)\n"
        "    except SystemExit as end: assert not end.code, end.code\n"
        "heavy = {'torch', 'numpy', 'pandas', 'pyarrow', 'transformers', 'sklearn', 'evaluate', 'rich'}\n"
        "assert not heavy & set(sys.modules), heavy & set(sys.modules)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("words", [(), ("data",), ("list",)], ids=str)
def test_a_group_without_a_command_prints_its_help(command: Command, words: tuple[str, ...]) -> None:
    told = command(*words)
    status, out, err = command(*words, "--help")
    assert (status, err) == (0, "")
    assert "\nCommands:\n" in out
    # On standard output and with status 0 where typer still takes it for a request for help.
    assert told in ((2, "", out), (0, out, ""))


def test_lists_come_as_text_and_as_json(command: Command) -> None:
    status, out, _ = command("list", "methods")
    assert status == 0
    assert out.startswith("method")
    assert max(map(len, out.splitlines())) <= 80
    methods = {m["name"]: m for m in json.loads(command("list", "methods", "--json")[1])}
    assert methods["bm25"]["paper"] == "arXiv:2304.11406"
    k = next(option for option in methods["bm25"]["options"] if option["name"] == "k")
    assert (k["type"], k["default"], k["help"]) == ("int", "4", "profile items in the prompt")
    assert k["allowed"] == "at least 1"
    assert "use_date = False (bool)" in command("list", "methods", "--options")[1].replace("\n", " ")
    tasks = json.loads(command("list", "tasks", "--json")[1])
    assert [task["name"] for task in tasks] == ["LaMP-1", "LaMP-2", "LaMP-3", "LaMP-4", "LaMP-5", "LaMP-7"]
    presets = {p["name"]: p for p in json.loads(command("list", "presets", "--json")[1])}
    assert set(presets) == {"base", "mini", "paper"}
    assert presets["paper"]["llm"] == "google/flan-t5-xxl"
    assert presets["base"]["max_new_tokens"]["LaMP-3"] == 10


# A run and what follows from it


def test_a_run_prints_its_table_and_where_the_records_are(command: Command, place: Path) -> None:
    status, out, err = command(*run_words(place, "--method", "adhoc,bm25", "--task", "LaMP-3,LaMP-7"))
    assert (status, err) == (0, "")
    header, *rows = out.splitlines()
    assert header.split() == ["adhoc", "bm25"] or header.split() == ["bm25", "adhoc"]
    assert [row[:15].strip() for row in rows[:2]] == ["LaMP-3 MAE ↓", "LaMP-3 RMSE ↓"]
    assert any("unparsed" in row for row in rows)  # random weights rate nothing
    assert f"records: {place / 'results' / 'tiny'}" in out
    assert max(map(len, rows)) <= 80 or "records" in max(rows, key=len)

    records = json.loads(command(*run_words(place, "--json"))[1])
    assert [(r["task"], r["status"]) for r in records] == [("LaMP-3", "complete")]

    status, out, _ = command("list", "runs", "--results", place / "results")
    assert status == 0
    assert out.count("complete") == 4
    listed = json.loads(command("list", "runs", "--results", place / "results", "--json")[1])
    assert {r["run"] for r in listed} == {r.name for r in load_records(place / "results")}

    status, out, _ = command("show", "LaMP-3/bm25/seed0", "--results", place / "results")
    assert status == 0
    assert "method.config.k" in out
    shown = json.loads(command("show", place / "results/tiny/LaMP-3/bm25/seed0", "--json")[1])
    assert shown["method"]["name"] == "bm25"

    board = place / "leaderboard.md"
    where = ("--results", place / "results", "--output", board)
    assert command("leaderboard", *where)[0] == 0
    assert "bm25" in board.read_text()
    assert command("leaderboard", "--check", *where)[0] == 0
    board.write_text(board.read_text().replace("bm25", "bm26"))
    status, _, err = command("leaderboard", "--check", *where)
    assert status == 1
    assert "is not what the records say" in err
    assert command("leaderboard", "--results", place / "results", "--output", "-", "--format", "csv")[0] == 0
    assert json.loads(command("leaderboard", "--json", "--results", place / "results")[1])["suites"]

    status, out, _ = command("compare", "adhoc", "bm25", "--results", place / "results", "--task", "LaMP-7")
    assert status == 0
    assert "LaMP-7" in out
    assert json.loads(command("compare", "adhoc", "bm25", "--results", place / "results", "--json")[1])[
        "rows"
    ]


def test_the_leaderboard_file_is_that_of_the_results_beside_it(
    command: Command, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for results in ("results", "other"):
        assert command(*run_words(place, "--results", place / results, "--suite", f"in-{results}"))[0] == 0
    monkeypatch.chdir(place)
    assert command("leaderboard")[1] == "wrote leaderboard.md\n"
    board = (place / "leaderboard.md").read_bytes()
    assert b"in-results" in board
    for words in (("--results", "other"), ("--suite", "in-results")):
        status, out, _ = command("leaderboard", *words)
        assert status == 0
        assert out.startswith("# Leaderboard")
        status, _, err = command("leaderboard", "--check", *words)
        assert status == 2
        assert "--output" in err
    assert (place / "leaderboard.md").read_bytes() == board
    assert command("leaderboard", "--check", "--results", place / "results")[0] == 0
    assert command("leaderboard", "--results", "other", "-o", "other.md")[0] == 0
    assert "in-other" in (place / "other.md").read_text()


def test_settings_may_follow_each_other() -> None:
    words = ["run", "--set", "k=1", "use_date=true", "--seed", "0", "--set", "m.k=2", "x=3", "-q"]
    assert spread_set(words) == [
        *("run", "--set", "k=1", "--set", "use_date=true", "--seed", "0"),
        *("--set", "m.k=2", "--set", "x=3", "-q"),
    ]
    assert spread_set(["score", "a=b", "c=d"]) == ["score", "a=b", "c=d"]


def test_ctrl_c_is_one_line_and_status_130(
    command: Command, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("lampbench.runner.run.run_job", interrupt)
    status, out, err = command(*run_words(place))
    assert (status, out) == (130, "")
    assert err.strip().splitlines() == ["interrupted: the same command goes on from here"]


def test_a_failed_run_is_one_line_and_status_1(
    command: Command, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("lampbench.runner.job.weights_fingerprint", lambda model: os.urandom(4))
    status, _, err = command(*run_words(place))
    assert status == 1
    assert err == "error: method 'adhoc' changed the frozen LLM: work on a copy of it\n"


def test_the_runs_that_went_well_are_shown_before_the_failure_of_another(
    command: Command, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail_on_adhoc(session: object, job: Setup, *rest: object) -> Record:
        if job.method.name == "adhoc":
            raise RunError("not today")
        return run_job(session, job, *rest)  # type: ignore[arg-type]

    monkeypatch.setattr("lampbench.runner.run.run_job", fail_on_adhoc)
    told = "error: 1 of 2 runs failed; the first: adhoc on LaMP-3, seed 0: not today\n"
    status, out, err = command(*run_words(place, "--method", "adhoc,recency"))
    assert (status, err) == (1, told)
    assert out.splitlines()[0].split() == ["recency"]
    assert "LaMP-3 MAE" in out
    assert "records:" in out
    status, out, err = command(*run_words(place, "--method", "adhoc,recency", "--json"))
    assert (status, err) == (1, told)  # the other one was found complete
    assert [(r["method"]["name"], r["status"]) for r in json.loads(out)] == [("recency", "complete")]
    status, out, err = command(*run_words(place, "--method", "adhoc", "--seed", "0,1", "--json"))
    assert (status, out) == (1, "")
    assert err.startswith("error: 2 of 2 runs failed")


def test_a_bug_keeps_its_traceback(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def stumble(*_: object, **__: object) -> None:
        raise ZeroDivisionError("a bug")

    monkeypatch.setattr("lampbench.runner.run.run_job", stumble)
    with pytest.raises(ZeroDivisionError):
        main([str(word) for word in run_words(place)])


# The rest


def test_data_commands(command: Command, tmp_path: Path) -> None:
    folder = tmp_path / "mini"
    words = ("synth", folder, "--task", "LaMP-3,LaMP-4", "--set", "train=4", "dev=3", "--set", "test=0")
    status, out, _ = command("data", *words)
    assert status == 0
    assert "ceiling" in out
    status, out, _ = command("data", "prepare", "--data", folder, "--setting", "user", "--task", "LaMP-3")
    assert status == 0
    assert out.splitlines()[1].split()[:4] == ["LaMP-3", "user", "4", "3"]
    status, out, _ = command(
        "data", "audit", "--data", folder, "--setting", "user", "--task", "LaMP-3,LaMP-4"
    )
    assert status == 0
    assert "LaMP-4 (user)" in out
    audits = json.loads(
        command("data", "audit", "--data", folder, "--setting", "user", "--task", "LaMP-3", "--json")[1]
    )
    assert audits[0]["task"] == "LaMP-3"
    status, _, err = command("data", "synth", folder, "--set", "trian=4")
    assert status == 2
    assert "did you mean 'train'" in err
    status, _, err = command("data", "prepare", "--data", folder, "--setting", "tmie")
    assert (status, err.count("\n")) == (2, 1)
    status, _, err = command("data", "download", "--data", folder, "--task", "LaMP-3", "--offline")
    assert (status, err.count("\n")) == (2, 1)


def test_a_run_that_is_not_clear_is_told_without_the_list_of_all(command: Command, tmp_path: Path) -> None:
    for number in range(4):
        for task in ("LaMP-2", "LaMP-3"):
            add_run(tmp_path, f"method{number}", task, n=6)
    all_of_them = f"all 8: lampbench list runs --results {tmp_path}\n"
    told = {
        "seed0": "run 'seed0' is one of 8: name small/LaMP-2/method0/seed0, small/LaMP-2/method1/seed0, "
        "small/LaMP-2/method2/seed0, …; ",
        "method1": "run 'method1' is one of 2: name small/LaMP-2/method1/seed0, small/LaMP-3/method1/seed0; ",
        "metod1": "unknown run 'metod1': did you mean 'method1'? ",
        "LaMP-3/mthod2/seed0": "unknown run 'LaMP-3/mthod2/seed0': did you mean 'LaMP-3/method2/seed0'? ",
        "quite different": "unknown run 'quite different': ",
    }
    for name, message in told.items():
        assert command("show", name, "--results", tmp_path) == (2, "", f"error: {message}{all_of_them}")
    for name in ("LaMP-3/method2/seed0", "LaMP-3/method2"):
        assert command("show", name, "--results", tmp_path)[0] == 0


def test_runs_that_are_not_there_are_named(command: Command, place: Path) -> None:
    for words in (("show", "x/y/z"), ("list", "runs"), ("compare", "a", "b"), ("leaderboard",)):
        status, _, err = command(*words, "--results", place / "absent")
        assert (status, err.count("\n")) == (2, 1)
        board = place / "board.md"
        board.write_text("kept")
        output = ("--output", board) if words == ("leaderboard",) else ()
        status, out, err = command(*words, "--results", place / "data", *output)
        assert (status, out, err.count("\n")) == (2, "", 1)
        assert err.startswith(f"error: no runs in {place / 'data'}: say --results")
        assert board.read_text() == "kept"


def test_check_tells_what_is_wrong(command: Command, tmp_path: Path) -> None:
    (tmp_path / "wrong.py").write_text(
        "import lampbench.method\n"
        "class Method(lampbench.method.Method):\n"
        "    name = 'wrong'\n"
        "    summary = 'Answers back to front'\n"
        "    def predict(self, bench, examples):\n"
        "        yield from bench.generate(examples[::-1], [e.input for e in examples[::-1]])\n"
    )
    status, out, _ = command("check", "wrong", "--methods-dir", tmp_path)
    assert status == 1
    assert "wrong: FAILED" in out
    assert "LaMP-3: one answer per question, in order" in out
    status, out, _ = command("check", "adhoc", "--json")
    assert status == 0
    assert json.loads(out)[0]["passed"] is True


def test_check_goes_on_after_a_method_that_ends_the_program(command: Command, tmp_path: Path) -> None:
    (tmp_path / "leaver.py").write_text(
        "import sys\n"
        "import lampbench.method\n"
        "class Method(lampbench.method.Method):\n"
        "    name = 'leaver'\n"
        "    def predict(self, bench, examples):\n"
        "        sys.exit(0)\n"
    )
    status, out, err = command("check", "leaver", "--methods-dir", tmp_path)
    assert (status, err) == (1, "")
    assert out.count("one answer per question, in order: SystemExit: 0 (leaver.py, line 6)") == 3


def test_the_mark_of_the_best_is_explained_and_values_printed_alike_share_it(tmp_path: Path) -> None:
    values = {"one": 0.50004, "two": 0.49996, "three": 0.4}
    records = [
        add_run(tmp_path, name, metrics={"accuracy": MetricRecord(value, None, None, 9)})
        for name, value in values.items()
    ]
    for width in (40, 80, 120):
        table, _, legend = results_table(records, width).rpartition("\n\n")
        assert re.findall(r"0\.\d+\*?", table) == ["0.500*", "0.500*", "0.400"]
        assert legend.split()[:5] == ["*:", "best", "of", "its", "row,"]
        assert max(map(len, legend.splitlines())) <= width
    assert "*" not in results_table(records[:1])


def test_many_methods_go_on_below(command: Command, place: Path) -> None:
    command(*run_words(place, "--method", "adhoc,bm25,random,recency", "--task", "LaMP-3"))
    records = load_records(place / "results")
    narrow = results_table(records, 40)
    assert max(map(len, narrow.splitlines())) <= 40
    assert narrow.count("LaMP-3 MAE") > 1
    for name in ("adhoc", "bm25", "random", "recency"):
        assert name in narrow
