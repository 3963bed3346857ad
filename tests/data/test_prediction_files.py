"""Prediction files are scored as the official script would; a wrong file is named in one clear line."""

from __future__ import annotations

import json
import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
from own_tasks import same, write_task
from places import GOLDEN

from lampbench.data import prediction_sources
from lampbench.data.prediction_files import (
    read_golds_file,
    read_predictions_file,
    score_files,
    score_folder,
    write_predictions_file,
)
from lampbench.errors import RequestError
from lampbench.metrics import TOKENLESS
from lampbench.tasks import TASKS

EVALUATION = GOLDEN / "evaluation"

GOLDS = {"01": "5", "02": "1", "03": "4"}


def write(path: Path, task: str, outputs: dict[str, str]) -> Path:
    """A file in the official schema, spelled out so that the module's own writer is not trusted."""
    entries = [{"id": id, "output": text} for id, text in outputs.items()]
    return put(path, json.dumps({"task": task, "golds": entries}))


def put(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return path


@pytest.fixture
def golds(tmp_path: Path) -> Path:
    return write(tmp_path / "golds" / "LaMP_3" / "dev_outputs.json", "LaMP_3", GOLDS)


def one_line(error: pytest.ExceptionInfo[RequestError]) -> str:
    assert "\n" not in str(error.value)
    return str(error.value)


# --- one file --------------------------------------------------------------------------------------


def test_a_prediction_file_is_scored_whatever_its_order(tmp_path: Path, golds: Path) -> None:
    predictions = write(tmp_path / "p.json", "LaMP_3", {"03": "4", "02": "5", "01": "5"})
    result = score_files(predictions, golds)
    assert (result.task, result.metrics["mae"]) == ("LaMP-3", pytest.approx(4 / 3))
    assert result.per_example["mae"] == {"01": 0.0, "02": 4.0, "03": 0.0}


def test_the_profile_reaches_the_rules(tmp_path: Path, golds: Path) -> None:
    predictions = write(tmp_path / "p.json", "LaMP_3", {id: f"{text} stars" for id, text in GOLDS.items()})
    assert score_files(predictions, golds).metrics["mae"] > 3
    assert score_files(predictions, golds, profile="pplug").metrics["mae"] == 0.0


@pytest.mark.parametrize("spelling", ["LaMP_3", "LaMP-3", "lamp3"])
def test_spellings_of_a_task_are_one_task(tmp_path: Path, golds: Path, spelling: str) -> None:
    assert score_files(write(tmp_path / "p.json", spelling, GOLDS), golds).metrics["mae"] == 0.0


@pytest.mark.parametrize("as_lines", [True, False])
def test_predictions_of_a_run_are_read(tmp_path: Path, golds: Path, as_lines: bool) -> None:
    entries = [{"id": id, "output": text, "ranked": ["7"]} for id, text in GOLDS.items()]
    lines = "\n".join(json.dumps(entry) for entry in entries) + "\n"
    predictions = put(tmp_path / "predictions.jsonl", lines if as_lines else json.dumps(entries))
    assert read_predictions_file(predictions).task is None
    assert score_files(predictions, golds).metrics["mae"] == 0.0


def test_one_line_is_lines_too_and_a_line_may_hold_any_character(tmp_path: Path) -> None:
    assert read_predictions_file(put(tmp_path / "a", '{"id": "1", "output": "x"}')).texts == {"1": "x"}
    odd = "a\u2028b\x85c"
    lines = "\n".join(json.dumps({"id": str(i), "output": odd}, ensure_ascii=False) for i in range(2))
    assert read_predictions_file(put(tmp_path / "b", lines)).texts == {"0": odd, "1": odd}


def test_the_task_may_come_from_the_path_or_the_caller(tmp_path: Path) -> None:
    listed = json.dumps([{"id": "01", "output": "5"}])
    run = put(tmp_path / "results" / "mini" / "LaMP-3" / "bm25" / "seed0" / "predictions.jsonl", listed)
    gold = put(tmp_path / "golds.json", listed)
    assert score_files(run, gold).task == "LaMP-3"
    assert set(score_files(gold, gold, task="LaMP-4").metrics) == {"rouge1", "rougeL"}
    with pytest.raises(RequestError, match="say which it is with --task"):
        score_files(gold, gold)


def test_the_official_schema_may_leave_the_task_to_the_path_or_the_caller(tmp_path: Path) -> None:
    for content in ({}, {"task": None}):
        text = json.dumps({**content, "golds": [{"id": "01", "output": "5"}]})
        file = put(tmp_path / "golds.json", text)
        assert read_golds_file(file).task is None
        assert score_files(file, file, task="LaMP-3").metrics["mae"] == 0.0
        with pytest.raises(RequestError, match="names its task"):
            score_files(file, file)
        assert score_files(put(tmp_path / "LaMP_3" / "dev_outputs.json", text), file).task == "LaMP-3"


def test_in_a_folder_the_caller_names_the_task_of_files_that_do_not(tmp_path: Path, golds: Path) -> None:
    text = json.dumps({"golds": [{"id": id, "output": text} for id, text in GOLDS.items()]})
    folder = put(tmp_path / "p" / "mine.json", text).parent
    assert list(score_folder(folder, golds.parent, task="LaMP-3").scores) == ["LaMP-3"]
    assert list(score_folder(folder, put(tmp_path / "g.json", text), task="LaMP-3").scores) == ["LaMP-3"]
    with pytest.raises(RequestError, match=r"mine\.json: names no task.*with --task"):
        score_folder(folder, golds)
    # Found in a folder rather than named, such a file may be anything.
    with pytest.raises(RequestError, match=r"no golds for LaMP-3 .*o\.json: names no task"):
        score_folder(folder, put(tmp_path / "g" / "o.json", text).parent, task="LaMP-3")
    write(tmp_path / "p" / "mine.json", "LaMP_3", GOLDS)
    with pytest.raises(RequestError, match=r"mine\.json: is for LaMP-3, not LaMP-4"):
        score_folder(folder, golds.parent, task="LaMP-4")


def test_numbers_and_a_byte_order_mark_are_accepted(tmp_path: Path, golds: Path) -> None:
    text = '\ufeff{"task": "LaMP_3", "golds": [{"id": "01", "output": 5}, {"id": "02", "output": 1}, '
    predictions = put(tmp_path / "p.json", text + '{"id": "03", "output": 4}]}')
    assert score_files(predictions, golds).metrics["mae"] == 0.0


def test_what_is_written_is_read_back_and_is_the_official_schema(tmp_path: Path) -> None:
    outputs = {"011": "a “title”\u2028 日本語 \U0001f600", "012": ""}
    path = tmp_path / "new" / "LaMP_5.json"
    write_predictions_file(path, "LaMP-5", outputs)
    content = json.loads(path.read_bytes().decode("ascii"))
    assert content == {"task": "LaMP_5", "golds": [{"id": i, "output": t} for i, t in outputs.items()]}
    assert read_predictions_file(path, task="LaMP-5").texts == outputs
    assert [p.name for p in path.parent.iterdir()] == ["LaMP_5.json"]


@pytest.mark.parametrize(
    ("outputs", "message"),
    [
        ({"01": "5"}, r"2 of 3 ids are missing \(02, 03\)"),
        (GOLDS | {"x": "1"}, r"1 of 4 ids are not in .*dev_outputs\.json \(x\)"),
        (
            {f"1{id}": text for id, text in GOLDS.items()},
            r"3 of 3 ids are missing .*another split or setting",
        ),
        (
            {f"{i}": "1" for i in range(9)},
            r"3 of 3 ids are missing \(01, 02, 03\) and 9 of 9 .* \(0, 1, 2, …\)",
        ),
    ],
)
def test_ids_must_match(tmp_path: Path, golds: Path, outputs: dict[str, str], message: str) -> None:
    predictions = write(tmp_path / "p.json", "LaMP_3", outputs)
    with pytest.raises(RequestError, match=message) as error:
        score_files(predictions, golds)
    assert "p.json" in one_line(error)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "is empty"),
        ("\n<!DOCTYPE html><html></html>", "is HTML, not JSON: a web page"),
        ("ratings: 5", "is not JSON: it begins with 'ratings: 5'"),
        ("\x1f\x00", "is not JSON"),
        ('{"task": "LaMP_3", "golds": [', "is cut off after entry 0: .*line 1"),
        ('{"id": "01", "output": "5"}\n{"id": "02", "out', "is cut off after entry 1: .*line 2"),
        (
            '{"id": "01", "output": "5"}\n{"id": "02", x',
            "cannot be read as JSON after entry 1: .*line 2, column 14",
        ),
        ('{"golds": []}', "3 of 3 ids are missing"),
        ("{}", "has no list 'golds'"),
        ('{"task": "LaMP_3", "preds": []}', r"has no list 'golds' \(it has task, preds\)"),
        ('{"task": "LaMP_3", "golds": {}}', "has no list 'golds'"),
        ('{"task": "LaMP_3", "golds": [{"id": "01"}]}', 'entry 1 is not an object with "id" and "output"'),
        ('[{"id": "01", "output": "1"}, 7]', "entry 2 is not an object"),
        ('[{"id": "01", "output": null}]', "output of '01' is not text"),
        ('[{"id": null, "output": "1"}]', "entry 1"),
        ("7", "not an object"),
        ('[{"id":"1","output":"1"},{"id":"1","output":"1"},{"id":1,"output":"2"}]', r"2 ids occur more than"),
        ('{"task": "LaMP_2", "golds": []}', "is for LaMP-2, .* is for LaMP-3"),
    ],
)
def test_an_unusable_file_is_named_in_one_line(
    tmp_path: Path, golds: Path, content: str, message: str
) -> None:
    predictions = put(tmp_path / "p.json", content)
    with pytest.raises(RequestError, match=message) as error:
        score_files(predictions, golds)
    assert "p.json" in one_line(error)


