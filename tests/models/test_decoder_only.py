"""Every method keeps its rules on decoder-only LLMs too, and trained soft vectors teach them."""

from __future__ import annotations

from pathlib import Path

import pytest
from made_methods import PRESET
from safetensors.torch import load_file, save_file

from lampbench.conformance.method_rules import check_methods
from lampbench.conformance.report import CheckReport
from lampbench.method.registry import list_methods
from lampbench.mini.tiny_models import write_tiny_llm
from lampbench.models.frozen_llm import FrozenLLM
from lampbench.records.predictions import read_predictions
from lampbench.runner.run import run

KINDS = ("llama", "qwen2")


@pytest.fixture(scope="module", params=KINDS)
def reports(request: pytest.FixtureRequest) -> dict[str, CheckReport]:
    """The conformance check of all methods on one kind of LLM: with left padding, among other things, a
    question alone and in a batch gets the same answer."""
    return {r.name: r for r in check_methods("all", tasks=["LaMP-3"], llm=request.param)}


@pytest.mark.parametrize("name", [info.name for info in list_methods()])
def test_the_method_keeps_the_rules(reports: dict[str, CheckReport], name: str) -> None:
    assert reports[name].passed, str(reports[name])


@pytest.mark.parametrize("kind", KINDS)
def test_the_tiny_models_are_what_they_are_called(kind: str, tmp_path: Path, tiny_texts: list[str]) -> None:
    llm = FrozenLLM.load(write_tiny_llm(tmp_path / kind, tiny_texts, kind=kind), device="cpu")
    assert llm.model.config.model_type == kind
    assert not llm.is_encoder_decoder
    ids = llm.tokenizer("just answer with 1, 2, 3")["input_ids"]
    assert (
        llm.tokenizer.decode(ids, skip_special_tokens=True).replace(" ,", ",") == "just answer with 1, 2, 3"
    )
    assert (ids[0] == llm.tokenizer.bos_token_id) == (kind == "llama")
    assert ids[-1] != llm.tokenizer.eos_token_id


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("method", ["pplug", "prompt-tuning"])
def test_soft_vectors_learn_and_only_new_tokens_are_the_answer(
    method: str, kind: str, tmp_path: Path, tiny_texts: list[str], tiny_encoder: Path, tiny_data: Path
) -> None:
    llm = write_tiny_llm(tmp_path / f"tiny-{kind}", tiny_texts, kind=kind)
    weights = load_file(llm / "model.safetensors")
    # Weights as wide as those make answers differ, and the loss too rough to go down.
    calm = {name: weight * (0.3 if weight.ndim > 1 else 1) for name, weight in weights.items()}
    save_file(calm, llm / "model.safetensors", metadata={"format": "pt"})
    preset = tmp_path / "tiny.toml"
    preset.write_text(PRESET.format(llm=llm, encoder=tiny_encoder, data=tiny_data), encoding="utf-8")
    steps = ("copies=0", "epochs=60", "batch_size=8", "accumulation=1", "learning_rate=0.003")
    (record,) = run(
        method, "LaMP-3", set=steps, preset=str(preset), results=tmp_path / "results", progress="none"
    )
    assert record.training is not None
    assert record.training.steps == 60
    losses = [loss for _, loss in record.training.losses]  # each the mean of two steps
    assert sum(losses[-5:]) / 5 < sum(losses[:3]) / 3 - 0.3  # nats per token
    for line in read_predictions(record.predictions).values():
        assert line["tokens"]["soft"] == (2 if method == "pplug" else 1)
        assert 1 <= line["tokens"]["generated"] <= 5
        assert "review" not in line["output"]  # every prompt has the word
