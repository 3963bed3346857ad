"""Names of suites and of what tells a configuration from the usual one: predictable, and never one for two."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from lampbench.runner.naming import LONGEST_LABEL, suite_name
from lampbench.runner.plan import make_plan
from lampbench.runner.preset import load_preset
from lampbench.runner.request import RunRequest

MINI = load_preset("mini")


def labels(method: str, *options: str, task: str = "LaMP-4", **more: Any) -> list[str]:
    return [job.label for job in make_plan(RunRequest(method, task, set=options, **more)).jobs]


def suite(**options: Any) -> str:
    request = RunRequest("bm25", **options)
    return suite_name(MINI, request, request.setting or MINI.setting, request.dtype or "auto")


# Suites


@pytest.mark.parametrize(
    ("options", "name"),
    [
        ({}, "mini"),
        ({"llm": "google/flan-t5-base"}, "mini-flan-t5-base"),
        ({"setting": "time", "split": "test"}, "mini-time-test"),
        ({"dtype": "bfloat16", "limit": 8}, "mini-bfloat16-limit8"),
        ({"chat_template": True, "extract": "label"}, "mini-chat-extract-label"),
        ({"chat_template": False, "extract": "none", "setting": "user"}, "mini"),  # as the preset says
        ({"llm": MINI.llm, "data": MINI.data}, "mini"),
    ],
)
def test_a_suite_is_named_after_what_differs_from_its_preset(options: dict[str, Any], name: str) -> None:
    assert suite(**options) == name


def test_models_whose_names_lose_something_in_a_folders_name_are_told_apart() -> None:
    names = [suite(llm=f"me/{model}") for model in ("a b", "a-b", "a:b", "ab")]
    assert len(set(names)) == 4
    assert names[1] == "mini-a-b"
    assert all(re.fullmatch(r"[A-Za-z0-9._,-]+", name) for name in names)


def test_a_folder_is_named_as_it_is_wherever_it_is_named_from(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "model").mkdir()
    monkeypatch.chdir(tmp_path / "model")
    assert {suite(llm="."), suite(llm="../model/"), suite(llm=str(tmp_path / "model"))} == {"mini-model"}


# Variants


def test_the_usual_configuration_has_no_variant() -> None:
    assert labels("bm25") == labels("bm25", "k=4") == ["bm25"]  # the preset's k


def test_a_declared_variant_has_its_name_and_anything_beside_it_is_spelled_out() -> None:
    assert labels("pplug+top4") == labels("pplug", "top_k=4") == ["pplug+top4"]
    assert labels("pplug+top4", "hold_out=9") == ["pplug+top4+hold_out=9"]
    assert labels("pplug+top4", "top_k=3") == ["pplug+top4+top_k=3"]


def test_an_option_of_a_variant_that_is_set_back_to_the_usual_is_spelled_out() -> None:
    assert labels("pplug+top4", "top_k=0") == ["pplug+top4+top_k=0"]
    assert labels("finetune+bm25", "retriever=none") == ["finetune+bm25+retriever=none"]
    assert labels("lora-user+oppu", "clip=1") == ["lora-user+oppu+clip=1.0"]  # the others hold
    assert labels("finetune+bm25", "retriever=bm25") == ["finetune+bm25"]


def test_what_is_changed_below_is_spelled_with_its_method() -> None:
    assert "rspg-pre+bm25.k=9" in labels("rspg-pre,bm25", "bm25.k=9")  # asks for its prompts
    assert "rrf+bm25.use_date=true" in labels("rrf,bm25", "bm25.use_date=true")
    assert "rrf+k=2+bm25.use_date=true" in labels("rrf,bm25", "bm25.use_date=true", "rrf.k=2")
    assert labels("rrf", "history_fields=input") == ["rrf+inputs-only"]  # below too, and said once


@pytest.mark.parametrize(
    ("method", "options", "expected"),
    [
        ("bm25,rrf", ["bm25.k=8"], ["bm25+k=8", "rrf"]),  # of rankings any k takes the first
        ("bm25,finetune+bm25", ["bm25.k=8"], ["bm25+k=8", "finetune+bm25"]),
        ("contriever,pplug+retrieval", ["contriever.k=8"], ["contriever+k=8", "pplug+retrieval"]),
        (
            "ropg-kd,rrf",
            ["ropg-kd.k=8", "rrf.methods=ropg-kd,bm25"],
            ["ropg-kd+k=8", "rrf+methods=ropg-kd,bm25"],
        ),
        (
            "rrf,rspg-pre",
            ["rrf.k=8", "rspg-pre.pool=rrf,bm25"],
            ["rrf+k=8", "rspg-pre+pool=rrf,bm25+rrf.k=8"],
        ),
        ("bm25,rspg-pre", ["bm25.profile=empty"], ["bm25+empty-profile", "rspg-pre"]),  # the run's own counts
        (
            "lora,lora-user+task",
            ["lora.retriever=bm25", "lora.k=8"],
            ["lora+k=8+retriever=bm25", "lora-user+task"],
        ),
    ],
)
def test_what_cannot_act_below_is_said_of_a_run_of_its_own_alone(
    method: str, options: list[str], expected: list[str]
) -> None:
    assert sorted(labels(method, *options)) == expected


def test_a_method_has_one_name_on_all_tasks_though_its_preset_differs_between_them() -> None:
    # LaMP-2 has a scale of its own in the preset: there the option changes nothing.
    assert labels("pplug", "scale=45", task="LaMP-2") == ["pplug"]
    assert labels("pplug", "scale=45", task="LaMP-2,LaMP-4") == ["pplug+scale=45.0"] * 2


def test_a_name_of_ones_own_replaces_all_of_that() -> None:
    assert labels("bm25+inputs-only", "k=1", variant="mine") == ["bm25+mine"]


def test_long_names_are_cut_and_still_tell_two_configurations_apart() -> None:
    pools = ["bm25,recency,random", "bm25,random,recency"]
    many = ["max_length=9", "questions=5", "epochs=3", "batch_size=4", "learning_rate=0.1", "warmup=0.5"]
    long = [labels("rspg-pre", f"pool={pool}", *many, "temperature=3")[0] for pool in pools]
    assert len(set(long)) == 2
    assert {len(label) for label in long} == {len("rspg-pre+") + LONGEST_LABEL}


def test_a_value_that_loses_something_is_told_apart() -> None:
    texts = ["Q", "Q:", "Q: ", "q"]
    names = [labels("pplug", f"query_prefix={text}")[0] for text in texts]
    assert names[0] == "pplug+query_prefix=Q"
    assert names[1] == names[2]  # one value: the ends of a setting are no part of it
    assert len({*names}) == 3
