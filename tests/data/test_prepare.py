"""Preparing data: every layout is found, every defect is one clear line, and the store is never half made."""

from __future__ import annotations

import errno
import json
import multiprocessing
import os
import shutil
import stat
import subprocess
import sys
import textwrap
import threading
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from lamp_files import item, question, write_json, write_split

from lampbench.data import open_task
from lampbench.data.arrow_tables import DigestRows
from lampbench.data.find_files import find_files
from lampbench.data.prepare import SOURCES_FILE, prepare_task
from lampbench.errors import RequestError, RunError
from lampbench.files.folders import cache_dir
from lampbench.files.locks import locked
from lampbench.tasks import get_task

GOLDS = {"task": "LaMP_3", "golds": [{"id": "q", "output": "4"}]}


def refusal(folder: Path, task: str = "LaMP-3", setting: str = "user") -> str:
    """The error that preparing ends with; nothing may have been written."""
    with pytest.raises(RequestError) as caught:
        prepare_task(folder, task, setting)
    message = str(caught.value)
    assert "\n" not in message
    assert [p for p in cache_dir().rglob("*") if p.is_file() and p.suffix != ".lock"] == []
    return message


# Layouts


@pytest.mark.parametrize(
    ("setting", "task", "place", "data"),
    [
        ("user", "LaMP-3", "user/LaMP_3/{split}_", "."),
        ("time", "LaMP-3", "time/LaMP_3/{split}_", "."),
        ("user", "LaMP-3", "LaMP_3/{split}/{split}_", "."),
        ("user", "LaMP-3", "LaMP_3/{split}_", "."),
        ("time", "LaMP-3", "time/LaMP_3/{split}/{split}_", "."),
        ("time", "LaMP-3", "LaMP_time_3/{split}_", "."),
        ("user", "LaMP-2", "LaMP_2/new/{split}/{split}_", "."),
        ("time", "LaMP-2", "time/LaMP_2/new/{split}/{split}_", "."),
        ("user", "LaMP-2", "LaMP_2/{split}_", "."),
        ("user", "LaMP-3", "user/LaMP_3/{split}_", "user"),
        ("time", "LaMP-3", "time/LaMP_3/{split}_", "time"),
        ("user", "LaMP-3", "user/LaMP_3/{split}_", "user/LaMP_3"),
        ("time", "LaMP-3", "LaMP_time_3/{split}_", "LaMP_time_3"),
    ],
)
def test_the_layouts_that_people_use_are_found(
    tmp_path: Path, setting: str, task: str, place: str, data: str
) -> None:
    for split in ("train", "dev"):
        stem = str(tmp_path / place.format(split=split))
        write_json(Path(f"{stem}questions.json"), [question(task, f"{split}-q")])
        golds = [{"id": f"{split}-q", "output": "4"}]
        write_json(Path(f"{stem}outputs.json"), {"task": get_task(task).official_name, "golds": golds})
    opened = open_task(tmp_path / data, task, setting)
    assert opened.splits == ("train", "dev")
    assert opened.split("dev")[0].id == "dev-q"


@pytest.mark.parametrize(("place", "data"), [("LaMP_3", "."), ("LaMP_3", "LaMP_3"), ("user/LaMP_3", "user")])
def test_user_data_are_never_taken_for_time_data(tmp_path: Path, place: str, data: str) -> None:
    write_json(tmp_path / place / "test_questions.json", [question("LaMP-3", "q")])
    message = refusal(tmp_path / data, setting="time")
    assert "no LaMP-3 (time setting)" in message
    assert "the folder holds it in the user setting: --setting user" in message


def test_time_data_are_never_taken_for_user_data(tmp_path: Path) -> None:
    write_json(tmp_path / "time" / "LaMP_3" / "test_questions.json", [question("LaMP-3", "q")])
    for data in (tmp_path, tmp_path / "time", tmp_path / "time" / "LaMP_3"):
        assert "no LaMP-3 (user setting)" in refusal(data)


