"""Running: what is recorded, what is reused, what is refused, and what survives a kill."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from made_methods import FUSION, TRICKSTER
from places import CHECKOUT

from lampbench.data import open_task
from lampbench.errors import RequestError, RunError
from lampbench.metrics import score
from lampbench.records.prediction import Prediction
from lampbench.records.predictions import read_predictions
from lampbench.records.record import Record
from lampbench.records.results_folder import load_records
from lampbench.runner.job import checked
from lampbench.runner.plan import make_plan
from lampbench.runner.request import RunRequest
from lampbench.runner.run import RunsError, command_of, run

Runner = Callable[..., list[Record]]


def lines_in(path: Path) -> int:
    return len(path.read_text().splitlines()) if path.exists() else 0


# What is recorded


def test_every_method_task_and_seed_has_a_record_at_a_predictable_place(
    run_here: Runner, folder: Path, tiny_data: Path
) -> None:
    records = run_here("bm25,adhoc", "LaMP-3,LaMP-4", seed="0,1")
    names = [record.name for record in records]
    assert names[:4] == [f"tiny/{task}/bm25/seed{seed}" for task in ("LaMP-3", "LaMP-4") for seed in (0, 1)]
    assert [r.name for r in load_records(folder / "results")] == sorted(names)
    record = records[0]
    assert record.folder == folder / "results" / "tiny" / "LaMP-3" / "bm25" / "seed0"
    assert record.status == "complete"
    assert record.method.config == {
        "profile": "own",
        "k": 2,
        "history_fields": "released",
        "use_date": False,
        "extraction": "anchored",
    }
    assert record.generation == {"max_input_tokens": 120, "max_new_tokens": 5, "beams": 1}
    assert (record.data.setting, record.data.split, record.data.n, record.data.limit) == (
        "user",
        "dev",
        6,
        None,
    )
    assert record.data.counts["train"] == 8
    assert record.data.train is None  # it learns nothing
    assert (record.llm.id, record.llm.dtype, record.encoder, record.retriever) == (
        "tiny-t5",
        "float32",
        None,
        None,
    )
    assert record.cost.llm_calls == record.cost.examples == 6
    assert str(folder) not in (record.folder / "record.json").read_text()  # it is made to be published


def test_the_metrics_are_those_of_the_predictions_in_the_log(run_here: Runner, tiny_data: Path) -> None:
    (record,) = run_here("recency")
    golds = open_task(tiny_data, "LaMP-3").split("dev").golds
    lines = read_predictions(record.predictions)
    assert list(lines) == list(golds)  # in the order of the file, whatever order they were answered in
    expected = score("LaMP-3", {id: line["output"] for id, line in lines.items()}, golds)
    assert {name: m.value for name, m in record.metrics.items()} == expected.metrics
    assert record.counts["unparsed"] == expected.counts["unparsed"]
    for m in record.metrics.values():
        assert m.low is not None
        assert m.low <= m.value <= m.high
    assert all(set(line["scores"]) == {"mae", "rmse"} and len(line["ranked"]) == 2 for line in lines.values())


def test_the_most_recent_items_are_in_the_prompt(run_here: Runner, tiny_data: Path) -> None:
    (record,) = run_here("recency")
    lines = read_predictions(record.predictions)
    for example in open_task(tiny_data, "LaMP-3").split("dev"):
        newest = sorted(example.profile, key=lambda item: item["date"], reverse=True)[:2]
        assert lines[example.id]["ranked"] == [item["id"] for item in newest]


def test_chance_depends_on_the_seed_alone(run_here: Runner) -> None:
    one, two = run_here("random", seed="0,1")
    again = run_here("random", seed=0, suite="again")[0]
    first, second, third = (
        {id: line["ranked"] for id, line in read_predictions(r.predictions).items()}
        for r in (one, two, again)
    )
    assert first != second
    assert first == third
    assert all(len(set(ids)) == 2 for ids in first.values())  # without replacement


def test_a_changed_option_has_results_of_its_own(run_here: Runner) -> None:
    (usual,) = run_here("bm25")
    (changed,) = run_here("bm25", set=["k=1"])
    (named,) = run_here("bm25", set=["k=1"], variant="one")
    assert usual.method.label == "bm25"
    assert changed.method.label == "bm25+k=1"
    assert named.method.label == "bm25+one"
    assert run_here("bm25", set=["k=2"])[0].method.label == "bm25"  # it is what the preset says anyway
    assert {len(line["ranked"]) for line in read_predictions(changed.predictions).values()} == {1}


def test_a_changed_option_of_what_a_method_is_built_on_has_results_of_its_own(run_here: Runner) -> None:
    usual = run_here("fusion")[0]
    changed = next(r for r in run_here("bm25,fusion", set=["bm25.k=1"]) if r.method.name == "fusion")
    assert (usual.method.label, changed.method.label) == ("fusion", "fusion+bm25.k=1")
    assert (usual.method.built_on["bm25"]["k"], changed.method.built_on["bm25"]["k"]) == (2, 1)
    assert usual.method.built_on.keys() == {"bm25", "contriever"}


def test_different_options_never_share_a_place(tmp_path: Path) -> None:
    def label(method: str, *options: str) -> str:
        return make_plan(RunRequest(method, results=tmp_path, set=options)).jobs[0].label

    assert label("lora", "alpha=9") == "lora+alpha=9.0"
    assert label("pplug", "query_prefix=query") == "pplug+query_prefix=query"
    assert label("pplug", "query_prefix=query: ").startswith("pplug+query_prefix=query-")
    assert label("rspg-pre", "selector=allenai/led-base") == "rspg-pre+selector=allenai-led-base"
    many = [
        *("retriever=contriever", "k=3", "epochs=7", "batch_size=4", "learning_rate=0.0001", "hold_out=7"),
        *("history_fields=input", "weight_decay=0.001"),
    ]
    long = {label("lora", *many, f"select={by}") for by in ("loss", "metric")}
    assert len(long) == 2
    assert max(map(len, long)) <= 110


def test_a_place_that_was_named_is_not_taken_from_another_run(run_here: Runner, folder: Path) -> None:
    (first,) = run_here("bm25", suite="mine")
    with pytest.raises(
        RequestError, match=r"mine/LaMP-3/bm25/seed0 .* with limit None and not 3: choose another"
    ):
        run_here("bm25", suite="mine", limit=3)
    run_here("recency", set=["k=1"], variant="v")
    with pytest.raises(RequestError, match="with k 1 and not 3: choose another --variant or --suite"):
        run_here("recency", set=["k=3"], variant="v")
    assert [r.metrics for r in load_records(folder / "results", "mine")] == [first.metrics]
    (replaced,) = run_here("bm25", suite="mine", limit=3, fresh=True)
    assert replaced.data.limit == 3


def test_a_limited_run_asks_the_same_sample_of_every_method_and_says_so(run_here: Runner) -> None:
    records = run_here("adhoc,recency", limit=3, seed="0,1")
    asked = {tuple(read_predictions(r.predictions)) for r in records}
    assert len(asked) == 1
    assert len(asked.pop()) == 3
    assert {(r.suite, r.data.limit, r.data.n) for r in records} == {("tiny-limit3", 3, 3)}


def test_questions_without_golds_end_in_an_official_file(
    run_here: Runner, tiny_data: Path, folder: Path
) -> None:
    data = folder / "data"
    part = data / "user" / "LaMP_7"
    part.mkdir(parents=True)
    questions = tiny_data / "user" / "LaMP_7" / "test_questions.json"
    (part / "test_questions.json").write_bytes(questions.read_bytes())
    (record,) = run_here("bm25", "LaMP-7", data=data, split="test")
    assert record.status == "complete"
    assert record.metrics == {}
    assert record.folder is not None
    content = json.loads((record.folder / "predictions_official.json").read_text())
    assert content["task"] == "LaMP_7"
    ids = [question["id"] for question in json.loads(questions.read_text())]
    assert [gold["id"] for gold in content["golds"]] == ids
    with pytest.raises(RequestError, match=r"train_questions\.json"):
        run_here("learner", "LaMP-7", data=data, split="test")


def test_the_command_in_the_record_is_the_request() -> None:
    request = RunRequest("bm25", ["LaMP-3"], data="/home/me/lamp", set=("k=2", "use_date=true"), fresh=True)
    command = command_of(request)
    assert command == (
        "lampbench run --method bm25 --task LaMP-3 --data /home/me/lamp --set k=2 --set use_date=true --fresh"
    )
    request = RunRequest("bm25,adhoc", "all", seed=[0, 1], methods_dir=("a", "b"), tasks_dir="c")
    assert command_of(request) == (
        "lampbench run --method bm25,adhoc --task all --seed 0,1 --methods-dir a --methods-dir b --tasks-dir c"
    )


def test_run_takes_only_what_the_command_takes() -> None:
    with pytest.raises(TypeError, match="no option 'metod'"):
        run("bm25", metod="x")


# What is reused


def test_a_finished_run_is_not_run_again(
    run_here: Runner, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = run_here("bm25,contriever", "LaMP-3,LaMP-4")
    before = {path: path.read_bytes() for path in sorted((folder / "results").rglob("*.*"))}

    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("a model was loaded for nothing")

    monkeypatch.setattr("lampbench.models.frozen_llm.FrozenLLM.load", refuse)
    monkeypatch.setattr("lampbench.models.encoder.TextEncoder.load", refuse)
    assert run_here("bm25,contriever", "LaMP-3,LaMP-4") == first
    assert {path: path.read_bytes() for path in sorted((folder / "results").rglob("*.*"))} == before


@pytest.mark.parametrize("damage", ["log", "method"])
def test_what_no_longer_answers_the_request_is_run_again(
    run_here: Runner, folder: Path, capsys: pytest.CaptureFixture[str], damage: str
) -> None:
    (first,) = run_here("trickster")
    if damage == "log":
        first.predictions.write_text("")
    else:
        with (folder / "methods" / "trickster.py").open("a") as file:
            file.write("\nCHANGED = 1\n")
    (second,) = run_here("trickster")
    why = {
        "log": "its predictions are not those that were scored",
        "method": "because the code has changed that answers: method file",
    }[damage]
    told = capsys.readouterr().err
    assert f"tiny/LaMP-3/trickster/seed0 in {folder / 'results'} is made again" in told
    assert why in told
    assert second.started is not None
    assert second.request == first.request if damage == "log" else second.request != first.request
    assert len(read_predictions(second.predictions)) == 6


def test_an_interrupted_run_goes_on_where_it_stopped(
    run_here: Runner, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (whole,) = run_here("trickster", suite="whole")
    monkeypatch.setenv("TRICK", "interrupt:4")
    with pytest.raises(KeyboardInterrupt):
        run_here("trickster", suite="broken")
    (started,) = load_records(folder / "results", "broken")
    assert started.status == "started"
    assert len(read_predictions(started.predictions)) == 4
    monkeypatch.setenv("TRICK", f"count:{folder / 'asked'}")
    (resumed,) = run_here("trickster", suite="broken")
    assert lines_in(folder / "asked") == 2
    assert resumed.predictions.read_bytes() == whole.predictions.read_bytes()
    assert resumed.metrics == whole.metrics
    assert resumed.cost.prompt_tokens == whole.cost.prompt_tokens


@pytest.mark.parametrize("trick", ["interrupt:4", "more"])  # two questions are left to answer, and none
def test_an_interrupted_run_tells_the_same_bytes_per_user(
    run_here: Runner, folder: Path, monkeypatch: pytest.MonkeyPatch, trick: str
) -> None:
    keeps = "\n    def bytes_per_user(self, bench, example):\n        return int(example.id[-2:]) ** 2\n"
    (folder / "methods" / "keeper.py").write_text(TRICKSTER.replace('"trickster"', '"keeper"') + keeps)
    monkeypatch.setattr("lampbench.runner.job.USERS_WEIGHED", 3)
    (whole,) = run_here("keeper", suite="whole")
    monkeypatch.setenv("TRICK", trick)
    with pytest.raises((KeyboardInterrupt, RunError)):
        run_here("keeper", suite="broken")
    monkeypatch.setenv("TRICK", "")
    (resumed,) = run_here("keeper", suite="broken")
    assert resumed.cost.bytes_per_user == whole.cost.bytes_per_user is not None


def test_who_is_built_on_a_learner_learns(run_here: Runner, folder: Path) -> None:
    text = FUSION.replace('name = "fusion"', 'name = "heir"').replace('"contriever"', '"learner"')
    text = text[: text.index("    def prepare")] + "    def rank(self, bench, example):\n        return []\n"
    (folder / "methods" / "heir.py").write_text(text)
    heir, learner = run_here("heir")[0], run_here("learner")[0]
    assert heir.data.train == learner.data.train is not None


def test_fresh_forgets_what_was_left(run_here: Runner, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRICK", "interrupt:4")
    with pytest.raises(KeyboardInterrupt):
        run_here("trickster")
    monkeypatch.setenv("TRICK", f"count:{folder / 'asked'}")
    run_here("trickster", fresh=True)
    assert lines_in(folder / "asked") == 6


def test_fresh_fits_again_what_a_method_is_built_on_and_each_once(run_here: Runner, folder: Path) -> None:
    text = FUSION.replace('name = "fusion"', 'name = "heir"').replace('"contriever"', '"learner"')
    text = text[: text.index("    def prepare")] + "    def rank(self, bench, example):\n        return []\n"
    (folder / "methods" / "heir.py").write_text(text)
    run_here("heir")
    run_here("heir,learner", suite="more")
    assert lines_in(folder / "fits") == 1
    run_here("heir,learner", fresh=True)
    assert lines_in(folder / "fits") == 2


def test_what_other_code_has_learned_is_learned_again(
    run_here: Runner, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = FUSION.replace('name = "fusion"', 'name = "heir"').replace('"contriever"', '"learner"')
    text = text[: text.index("    def prepare")] + "    def rank(self, bench, example):\n        return []\n"
    (folder / "methods" / "heir.py").write_text(text)
    run_here("heir")
    monkeypatch.setattr(
        "lampbench.method.registry.code_print", lambda cls, *file: f"{cls.__name__} by other code"
    )
    with pytest.raises(
        RequestError, match=r"heir/seed0 in .* is another run, with code \(hash\) \w{12} and not"
    ):
        run_here("heir")  # the record stays
    assert lines_in(folder / "fits") == 1
    run_here("heir", suite="anew")
    assert lines_in(folder / "fits") == 2
    run_here("heir", fresh=True)
    assert lines_in(folder / "fits") == 3


def test_what_other_code_has_answered_is_answered_again_after_saying_so(
    run_here: Runner, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (first,) = run_here("adhoc")
    monkeypatch.setattr("lampbench.method.registry.code_print", lambda cls, *file: "other code")
    (second,) = run_here("adhoc")
    assert "is made again, because the code has changed that answers: code (hash)" in capsys.readouterr().err
    assert (first.code, second.code) == (first.code, ["other code"])
    assert first.code != second.code
    assert (second.cost.llm_calls, second.cost.reused_generations) == (0, first.data.n)
    (third,) = run_here("adhoc")
    assert third.finished == second.finished


def test_what_was_learned_serves_every_option_of_prediction(
    run_here: Runner, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as earlier:
        earlier.setattr("lampbench.method.fitting.own_state", lambda: ("c0ffee", True))
        (first,) = run_here("learner")
    (second,) = run_here("learner", set=["profile=empty"])
    assert lines_in(folder / "fits") == 1
    assert second.training == first.training
    assert second.training is not None
    # The code that learned, and not the one that asks now.
    assert (second.training.git_commit, second.training.git_dirty) == ("c0ffee", True)
    assert second.training.threads == second.environment.threads == torch.get_num_threads()
    assert second.environment.git_commit != "c0ffee"
    assert first.data.train not in (None, first.data.fingerprint)  # the other split
    assert second.cost.seconds["fit"] == first.cost.seconds["fit"]
    (other,) = run_here("learner", set=["steps=2"])
    assert lines_in(folder / "fits") == 2
    assert other.training is not None
    assert (other.training.steps, other.method.trainable_parameters) == (2, first.method.trainable_parameters)
    run_here("learner", fresh=True)
    assert lines_in(folder / "fits") == 3


def kill(folder: Path, method: str, **environment: str) -> None:
    """Run the method in a process that kills itself on the way."""
    code = (
        "from lampbench.runner.run import run;"
        f"run('{method}', 'LaMP-3', preset='{folder}/tiny.toml', results='{folder}/results', suite='killed',"
        f"methods_dir='{folder}/methods', progress='none')"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "PYTHONPATH": str(CHECKOUT), **environment},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == -signal.SIGKILL, done.stderr


def test_a_process_killed_while_predicting_loses_nothing_that_was_answered(
    run_here: Runner, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (whole,) = run_here("trickster", suite="whole")
    kill(folder, "trickster", TRICK="kill:3")
    with (folder / "results" / "killed" / "LaMP-3" / "trickster" / "seed0" / "predictions.jsonl").open(
        "a"
    ) as log:
        log.write('{"id": "torn')  # as if the kill had hit the middle of a write
    monkeypatch.setenv("TRICK", f"count:{folder / 'asked'}")
    (resumed,) = run_here("trickster", suite="killed")
    assert lines_in(folder / "asked") == 3
    assert resumed.predictions.read_bytes() == whole.predictions.read_bytes()


def test_a_process_killed_while_training_ends_with_the_same_weights(run_here: Runner, folder: Path) -> None:
    kill(folder, "learner", KILL_AT="5", FITS=str(folder / "fits"))
    assert lines_in(folder / "fits-steps") == 4
    (resumed,) = run_here("learner", suite="killed")
    assert lines_in(folder / "fits-steps") == 6  # two steps were left to do
    (whole,) = run_here("learner", suite="whole", fresh=True)
    assert lines_in(folder / "fits-steps") == 12
    assert resumed.training is not None
    assert whole.training is not None
    assert resumed.training.losses == whole.training.losses
    assert resumed.predictions.read_bytes() == whole.predictions.read_bytes()


# What is refused


@pytest.mark.parametrize(
    ("trick", "message"),
    [
        ("raise:2", "ValueError: as you like it"),
        ("exit:2", "SystemExit: 0"),
        ("skip:5", "method 'trickster' gave no prediction for question '"),
        ("skip:1", "Prediction objects, one per example, in order"),
        ("swap:1", "method 'trickster' answered question 'elsewhere' where '"),
        ("twice:2", "Prediction objects, one per example, in order"),
        ("number:0", "with a int, not a text"),
        ("more", "gave a Prediction too many for question 'extra'"),
        ("melt", "method 'trickster' changed the frozen LLM"),
    ],
)
def test_a_method_that_breaks_a_rule_fails_and_its_record_says_how(
    run_here: Runner, folder: Path, monkeypatch: pytest.MonkeyPatch, trick: str, message: str
) -> None:
    monkeypatch.setenv("TRICK", trick)
    with pytest.raises((RunError, ValueError)):
        run_here("trickster")
    (record,) = load_records(folder / "results")
    assert record.status == "failed"
    assert message in (record.error or "")
    assert "\n" not in (record.error or "")


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (["a"], "gave a str for question 'q0': predict must yield lampbench.method.Prediction objects"),
        ([], "gave no prediction for question 'q0': predict must yield"),
        (None, "gave a NoneType for all questions: predict must yield"),
        ([Prediction("q0", "a"), "b"], "gave a str too many: predict must yield"),
    ],
)
def test_the_first_mistakes_of_a_predict_are_told_with_what_it_must_yield(
    tiny_data: Path, given: Any, message: str
) -> None:
    example = replace(open_task(tiny_data, "LaMP-3", setting="user").split("dev")[0], id="q0")
    with pytest.raises(RunError, match=f"method 'mine' {message}"):
        list(checked(given, [example], "mine"))


def test_one_failure_costs_no_other_run(
    run_here: Runner, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (alone,) = run_here("recency", suite="alone")
    monkeypatch.setenv("TRICK", "melt")
    message = "1 of 3 runs failed; the first: trickster on LaMP-3, seed 0"
    with pytest.raises(RunsError, match=message) as failure:
        run_here("adhoc,trickster,recency")
    assert [record.method.name for record in failure.value.records] == ["adhoc", "recency"]
    by_method = {record.method.name: record for record in load_records(folder / "results", "tiny")}
    assert {name: r.status for name, r in by_method.items()} == {
        "adhoc": "complete",
        "recency": "complete",
        "trickster": "failed",
    }
    # The method before it had spoilt the LLM: this one got an unspoilt one.
    assert by_method["recency"].predictions.read_bytes() == alone.predictions.read_bytes()


def test_answers_of_a_spoilt_llm_are_not_gone_on_with(
    run_here: Runner, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for _ in range(2):  # the second run must find nothing to end with
        monkeypatch.setenv("TRICK", "melt")
        with pytest.raises(RunError, match="changed the frozen LLM"):
            run_here("trickster")
        (record,) = load_records(folder / "results")
        assert record.status == "failed"
    monkeypatch.setenv("TRICK", f"count:{folder / 'asked'}")
    (record,) = run_here("trickster")
    assert lines_in(folder / "asked") == record.data.n == 6


def test_a_method_with_the_history_of_another_user(run_here: Runner, tiny_data: Path) -> None:
    (record,) = run_here("recency", set=["profile=random"])
    lines = read_predictions(record.predictions)
    owners = {}
    for example in open_task(tiny_data, "LaMP-3").split("dev"):
        owners |= dict.fromkeys(example.item_ids, example.id)
    for id, line in lines.items():
        assert line["ranked"]
        assert all(owners[item] != id for item in line["ranked"])


def test_a_method_with_no_history_sees_the_question_alone(run_here: Runner) -> None:
    empty, plain = run_here("bm25", set=["profile=empty"])[0], run_here("adhoc")[0]
    outputs = [
        {id: (line["output"], line["ranked"]) for id, line in read_predictions(r.predictions).items()}
        for r in (empty, plain)
    ]
    assert outputs[0] == outputs[1]


def test_shuffled_labels_need_labels(run_here: Runner) -> None:
    (record,) = run_here("contriever", "LaMP-4", set=["profile=shuffled-labels"])
    assert record.status == "complete"
    with pytest.raises(RequestError, match="items of LaMP-7 have no label to shuffle"):
        run_here("contriever", "LaMP-7", set=["profile=shuffled-labels"])


def test_a_view_that_makes_no_sense_is_told_before_anything_is_fitted(run_here: Runner, folder: Path) -> None:
    with pytest.raises(RequestError, match="items of LaMP-7 have no label to shuffle"):
        run_here("learner", "LaMP-7", set=["profile=shuffled-labels"])
    assert not (folder / "fits").exists()


# Methods built on methods


def test_a_method_may_be_built_on_others(run_here: Runner) -> None:
    fusion, bm25, contriever = run_here("fusion,bm25,contriever")[-1], *run_here("bm25,contriever")
    assert fusion.method.name == "fusion"  # after those that it is built on
    assert fusion.retriever is not None  # which need this model
    ranked = [read_predictions(r.predictions) for r in (fusion, bm25, contriever)]
    for id, line in ranked[0].items():
        either = set(ranked[1][id]["ranked"]) | set(ranked[2][id]["ranked"])
        both = set(ranked[1][id]["ranked"]) & set(ranked[2][id]["ranked"])
        assert both <= set(line["ranked"])
        assert set(line["ranked"]) & either


@pytest.mark.parametrize(
    ("uses", "message"),
    [
        ('"bm26"', "unknown method 'bm26': did you mean 'bm25'"),
        ('"fusion"', "methods are built on each other: fusion → fusion"),
    ],
)
def test_a_method_built_on_a_wrong_one_is_refused(
    run_here: Runner, folder: Path, uses: str, message: str
) -> None:
    path = folder / "methods" / "fusion.py"
    path.write_text(path.read_text().replace('("bm25", "contriever")', f"({uses},)"))
    with pytest.raises(RequestError, match=message):
        run_here("fusion")


def test_options_that_build_methods_on_each_other_are_refused(tmp_path: Path) -> None:
    loop = ["rrf.methods=pplug,bm25", "pplug.retriever=rrf"]
    with pytest.raises(RequestError, match="methods are built on each other: rrf → pplug → rrf"):
        make_plan(RunRequest("rrf,pplug", results=tmp_path, set=loop))


@pytest.mark.parametrize("method", ["rrf", "finetune", "pplug"])
def test_only_what_ranks_can_retrieve(tmp_path: Path, method: str) -> None:
    option = "methods=bm25,prompt-tuning" if method == "rrf" else "retriever=prompt-tuning"
    with pytest.raises(RequestError, match=f"{method}: method 'prompt-tuning' ranks nothing"):
        make_plan(RunRequest(method, results=tmp_path, set=[option]))