def test_a_file_that_is_no_text_or_too_large_or_absent_is_refused(
    tmp_path: Path, golds: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "p.json").write_bytes(b'{"task": "\xff"}')
    with pytest.raises(RequestError, match="entry 0: what follows is not UTF-8"):
        read_predictions_file(tmp_path / "p.json")
    with pytest.raises(RequestError, match="no such file"):
        read_golds_file(tmp_path / "absent.json")
    with pytest.raises(RequestError, match="is a folder where a file is needed"):
        read_golds_file(tmp_path)
    with pytest.raises(RequestError, match="is for LaMP-3, not LaMP-4"):
        read_golds_file(golds, task="LaMP-4")
    monkeypatch.setattr(prediction_sources, "LARGEST_FILE", 10)
    with pytest.raises(RequestError, match="which no file of outputs has"):
        read_golds_file(golds)


def test_the_email_task_is_refused_with_its_reason(tmp_path: Path) -> None:
    emails = write(tmp_path / "e.json", "LaMP_6", {"1": "x"})
    with pytest.raises(RequestError, match="LaMP-6 needs the licensed Avocado corpus"):
        score_files(emails, emails)


# --- folders and zips ------------------------------------------------------------------------------


@pytest.fixture
def submission(tmp_path: Path) -> tuple[Path, Path]:
    """The golden files as two folders: predictions and golds of all seven tasks."""
    for kind in ("preds", "golds"):
        (tmp_path / kind).mkdir()
        for file in EVALUATION.glob(f"LaMP_?_{kind}.json"):
            shutil.copyfile(file, tmp_path / kind / file.name)
    return tmp_path / "preds", tmp_path / "golds"