def test_splits_never_come_from_two_folders(tmp_path: Path) -> None:
    write_json(tmp_path / "user" / "LaMP_3" / "test_questions.json", [question("LaMP-3", "mine")])
    write_json(tmp_path / "LaMP_3" / "test_questions.json", [question("LaMP-3", "other")])
    write_json(tmp_path / "LaMP_3" / "dev_questions.json", [question("LaMP-3", "other")])
    files = find_files(tmp_path, get_task("LaMP-3"), "user")
    assert files.present == ("test",)
    assert files.splits["test"].questions.parent == tmp_path / "user" / "LaMP_3"


def test_an_empty_folder_says_where_it_looked_and_how_to_fetch(tmp_path: Path) -> None:
    message = refusal(tmp_path)
    assert f"no LaMP-3 (user setting) in {tmp_path}" in message
    assert f"{tmp_path / 'user' / 'LaMP_3'}, {tmp_path / 'LaMP_3'}" in message
    assert f"lampbench data download --task LaMP-3 --setting user --data {tmp_path}" in message


def test_a_folder_that_is_none(tmp_path: Path) -> None:
    assert "nowhere does not exist" in refusal(tmp_path / "nowhere")
    assert "file is a file, not a folder: name a folder with --data" in refusal(
        write_json(tmp_path / "file", [])
    )
    assert "unknown setting 'usr': did you mean 'user'" in refusal(tmp_path, setting="usr")
    assert "unknown task 'LaMP-9'" in refusal(tmp_path, task="LaMP-9")


def test_a_file_alone_is_named_with_what_is_missing(tmp_path: Path) -> None:
    write_json(tmp_path / "user" / "LaMP_3" / "dev_outputs.json", GOLDS)
    assert "dev_questions.json is missing" in refusal(tmp_path)


