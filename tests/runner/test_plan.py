"""From a request to a plan: what it asks for, and what it is refused for."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from places import CHECKOUT

from lampbench.errors import RequestError
from lampbench.method.registry import list_methods
from lampbench.records.record import Record
from lampbench.records.results_folder import load_records
from lampbench.runner.plan import make_plan
from lampbench.runner.preset import preset_names
from lampbench.runner.request import Plan, RunRequest
from lampbench.runner.run_folder import folder_of, options_of


def plan_of(method: str, *options: str, task: str = "LaMP-4", **more: str) -> Plan:
    return make_plan(RunRequest(method, task, set=options, **more))  # type: ignore[arg-type]


def refusal(method: str, *options: str, **more: str) -> str:
    with pytest.raises(RequestError) as error:
        plan_of(method, *options, **more)
    return str(error.value)


# Options that can do nothing


@pytest.mark.parametrize(
    ("method", "options", "told"),
    [
        ("pplug", ["k=8"], "k=8 changes nothing without a retriever: set retriever=bm25, say"),
        ("pplug", ["k=8", "retriever=none"], "k=8 changes nothing without a retriever"),
        ("pplug", ["top_k=4", "attention=false"], "top_k=4 changes nothing with attention=false"),
        ("pplug+top4", ["attention=false"], "top_k=4 changes nothing with attention=false"),
        ("pplug", ["query_prefix=Q:", "attention=false"], "query_prefix=Q: changes nothing with attention"),
        ("pplug", ["personal=false", "max_history=9"], "max_history=9 changes nothing with personal=false"),
        ("pplug", ["personal=false", "prompts=true"], "prompts=true changes nothing with personal=false"),
        (
            "pplug+random-profile",
            ["personal=false"],
            "profile=random changes nothing with personal=false and without a retriever",
        ),
        ("pplug", ["evaluations=3"], "evaluations=3 changes nothing with hold_out=0"),
        ("prompt-tuning", ["evaluations=3"], "evaluations=3 changes nothing with hold_out=0"),
        ("ropg-kd", ["evaluations=3", "hold_out=0"], "evaluations=3 changes nothing with hold_out=0"),
        ("rspg-pre", ["evaluations=3", "hold_out=0"], "evaluations=3 changes nothing with hold_out=0"),
        ("finetune", ["k=8"], "k=8 changes nothing without a retriever: set retriever=bm25, say"),
        ("lora", ["select=loss", "hold_out=0"], "select=loss changes nothing with hold_out=0"),
        *(
            (
                f"{method}+{variant}",
                [],
                f"{option} changes nothing without a retriever: set retriever=bm25, say",
            )
            for method in ("finetune", "lora")
            for variant, option in (
                ("random-profile", "profile=random"),
                ("inputs-only", "history_fields=input"),
            )
        ),
        ("rrf", ["methods=bm25", "constant=9"], "constant=9.0 changes nothing where the rankings of one"),
    ],
)
def test_an_option_that_can_do_nothing_is_refused_with_the_reason(
    method: str, options: list[str], told: str
) -> None:
    name = method.partition("+")[0]
    message = refusal(method, *options)
    assert message.startswith(f"options of {name}: {told}")
    assert "\n" not in message


@pytest.mark.parametrize(
    ("method", "options"),
    [
        ("pplug", ["k=8", "retriever=bm25"]),
        ("pplug+retrieval", ["k=8"]),
        ("pplug", ["top_k=0", "attention=false", "k=4"]),  # what they are anyway
        ("pplug", ["personal=false", "history_fields=input", "retriever=bm25"]),
        ("pplug", ["evaluations=3", "hold_out=9"]),
        ("finetune+bm25", ["k=8", "profile=empty"]),
        ("rrf", ["constant=9"]),
    ],
)
def test_an_option_that_does_something_is_not_refused(method: str, options: list[str]) -> None:
    assert len(plan_of(method, *options).jobs) == 1


def test_what_a_preset_says_for_all_methods_may_be_of_no_use_to_one(tmp_path: Path) -> None:
    (job,) = plan_of("pplug").jobs
    assert job.config.k == 4  # the preset's, and without a retriever nobody asks
    assert "k" in job.made.idle()


def test_what_a_preset_says_of_the_history_refuses_no_method_that_reads_none(tmp_path: Path) -> None:
    mini = (CHECKOUT / "lampbench" / "presets" / "mini.toml").read_text(encoding="utf-8")
    preset = tmp_path / "inputs.toml"
    preset.write_text(mini.replace("[options]", '[options]\nhistory_fields = "input"'), encoding="utf-8")
    jobs = plan_of("finetune,finetune+bm25,lora-user+task", preset=str(preset)).jobs
    assert {job.label for job in jobs} == {"finetune", "finetune+bm25", "lora-user+task"}
    assert [job.config.history_fields for job in jobs] == ["input"] * 3


@pytest.mark.parametrize("preset", preset_names())
def test_every_declared_variant_can_be_planned(preset: str) -> None:
    own = [f"{info.name}+{name}" for info in list_methods() for name in info.variants]
    without_a_history = [
        f"{method}+{control}"
        for method in ("finetune", "lora")
        for control in ("random-profile", "shuffled-labels", "empty-profile", "inputs-only", "outputs-only")
    ]
    asked = [spec for spec in own if spec not in without_a_history]
    assert len(asked) > 60
    assert {job.label for job in plan_of(",".join(asked), preset=preset).jobs} == set(asked)


def test_every_recorded_run_of_the_checkout_is_planned_where_it_lies() -> None:
    results = CHECKOUT / "results"
    recorded: dict[str, list[Record]] = {}
    for record in load_records(results):
        recorded.setdefault(record.method.label, []).append(record)
    assert sum(map(len, recorded.values())) == 255
    for records in recorded.values():
        plan = make_plan(
            replace(request_of(records[0]), task=[*{r.task: 0 for r in records}], seed=[0, 1, 2])
        )
        planned = {folder_of(plan, job): job for job in plan.jobs}
        for record in records:
            assert record.folder is not None
            assert record.method.config.items() <= options_of(planned[record.folder].config).items()


def request_of(record: Record) -> RunRequest:
    """The request for a recorded run: of a declared variant by its name, of any other by its options."""
    method, label = record.method, record.method.label
    variants = {f"{info.name}+{name}" for info in list_methods() for name in info.variants}
    if method.variant is None or label in variants:
        return RunRequest(label, results=CHECKOUT / "results")
    options = [f"{name}={value}" for name, value in method.config.items()]
    return RunRequest(method.name, set=options, variant=method.variant, results=CHECKOUT / "results")


# The order of the jobs


def test_a_method_runs_after_those_that_it_is_built_on_and_otherwise_as_asked() -> None:
    jobs = plan_of("rspg-pre,rrf,recency,bm25", task="LaMP-4,LaMP-3", seed="1,0").jobs
    assert list(dict.fromkeys(job.label for job in jobs)) == ["recency", "bm25", "rrf", "rspg-pre"]
    assert [(job.task.name, job.seed) for job in jobs[:4]] == [
        *(("LaMP-4", 1), ("LaMP-4", 0)),
        *(("LaMP-3", 1), ("LaMP-3", 0)),
    ]


def test_a_run_has_the_limits_of_its_task() -> None:
    three, four = plan_of("adhoc", task="LaMP-3,LaMP-4", extract="first-line").jobs
    assert (three.settings.max_new_tokens, four.settings.max_new_tokens) == (10, 24)
    assert {three.settings.extract, four.settings.extract} == {"first-line"}


# What is refused


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"setting": "users"}, "unknown setting 'users': did you mean 'user'?"),
        ({"split": "train"}, "unknown split 'train'"),
        ({"dtype": "fp8"}, "unknown dtype 'fp8'"),
        ({"extract": "all"}, "unknown extraction 'all'"),
        ({"limit": 0}, "--limit must be at least 1, not 0"),
        ({"suite": "../up"}, "--suite '../up': use letters, digits"),
        ({"variant": "a b"}, "--variant 'a b': use letters, digits"),
        ({"llm": ""}, "--llm is empty: give a value, or leave it out"),
        ({"llm": "./gone"}, "--llm ./gone: no such folder"),
        ({"data": "gone"}, "--data gone: no such folder"),
        ({"seed": "1,x"}, "--seed 1,x: write an integer"),
        ({"seed": -1}, "--seed -1: seeds are integers from 0"),
        ({"method": "bm25+other"}, "unknown variant of bm25 'other'"),
        ({"method": " , "}, "no name given"),
        ({"set": ["top=1"]}, "unknown option of bm25 'top'"),
        ({"set": ["rrf.k=1"]}, "unknown method in --set 'rrf'"),
        ({"method": "bm25,rrf", "set": ["k=1"]}, "--set k: several methods run; write --set bm25.k=1"),
        ({"method": "bm25,rrf", "set": ["top=1"]}, "unknown option of bm25, rrf 'top'"),
        ({"task": "LaMP-1", "set": ["profile=shuffled-labels"]}, "profile=shuffled-labels: items of LaMP-1"),
        ({"method": "bm25,bm25+inputs-only", "variant": "v"}, "two of the runs would both be bm25+v"),
    ],
)
def test_a_wrong_request_is_one_line_before_anything_is_loaded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, options: dict[str, object], told: str
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(RequestError) as error:
        make_plan(RunRequest(**{"method": "bm25", "task": "LaMP-4", **options}))  # type: ignore[arg-type]
    assert str(error.value).startswith(told)
    assert "\n" not in str(error.value)
