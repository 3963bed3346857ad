"""Records and prediction logs: what is written can be read, and nothing wrong is written."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from damaging import WAYS, damage

from lampbench.errors import RequestError, RunError
from lampbench.records.cost import Cost
from lampbench.records.environment import Environment
from lampbench.records.prediction import Prediction
from lampbench.records.predictions import PredictionLog, line_of, read_predictions
from lampbench.records.record import (
    SCHEMA_VERSION,
    DataRecord,
    MethodRecord,
    MetricRecord,
    ModelRecord,
    Record,
    TrainingRecord,
    read_record,
    request_key,
    run_path,
    shareable,
    write_record,
)
from lampbench.records.results_folder import load_records


def make(method: str = "alpha", task: str = "LaMP-2", seed: int = 0, suite: str = "small") -> Record:
    return Record(
        suite=suite,
        task=task,
        seed=seed,
        method=MethodRecord(method, config={"k": 4, "fields": ["tag"], "rate": 0.5}, trainable_parameters=7),
        data=DataRecord("LaMP", "time", "dev", fingerprint="f1", n=3, counts={"train": 9}),
        llm=ModelRecord("some/llm", "abc", "float32", 10),
        generation={"max_input_tokens": 256, "max_new_tokens": 8, "beams": 4},
        status="complete",
        encoder=ModelRecord("some/encoder"),
        metrics={"accuracy": MetricRecord(0.5, 0.25, 0.75, 3)},
        counts={"n": 3, "unparsed": 1},
        cost=Cost(examples=3, prompt_tokens=90, seconds={"fit": 1.5}),
        training=TrainingRecord({"steps": 2}, 2, 1.0, [(1, 0.75), (2, 0.5)], [(2, 0.25)], 2),
        environment=Environment(packages={"numpy": "2"}),
    )


# Records


def test_a_record_read_back_is_the_record_written(tmp_path: Path) -> None:
    record = make()
    path = write_record(record, tmp_path)
    assert path == tmp_path / "small" / "LaMP-2" / "alpha" / "seed0" / "record.json"
    again = read_record(path)
    assert again == record
    assert again.training is not None
    assert again.training.losses == [(1, 0.75), (2, 0.5)]
    assert again.folder == path.parent
    assert again.predictions == path.parent / "predictions.jsonl"


def test_writing_the_same_record_twice_gives_the_same_bytes_and_leaves_nothing_else(tmp_path: Path) -> None:
    path = write_record(make(), tmp_path)
    before = path.read_bytes()
    assert write_record(read_record(path), tmp_path) == path
    assert path.read_bytes() == before
    assert [p.name for p in path.parent.iterdir()] == ["record.json"]


def test_a_variant_has_a_folder_of_its_own(tmp_path: Path) -> None:
    usual = make()
    other = replace(usual, method=replace(usual.method, variant="k=8"))
    assert write_record(usual, tmp_path).parent != write_record(other, tmp_path).parent
    assert [r.method.label for r in load_records(tmp_path)] == ["alpha", "alpha+k=8"]


@pytest.mark.parametrize("value", [math.nan, math.inf, np.float32("nan")])
def test_a_number_that_is_not_finite_is_an_error_that_names_its_field(tmp_path: Path, value: float) -> None:
    record = replace(make(), metrics={"accuracy": MetricRecord(value, None, None, 3)})
    with pytest.raises(RunError, match=r"metrics\.accuracy\.value is (nan|inf)"):
        write_record(record, tmp_path)
    assert list(tmp_path.rglob("record.json")) == []


def test_a_refused_record_leaves_the_older_one_whole(tmp_path: Path) -> None:
    path = write_record(make(), tmp_path)
    before = path.read_bytes()
    with pytest.raises(RunError):
        write_record(replace(make(), cost=Cost(seconds={"fit": math.inf})), tmp_path)
    assert path.read_bytes() == before


def test_numpy_numbers_are_written_as_numbers(tmp_path: Path) -> None:
    metrics = {"accuracy": MetricRecord(np.float32(0.5), np.float64(0.25), None, np.int64(3))}  # type: ignore[arg-type]
    path = write_record(replace(make(), metrics=metrics), tmp_path)
    assert read_record(path).metrics["accuracy"] == MetricRecord(0.5, 0.25, None, 3)


def test_a_newer_schema_is_refused_with_its_version(tmp_path: Path) -> None:
    path = write_record(make(), tmp_path)
    content = json.loads(path.read_text())
    content["schema"] = SCHEMA_VERSION + 1
    path.write_text(json.dumps(content))
    with pytest.raises(RequestError, match=f"schema version {SCHEMA_VERSION + 1}.*newer lampbench"):
        read_record(path)


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        (lambda c: c.update(status="done"), "status is 'done', not one of started"),
        (lambda c: c.update(seed="0"), "seed is text, not an integer"),
        (lambda c: c.update(seed=True), "seed is true or false, not an integer"),
        (lambda c: c["metrics"]["accuracy"].update(value="high"), "metrics.accuracy.value is text"),
        (lambda c: c["data"].pop("fingerprint"), "no field 'data.fingerprint'"),
        (lambda c: c["llm"].update(colour="red"), "unknown field 'llm.colour'"),
        (lambda c: c["training"].update(losses=[[1, 2, 3]]), r"training.losses\[0\] has 3 values, not 2"),
    ],
)
def test_a_wrong_field_is_named(tmp_path: Path, change: object, complaint: str) -> None:
    path = write_record(make(), tmp_path)
    content = json.loads(path.read_text())
    change(content)  # type: ignore[operator]
    path.write_text(json.dumps(content))
    with pytest.raises(RequestError, match=complaint) as caught:
        read_record(path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", "\x00\x00"])
def test_an_unreadable_record_is_named_in_one_line(tmp_path: Path, text: str) -> None:
    path = write_record(make(), tmp_path)
    path.write_text(text)
    with pytest.raises(RequestError) as caught:
        load_records(tmp_path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_records_come_in_one_order_whatever_the_order_of_writing(tmp_path: Path) -> None:
    records = [make(m, t, s) for m in ("beta", "alpha") for t in ("LaMP-7", "LaMP-1") for s in (10, 2)]
    for i, record in enumerate(records):
        write_record(record, tmp_path / "a")
        write_record(records[-1 - i], tmp_path / "b")
    names = [r.name for r in load_records(tmp_path / "a")]
    assert names == [r.name for r in load_records(tmp_path / "b")]
    assert names[:3] == [
        "small/LaMP-1/alpha/seed2",
        "small/LaMP-1/alpha/seed10",
        "small/LaMP-1/beta/seed2",
    ]


def test_one_suite_can_be_read_alone_and_a_missing_one_is_an_error(tmp_path: Path) -> None:
    write_record(make(suite="one"), tmp_path)
    write_record(make(suite="two"), tmp_path)
    assert [r.suite for r in load_records(tmp_path, "two")] == ["two"]
    with pytest.raises(RequestError, match="suite 'three'"):
        load_records(tmp_path, "three")
    with pytest.raises(RequestError, match="no such folder"):
        load_records(tmp_path / "nowhere")


def test_a_folder_without_records_is_an_error_with_the_remedy(tmp_path: Path) -> None:
    (tmp_path / "empty" / "one").mkdir(parents=True)
    for suite, told in ((None, "no runs in .*empty: say --results"), ("one", "no runs in .*empty/one: say")):
        with pytest.raises(RequestError, match=told):
            load_records(tmp_path / "empty", suite)
    write_record(make(suite="one"), tmp_path / "results")
    with pytest.raises(RequestError, match=f"the folder of one suite; say --results {tmp_path / 'results'}$"):
        load_records(tmp_path / "results" / "one")


def test_renaming_the_folder_of_a_suite_renames_the_suite(tmp_path: Path) -> None:
    write_record(make(), tmp_path)
    (tmp_path / "small").rename(tmp_path / "kept")
    assert [r.suite for r in load_records(tmp_path)] == ["kept"]


def test_a_record_in_the_place_of_another_is_an_error(tmp_path: Path) -> None:
    folder = write_record(make(), tmp_path).parent
    folder.rename(folder.with_name("seed1"))
    with pytest.raises(RequestError, match=r"LaMP-2/alpha/seed0.*wrong place"):
        load_records(tmp_path)


@pytest.mark.parametrize("suite", ["", "../up", "a/b", ".hidden", "a\nb"])
def test_a_name_that_is_no_folder_is_refused(suite: str) -> None:
    with pytest.raises(RequestError, match="suite"):
        run_path("results", suite, "LaMP-1", "alpha")


def test_equal_requests_have_equal_keys_and_others_do_not() -> None:
    key = request_key({"a": 1, "b": {"c": (1, 2)}})
    assert key == request_key({"b": {"c": [1, 2]}, "a": 1})
    assert key != request_key({"a": 1, "b": {"c": [2, 1]}})


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("lampbench run --data /home/me/LaMP --task all", "lampbench run --data LaMP --task all"),
        ("--data=/home/me/LaMP", "--data=LaMP"),
        ("cannot open '/srv/x/y.json': missing", "cannot open 'y.json': missing"),
        ("--llm google/flan-t5-base", "--llm google/flan-t5-base"),
        ("see https://example.org/a/b", "see https://example.org/a/b"),
        ("--llm ~/models/mine", "--llm mine"),
        (r"--data C:\Users\me\LaMP", "--data LaMP"),
    ],
)
def test_a_shareable_text_names_no_folder_of_the_machine(text: str, expected: str) -> None:
    assert shareable(text) == expected


# Prediction logs


def lines(*ids: str) -> list[dict[str, object]]:
    return [line_of(Prediction(id, f"output of {id}", ("i1", "i2"), 5, 1, 2), user=f"u{id}") for id in ids]


def test_a_log_gives_back_what_was_appended(tmp_path: Path) -> None:
    path = tmp_path / "new" / "predictions.jsonl"
    with PredictionLog(path) as log:
        assert log.read() == {}
        log.append(lines("b", "a"))
        log.append(lines("c"))
        assert list(log.read()) == ["b", "a", "c"]  # flushed: another reader sees every batch
    assert read_predictions(path)["a"] == {
        "id": "a",
        "output": "output of a",
        "user": "ua",
        "ranked": ["i1", "i2"],
        "tokens": {"prompt": 5, "soft": 1, "generated": 2},
    }


def test_flags_are_in_the_line_only_when_they_say_something() -> None:
    plain, cut = line_of(Prediction("a", "")), line_of(Prediction("a", "", truncated=True, extra={"by": "x"}))
    assert "truncated" not in plain
    assert "user" not in plain
    assert cut["truncated"] is True
    assert cut["extra"] == {"by": "x"}


@pytest.mark.parametrize("output", ["ü 日本 \u2028\x85 end", 'quote " and \\ and \n', "\ud800 alone", ""])
def test_any_output_survives_the_file(tmp_path: Path, output: str) -> None:
    with PredictionLog(tmp_path / "p.jsonl") as log:
        log.append([line_of(Prediction("a", output)), line_of(Prediction("b", "next"))])
        log.finalize(["a", "b"])
        assert [line["output"] for line in log.read().values()] == [output, "next"]


def test_every_torn_end_costs_the_last_line_and_no_other(tmp_path: Path) -> None:
    path = tmp_path / "p.jsonl"
    with PredictionLog(path) as log:
        log.append(lines("a", "b"))
        whole = path.stat().st_size
        log.append(lines("ü"))
    content = path.read_bytes()
    for cut in range(whole, len(content) + 1):
        path.write_bytes(content[:cut])
        expected = ["a", "b"] if cut < len(content) - 1 else ["a", "b", "ü"]
        with PredictionLog(path) as log:
            assert list(log.read()) == expected
            log.append(lines("d"))
            assert list(log.read()) == [*expected, "d"]
        assert path.read_bytes().count(b"\n") == len(expected) + 1


def test_a_damaged_line_in_the_middle_is_an_error_that_names_it(tmp_path: Path) -> None:
    path = tmp_path / "p.jsonl"
    with PredictionLog(path) as log:
        log.append(lines("a", "b", "c"))
    rows = path.read_bytes().split(b"\n")
    path.write_bytes(b"\n".join([rows[0], rows[1][:10], *rows[2:]]))
    with pytest.raises(RunError, match=r"line 2: not a prediction"):
        read_predictions(path)


@pytest.mark.parametrize("how", WAYS)
@pytest.mark.parametrize("name", ["p.jsonl", ".p.jsonl.digests"])
def test_of_a_damaged_log_no_line_is_read_that_was_not_written(tmp_path: Path, name: str, how: str) -> None:
    said: list[str] = []
    with PredictionLog(tmp_path / "p.jsonl") as log:
        log.append(lines(*"abcdefgh"))
        written = log.read()
    damage(tmp_path / name, how)
    with PredictionLog(tmp_path / "p.jsonl", said.append) as log:
        left = log.read()
        assert 0 < len(left) < 8
        assert left.items() < written.items()
        assert bool(said) == (how == "flipped")  # what a kill or a power cut leaves is no news
        assert all(str(tmp_path / "p.jsonl") in text and "of its answers" in text for text in said)
        log.append(lines(*(written.keys() - left.keys())))
        assert log.read() == written
        log.finalize(list("abcdefgh"))
        assert list(log.read().values()) == list(written.values())
    log.settle()
    assert [path.name for path in tmp_path.iterdir()] == ["p.jsonl"]


def test_a_kill_between_the_scores_and_the_record_costs_no_answer(tmp_path: Path) -> None:
    with PredictionLog(tmp_path / "p.jsonl") as log:
        log.append(lines("b", "a"))
        log.finalize(["a", "b"], {"accuracy": {"a": 1.0, "b": 0.0}})
    assert list(PredictionLog(tmp_path / "p.jsonl").read()) == ["a", "b"]


def test_finalize_puts_the_lines_in_the_order_of_the_questions_without_duplicates(tmp_path: Path) -> None:
    path = tmp_path / "p.jsonl"
    with PredictionLog(path) as log:
        log.append(lines("c", "a", "c", "b"))
        scores = {"accuracy": {"a": 1.0, "b": 0.0, "c": 1.0}}
        first = log.finalize(["a", "b", "c"], scores, labels={"a": (0, 0), "b": (1, -1), "c": (1, 1)})
        again = log.finalize(["a", "b", "c"])
    rows = [json.loads(row) for row in path.read_text(encoding="utf-8").splitlines()]
    assert [row["id"] for row in rows] == ["a", "b", "c"]
    assert [row["scores"] for row in rows] == [{"accuracy": 1.0}, {"accuracy": 0.0}, {"accuracy": 1.0}]
    assert rows[1]["labels"] == [1, -1]
    assert first == again  # the hash of the same content


def test_scoring_again_replaces_the_scores(tmp_path: Path) -> None:
    with PredictionLog(tmp_path / "p.jsonl") as log:
        log.append(lines("a"))
        log.finalize(["a"], {"accuracy": {"a": 0.0}}, labels={"a": (0, 1)})
        log.finalize(["a"], {"mae": {"a": 2.0}})
        line = log.read()["a"]
    assert line["scores"] == {"mae": 2.0}
    assert "labels" not in line


@pytest.mark.parametrize("order", [["a"], ["a", "b", "c"]])
def test_predictions_and_questions_must_be_the_same(tmp_path: Path, order: list[str]) -> None:
    with PredictionLog(tmp_path / "p.jsonl") as log:
        log.append(lines("a", "b"))
        with pytest.raises(RunError, match=r"--fresh"):
            log.finalize(order)
        assert list(log.read()) == ["a", "b"]


def test_a_score_that_is_not_finite_is_refused(tmp_path: Path) -> None:
    with PredictionLog(tmp_path / "p.jsonl") as log:
        log.append(lines("a"))
        with pytest.raises(RunError, match=r"scores\.mae is nan"):
            log.finalize(["a"], {"mae": {"a": math.nan}})