# Broken files


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"<!DOCTYPE html><html>not found</html>", "is HTML, not JSON: a web page was saved"),
        (b"  \n<html></html>", "is HTML"),
        (b"", "is empty"),
        (b"   \n", "is empty"),
        (b"{}", "is an object, not a list of questions"),
        (b"version https://git-lfs.github.com/spec/v1\n", "is a Git LFS pointer"),
        (b"\x1f\x8b\x08\x00", "is compressed with gzip"),
        (b"id,input\n", "is not JSON: it begins with 'id,input"),
        (b"title,text\n", "is not JSON: it begins with 'title,text"),
        ("[1]".encode("utf-16"), "is text in UTF-16: save it in UTF-8"),
        (b"PK\x03\x04\x14", "is a zip archive"),
        (b"true", "is a single value, not a list of questions"),
        (b"[]", "holds no question"),
        (b'[{"id": "q", "input": "rev', "the file ends too early"),
        (b'[{"id": "q", "input": "r", "profile": []}', "after record 1: the file ends too early"),
        (b'[{"id": "q", "input": "r", "profile": []}, {]', "after record 1: "),
        (b'[{"id": "q", "input": "r", "profile": []}] []', "after record 1: there is more after its end"),
        (b'[{"id": "q", "input": "\xff"}]', "what follows is not UTF-8"),
        (b"[1]", "record 1 is a number, not an object"),
        (b'["q"]', "record 1 is text, not an object"),
        (b'[{"input": "r", "profile": []}]', "record 1 lacks the field 'id' (it has input, profile)"),
        (b'[{"id": "q", "profile": []}]', "record 1 (id 'q') lacks the field 'input' (it has id, profile)"),
        (b'[{"id": "q", "input": "r"}]', "record 1 (id 'q') lacks the field 'profile'"),
        (b'[{"id": "", "input": "r", "profile": []}]', "record 1 its 'id' is empty"),
        (b'[{"id": " ", "input": "r", "profile": []}]', "its 'id' is empty"),
        (b'[{"id": null, "input": "r", "profile": []}]', "record 1 its 'id' is null, not text"),
        (b'[{"id": "q", "input": null, "profile": []}]', "(id 'q') its 'input' is null, not text"),
        (b'[{"id": "q", "input": "r", "profile": {}}]', "its 'profile' is an object, not a list"),
        (b'[{"id": "q", "input": "r", "profile": null}]', "its 'profile' is null, not a list"),
        (b'[{"id": "q", "input": "r", "profile": ["x"]}]', "profile item 1 is text, not an object"),
        (
            b'[{"id": "q", "input": "r", "profile": [{"text": "t", "score": "5"}]}]',
            "profile item 1 lacks the field 'id'",
        ),
        (
            b'[{"id": "q", "input": "r", "profile": [{"id": "7", "title": "t"}]}]',
            "record 1 (id 'q') profile item 1 (id '7') lacks the field 'text' (it has id, title)",
        ),
    ],
)
def test_a_broken_questions_file_is_one_clear_line(tmp_path: Path, content: bytes, expected: str) -> None:
    path = write_json(tmp_path / "user" / "LaMP_3" / "dev_outputs.json", GOLDS).with_name(
        "dev_questions.json"
    )
    path.write_bytes(content)
    message = refusal(tmp_path)
    assert str(path) in message
    assert expected in message


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ("<html></html>", "is HTML, not JSON"),
        ("[]", "is a list, not an object like"),
        ('{"task": "LaMP_3", "gold', "the file ends too early"),
        ('{"task": "LaMP_3", "golds": [{"id": "q", "output": "4"}', "the file ends too early"),
        ('{"task": "LaMP_3", "golds": [,]}', "line 1, column 30"),
        ('{"task": "LaMP_3"}', "has no list 'golds' (it has task)"),
        ('{"golds": []}', "1 of 1 questions without gold ('q')"),
        ('{"task": "LaMP_4", "golds": []}', "is for task 'LaMP_4', not 'LaMP_3'"),
        ('{"task": "LaMP_10", "golds": []}', "is for task 'LaMP_10'"),
        ('{"task": "LaMP_3", "golds": [1]}', "gold 1 is a number, not an object"),
        (
            '{"task": "LaMP_3", "golds": [{"id": "q"}]}',
            "gold 1 (id 'q') lacks the field 'output' (it has id)",
        ),
        ('{"task": "LaMP_3", "golds": [{"id": "", "output": "4"}]}', "its 'id' is empty"),
        ('{"task": "LaMP_3", "golds": [{"id": "q", "output": null}]}', "its 'output' is null, not text"),
        ('{"task": "LaMP_3", "golds": []}', "1 of 1 questions without gold ('q')"),
    ],
)
def test_a_broken_outputs_file_is_one_clear_line(tmp_path: Path, content: str, expected: str) -> None:
    folder = write_split(tmp_path, "LaMP-3", [question("LaMP-3", "q")])
    path = folder / "user" / "LaMP_3" / "dev_outputs.json"
    path.write_text(content)
    message = refusal(tmp_path)
    assert "dev_outputs.json" in message
    assert expected in message


def test_a_page_in_place_of_data_comes_with_the_command_that_fetches_it(tmp_path: Path) -> None:
    path = tmp_path / "time" / "LaMP_3" / "test_questions.json"
    path.parent.mkdir(parents=True)
    path.write_text("<html></html>")
    expected = f"get it again with: lampbench data download --task LaMP-3 --setting time --data {tmp_path}"
    assert expected in refusal(tmp_path, setting="time")


def test_the_deprecated_news_task_is_recognised(tmp_path: Path) -> None:
    news = {"id": "1", "text": "x", "title": "y", "category": "politics"}
    write_json(
        tmp_path / "LaMP_2" / "dev" / "dev_questions.json",
        [{"id": "q", "input": "Which category", "profile": [news]}],
    )
    write_json(
        tmp_path / "LaMP_2" / "dev" / "dev_outputs.json",
        {"task": "LaMP_2", "golds": [{"id": "q", "output": "politics"}]},
    )
    message = refusal(tmp_path, "LaMP-2")
    assert "this is the deprecated LaMP-2 (news categories), not movie tagging" in message
    assert "LaMP_2/new" in message


def test_the_news_task_does_not_stand_in_the_way_of_the_movie_task(tmp_path: Path) -> None:
    write_json(tmp_path / "LaMP_2" / "test" / "test_questions.json", [{"id": "news"}])
    write_json(tmp_path / "LaMP_2" / "new" / "test" / "test_questions.json", [question("LaMP-2", "movie")])
    assert open_task(tmp_path, "LaMP-2").split("test").ids == ["movie"]