def zipped(folder: Path) -> Path:
    path = folder.with_suffix(".zip")
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for file in sorted(folder.rglob("*.json")):
            archive.write(file, f"inner/{file.relative_to(folder)}")
        archive.writestr("__MACOSX/inner/._LaMP_1_preds.json", b"\x00\x05")
        archive.writestr("inner/README.txt", "about")
    return path


@pytest.mark.parametrize("as_zip", [False, True])
def test_a_submission_is_scored_in_one_call(submission: tuple[Path, Path], as_zip: bool) -> None:
    predictions, golds = map(zipped, submission) if as_zip else submission
    result = score_folder(predictions, golds)
    assert list(result.scores) == list(TASKS)
    assert result.absent == ()
    assert list(result.skipped) == ["LaMP-6"]
    assert "Avocado" in result.skipped["LaMP-6"]
    official = json.loads((EVALUATION / "official_scores.json").read_text())
    assert result.scores["LaMP-2"].metrics == pytest.approx(official["LaMP_2"], abs=1e-9)
    assert result.scores["LaMP-3"].metrics["mae"] == pytest.approx(official["LaMP_3"]["MAE"], abs=1e-9)


def test_a_submission_without_emails_or_with_few_tasks_is_scored_too(submission: tuple[Path, Path]) -> None:
    predictions, golds = submission
    for number in (4, 5, 6, 7):
        (predictions / f"LaMP_{number}_preds.json").unlink()
    result = score_folder(predictions, golds)
    assert list(result.scores) == ["LaMP-1", "LaMP-2", "LaMP-3"]
    assert result.absent == ("LaMP-4", "LaMP-5", "LaMP-7")
    assert result.skipped == {}


