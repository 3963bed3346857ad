"""Reading prepared data: examples and items are what the files say."""

from __future__ import annotations

import copy
import dataclasses
import json
import pickle
from pathlib import Path

import golden_prompts
import numpy as np
import pytest
from lamp_files import item, question, write_json, write_split

from lampbench.data import open_task
from lampbench.errors import RequestError
from lampbench.tasks import TASKS


@pytest.mark.parametrize("task", TASKS)
def test_texts_come_back_as_they_are_in_the_file(task: str) -> None:
    data = open_task(golden_prompts.DATA, task)
    records = golden_prompts.questions(task)
    golds = json.loads(
        (golden_prompts.DATA / "user" / data.task.official_name / "dev_outputs.json").read_text()
    )
    split = data.split("dev")
    assert [example.id for example in split] == list(records)
    for example, record in zip(split, records.values(), strict=True):
        assert example.input == record["input"]
        # A year that is a number in the file comes back as text.
        assert example.profile == [{**i, "date": str(i["date"])} for i in record["profile"]]
    assert {e.id: e.output for e in split} == {g["id"]: g["output"] for g in golds["golds"]}
    fields = (*data.task.item_fields, "date")
    contents = {tuple(str(i[f]) for f in fields) for r in records.values() for i in r["profile"]}
    assert len(data.items) == len(contents)


def test_generated_data_open_in_both_settings_with_dates_and_users(tiny_data: Path) -> None:
    for setting in ("user", "time"):
        data = open_task(tiny_data, "LaMP-3", setting)
        assert data.splits == ("train", "dev", "test")
        example = data.split("dev")[0]
        assert example.user_id is not None
        assert example.output in data.task.labels
        assert all(len(i["date"]) == len("2020-01-01") for i in example.profile)


def test_one_row_per_distinct_content_whatever_the_ids_and_the_split(tmp_path: Path) -> None:
    same = {"text": "great", "score": "5"}
    first = {"id": "q1", "input": "review: a", "profile": [{"id": "1", **same}, {"id": "2", **same}]}
    later = {
        "id": "q2",
        "input": "review: b",
        "profile": [{"id": "9", **same}, {"id": "8", **same, "date": "2013"}],
    }
    write_split(tmp_path, "LaMP-3", [first], split="train")
    write_split(tmp_path, "LaMP-3", [later], split="dev")
    data = open_task(tmp_path, "LaMP-3")
    assert len(data.items) == 2  # the date makes another item
    assert data.split("train")[0].item_rows.tolist() == [0, 0]
    assert data.split("train")[0].item_ids == ["1", "2"]
    assert data.split("dev")[0].item_rows.tolist() == [0, 1]
    assert data.split("dev")[0].profile == later["profile"]


def test_fields_do_not_run_into_each_other(tmp_path: Path) -> None:
    profile = [{"id": "1", "text": "ab", "title": "c"}, {"id": "2", "text": "a", "title": "bc"}]
    write_split(tmp_path, "LaMP-4", [{"id": "q", "input": "article: x", "profile": profile}])
    assert len(open_task(tmp_path, "LaMP-4").items) == 2


def test_values_are_text_and_dates_are_kept_as_written(tmp_path: Path) -> None:
    profile = [
        {"id": 7, "text": "a", "score": 5, "date": 2013},
        {"id": "8", "text": "b", "score": 4.0, "date": "2009-06-01 12:00:01"},
        {"id": "9", "text": "c", "score": "3", "date": None},
        {"id": "10", "text": None, "score": "3", "date": ""},
    ]
    write_split(
        tmp_path, "LaMP-3", [{"id": 1, "input": "review: x", "profile": profile, "user_id": 42}], {"1": 4}
    )
    example = open_task(tmp_path, "LaMP-3").split("dev")[0]
    assert (example.id, example.output, example.user_id) == ("1", "4", "42")
    assert example.profile == [
        {"id": "7", "text": "a", "score": "5", "date": "2013"},
        {"id": "8", "text": "b", "score": "4.0", "date": "2009-06-01 12:00:01"},
        {"id": "9", "text": "c", "score": "3"},
        {"id": "10", "text": "", "score": "3"},
    ]


