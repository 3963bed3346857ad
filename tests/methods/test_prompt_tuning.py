"""Prompt tuning is Persona-Plug without the user, learns the task, and cannot know a persona."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from lampbench.methods.prompt_tuning import Config, Method
from made_methods import PRESET
from planted import TAGS, planted_bench
from safetensors.torch import load_file

from lampbench.cli.app import main
from lampbench.families.soft_prompt import InstructionTokens
from lampbench.files.folders import cache_dir
from lampbench.records.predictions import read_predictions
from lampbench.records.record import Record
from lampbench.runner.run import run

SMALL = ("copies=1", "max_steps=4", "batch_size=3", "accumulation=2", "learning_rate=0.01")


@pytest.fixture
def run_here(
    tmp_path: Path, tiny_llm: Path, tiny_encoder: Path, tiny_data: Path
) -> Callable[..., list[Record]]:
    """`run` on the tiny data and models."""
    preset = tmp_path / "tiny.toml"
    preset.write_text(PRESET.format(llm=tiny_llm, encoder=tiny_encoder, data=tiny_data), encoding="utf-8")

    def run_quietly(method: str, *options: str, **more: Any) -> list[Record]:
        return run(
            method, "LaMP-3", set=options, preset=str(preset), results=tmp_path, progress="none", **more
        )

    return run_quietly


def learned(method: str) -> dict[str, torch.Tensor]:
    """The weights that its one fit has left."""
    (file,) = (cache_dir() / "fits").glob(f"{method}-*/learned/trainable.safetensors")
    return load_file(file)


def test_with_one_token_it_is_pplug_without_the_personal_vector_to_the_bit(
    run_here: Callable[..., list[Record]],
) -> None:
    # The dropout of the LLM is on, as by default: chance must fall alike, too.
    (alone,) = run_here("prompt-tuning", *SMALL)
    (control,) = run_here("pplug", "personal=false", *SMALL)
    assert alone.training is not None
    assert control.training is not None
    assert alone.training.losses == control.training.losses
    assert alone.training.settings == control.training.settings
    assert len(alone.training.losses) == 4
    ours = learned("prompt-tuning")
    theirs = {name.removeprefix("plug.instruction."): weight for name, weight in learned("pplug").items()}
    assert ours.keys() == theirs.keys()
    assert all(torch.equal(weight, theirs[name]) for name, weight in ours.items())
    assert alone.predictions.read_bytes() == control.predictions.read_bytes()


def test_a_number_of_tokens_stands_in_front_of_every_question(
    run_here: Callable[..., list[Record]],
) -> None:
    (record,) = run_here("prompt-tuning", "tokens=5", *SMALL)
    lines = read_predictions(record.predictions).values()
    assert {line["tokens"]["soft"] for line in lines} == {5}
    assert not any(line["ranked"] for line in lines)
    assert learned("prompt-tuning")["vectors"].numel() == 5 * 16
    assert record.cost.bytes_per_user == 0
    assert record.method.reads_profile is False


def test_each_token_starts_as_long_as_an_embedding_and_none_like_another() -> None:
    torch.manual_seed(0)
    with torch.no_grad():
        soft = InstructionTokens(4, 384, 512, scale=20.0)(3)
    assert soft.shape == (3, 4, 512)
    torch.testing.assert_close(soft[0].norm(dim=1), torch.full((4,), 20.0), rtol=0.15, atol=0)
    assert torch.equal(soft[0], soft[2])
    assert (torch.cdist(soft[0], soft[0]) + torch.eye(4) > 0.5).all()


def test_it_learns_the_task_and_no_persona(tmp_path: Path) -> None:
    bench = planted_bench(tmp_path)
    how = {"copies": 1, "epochs": 7.0, "batch_size": 16, "accumulation": 1, "learning_rate": 0.01}
    method = Method(Config(tokens=4, llm_dropout=False, **how))  # type: ignore[arg-type]
    torch.manual_seed(0)
    method.module = method.build(bench)
    dev = bench.data.split("dev")
    blind = list(dev.without_outputs())

    def answers(examples: list[Any]) -> list[str]:
        return [prediction.output for prediction in method.predict(bench, examples)]

    assert not set(answers(blind)) & set(TAGS)  # fresh vectors say nothing of the task
    method.fit(bench, bench.data.split("train"))
    known = answers(blind)
    assert set(known) <= set(TAGS)
    assert np.mean([a == e.output for a, e in zip(known, dev, strict=True)]) <= 0.5  # pplug: above 0.9
    # It reads the question, and nothing else.
    assert len({(e.input, a) for e, a in zip(blind, known, strict=True)}) == len({e.input for e in blind})
    strangers = [replace(e, item_rows=e.item_rows[:0], item_ids=[]) for e in blind]
    assert answers(strangers) == known


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--set", "profile=random"), "unknown option of prompt-tuning 'profile'"),
        (("--set", "tokens=0"), "tokens must be at least 1, not 0"),
        (("--set", "epochs=0"), "epochs must be above 0"),
    ],
)
def test_options_that_make_no_sense_are_refused(
    words: tuple[str, ...], message: str, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    with pytest.raises(SystemExit) as end:
        main(["run", "--method", "prompt-tuning", "--results", str(tmp_path), *words])
    assert end.value.code == 2
    assert message in capsys.readouterr().err
