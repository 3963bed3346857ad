"""LaMP-mini: official format, determinism, personas that show only in part, and honest reference scores."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest
from damaging import WAYS, damage
from places import CHECKOUT, HELPERS

from lampbench.errors import RequestError
from lampbench.method.options import make_config
from lampbench.mini.generator import SIZES, Knobs, generate, user_questions, write_suite
from lampbench.mini.personas import DOMAINS
from lampbench.prompts import query
from lampbench.tasks import TASKS, get_task

SMALL = Knobs(train=12, dev=30, test=5)


def files(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*.json"))}


def test_the_same_knobs_give_the_same_bytes_and_another_seed_gives_other_people(tmp_path: Path) -> None:
    write_suite(tmp_path / "a", SMALL)
    write_suite(tmp_path / "b", SMALL)
    write_suite(tmp_path / "c", replace(SMALL, seed=1))
    assert files(tmp_path / "a") == files(tmp_path / "b")
    for name, content in files(tmp_path / "c").items():
        assert content != files(tmp_path / "a")[name]


def test_the_files_have_the_official_names_and_schema(tmp_path: Path) -> None:
    write_suite(tmp_path, SMALL)
    for task in TASKS.values():
        for split, n in (("train", 12), ("dev", 30), ("test", 5)):
            folder = tmp_path / "user" / task.official_name
            questions = json.loads((folder / f"{split}_questions.json").read_text())
            outputs = json.loads((folder / f"{split}_outputs.json").read_text())
            assert outputs["task"] == task.official_name
            assert [gold["id"] for gold in outputs["golds"]] == [q["id"] for q in questions]
            assert len({q["id"] for q in questions}) == n
            for question in questions:
                assert set(question) == {"id", "input", "profile", "user_id"}
                assert query(task, question["input"])
                for item in question["profile"]:
                    assert set(item) == {"id", "date", *task.item_fields}
                    assert re.fullmatch(r"\d{4}-\d\d-\d\d", item["date"])
                dates = [item["date"] for item in question["profile"]]
                assert dates == sorted(dates)
            if task.labels:
                assert {gold["output"] for gold in outputs["golds"]} <= set(task.labels)


def test_writing_again_changes_nothing_and_other_knobs_are_refused(tmp_path: Path) -> None:
    first = write_suite(tmp_path, SMALL, ["LaMP-3"])
    before = files(tmp_path)
    assert write_suite(tmp_path, SMALL, ["LaMP-3"]) == first
    assert files(tmp_path) == before
    with pytest.raises(RequestError, match="other knobs"):
        write_suite(tmp_path, replace(SMALL, noise=0.5), ["LaMP-3"])
    assert files(tmp_path) == before
    write_suite(tmp_path, SMALL, ["LaMP-4"])
    assert set(files(tmp_path)) > set(before)


def test_a_folder_with_other_files_is_refused_and_left_as_it_is(tmp_path: Path) -> None:
    for name, text in (("notes.txt", "mine"), ("manifest.json", '{"name": "app"}'), ("manifest.json", "[")):
        folder = tmp_path / f"{len(list(tmp_path.iterdir()))}"
        folder.mkdir()
        (folder / name).write_text(text)
        with pytest.raises(
            RequestError, match=r"is not empty and holds no LaMP-mini.*: choose another folder"
        ):
            write_suite(folder, SMALL, ["LaMP-3"])
        assert [(path.name, path.read_text()) for path in folder.rglob("*")] == [(name, text)]


def test_a_kill_while_the_first_task_is_written_does_not_make_the_folder_a_strangers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = write_suite(tmp_path / "whole", SMALL, ["LaMP-3"])

    def die(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr("lampbench.mini.generator._reference_scores", die)
        with pytest.raises(KeyboardInterrupt):
            write_suite(tmp_path / "cut", SMALL, ["LaMP-3"])
    (tmp_path / "cut" / ".manifest.json.99999999.tmp").write_text(
        "{"
    )  # what a kill leaves of a file in the making
    assert list((tmp_path / "cut").rglob("train_questions.json"))
    assert write_suite(tmp_path / "cut", SMALL, ["LaMP-3"]) == whole
    assert files(tmp_path / "cut") == files(tmp_path / "whole")


@pytest.mark.parametrize("how", WAYS)
@pytest.mark.parametrize(
    "name", ["manifest.json", "user/LaMP_3/dev_questions.json", "user/LaMP_3/dev_outputs.json"]
)
def test_a_damaged_file_in_our_own_folder_is_named_and_made_again_and_the_others_left_alone(
    tmp_path: Path, name: str, how: str
) -> None:
    first = write_suite(tmp_path, SMALL, ["LaMP-3", "LaMP-4"], ours=True)
    whole = files(tmp_path)
    damage(tmp_path / name, how)
    times = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.json")}
    said: list[str] = []
    assert write_suite(tmp_path, SMALL, ["LaMP-3", "LaMP-4"], ours=True, say=said.append) == first
    assert files(tmp_path) == whole
    assert {path.name for path, time in times.items() if path.stat().st_mtime_ns != time} <= {
        Path(name).name,
        "manifest.json",
    }
    assert len(said) == 1
    assert said[0].startswith(f"{tmp_path / name} is damaged: ")


def test_two_commands_at_once_write_every_task_once(tmp_path: Path) -> None:
    code = (
        "import sys; from lampbench.mini.generator import Knobs, write_suite;"
        "from test_generator import SMALL; import lampbench.mini.generator as s; from pathlib import Path;"
        "write = s._write_task;"
        "s._write_task = lambda *a: (print(a[2].name, flush=True), write(*a));"
        f"write_suite(Path({str(tmp_path / 'ours')!r}), SMALL, sys.argv[1:], ours=True)"
    )
    here = Path(__file__).parent
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(map(str, (CHECKOUT, HELPERS, here)))}
    both = [
        subprocess.Popen(
            [sys.executable, "-c", code, *tasks], env=environment, stdout=subprocess.PIPE, text=True
        )
        for tasks in (("LaMP-3", "LaMP-4"), ("LaMP-4", "LaMP-7"))
    ]
    printed = [process.communicate()[0].split() for process in both]
    assert [process.returncode for process in both] == [0, 0]
    assert sorted([*printed[0], *printed[1]]) == ["LaMP-3", "LaMP-4", "LaMP-7"]
    write_suite(tmp_path / "alone", SMALL, ["LaMP-3", "LaMP-4", "LaMP-7"])
    alone, ours = files(tmp_path / "alone"), files(tmp_path / "ours")
    manifests = [json.loads(of.pop("manifest.json")) for of in (alone, ours)]
    assert alone == ours
    assert manifests[0]["files"] == manifests[1]["files"]
    assert manifests[0]["reference_scores"] == manifests[1]["reference_scores"]


@pytest.mark.parametrize("task", TASKS)
def test_whoever_knows_the_persona_answers_better_and_not_perfectly(task: str) -> None:
    from lampbench.metrics import score

    questions = list(generate(task, "dev", replace(SMALL, dev=400)))
    golds = {q.id: q.output for q in questions}
    ceiling = score(task, {q.id: q.ceiling for q in questions}, golds).metrics
    floor = score(task, {q.id: q.floor for q in questions}, golds).metrics
    main = TASKS[task].metric
    gain = (ceiling[main.key] - floor[main.key]) * (1 if main.higher_is_better else -1)
    assert gain > 0.1
    assert ceiling[main.key] != (1.0 if main.higher_is_better else 0.0)


@pytest.mark.parametrize("task", TASKS)
def test_users_of_different_splits_are_disjoint_in_the_user_setting_and_the_same_in_the_time_setting(
    task: str,
) -> None:
    users = {split: {q.user_id for q in generate(task, split, SMALL)} for split in ("train", "dev", "test")}
    assert not users["train"] & users["dev"]
    assert not users["dev"] & users["test"]
    timed = replace(SMALL, setting="time", train=6, dev=6, test=6)
    splits = {split: list(generate(task, split, timed)) for split in ("train", "dev", "test")}
    for train, dev, test in zip(*splits.values(), strict=True):
        assert train.user_id == dev.user_id == test.user_id
        texts = [
            [{k: v for k, v in item.items() if k != "id"} for item in q.profile] for q in (train, dev, test)
        ]
        assert texts[1][: len(texts[0])] == texts[0]
        assert texts[2][: len(texts[1])] == texts[1]
        assert len(texts[2]) == len(texts[0]) + 2


def test_histories_keep_to_their_bounds() -> None:
    lengths = Counter(
        len(q.profile)
        for q in generate("LaMP-3", "dev", replace(SMALL, dev=300, history_min=2, history_max=5))
    )
    assert set(lengths) == {2, 3, 4, 5}


def test_one_item_does_not_tell_the_persona() -> None:
    """Items of one user differ in what they show: tags, fields, openers."""
    profile = user_questions("LaMP-2", "1", 1, replace(SMALL, history_min=20, history_max=20))[0].profile
    assert len({item["tag"] for item in profile}) > 2
    titles = [
        item["title"]
        for item in user_questions("LaMP-4", "1", 1, replace(SMALL, history_min=20, history_max=20))[
            0
        ].profile
    ]
    openers = Counter(title.split(":")[0] for title in titles)
    assert len(openers) > 1


def test_the_floor_of_ratings_passes_over_the_remark_that_a_text_may_carry() -> None:
    from lampbench.metrics import score
    from lampbench.mini import lexicon
    from lampbench.mini.personas.base import as_sentence

    questions = list(generate("LaMP-3", "dev", Knobs()))
    golds = {q.id: q.output for q in questions}
    floor = {q.id: q.floor for q in questions}
    remarks = [(as_sentence(text), bias) for bias, texts in lexicon.TEMPERS.items() for text in texts]
    read = {}
    for q in questions:
        bias = sum(bias for remark, bias in remarks if remark in q.input)
        read[q.id] = str(min(5, max(1, int(q.floor) + bias)))
    assert read != floor
    reader, passer = (score("LaMP-3", guesses, golds).metrics["mae"] for guesses in (read, floor))
    assert reader < 0.8 * passer
    readme = (CHECKOUT / "README.md").read_text(encoding="utf-8")
    assert f"(MAE {passer:.3f} on dev)" in readme


def test_noise_of_one_makes_the_persona_useless() -> None:
    from lampbench.metrics import score

    questions = list(generate("LaMP-3", "dev", replace(SMALL, dev=400, noise=1.0)))
    golds = {q.id: q.output for q in questions}
    ceiling = score("LaMP-3", {q.id: q.ceiling for q in questions}, golds).metrics["mae"]
    floor = score("LaMP-3", {q.id: q.floor for q in questions}, golds).metrics["mae"]
    assert ceiling > floor


def test_with_full_drift_the_newest_documents_follow_another_persona() -> None:
    """Strict reviewers turn lenient and so on: early and late scores of a level differ for two users in three."""
    bias = {}
    for drift in (0.0, 1.0):
        knobs = replace(SMALL, noise=0.0, drift=drift, history_min=40, history_max=40)
        changed = 0
        for user in range(60):
            profile = user_questions("LaMP-2", f"{user}", 1, knobs)[0].profile
            early = {tag for tag, n in Counter(i["tag"] for i in profile[:10]).items() if n > 1}
            late = {tag for tag, n in Counter(i["tag"] for i in profile[-10:]).items() if n > 1}
            changed += len(early & late) == 0
        bias[drift] = changed
    assert bias[0.0] < 5 < bias[1.0]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"setting": "tome"}, "did you mean 'time'"),
        ({"noise": 1.5}, "noise must be from 0 to 1, not 1.5"),
        ({"history_min": 9, "history_max": 3}, "history_min must be at most history_max (3), not 9"),
        ({"history_min": 0}, "history_min must be at least 1, not 0"),
        ({"dev": -1}, "dev must not be negative, not -1"),
        ({"sead": 3}, "did you mean 'seed'"),
    ],
)
def test_impossible_knobs_are_refused_in_one_line(changes: dict[str, object], message: str) -> None:
    with pytest.raises(RequestError, match=re.escape(message)) as error:
        make_config(Knobs, changes, owner="LaMP-mini")
    assert "\n" not in str(error.value)


def test_a_task_has_its_own_number_of_questions_unless_told_otherwise() -> None:
    knobs = Knobs(test=4)
    numbers = [
        (knobs.questions(get_task(name), "train"), knobs.questions(get_task(name), "dev")) for name in SIZES
    ]
    assert numbers == list(SIZES.values())
    assert len(list(generate("LaMP-4", "dev", knobs))) == SIZES["LaMP-4"][1]
    assert len(list(generate("LaMP-4", "test", knobs))) == 4
    assert Knobs(test=0).questions(get_task("LaMP-1"), "test") == 0
    assert Knobs().fingerprint == Knobs().fingerprint != knobs.fingerprint


def test_every_task_has_a_world() -> None:
    assert set(DOMAINS) == set(TASKS)