def test_repeated_ids_are_counted_and_named(tmp_path: Path) -> None:
    questions = [question("LaMP-3", id) for id in ("a", "b", "a", "b", "c")]
    write_split(tmp_path, "LaMP-3", questions)
    assert "dev_questions.json: 2 ids occur again: 'a', 'b'" in refusal(tmp_path)
    write_split(tmp_path, "LaMP-3", questions[:2])
    golds = [{"id": id, "output": "4"} for id in ("a", "b", "b")]
    write_json(tmp_path / "user" / "LaMP_3" / "dev_outputs.json", {"task": "LaMP_3", "golds": golds})
    assert "dev_outputs.json: 1 ids occur again: 'b'" in refusal(tmp_path)


def test_questions_and_golds_that_do_not_match_are_counted_and_named(tmp_path: Path) -> None:
    questions = [question("LaMP-3", f"q{i}") for i in range(9)]
    write_split(tmp_path, "LaMP-3", questions, {"q0": "1", "x": "2"})
    message = refusal(tmp_path)
    assert "8 of 9 questions without gold ('q1', 'q2', 'q3', ...)" in message
    assert "1 of 2 golds without question ('x')" in message


def test_the_order_of_golds_does_not_matter(tmp_path: Path) -> None:
    questions = [question("LaMP-3", f"q{i}") for i in range(3)]
    write_split(tmp_path, "LaMP-3", questions, {"q2": "2", "q0": "5", "q1": "1"})
    assert [e.output for e in open_task(tmp_path, "LaMP-3").split("dev")] == ["5", "1", "2"]


def test_a_time_file_may_count_its_task_on_from_seven(tmp_path: Path) -> None:
    write_split(tmp_path, "LaMP-3", [question("LaMP-3", "q")], setting="time")
    path = tmp_path / "time" / "LaMP_3" / "dev_outputs.json"
    write_json(path, {**GOLDS, "task": "LaMP_10"})
    assert open_task(tmp_path, "LaMP-3", "time").split("dev").golds == {"q": "4"}


def test_a_byte_order_mark_is_no_obstacle(tmp_path: Path) -> None:
    write_split(tmp_path, "LaMP-3", [question("LaMP-3", "q")])
    for path in (tmp_path / "user" / "LaMP_3").iterdir():
        path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes())
    assert open_task(tmp_path, "LaMP-3").split("dev").golds == {"q": "4"}


# The store


def test_the_second_opening_reads_no_source(tmp_path: Path) -> None:
    write_split(tmp_path, "LaMP-3", [question("LaMP-3", "q")])
    seen: list[tuple[int, int, str]] = []
    first = open_task(tmp_path, "LaMP-3", on_progress=lambda *at: seen.append(at))
    assert {name for _, _, name in seen} == {"dev_questions.json", "dev_outputs.json"}
    seen.clear()
    second = open_task(tmp_path, "LaMP-3", on_progress=lambda *at: seen.append(at))
    assert seen == []
    assert second.fingerprint == first.fingerprint


def test_changed_content_is_prepared_again(tmp_path: Path) -> None:
    write_split(tmp_path, "LaMP-3", [question("LaMP-3", "q1")])
    before = open_task(tmp_path, "LaMP-3")
    # Same size, so only the time of the file tells.
    write_split(tmp_path, "LaMP-3", [question("LaMP-3", "q2")])
    after = open_task(tmp_path, "LaMP-3")
    assert after.split("dev").ids == ["q2"]
    assert after.fingerprint != before.fingerprint
    assert before.split("dev")[0].profile[0]["id"] == "q1-0"  # who has it open keeps it