def test_the_golds_of_the_right_split_are_found_in_a_data_folder(tmp_path: Path, golds: Path) -> None:
    write(golds.parent / "train_outputs.json", "LaMP_3", {"91": "5", "92": "5"})
    put(golds.parent / "dev_questions.json", "not even read")
    put(golds.parent / "test_outputs.json", "<html>")
    put(golds.parent / "notes.txt", "no JSON")
    predictions = write(tmp_path / "p" / "any name.json", "LaMP_3", GOLDS)
    assert score_folder(predictions.parent, tmp_path / "golds").scores["LaMP-3"].metrics["mae"] == 0.0
    # An incomplete file is held against the split that it is nearest to.
    write(predictions, "LaMP_3", {"01": "5", "03": "4"})
    with pytest.raises(RequestError, match=r"1 of 3 ids are missing \(02\)"):
        score_folder(predictions.parent, tmp_path / "golds")


def test_a_results_folder_is_scored(tmp_path: Path, golds: Path) -> None:
    run = tmp_path / "results" / "LaMP-3" / "bm25" / "seed0"
    lines = "\n".join(json.dumps({"id": id, "output": text}) for id, text in GOLDS.items())
    put(run / "predictions.jsonl", lines)
    put(run / "record.json", '{"status": "complete"}')
    assert score_folder(tmp_path / "results", golds).scores["LaMP-3"].metrics["mae"] == 0.0
    # A second run of the same task makes the request ambiguous.
    put(run.parent / "seed1" / "predictions.jsonl", lines)
    with pytest.raises(RequestError, match=r"two prediction files for LaMP-3.*seed0.*seed1"):
        score_folder(tmp_path / "results", golds)


def test_single_files_go_through_the_same_door(tmp_path: Path, golds: Path) -> None:
    result = score_folder(write(tmp_path / "p.json", "LaMP_3", GOLDS), golds)
    assert list(result.scores) == ["LaMP-3"]
    assert result.absent == ("LaMP-1", "LaMP-2", "LaMP-4", "LaMP-5", "LaMP-7")


def test_predictions_are_never_taken_for_golds(tmp_path: Path) -> None:
    predictions = write(tmp_path / "p" / "preds.json", "LaMP_3", GOLDS)
    for folder in (predictions.parent, tmp_path):
        with pytest.raises(RequestError, match="no golds for LaMP-3"):
            score_folder(predictions.parent, folder)
    archive = zipped(predictions.parent)
    with pytest.raises(RequestError, match="no golds for LaMP-3"):
        score_folder(archive, archive)
    # Two files with these ids and different texts: one of them must be somebody's predictions.
    write(tmp_path / "g" / "one.json", "LaMP_3", GOLDS)
    write(tmp_path / "g" / "two.json", "LaMP_3", GOLDS | {"01": "1"})
    with pytest.raises(RequestError, match="different golds for LaMP-3"):
        score_folder(predictions.parent, tmp_path / "g")


def test_what_cannot_be_scored_is_told_in_one_line(tmp_path: Path, golds: Path) -> None:
    folder = tmp_path / "p"
    folder.mkdir()

    def message(gold_folder: Path = golds.parent) -> str:
        with pytest.raises(RequestError) as error:
            score_folder(folder, gold_folder)
        return one_line(error)

    assert "no prediction files" in message()
    file = write(folder / "a.json", "LaMP_6", GOLDS)
    assert "nothing to score" in message()
    write(file, "LaMP_8", GOLDS)
    assert "a.json: unknown task 'LaMP-8'" in message()
    put(file, '[{"id": "1", "output": "1"}]')
    assert "names no task" in message()
    put(file, '{"settings": 1}')
    assert "has no list 'golds'" in message()
    write(file, "LaMP_3", GOLDS)
    broken = put(tmp_path / "g" / "dev_outputs.json", "<html>").parent
    assert "no golds for LaMP-3" in message(broken)
    assert "dev_outputs.json: is HTML" in message(broken)