def test_other_fields_of_an_item_survive(tmp_path: Path) -> None:
    profile = [item("LaMP-4", "1", "x", citation=["a", 1, 2.5])]
    write_split(tmp_path, "LaMP-4", [{"id": "q", "input": "article: x", "profile": profile}])
    data = open_task(tmp_path, "LaMP-4")
    assert data.split("dev")[0].profile == profile
    assert data.items.fields == ("text", "title")


def test_an_empty_profile_and_unusual_text_survive(tmp_path: Path) -> None:
    text = 'naïve 東京 🎬 \u2028 \x00 " \\ \n'
    record = {"id": "q2", "input": text, "profile": [{"id": "i", "text": text, "title": text}]}
    write_split(tmp_path, "LaMP-4", [question("LaMP-4", "q1", 0), record], {"q1": text, "q2": "\ud83d half"})
    empty, full = open_task(tmp_path, "LaMP-4").split("dev")
    assert (empty.profile, empty.item_ids, empty.item_rows.shape) == ([], [], (0,))
    assert empty.output == full.input == full.profile[0]["title"] == text
    assert full.output == "\ufffd half"


def test_a_split_is_a_sequence(tmp_path: Path) -> None:
    # More questions than a batch of the table holds, so that rows of several batches are met.
    questions = [question("LaMP-3", f"q{i}") for i in range(600)]
    write_split(tmp_path, "LaMP-3", questions)
    split = open_task(tmp_path, "LaMP-3").split("dev")
    assert (len(split), split[599].id, split[-1].id, split[256].id) == (600, "q599", "q599", "q256")
    assert [e.id for e in split[10:13]] == ["q10", "q11", "q12"]
    part = split.subset([500, 3, 3, -1])
    assert [e.id for e in part] == part.ids == ["q500", "q3", "q3", "q599"]
    assert [e.profile for e in part] == [questions[i]["profile"] for i in (500, 3, 3, -1)]
    assert part.subset(np.array([1])).ids == ["q3"]
    assert [e.id for e in reversed(split[:2])] == ["q1", "q0"]
    for wrong in (600, -601):
        with pytest.raises(IndexError):
            split[wrong]
        with pytest.raises(IndexError):
            split.subset([wrong])


def test_the_fingerprint_of_a_part_tells_which_part_it_is(tmp_path: Path) -> None:
    write_split(tmp_path, "LaMP-3", [question("LaMP-3", f"q{i}") for i in range(5)])
    split = open_task(tmp_path, "LaMP-3").split("dev")
    prints = {
        split.fingerprint,
        split[:3].fingerprint,
        split[1:].fingerprint,
        split.subset([2, 1, 0]).fingerprint,
    }
    assert len(prints) == 4
    assert split[1:][1:].fingerprint == split[2:].fingerprint


def test_items_are_read_by_row_by_slice_and_by_column(tmp_path: Path) -> None:
    # More items than a batch holds.
    write_split(tmp_path, "LaMP-3", [question("LaMP-3", f"q{i}", 30) for i in range(100)])
    data = open_task(tmp_path, "LaMP-3")
    assert len(data.items) == 3000
    assert data.items[2999] == data.items[-1] == {"text": "text of item 29 of q99", "score": "5"}
    assert data.items[2047:2049] == [data.items[2047], data.items[2048]]
    assert [i["text"] for i in data.items] == data.items.column("text")
    assert data.items.column("text", [2500, 0]) == [data.items[2500]["text"], data.items[0]["text"]]
    assert data.items.column("date", [1]) == [None]
    assert data.items.rows([]) == []
    with pytest.raises(RequestError, match="unknown item field 'txt': did you mean 'text'"):
        data.items.column("txt")


