"""Bad input: one clear line, status 2, and nothing is written."""

from __future__ import annotations

import errno
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from made_commands import Command, run_words
from made_results import add_run

from lampbench import run
from lampbench.errors import RequestError

Change = Callable[[Path], object]


def edit(file: str, change: Callable[[str], str]) -> Change:
    """Change the text of one of LaMP-3's files."""

    def apply(place: Path) -> None:
        path = place / "data" / "user" / "LaMP_3" / file
        path.write_text(change(path.read_text()))

    return apply


def edit_json(file: str, change: Callable[[Any], Any]) -> Change:
    """Change the content of one of LaMP-3's files."""
    return edit(file, lambda text: json.dumps(change(json.loads(text))))


def remove(file: str) -> Change:
    """Remove one of LaMP-3's files."""
    return lambda place: (place / "data" / "user" / "LaMP_3" / file).unlink()


def without(key: str, number: int) -> Callable[[Any], Any]:
    def change(records: list[dict[str, Any]]) -> list[dict[str, Any]]:
        del records[number][key]
        return records

    return change


def as_opinions(content: dict[str, Any]) -> dict[str, Any]:
    return {**content, "golds": [{**gold, "output": "good"} for gold in content["golds"]]}


BAD_WORDS: list[tuple[list[str], list[str]]] = [
    (["--method", "bm26"], ["unknown method 'bm26'", "did you mean 'bm25'"]),
    (["--method", "pplug+lables"], ["unknown variant of pplug 'lables'", "did you mean 'labels'"]),
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
    (["--limit", "x"], ["--limit x: write an integer"]),
    (["--limit", "2.5"], ["--limit 2.5: write an integer"]),
    (["--seed", "one"], ["--seed one: write an integer"]),
    (["--seed", "-1"], ["seeds are integers from 0"]),
    (["--seed", str(2**32)], ["seeds are integers from 0 to 4294967295"]),
    (["--seed", "9" * 5000], ["--seed 999"]),
    (["--limit", "9" * 5000], ["--limit 999", "…: write an integer"]),
    (
        ["--method", "bm25", "--set", f"k={'9' * 5000}"],
        ["option k of bm25 must be an integer, not '999", "…'"],
    ),
    (["--llm", ""], ["an empty value after --llm"]),
    (["--results="], ["an empty value after --results"]),
    (["--setting", ""], ["an empty value after --setting"]),
    (["--extract", ""], ["an empty value after --extract"]),
    (["--methods-dir", ""], ["an empty value after --methods-dir"]),
    (["--variant", "a/b"], ["--variant 'a/b'"]),
    (["--suite", "../x"], ["--suite '../x'"]),
    (["--set", "k=2"], ["unknown option of adhoc 'k'"]),
    (["--method", "bm25", "--set", "kk=2"], ["unknown option of bm25 'kk'", "did you mean 'k'"]),
    (["--method", "bm25", "--set", "k=two"], ["option k of bm25 must be an integer, not 'two'"]),
    (["--method", "bm25", "--set", "k=0"], ["options of bm25: k must be at least 1, not 0"]),
    (["--method", "bm25", "--set", "use_date=maybe"], ["must be true or false, not 'maybe'"]),
    (["--method", "bm25", "--set", "profile=other"], ["must be one of own, random, empty, shuffled-labels"]),
    (["--method", "bm25", "--set", "k"], ["--set k: write name=value"]),
    (
        ["--method", "adhoc,bm25,recency", "--set", "k=2"],
        ["several methods run", "bm25.k=2", "bm25, recency)"],
    ),
    (["--method", "adhoc,bm25", "--set", "kk=2"], ["unknown option of adhoc, bm25 'kk'", "did you mean 'k'"]),
    (["--method", "contriever+dated"], ["unknown variant", "--set OPTION=VALUE --variant dated"]),
    (["--method", "bm25", "--set", "bm52.k=2"], ["unknown method in --set 'bm52'", "did you mean 'bm25'"]),
    (["--method", "finetune", "--set", "clip=-1"], ["finetune: clip must not be negative, not -1"]),
    (["--method", "rspg-pre", "--set", "batch_size=0"], ["rspg-pre: batch_size must be at least 1, not 0"]),
    (["--method", "lora-user", "--set", "warmup=2"], ["lora-user: warmup must be a share of the steps"]),
    (["--method", "pplug", "--set", "epochs=inf"], ["epochs of pplug must be a finite number, not 'inf'"]),
    (["--method", "lora+random-profile"], ["lora: profile=random changes nothing", "set retriever=bm25"]),
    (["--method", "pplug,pplug+top4", "--variant", "x"], ["two of the runs would both be pplug+x"]),
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
    expect_refusal(command, place, list(words), told)


@pytest.mark.parametrize(
    ("entry", "told"),
    [
        ("[options]\nkk = 2", ["unknown option in [options] of preset tiny 'kk'", "did you mean 'k'"]),
        ("[options.LaMP-3]\nk = 2", ["unknown option in [options] of preset tiny 'LaMP-3'"]),
        ("[method.pplugg]\nlr = 1", ["unknown method in preset tiny 'pplugg'", "did you mean 'pplug'"]),
        ("[method.mine.LaMP-3]\nk = 1", ["unknown method in preset tiny 'mine'", "--methods-dir"]),
    ],
)
def test_a_preset_for_what_no_method_has_is_refused(
    command: Command, place: Path, entry: str, told: list[str]
) -> None:
    with open(place / "tiny.toml", "a", encoding="utf-8") as file:
        file.write(f"\n{entry}\n")
    expect_refusal(command, place, [], told)


def test_a_preset_may_name_a_method_of_ones_own_and_its_options(command: Command, place: Path) -> None:
    text = (
        "from dataclasses import dataclass\nimport lampbench.method\n"
        "@dataclass(frozen=True)\nclass Config:\n    own_option: int = 1\n"
        "class Method(lampbench.method.Method):\n    name = 'mine'\n"
    )
    (place / "methods").mkdir()
    (place / "methods" / "mine.py").write_text(text)
    with open(place / "tiny.toml", "a", encoding="utf-8") as file:
        file.write("\n[options]\nown_option = 2\n[method.mine]\nown_option = 3\n")
    expect_refusal(command, place, [], ["unknown method in preset tiny 'mine'"])
    assert command(*run_words(place, "--methods-dir", place / "methods"))[0] == 0


QUESTIONS, OUTPUTS = "dev_questions.json", "dev_outputs.json"

BAD_DATA: dict[str, tuple[Change, list[str]]] = {
    "a missing file": (remove(OUTPUTS), [OUTPUTS, "lampbench data download"]),
    "HTML": (edit(QUESTIONS, lambda text: "<!DOCTYPE html><p>no</p>"), [QUESTIONS, "HTML"]),
    "half a file": (edit(QUESTIONS, lambda text: text[:900]), [QUESTIONS, "cut off"]),
    "no list": (edit(QUESTIONS, lambda text: '{"a": 1}'), [QUESTIONS, "list"]),
    "a missing field": (edit_json(QUESTIONS, without("input", 2)), [f"{QUESTIONS}: record 3", "input"]),
    "a missing gold": (edit_json(OUTPUTS, lambda c: {**c, "golds": c["golds"][1:]}), ["1", "gold"]),
    "a repeated id": (edit_json(QUESTIONS, lambda c: [*c, c[0]]), [QUESTIONS, "again"]),
    "golds that are no ratings": (edit_json(OUTPUTS, as_opinions), ["'good', not a rating"]),
}


@pytest.mark.parametrize("what", BAD_DATA)
def test_wrong_data_are_one_line_and_write_nothing(command: Command, place: Path, what: str) -> None:
    change, told = BAD_DATA[what]
    change(place)
    expect_refusal(command, place, [], told)


def test_a_missing_setting_or_split_names_what_was_looked_for(command: Command, place: Path) -> None:
    expect_refusal(command, place, ["--setting", "time"], ["LaMP_3", "lampbench data download"])
    remove("train_questions.json")(place)
    expect_refusal(
        command, place, ["--method", "pplug"], ["train_questions.json"]
    )  # it learns; adhoc does not
    assert command(*run_words(place))[0] == 0


@pytest.mark.parametrize("results", ["tiny.toml", "tiny.toml/results"])
def test_results_that_cannot_be_written_are_told_at_once(command: Command, place: Path, results: str) -> None:
    expect_refusal(command, place, ["--results", place / results], ["--results", "cannot be written to"])


def only_line(answer: tuple[int, str, str]) -> str:
    """The one line of a refused request."""
    status, out, err = answer
    assert (status, out) == (2, "")
    assert err.startswith("error: ")
    assert err.count("\n") == 1, err
    return err


@pytest.mark.parametrize("inside", [".", "deeper/down"])
def test_a_cache_that_cannot_be_written_to_is_named_with_its_remedy(
    command: Command, place: Path, monkeypatch: pytest.MonkeyPatch, inside: str
) -> None:
    blocked = place / "tiny.toml" / inside
    told = [f"cache folder {blocked}", "cannot be written to", "set LAMPBENCH_CACHE to another folder"]
    assert command(*run_words(place, "--results", place / "earlier"))[0] == 0
    with monkeypatch.context() as patched:
        patched.setenv("LAMPBENCH_CACHE", str(blocked))
        expect_refusal(command, place, [], told)
        line = only_line(
            command("data", "prepare", "--data", place / "data", "--setting", "user", "--task", "LaMP-3")
        )
        assert all(part in line for part in told)
        line = only_line(command("run", "--method", "bm25", "--task", "LaMP-3", "--results", place / "new"))
        assert str(blocked) in line
        assert told[-1] in line
        assert not (place / "new").exists()


def test_a_cache_that_has_the_data_is_tried_before_the_models_are_loaded(
    command: Command, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert command(*run_words(place))[0] == 0
    monkeypatch.setattr("lampbench.runner.run._load", None)

    read_only = ["--results", "cache folder"]

    def refuse(folder: Path, what: str, remedy: str) -> None:
        if what in read_only:
            raise RequestError(f"{what} {folder} is read-only")

    monkeypatch.setattr("lampbench.runner.run.require_writable", refuse)
    assert command(*run_words(place))[0] == 0  # all is done: nothing has to be written
    expect_refusal(command, place, ["--seed", "1"], ["--results", "is read-only"])
    read_only.remove("--results")
    expect_refusal(command, place, ["--seed", "1"], ["cache folder", "is read-only"])


def test_a_folder_for_data_that_cannot_be_written_to_is_named(command: Command, tmp_path: Path) -> None:
    file = tmp_path / "README.md"
    file.write_text("# mine\n")
    full = tmp_path / "full"
    full.mkdir()
    (full / "notes.txt").write_text("mine")
    (tmp_path / "link").symlink_to(tmp_path / "nowhere")
    before = sorted(tmp_path.rglob("*"))
    for folder in (file, file / "below", tmp_path / "link"):
        line = only_line(command("data", "synth", folder, "--task", "LaMP-3", "--set", "train=2"))
        assert f"folder {folder} cannot be written to" in line
        assert "choose another folder" in line
    line = only_line(command("data", "synth", full))
    assert f"{full} is not empty and holds no LaMP-mini" in line
    line = only_line(command("data", "download", "--data", file, "--task", "LaMP-3"))
    assert f"data folder {file} cannot be written to" in line
    assert "--data" in line
    assert sorted(tmp_path.rglob("*")) == before
    assert file.read_text() == "# mine\n"


def expect_refusal(command: Command, place: Path, words: list[object], told: list[str]) -> None:
    """One line that tells these things, status 2, and no file more than before."""
    before = sorted(place.rglob("*"))
    line = only_line(command(*run_words(place, *words)))
    for part in told:
        assert part in line
    assert sorted(place.rglob("*")) == before


@pytest.mark.parametrize("missing", ["config.json", "model.safetensors", "tokenizer.json"])
def test_a_model_folder_that_does_not_load_is_named(
    command: Command, place: Path, tiny_llm: Path, missing: str
) -> None:
    folder = place / "damaged"
    shutil.copytree(tiny_llm, folder)
    (folder / missing).unlink()
    expect_refusal(command, place, ["--llm", folder], [str(folder)])


def test_an_encoder_without_pooling_is_named_before_anything_runs(
    command: Command, place: Path, tiny_encoder: Path
) -> None:
    folder = place / "unpooled"
    shutil.copytree(tiny_encoder, folder)
    shutil.rmtree(folder / "1_Pooling")
    words = ["--method", "adhoc,contriever", "--encoder", folder]
    expect_refusal(command, place, words, ["does not say how it pools"])


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
    untitled = place / "untitled.json"
    untitled.write_text(json.dumps({"golds": content["golds"]}))
    assert command("score", untitled, untitled, "--task", "LaMP-3")[0] == 0
    assert "with --task" in only_line(command("score", untitled, untitled))
    assert command("score", place / "absent.json", golds)[0] == 2
    assert command("score", golds, golds, "--profile", "offical")[0] == 2


def test_a_path_that_cannot_even_be_looked_at_is_named(
    command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    long = tmp_path / ("x" * 5000)
    for words in (
        ("score", long, long),
        ("data", "audit", "--data", long),
        ("list", "runs", "--results", long),
        ("run", "--method", "adhoc", "--preset", f"{long}.toml"),
    ):
        assert "File name too long" in only_line(command(*words))

    def refuse(path: Path, **_: object) -> None:
        raise PermissionError(errno.EACCES, "Permission denied", str(path))

    monkeypatch.setattr(Path, "stat", refuse)
    told = only_line(command("data", "audit", "--data", tmp_path / "secret"))
    assert told == f"error: cannot reach {tmp_path / 'secret'}: Permission denied\n"


def test_a_folder_is_scored_in_one_call(command: Command, place: Path) -> None:
    predictions = place / "predictions"
    predictions.mkdir()
    for number in (3, 7):
        source = place / "data" / "user" / f"LaMP_{number}" / "dev_outputs.json"
        shutil.copy(source, predictions / f"LaMP_{number}.json")
    status, out, _ = command("score", predictions, place / "data")
    assert status == 0
    assert [line.split()[0] for line in out.splitlines()[1:]] == ["LaMP-3", "LaMP-3", "LaMP-7", "LaMP-7"]


@pytest.mark.parametrize("name", ["llm", "data", "setting", "extract", "dtype", "results"])
def test_an_empty_value_from_python_is_not_taken_for_the_presets(place: Path, name: str) -> None:
    with pytest.raises(RequestError, match=f"--{name} is empty"):
        run("adhoc", "LaMP-3", preset=str(place / "tiny.toml"), progress="none", **{name: ""})


def test_a_link_is_not_replaced_by_the_leaderboard(command: Command, tmp_path: Path) -> None:
    add_run(tmp_path, "alpha")
    (tmp_path / "target").write_text("")
    (tmp_path / "link.md").symlink_to(tmp_path / "target")
    line = only_line(command("leaderboard", "--results", tmp_path, "-o", tmp_path / "link.md"))
    assert "link.md is a link: name the file itself" in line
    assert (tmp_path / "link.md").is_symlink()