def test_a_damaged_zip_is_told_in_one_line(tmp_path: Path, golds: Path) -> None:
    archive = zipped(write(tmp_path / "p" / "a.json", "LaMP_3", GOLDS).parent)
    content = bytearray(archive.read_bytes())
    content[45:60] = b"\xff" * 15
    archive.write_bytes(content)
    with pytest.raises(RequestError, match="cannot be read"):
        score_folder(archive, golds)


def test_texts_that_rouge_cannot_see_are_told(
    command: Callable[..., tuple[int, str, str]], tmp_path: Path
) -> None:
    texts = {
        "q1": "नया पुल आज शाम खुला",
        "q2": "これは見出しのテストです",
        "q3": "A new bridge",
        "q4": "Новый мост",
    }
    golds = write(tmp_path / "golds.json", "LaMP_4", texts)
    predictions = write(tmp_path / "preds.json", "LaMP_4", texts | {"q4": "A new bridge"})
    status, out, _ = command("score", predictions, golds)
    assert status == 0
    header, rouge1, _, told = out.splitlines()
    assert header.split()[-3:] == ["tokenless", "tokenless", "golds"]
    assert rouge1.split() == ["LaMP-4", "ROUGE-1", "0.2500", "4", "0", "0", "2", "3"]
    assert told == TOKENLESS
    plain = write(tmp_path / "plain.json", "LaMP_4", {"q1": "A new bridge"})
    assert "tokenless" not in command("score", plain, plain)[1]


# --- tasks of somebody's own -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("files", "called"),
    [
        ('OfficialFiles(folder="shop-reviews")', "shop-reviews"),
        ('OfficialFiles(folder="shop" + "-reviews")', "shop-reviews"),  # which reading the file does not tell
        ('OfficialFiles(is_meant=lambda name, setting: name == "R2" and setting == "time")', "R2"),
    ],
)
def test_what_a_task_calls_itself_in_its_files_names_it(tmp_path: Path, files: str, called: str) -> None:
    path = write_task(tmp_path / "tasks", "Reviews", same())
    text = path.read_text().replace("import Metric, Task", "import Metric, OfficialFiles, Task")
    path.write_text(text.replace("kind=", f"files={files},\n    kind="))
    golds = write(tmp_path / "g" / "dev_outputs.json", called, GOLDS)
    mine = tmp_path / "p" / "mine.json"
    write_predictions_file(mine, "Reviews", GOLDS)
    if "is_meant" in files:
        write(mine, called, GOLDS)
    assert json.loads(mine.read_text())["task"] == called
    for task in (None, "Reviews"):
        assert read_predictions_file(mine, task).task == "Reviews"
        assert score_files(mine, golds, task=task).metrics == {"same": 1.0}
        assert score_folder(mine.parent, golds.parent, task=task).scores.keys() == {"Reviews"}
        assert score_folder(mine.parent, golds, task=task).scores.keys() == {"Reviews"}
    with pytest.raises(RequestError, match="is for Reviews, not LaMP-4"):
        read_predictions_file(mine, "LaMP-4")
    write(mine, "nobody", GOLDS)
    with pytest.raises(RequestError, match="unknown task 'nobody'"):
        score_folder(mine.parent, golds.parent)


def test_a_number_of_the_time_setting_is_that_of_the_task_that_is_wanted(tmp_path: Path) -> None:
    predictions, golds = (write(tmp_path / name / "a.json", "LaMP_10", GOLDS) for name in ("p", "g"))
    assert score_files(predictions, golds, task="LaMP-3").task == "LaMP-3"
    assert score_folder(predictions.parent, golds.parent, task="LaMP-3").scores.keys() == {"LaMP-3"}
    with pytest.raises(RequestError, match="is for LaMP-3, not LaMP-4"):
        score_files(predictions, golds, task="LaMP-4")