def test_the_fingerprint_is_of_the_content_not_of_place_or_time(tmp_path: Path) -> None:
    for name in ("here", "there"):
        write_split(tmp_path / name, "LaMP-3", [question("LaMP-3", "q")])
    here, there = (open_task(tmp_path / name, "LaMP-3") for name in ("here", "there"))
    assert here.fingerprint == there.fingerprint
    assert here.split("dev").fingerprint == there.split("dev").fingerprint
    path = tmp_path / "here" / "user" / "LaMP_3" / "dev_questions.json"
    os.utime(path, ns=(1, 1))
    seen: list[Any] = []
    touched = open_task(tmp_path / "here", "LaMP-3", on_progress=lambda *at: seen.append(at))
    assert touched.fingerprint == here.fingerprint
    assert seen == []  # hashed, not prepared again


def test_a_task_that_reads_other_fields_gets_a_store_of_its_own(tmp_path: Path) -> None:
    profile = [{"id": "1", "text": "Good", "score": "5", "stars": 5, "shop": None}]
    write_split(tmp_path, "LaMP-3", [{**question("LaMP-3", "q"), "profile": profile}])
    before = get_task("LaMP-3")
    store = prepare_task(tmp_path, before)
    after = replace(before, item_fields=(*before.item_fields, "stars", "shop"))
    (example,) = open_task(tmp_path, after).split("dev")
    assert example.profile == [{"id": "1", "text": "Good", "score": "5", "stars": "5", "shop": ""}]
    with pytest.raises(RequestError, match=r"profile item 1 \(id '1'\) lacks the field 'city'"):
        prepare_task(tmp_path, replace(before, item_fields=(*before.item_fields, "city")))
    assert prepare_task(tmp_path, before) == store
    assert open_task(tmp_path, before).split("dev")[0].profile == profile


def test_golds_are_checked_again_by_a_task_that_judges_otherwise(tmp_path: Path) -> None:
    write_split(tmp_path, "LaMP-3", [question("LaMP-3", "q")], {"q": "ten"})
    rates = get_task("LaMP-3")
    words = replace(rates, kind="classification", labels=("ten",), metrics=("accuracy",))
    assert prepare_task(tmp_path, words).is_dir()
    with pytest.raises(RequestError, match=r"gold 1 .*'ten'"):
        prepare_task(tmp_path, rates)


def test_a_split_keeps_its_fingerprint_when_another_one_joins(tmp_path: Path) -> None:
    write_split(tmp_path, "LaMP-3", [question("LaMP-3", "q")], split="dev")
    alone = open_task(tmp_path, "LaMP-3")
    write_split(tmp_path, "LaMP-3", [question("LaMP-3", "t")], split="train")
    both = open_task(tmp_path, "LaMP-3")
    assert both.splits == ("train", "dev")
    assert both.split("dev").fingerprint == alone.split("dev").fingerprint
    assert both.fingerprint != alone.fingerprint  # the rows of the items are others


def test_a_relative_folder_is_the_same_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_split(tmp_path / "data", "LaMP-3", [question("LaMP-3", "q")])
    open_task(tmp_path / "data", "LaMP-3")
    monkeypatch.chdir(tmp_path)
    seen: list[Any] = []
    open_task("data", "LaMP-3", on_progress=lambda *at: seen.append(at))
    assert seen == []


def test_a_file_that_changes_while_it_is_read_is_refused(tmp_path: Path) -> None:
    write_split(tmp_path, "LaMP-3", [question("LaMP-3", "q")])
    path = tmp_path / "user" / "LaMP_3" / "dev_questions.json"
    with pytest.raises(RequestError, match=r"dev_questions\.json changed while it was read"):
        open_task(tmp_path, "LaMP-3", on_progress=lambda *at: os.utime(path, ns=(1, 1)))
    assert open_task(tmp_path, "LaMP-3").split("dev").ids == ["q"]


def test_stores_that_nobody_opens_any_more_are_removed(tmp_path: Path) -> None:
    stores = []
    for i in range(3):
        write_split(tmp_path, "LaMP-3", [question("LaMP-3", f"q{i}")])
        if i == 2:  # a day later
            os.utime(stores[0] / "manifest.json", (0, 0))
        stores.append(prepare_task(tmp_path, "LaMP-3"))
    left = sorted(path.name for path in stores[0].parent.iterdir())
    assert left == sorted([stores[1].name, stores[2].name, "sources.json"])