def test_selecting_items_keeps_the_order_asked_for(tmp_path: Path) -> None:
    write_split(tmp_path, "LaMP-3", [question("LaMP-3", "q", 5)])
    example = open_task(tmp_path, "LaMP-3").split("dev")[0]
    assert example.select([4, 0, 4]) == [example.profile[4], example.profile[0], example.profile[4]]
    assert example.select([]) == []


def test_outputs_can_be_removed_and_nothing_else_changes(tmp_path: Path) -> None:
    write_split(tmp_path, "LaMP-3", [question("LaMP-3", "q")])
    split = open_task(tmp_path, "LaMP-3").split("dev")
    assert split.golds == {"q": "4"}
    blind = split.without_outputs()
    for example in (blind[0], blind[:1][0], blind.subset([0])[0], split[0].without_output()):
        assert example.output is None
        assert (example.id, example.profile) == (split[0].id, split[0].profile)
    assert not blind.has_outputs
    with pytest.raises(RequestError, match="the golds of the dev split are hidden"):
        _ = blind.golds


def test_an_example_can_be_changed_into_another(tmp_path: Path) -> None:
    write_split(tmp_path, "LaMP-3", [question("LaMP-3", "q", 4)])
    example = open_task(tmp_path, "LaMP-3").split("dev")[0]
    shorter = dataclasses.replace(example, item_rows=example.item_rows[2:], item_ids=example.item_ids[2:])
    assert shorter.profile == example.profile[2:]


def test_data_can_be_sent_to_another_process(tmp_path: Path) -> None:
    write_split(tmp_path, "LaMP-3", [question("LaMP-3", f"q{i}") for i in range(3)])
    split = open_task(tmp_path, "LaMP-3").split("dev").subset([2, 0])
    for copied in (pickle.loads(pickle.dumps(split)), copy.deepcopy(split)):
        assert [(e.id, e.profile) for e in copied] == [(e.id, e.profile) for e in split]


def test_an_absent_split_says_what_was_looked_for_and_how_to_get_it(tmp_path: Path) -> None:
    write_split(tmp_path, "LaMP-3", [question("LaMP-3", "q")])
    data = open_task(tmp_path, "LaMP-3")
    assert data.splits == ("dev",)
    with pytest.raises(RequestError) as caught:
        data.split("train")
    message = str(caught.value)
    assert "\n" not in message
    assert "looked for train_questions.json and train_outputs.json in" in message
    assert str(tmp_path / "user" / "LaMP_3") in message
    assert f"lampbench data download --task LaMP-3 --setting user --data {tmp_path}" in message
    with pytest.raises(RequestError, match="unknown split 'dve': did you mean 'dev'"):
        data.split("dve")


def test_a_train_split_without_golds_is_named_as_incomplete(tmp_path: Path) -> None:
    write_split(tmp_path, "LaMP-3", [question("LaMP-3", "q")])
    write_json(tmp_path / "user" / "LaMP_3" / "train_questions.json", [question("LaMP-3", "q")])
    data = open_task(tmp_path, "LaMP-3")
    assert data.splits == ("dev",)
    with pytest.raises(RequestError, match=r"train_outputs\.json is missing beside .*train_questions\.json"):
        data.split("train")


def test_a_test_split_needs_no_golds_and_may_have_them(tmp_path: Path) -> None:
    path = write_json(tmp_path / "user" / "LaMP_3" / "test_questions.json", [question("LaMP-3", "q")])
    split = open_task(tmp_path, "LaMP-3").split("test")
    assert split[0].output is None
    assert not split.has_outputs
    write_json(path.with_name("test_outputs.json"), {"task": "LaMP_3", "golds": [{"id": "q", "output": "2"}]})
    assert open_task(tmp_path, "LaMP-3").split("test").golds == {"q": "2"}
