"""The command line: a wrong request is one clear line and status 2, and nothing is written."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from lampbench.cli import main, spread_set
from lampbench.record import load_records
from lampbench.summary import results_table

Command = Callable[..., tuple[int, str, str]]


@pytest.fixture
def command(capsys: pytest.CaptureFixture[str]) -> Command:
    """A command in this process: exit status, standard output, standard error."""

    def call(*words: object) -> tuple[int, str, str]:
        capsys.readouterr()
        with pytest.raises(SystemExit) as end:
            main([str(word) for word in words])
        out, err = capsys.readouterr()
        return int(end.value.code or 0), out, err

    return call


@pytest.fixture
def place(tmp_path: Path, tiny_llm: Path, tiny_encoder: Path, tiny_data: Path) -> Path:
    """A folder with data of two tasks, models, and a preset that names them."""
    for task in ("LaMP_3", "LaMP_7"):
        shutil.copytree(tiny_data / "user" / task, tmp_path / "data" / "user" / task)
    (tmp_path / "tiny.toml").write_text(
        f'summary = "tiny"\nllm = "{tiny_llm}"\nencoder = "{tiny_encoder}"\ndata = "{tmp_path / "data"}"\n'
        'setting = "user"\nmax_input_tokens = 100\nbeams = 1\n[max_new_tokens]\ndefault = 4\n',
        encoding="utf-8",
    )
    return tmp_path


def run_words(place: Path, *more: object) -> list[object]:
    """`run` of one cheap method on one task; later options win over earlier ones."""
    return [
        *("run", "--method", "adhoc", "--task", "LaMP-3", "--preset", place / "tiny.toml"),
        *("--results", place / "results", "--quiet", *more),
    ]


# What must answer at once


def test_help_and_lists_load_nothing_heavy() -> None:
    code = (
        "import sys\n"
        "from lampbench.cli import main\n"
        "for words in (['--help'], ['list', 'methods'], ['list', 'tasks'], ['list', 'presets']):\n"
        "    try: main(words)\n"
        "    except SystemExit as end: assert not end.code, end.code\n"
        "heavy = {'torch', 'numpy', 'pandas', 'pyarrow', 'transformers', 'sklearn', 'evaluate', 'rich'}\n"
        "assert not heavy & set(sys.modules), heavy & set(sys.modules)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_lists_come_as_text_and_as_json(command: Command) -> None:
    status, out, _ = command("list", "methods")
    assert status == 0
    assert out.startswith("method")
    assert max(map(len, out.splitlines())) <= 80
    methods = {m["name"]: m for m in json.loads(command("list", "methods", "--json")[1])}
    assert methods["bm25"]["paper"] == "arXiv:2304.11406"
    assert {"name": "k", "type": "int", "default": "4", "help": "profile items in the prompt"} in methods[
        "bm25"
    ]["options"]
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

    monkeypatch.setattr("lampbench.runner.run_job", interrupt)
    status, out, err = command(*run_words(place))
    assert (status, out) == (130, "")
    assert err.strip().splitlines() == ["interrupted: the same command goes on from here"]


def test_a_failed_run_is_one_line_and_status_1(
    command: Command, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("lampbench.job.weights_fingerprint", lambda model: os.urandom(4))
    status, _, err = command(*run_words(place))
    assert status == 1
    assert err == "error: method 'adhoc' changed the frozen LLM: work on a copy of it\n"


def test_a_bug_keeps_its_traceback(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def stumble(*_: object, **__: object) -> None:
        raise ZeroDivisionError("a bug")

    monkeypatch.setattr("lampbench.runner.run_job", stumble)
    with pytest.raises(ZeroDivisionError):
        main([str(word) for word in run_words(place)])


# Bad input


def damage(place: Path, file: str, change: Callable[[Any], Any]) -> None:
    path = place / "data" / "user" / "LaMP_3" / file
    path.write_text(json.dumps(change(json.loads(path.read_text()))))


def without(key: str, number: int) -> Callable[[Any], Any]:
    def change(records: list[dict[str, Any]]) -> list[dict[str, Any]]:
        del records[number][key]
        return records

    return change


BAD_WORDS: list[tuple[list[str], list[str]]] = [
    (["--method", "bm26"], ["unknown method 'bm26'", "did you mean 'bm25'"]),
    (["--method", "pplug+maen"], ["unknown variant of pplug 'maen'", "did you mean 'mean'"]),
    (["--method", ","], ["no name given"]),
    (["--task", "LaMP-33"], ["unknown task 'LaMP-33'", "did you mean 'LaMP-3'"]),
    (["--task", "LaMP-6"], ["unknown task 'LaMP-6'"]),
    (["--preset", "minni"], ["unknown preset 'minni'", "did you mean 'mini'"]),
    (["--preset", "absent.toml"], ["preset absent.toml: no such file"]),
    (["--setting", "users"], ["unknown setting 'users'", "did you mean 'user'"]),
    (["--split", "tset"], ["unknown split 'tset'", "did you mean 'test'"]),
    (["--split", "train"], ["unknown split 'train'", "dev, test"]),
    (["--dtype", "fp23"], ["unknown dtype 'fp23'", "did you mean 'fp32'"]),
    (["--limit", "0"], ["--limit must be at least 1, not 0"]),
    (["--seed", "one"], ["--seed one: write an integer"]),
    (["--seed", "-1"], ["seeds are integers from 0"]),
    (["--variant", "a/b"], ["--variant 'a/b'"]),
    (["--suite", "../x"], ["--suite '../x'"]),
    (["--set", "k=2"], ["unknown option of adhoc 'k'"]),
    (["--method", "bm25", "--set", "kk=2"], ["unknown option of bm25 'kk'", "did you mean 'k'"]),
    (["--method", "bm25", "--set", "k=two"], ["option k of bm25 must be an integer, not 'two'"]),
    (["--method", "bm25", "--set", "k=0"], ["options of bm25: k must be at least 1, not 0"]),
    (["--method", "bm25", "--set", "use_date=maybe"], ["must be true or false, not 'maybe'"]),
    (["--method", "bm25", "--set", "profile=other"], ["must be one of own, random, empty, shuffled-labels"]),
    (["--method", "bm25", "--set", "k"], ["--set k: write name=value"]),
    (["--method", "bm25,recency", "--set", "k=2"], ["several methods run", "bm25.k=2"]),
    (["--method", "bm25", "--set", "bm52.k=2"], ["unknown method in --set 'bm52'", "did you mean 'bm25'"]),
    (["--method", "pplug,pplug+mean", "--variant", "x"], ["two of the runs would both be pplug+x"]),
    (["--data", "nowhere"], ["--data nowhere: no such folder"]),
    (["--llm", "./nowhere"], ["--llm ./nowhere: no such folder"]),
    (["--encoder", "./nowhere"], ["--encoder ./nowhere: no such folder"]),
    (["--methods-dir", "nowhere"], ["--methods-dir nowhere: no such folder"]),
    (["--device", "cuda:99"], ["'cuda:99'"]),
    (["--device", "tpu"], ["unknown device 'tpu'"]),
    (["--metod", "bm25"], ["No such option"]),
]


@pytest.mark.parametrize(("words", "told"), BAD_WORDS, ids=lambda value: " ".join(value)[:40])
def test_a_wrong_request_is_one_line_and_writes_nothing(
    command: Command, place: Path, words: list[str], told: list[str]
) -> None:
    status, out, err = command(*run_words(place, *words))
    assert (status, out) == (2, "")
    assert err.startswith("error: ")
    assert err.count("\n") == 1, err
    for part in told:
        assert part in err
    assert not (place / "results").exists()


def _lack_model_file(place: Path, tiny: Path, name: str) -> list[object]:
    folder = place / "damaged"
    shutil.copytree(tiny, folder)
    (folder / name).unlink()
    return ["--llm", folder]


BAD_PLACES: dict[str, tuple[Callable[[Path], list[object]], list[str]]] = {
    "a missing file": (
        lambda place: (place / "data/user/LaMP_3/dev_outputs.json").unlink() or [],  # type: ignore[func-returns-value]
        ["dev_outputs.json", "lampbench data download"],
    ),
    "a missing setting": (lambda place: ["--setting", "time"], ["LaMP_3", "lampbench data download"]),
    "HTML": (
        lambda place: (
            [] * (place / "data/user/LaMP_3/dev_questions.json").write_text("<!DOCTYPE html><p>no</p>")
        ),
        ["dev_questions.json", "HTML"],
    ),
    "half a file": (
        lambda place: (
            [] * (path := place / "data/user/LaMP_3/dev_questions.json").write_text(path.read_text()[:900])
        ),
        ["dev_questions.json", "cut off"],
    ),
    "no list": (
        lambda place: [] * (place / "data/user/LaMP_3/dev_questions.json").write_text('{"a": 1}'),
        ["dev_questions.json", "list"],
    ),
    "a missing field": (
        lambda place: damage(place, "dev_questions.json", without("input", 2)) or [],  # type: ignore[func-returns-value]
        ["dev_questions.json: record 3", "input"],
    ),
    "a missing gold": (
        lambda place: damage(place, "dev_outputs.json", lambda c: {**c, "golds": c["golds"][1:]}) or [],  # type: ignore[func-returns-value]
        ["1", "gold"],
    ),
    "a repeated id": (
        lambda place: damage(place, "dev_questions.json", lambda c: [*c, c[0]]) or [],  # type: ignore[func-returns-value]
        ["dev_questions.json", "again"],
    ),
    "a gold that is no rating": (
        lambda place: (
            damage(
                place,
                "dev_outputs.json",
                lambda c: {**c, "golds": [{**g, "output": "good"} for g in c["golds"]]},
            )
            or []
        ),  # type: ignore[func-returns-value]
        ["'good', not a rating"],
    ),
    "no train split for a method that learns": (
        lambda place: (place / "data/user/LaMP_3/train_questions.json").unlink() or ["--method", "pplug"],  # type: ignore[func-returns-value]
        ["train_questions.json"],
    ),
    "a results file": (
        lambda place: ["--results", place / "tiny.toml"],
        ["--results", "cannot be written to"],
    ),
    "results below a file": (
        lambda place: ["--results", place / "tiny.toml" / "results"],
        ["--results", "cannot be written to"],
    ),
}


@pytest.mark.parametrize("what", BAD_PLACES)
def test_wrong_data_and_folders_are_one_line_and_write_nothing(
    command: Command, place: Path, what: str
) -> None:
    prepare, told = BAD_PLACES[what]
    words = prepare(place)
    before = sorted(path for path in place.rglob("*"))
    status, out, err = command(*run_words(place, *words))
    assert (status, out) == (2, "")
    assert err.startswith("error: ")
    assert err.count("\n") == 1, err
    for part in told:
        assert part in err
    assert sorted(path for path in place.rglob("*")) == before


@pytest.mark.parametrize("missing", ["config.json", "model.safetensors", "tokenizer.json"])
def test_a_model_folder_that_does_not_load_is_named(
    command: Command, place: Path, tiny_llm: Path, missing: str
) -> None:
    words = _lack_model_file(place, tiny_llm, missing)
    status, _, err = command(*run_words(place, *words))
    assert status == 2
    assert err.count("\n") == 1
    assert str(place / "damaged") in err
    assert not (place / "results").exists()


def test_an_encoder_without_pooling_is_named_before_anything_runs(
    command: Command, place: Path, tiny_encoder: Path
) -> None:
    folder = place / "unpooled"
    shutil.copytree(tiny_encoder, folder)
    shutil.rmtree(folder / "1_Pooling")
    words = ("--method", "adhoc,contriever", "--encoder", folder)
    status, _, err = command(*run_words(place, *words))
    assert status == 2
    assert "does not say how it pools" in err
    assert err.count("\n") == 1
    assert not (place / "results").exists()


def test_prediction_files_that_do_not_fit_are_refused(command: Command, place: Path, tiny_data: Path) -> None:
    golds = place / "data/user/LaMP_3/dev_outputs.json"
    content = json.loads(golds.read_text())
    assert command("score", golds, golds)[0] == 0
    assert json.loads(command("score", golds, golds, "--json")[1])["tasks"]["LaMP-3"]["metrics"]["mae"] == 0.0
    cases = {
        "missing": {**content, "golds": content["golds"][2:]},
        "not in": {**content, "golds": [*content["golds"], {"id": "new", "output": "1"}]},
        "more than once": {**content, "golds": [*content["golds"], content["golds"][0]]},
        "LaMP": {**content, "task": "LaMP_4"},
    }
    for told, changed in cases.items():
        path = place / "predictions.json"
        path.write_text(json.dumps(changed))
        status, out, err = command("score", path, golds)
        assert (status, out) == (2, "")
        assert told in err
        assert err.count("\n") == 1
    assert command("score", place / "absent.json", golds)[0] == 2
    assert command("score", golds, golds, "--profile", "offical")[0] == 2


def test_a_folder_is_scored_in_one_call(command: Command, place: Path) -> None:
    predictions = place / "predictions"
    predictions.mkdir()
    for number in (3, 7):
        source = place / "data" / "user" / f"LaMP_{number}" / "dev_outputs.json"
        shutil.copy(source, predictions / f"LaMP_{number}.json")
    status, out, _ = command("score", predictions, place / "data")
    assert status == 0
    assert [line.split()[0] for line in out.splitlines()[1:]] == ["LaMP-3", "LaMP-3", "LaMP-7", "LaMP-7"]


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


def test_runs_that_are_not_there_are_named(command: Command, place: Path) -> None:
    for words in (("show", "x/y/z"), ("list", "runs"), ("compare", "a", "b"), ("leaderboard",)):
        status, _, err = command(*words, "--results", place / "absent")
        assert (status, err.count("\n")) == (2, 1)


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


def test_many_methods_go_on_below(command: Command, place: Path) -> None:
    command(*run_words(place, "--method", "adhoc,bm25,random,recency", "--task", "LaMP-3"))
    records = load_records(place / "results")
    narrow = results_table(records, 40)
    assert max(map(len, narrow.splitlines())) <= 40
    assert narrow.count("LaMP-3 MAE") > 1
    for name in ("adhoc", "bm25", "random", "recency"):
        assert name in narrow