STORE_FILES = ["items-more.arrow", "examples-dev.arrow", "golds-dev.arrow", "manifest.json"]


@pytest.mark.parametrize("damage", STORE_FILES)
@pytest.mark.parametrize("how", ["truncated", "removed", "half zeroed", "one byte changed"])
def test_a_damaged_store_is_made_again(tmp_path: Path, damage: str, how: str) -> None:
    write_split(tmp_path, "LaMP-3", [question("LaMP-3", "q")])
    path = prepare_task(tmp_path, "LaMP-3") / damage
    if how == "removed":
        path.unlink()
    else:
        content = bytearray(path.read_bytes())
        if how == "truncated":
            del content[20:]
        elif how == "half zeroed":
            content[len(content) // 2 :] = bytes(len(content) - len(content) // 2)
        else:
            content[len(content) // 2] ^= 1
        path.write_bytes(content)
    told: list[str] = []
    data = open_task(tmp_path, "LaMP-3", say=told.append)
    assert data.split("dev")[0].profile == question("LaMP-3", "q")["profile"]
    assert data.split("dev").golds == {"q": "4"}
    if (damage, how) != ("manifest.json", "removed"):  # then there is no store
        assert told == [f"{path} is damaged: preparing LaMP-3 again"]


def test_a_failed_preparation_leaves_the_earlier_store_alone(tmp_path: Path) -> None:
    write_split(tmp_path, "LaMP-3", [question("LaMP-3", "q")])
    store = prepare_task(tmp_path, "LaMP-3")
    path = tmp_path / "user" / "LaMP_3" / "dev_questions.json"
    whole = path.read_text()
    path.write_text(whole[:-1])
    with pytest.raises(RequestError, match="ends too early"):
        prepare_task(tmp_path, "LaMP-3")
    path.write_text(whole)
    assert prepare_task(tmp_path, "LaMP-3") == store
    assert sorted(p.name for p in store.parent.iterdir()) == sorted([store.name, "sources.json"])


def test_what_a_killed_process_left_is_swept_after_a_day(tmp_path: Path) -> None:
    write_split(tmp_path, "LaMP-3", [question("LaMP-3", "q")])
    home = prepare_task(tmp_path, "LaMP-3").parent
    for name, when in ((".making-old", 1), (".making-new", None)):
        (home / name).mkdir()
        if when is not None:
            os.utime(home / name, (when, when))
    prepare_task(tmp_path, "LaMP-3", fresh=True)
    assert not (home / ".making-old").exists()
    assert (home / ".making-new").exists()  # may belong to a process that is at work


def test_who_waits_for_another_to_prepare_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_split(tmp_path, "LaMP-3", [question("LaMP-3", "q")])
    home = prepare_task(tmp_path, "LaMP-3").parent
    shutil.rmtree(home)
    monkeypatch.setattr("lampbench.files.locks.TELL_AFTER", 0.05)
    waiting = threading.Event()
    told: list[str] = []

    def say(text: str) -> None:
        told.append(text)
        waiting.set()

    def be_at_it() -> None:
        with locked(home):
            begun.set()
            waiting.wait(10)

    begun = threading.Event()
    other = threading.Thread(target=be_at_it)
    other.start()
    begun.wait(10)
    assert open_task(tmp_path, "LaMP-3", say=say).split("dev").ids == ["q"]
    other.join()
    assert told == [f"waiting for another command that is making {home.name}"]


def test_others_may_read_what_is_prepared(tmp_path: Path) -> None:
    write_split(tmp_path, "LaMP-3", [question("LaMP-3", "q")])
    before = os.umask(0o022)
    try:
        store = prepare_task(tmp_path, "LaMP-3")
    finally:
        os.umask(before)
    assert stat.S_IMODE(store.stat().st_mode) == 0o755
    assert {stat.S_IMODE(p.stat().st_mode) for p in (*store.iterdir(), store.parent / SOURCES_FILE)} == {
        0o644
    }


def test_a_cache_that_cannot_be_written_is_a_clear_error(tmp_path: Path) -> None:
    write_split(tmp_path, "LaMP-3", [question("LaMP-3", "q")])
    blocked = write_json(tmp_path / "file", {})
    told = f"cache folder {blocked} cannot be written to .* set LAMPBENCH_CACHE to another folder"
    with pytest.raises(RequestError, match=told):
        prepare_task(tmp_path, "LaMP-3", cache_dir=blocked)


def test_a_cache_that_fails_half_way_is_a_failed_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    write_split(tmp_path, "LaMP-3", [question("LaMP-3", "q")])
    monkeypatch.setattr("lampbench.data.prepare.seal", full)
    with pytest.raises(RunError, match="No space left on device; set LAMPBENCH_CACHE to another folder"):
        prepare_task(tmp_path, "LaMP-3", cache_dir=tmp_path / "cache")


def _open(folder: str, cache: str, start: Any, answers: Any) -> None:
    start.wait()
    try:
        data = open_task(folder, "LaMP-3", cache_dir=cache)
        answers.put((data.fingerprint, [e.profile[-1]["text"] for e in data.split("dev")]))
    except Exception as error:
        answers.put(repr(error))


def test_processes_that_prepare_at_once_get_the_same_whole_store(tmp_path: Path) -> None:
    questions = [question("LaMP-3", f"q{i}", 20) for i in range(300)]
    write_split(tmp_path, "LaMP-3", questions)
    context = multiprocessing.get_context("fork" if sys.platform == "linux" else "spawn")
    start, answers = context.Event(), context.Queue()
    arguments = (str(tmp_path), str(tmp_path / "cache"), start, answers)
    processes = [context.Process(target=_open, args=arguments) for _ in range(3)]
    for process in processes:
        process.start()
    start.set()
    results = [answers.get(timeout=60) for _ in processes]
    for process in processes:
        process.join()
    assert results[0] == results[1] == results[2]
    assert results[0][1] == [q["profile"][-1]["text"] for q in questions]
    (home,) = (path for path in (tmp_path / "cache" / "data").iterdir() if path.is_dir())
    assert len(list(home.iterdir())) == 2  # one store, and what the sources looked like


def test_memory_does_not_grow_with_the_file(tmp_path: Path) -> None:
    """60 MB of JSON in another process: its peak grows by a small part of that."""
    # One user's long history again and again, as in the user's real files: distinct items are few.
    profile = [item("LaMP-3", str(i), f"{i} " + "word " * 200) for i in range(60)]
    stem = tmp_path / "user" / "LaMP_3"
    stem.mkdir(parents=True)
    body = json.dumps(profile)
    n = 60_000_000 // len(body)
    with (stem / "dev_questions.json").open("w") as file:
        for i in range(n):
            separator = ", " if i else "["
            # Another text in each profile, so that the items table grows too.
            text = body.replace("text of 0 ", f"text of {i} ", 1)
            file.write(f'{separator}{{"id": "{i}", "input": "review: {i}", "profile": {text}}}')
        file.write("]")
    golds = [{"id": str(i), "output": "4"} for i in range(n)]
    write_json(stem / "dev_outputs.json", {"task": "LaMP_3", "golds": golds})
    program = """
        import resource, sys
        from lampbench.data.prepare import prepare_task
        def peak():
            unit = 1 if sys.platform == "darwin" else 1024
            return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
        before = peak()
        prepare_task(sys.argv[1], "LaMP-3", cache_dir=sys.argv[2])
        print(peak() - before)
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(program), str(tmp_path), str(tmp_path / "cache")],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )
    size = (stem / "dev_questions.json").stat().st_size
    assert size > 59_000_000
    assert int(done.stdout) < size / 3


def test_digest_rows_number_by_first_appearance() -> None:
    import random

    rng = random.Random(0)
    # Digests that begin alike fall into the same slot; more than the first table holds, so that it grows.
    digests = [bytes(8) + i.to_bytes(8, "big") for i in range(50)] + [rng.randbytes(16) for _ in range(3000)]
    rows = DigestRows()
    assert [rows.add(digest) for digest in digests] == [(i, True) for i in range(len(digests))]
    assert [rows.add(digest) for digest in reversed(digests)] == [(i, False) for i in reversed(range(3050))]
    assert len(rows) == 3050
