"""The prompts that an encoder's authors name: left out unless asked for, told in the record, right when used."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Any

import pytest
import torch
from tiny_encoder import CLS, MEAN, write_tiny_encoder

from lampbench.errors import RequestError
from lampbench.loading.encoder_prompts import Prompts
from lampbench.models.encoder import TextEncoder
from lampbench.runner.run import run

NAMED = {"query": "cats chase: ", "document": "dogs hate: "}
TEXTS = ["red fish", "green trees and birds"]


def write_prompts(folder: Path, **config: Any) -> None:
    text = json.dumps({"prompts": NAMED, "default_prompt_name": "query", **config})
    (folder / "config_sentence_transformers.json").write_text(text)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = write_tiny_encoder(tmp_path / "e", pooling=MEAN, modules=["Transformer", "Pooling"])
    write_prompts(folder)
    return folder


def load(folder: Path) -> TextEncoder:
    return TextEncoder.load(folder, device="cpu", dtype="float32")


def test_texts_are_encoded_as_they_are_and_nobody_says_otherwise(
    folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    from sentence_transformers import SentenceTransformer

    with caplog.at_level(logging.WARNING):
        encoder = load(folder)
    assert "prompt" not in caplog.text
    theirs = SentenceTransformer(str(folder), device="cpu").encode(TEXTS, prompt="", convert_to_tensor=True)
    torch.testing.assert_close(encoder.encode(TEXTS), theirs, rtol=1e-5, atol=1e-6)


def test_with_its_prompts_vectors_are_those_of_its_library(folder: Path) -> None:
    from sentence_transformers import SentenceTransformer

    encoder, theirs = load(folder), SentenceTransformer(str(folder), device="cpu")
    prompts = encoder.own_prompts()
    for prefix, encode in (
        (prompts.query, theirs.encode_query),
        (prompts.document, theirs.encode_document),
    ):
        expected = encode(TEXTS, convert_to_tensor=True)
        mine = encoder.encode([prefix + text for text in TEXTS])
        torch.testing.assert_close(mine, expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    ("named", "default", "expected"),
    [
        ({"query": "q: ", "passage": "p: "}, None, Prompts("q: ", "p: ")),
        ({"query": "q: ", "document": "", "corpus": "c: "}, None, Prompts("q: ", "c: ")),
        ({"query": "q: "}, None, Prompts("q: ", "")),
        ({"s2s": "all: "}, "s2s", Prompts("all: ", "all: ")),
        ({"query": "", "document": ""}, None, Prompts()),
    ],
)
def test_prompts_are_found_by_the_names_of_the_library(
    named: dict[str, str | None], default: str | None, expected: Prompts
) -> None:
    assert Prompts.of(named, default) == expected


def test_who_asks_for_prompts_that_are_not_there_is_told(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(RequestError, match="encoder 'plain' names no prompts"):
        load(write_tiny_encoder(tmp_path / "plain", pooling=CLS)).own_prompts()
    pooling = folder / "1_Pooling" / "config.json"
    pooling.write_text(json.dumps({**json.loads(pooling.read_text()), "include_prompt": False}))
    with pytest.raises(RequestError, match="pools without its prompts"):
        load(folder).own_prompts()


def test_text_is_lowered_where_the_folder_says_so(tmp_path: Path) -> None:
    from sentence_transformers import SentenceTransformer
    from transformers import BertTokenizerFast

    folder = write_tiny_encoder(tmp_path, pooling=MEAN, modules=["Transformer", "Pooling"])
    vocab = {word: i for i, word in enumerate((folder / "vocab.txt").read_text().split("\n"))}
    BertTokenizerFast(vocab=vocab, do_lower_case=False).save_pretrained(folder)
    (folder / "sentence_bert_config.json").write_text('{"max_seq_length": 32, "do_lower_case": true}')
    shouted = [text.upper() for text in TEXTS]
    encoder = load(folder)
    torch.testing.assert_close(encoder.encode(shouted), encoder.encode(TEXTS))
    theirs = SentenceTransformer(str(folder), device="cpu").encode(shouted, convert_to_tensor=True)
    torch.testing.assert_close(encoder.encode(shouted), theirs, rtol=1e-5, atol=1e-6)


@pytest.fixture
def options(tiny_llm: Path, tiny_encoder: Path, tiny_data: Path, tmp_path: Path) -> dict[str, Any]:
    """A run with an encoder that has prompts."""
    import shutil

    folder = tmp_path / "prompted"
    shutil.copytree(tiny_encoder, folder)
    modules = write_tiny_encoder(tmp_path / "other", pooling=MEAN, modules=["Transformer", "Pooling"])
    for name in ("modules.json", "1_Pooling/config.json"):
        shutil.copy(modules / name, folder / name)
    write_prompts(folder)
    both = {"encoder": str(folder), "retriever": str(folder), "llm": str(tiny_llm), "data": tiny_data}
    return {**both, "results": tmp_path, "progress": "none", "device": "cpu"}


def test_the_record_tells_of_prompts_and_an_option_uses_them(options: dict[str, Any]) -> None:
    (without,) = run("contriever", "LaMP-4", **options)
    (with_prompts,) = run("contriever", "LaMP-4", set=["prompts=true"], **options)
    for record in (without, with_prompts):
        assert record.retriever is not None
        assert record.retriever.prompts == NAMED
    assert without.method.config["prompts"] is False
    assert with_prompts.method.config["prompts"] is True
    assert without.predictions.read_text() != with_prompts.predictions.read_text()


def test_persona_plug_can_use_them_too(options: dict[str, Any]) -> None:
    small = ["max_steps=1", "batch_size=2", "accumulation=1"]
    (record,) = run("pplug", "LaMP-4", set=[*small, "prompts=true"], **options)
    assert record.encoder is not None
    assert record.encoder.prompts == NAMED


def test_a_run_says_that_prompts_are_left_out(
    options: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    run("contriever", "LaMP-4", **{**options, "progress": "plain"})
    assert (
        "its prompts for queries and documents are left out without prompts=true" in capsys.readouterr().err
    )
