"""Controls by name for every method that has their options, and what each shows the LLM."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from lampbench.methods.pplug import Config as PPlugConfig
from made_methods import PRESET
from tiny_tokenizers import byte_tokenizer

from lampbench.errors import RequestError
from lampbench.files.folders import cache_dir
from lampbench.method.registry import SHARED, all_variants, list_methods, load
from lampbench.prompts import personalized_prompt
from lampbench.records.predictions import Line, read_predictions
from lampbench.records.record import Record
from lampbench.runner.run import run

Runner = Callable[..., list[Record]]

SMALL = ("copies=0", "max_steps=2", "batch_size=3", "accumulation=1")


@pytest.fixture
def run_here(tmp_path: Path, tiny_llm: Path, tiny_encoder: Path, tiny_data: Path) -> Runner:
    """`run` on the tiny data and models."""
    preset = tmp_path / "tiny.toml"
    preset.write_text(PRESET.format(llm=tiny_llm, encoder=tiny_encoder, data=tiny_data), encoding="utf-8")

    def run_quietly(method: str, task: str = "LaMP-4", *options: str, **more: Any) -> list[Record]:
        return run(method, task, set=options, preset=str(preset), results=tmp_path, progress="none", **more)

    return run_quietly


def lines_of(record: Record) -> dict[str, Line]:
    return read_predictions(record.predictions)


# Which there are


@pytest.mark.parametrize("info", list_methods(), ids=lambda info: info.name)
def test_a_method_that_reads_a_profile_can_be_shown_another_or_a_part_of_it(info: Any) -> None:
    method = load(info)
    assert method.variants == info.variants  # imported or only read
    assert SHARED.keys() <= method.variants.keys() or not hasattr(method.config(), "profile")
    if not method.cls.reads_profile:
        assert not SHARED.keys() & method.variants.keys()


def test_a_methods_own_variant_of_a_name_counts() -> None:
    own = {"random-profile": {"k": 1}, "mine": {"k": 2}}
    assert all_variants(["profile"], own) == {**SHARED_BY_PROFILE, **own}
    assert all_variants(["k"], own) == own


SHARED_BY_PROFILE = {name: values for name, values in SHARED.items() if "profile" in values}


def test_a_control_has_its_name_however_it_was_asked_for(run_here: Runner) -> None:
    (by_name,) = run_here("bm25+random-profile")
    (spelled,) = run_here("bm25", "LaMP-4", "profile=random")
    assert by_name.method.label == spelled.method.label == "bm25+random-profile"
    assert by_name.method.config["profile"] == "random"


def test_controls_at_prediction_use_what_was_learned(run_here: Runner) -> None:
    # The norm makes soft vectors decide the answer of an LLM of random weights.
    own, stranger, nobody = run_here(
        "pplug,pplug+random-profile,pplug+empty-profile",
        "LaMP-4",
        *(f"pplug.{o}" for o in (*SMALL, "scale=60")),
    )
    assert len(list((cache_dir() / "fits").glob("pplug-*"))) == 1
    assert own.training == stranger.training == nobody.training
    answers = [[line["output"] for line in lines_of(record).values()] for record in (own, stranger, nobody)]
    assert answers[0] != answers[1]
    assert answers[0] != answers[2]


@pytest.mark.parametrize("variant", ["no-attention", "no-instruction", "top4", "labels"])
def test_the_variants_of_pplug_learn_for_themselves(run_here: Runner, variant: str) -> None:
    run_here("pplug", "LaMP-4", *SMALL)
    (record,) = run_here(f"pplug+{variant}", "LaMP-4", *SMALL)
    assert record.method.label.startswith(f"pplug+{variant}")
    assert len(list((cache_dir() / "fits").glob("pplug-*"))) == 2
    soft = 1 if variant == "no-instruction" else 2
    assert {line["tokens"]["soft"] for line in lines_of(record).values()} == {soft}


# Retrieved text beside the soft vectors


@pytest.mark.parametrize(("method", "retriever"), [("pplug+retrieval", "contriever"), ("pplug", "bm25")])
def test_pplug_reads_retrieved_items_as_text_too(run_here: Runner, method: str, retriever: str) -> None:
    options = SMALL if "+" in method else (*SMALL, "retriever=bm25")
    (both,) = run_here(method, "LaMP-4", *options)
    (text,) = run_here(retriever, "LaMP-4", f"k={both.method.config['k']}")
    (alone,) = run_here("pplug", "LaMP-4", *SMALL)
    assert both.method.config["k"] == (1 if "+" in method else 2)  # the paper's, the preset's
    for id, line in lines_of(both).items():
        assert line["ranked"] == lines_of(text)[id]["ranked"]
        assert line["tokens"]["prompt"] == lines_of(text)[id]["tokens"]["prompt"]
        assert line["tokens"]["soft"] == lines_of(alone)[id]["tokens"]["soft"] == 2
    assert both.cost.prompt_tokens > alone.cost.prompt_tokens
    assert (both.cost.bytes_per_user or 0) > (alone.cost.bytes_per_user or 0)
    assert (both.retriever is not None) == (retriever == "contriever")
    assert both.training != alone.training  # the items were there in training too


def test_the_text_beside_the_soft_vectors_shows_what_the_encoder_reads(run_here: Runner) -> None:
    (both,) = run_here("pplug+outputs-only", "LaMP-4", "retriever=bm25", *SMALL)
    (text,) = run_here("bm25+outputs-only", "LaMP-4")
    for id, line in lines_of(both).items():
        assert line["tokens"]["prompt"] == lines_of(text)[id]["tokens"]["prompt"]


@pytest.mark.parametrize(
    ("retriever", "message"), [("bm26", "unknown method 'bm26'"), ("adhoc", "method 'adhoc' ranks nothing")]
)
def test_a_retriever_must_be_a_method_that_ranks(run_here: Runner, retriever: str, message: str) -> None:
    with pytest.raises(Exception, match=message):
        run_here("pplug", "LaMP-4", f"retriever={retriever}", *SMALL)


def test_the_released_program_had_no_retriever() -> None:
    with pytest.raises(ValueError, match="knows no retriever"):
        PPlugConfig(redecode_input=True, retriever="bm25")


# What of an item is shown


ITEM = {
    "title": "Lamps",
    "abstract": "On lamps.",
    "description": "A lamp goes out.",
    "tag": "comedy",
    "text": "Bright.",
    "score": 5,
}
SHOWN = {
    "LaMP-2": ('the movie: "A lamp goes out." . INPUT', 'the tag for a movie is "comedy" . INPUT'),
    "LaMP-3": ('the review: "Bright." . INPUT', "5 is the score for a review . INPUT"),
    "LaMP-4": ('the article: "Bright." . INPUT', '"Lamps" is the title for an article . INPUT'),
    "LaMP-5": (
        'the abstract: "On lamps." . Following the given patterns INPUT',
        '"Lamps" is a title for an abstract . Following the given patterns INPUT',
    ),
}


@pytest.mark.parametrize("task", SHOWN)
def test_a_prompt_may_show_what_a_user_was_given_or_what_the_user_answered(task: str) -> None:
    def prompt(**options: Any) -> str:
        return personalized_prompt(task, "INPUT", [ITEM], byte_tokenizer(), 400, **options)

    assert prompt(fields="input") == SHOWN[task][0]
    assert prompt(fields="output") == SHOWN[task][1]
    assert prompt(fields="both") == prompt(fields="released") == prompt()


@pytest.mark.parametrize("task", ["LaMP-1", "LaMP-7"])
def test_items_of_one_part_are_always_shown(task: str) -> None:
    asked = "the title of an input"
    prompts = {
        personalized_prompt(task, asked, [ITEM], byte_tokenizer(), 400, fields)  # type: ignore[arg-type]
        for fields in ("released", "input", "output", "both")
    }
    assert len(prompts) == 1
    assert prompts != {asked}


@given(
    fields=st.sampled_from(["input", "output"]),
    lengths=st.lists(st.integers(0, 90), min_size=1, max_size=4),
    limit=st.integers(120, 300),
)
def test_parts_of_items_keep_to_the_budget(fields: Any, lengths: list[int], limit: int) -> None:
    tokenizer = byte_tokenizer()
    items = [{**ITEM, "text": "x" * n, "title": "y" * (n // 4)} for n in lengths]
    prompt = personalized_prompt("LaMP-4", "INPUT", items, tokenizer, limit, fields)
    # Joining costs 7 tokens of these and the official rule sets 2 aside.
    assert len(tokenizer(prompt)["input_ids"]) <= limit + 5 * len(items)
    assert ("x" not in prompt) if fields == "output" else ("y" not in prompt)


def test_unknown_fields_are_refused() -> None:
    with pytest.raises(RequestError, match="unknown fields 'label'"):
        personalized_prompt("LaMP-4", "INPUT", [ITEM], byte_tokenizer(), 400, "label")  # type: ignore[arg-type]


@pytest.mark.parametrize("method", ["bm25", "recency"])
def test_what_is_shown_does_not_change_what_is_retrieved(run_here: Runner, method: str) -> None:
    usual, inputs, outputs = run_here(f"{method},{method}+inputs-only,{method}+outputs-only")
    shown = [lines_of(record) for record in (usual, inputs, outputs)]
    for id, line in shown[0].items():
        assert line["ranked"] == shown[1][id]["ranked"] == shown[2][id]["ranked"]
    assert outputs.cost.prompt_tokens < usual.cost.prompt_tokens
    assert len({str(lines_of(r)) for r in (usual, inputs, outputs)}) == 3
