"""Tuning the LLM on a task, by all weights or by adapters: what it learns, what it leaves alone, what it reads."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor
from tuned_bench import ANIMALS, COLOUR_OF, KINDS, MATRICES, answers, headlines, make_bench, ready, small_llm

from lampbench.data import TaskData
from lampbench.errors import RequestError
from lampbench.method.bench import Bench
from lampbench.method.registry import SHARED
from lampbench.methods import adhoc, bm25, finetune, lora
from lampbench.models.fingerprint import weights_fingerprint
from lampbench.models.llm import LLM
from lampbench.models.requests import Request
from lampbench.prompts import personalized_prompt
from lampbench.training import TrainSettings, run_state

WHOLE = {"epochs": 5.0, "learning_rate": 0.01, "hold_out": 12, "batch_size": 12}
LOW_RANK = {**WHOLE, "learning_rate": 0.02, "rank": 8, "alpha": 16.0, "clip": 1.0}


def planted(folder: Path) -> TaskData:
    """Headlines that name the colour of the article's animal: no LLM can know these colours."""
    train = [(animal, colour, [("dogs", "red")]) for animal, colour in COLOUR_OF.items()] * 12
    headlines(folder, train, split="train")
    return headlines(folder, train[:12])


def tuned(kind: str, name: str, **options: Any) -> Any:
    if name == "finetune":
        return finetune.Method(finetune.Config(**{**WHOLE, **options}))
    return lora.Method(lora.Config(**{**LOW_RANK, "targets": MATRICES[kind], **options}))


@pytest.mark.parametrize("name", ["finetune", "lora"])
@pytest.mark.parametrize("kind", KINDS)
def test_it_learns_what_the_llm_cannot_know_and_leaves_the_llm_alone(
    tmp_path: Path, kind: str, name: str
) -> None:
    llm = small_llm(kind)
    bench = make_bench(tmp_path, planted(tmp_path / "data"), llm)
    dev = bench.data.split("dev")
    golds, blind = list(dev.golds.values()), list(dev.without_outputs())
    before, frozen = answers(adhoc.Method(None), bench, blind), weights_fingerprint(llm.model)
    assert sum(a == gold for a, gold in zip(before, golds, strict=True)) <= 4

    method = ready(tuned(kind, name), bench)
    after = answers(method, bench, blind)
    assert sum(a == gold for a, gold in zip(after, golds, strict=True)) >= 11
    assert weights_fingerprint(llm.model) == frozen
    assert answers(adhoc.Method(None), bench, blind) == before

    # What was learned is on disk, and nothing else is: a fresh method with it answers the same.
    method.save(tmp_path / "saved")
    saved = load_file(tmp_path / "saved" / "trainable.safetensors")
    assert sum(t.numel() for t in saved.values()) == sum(
        p.numel() for p in method.module.parameters() if p.requires_grad
    )
    assert all((".lora_" in key) == (name == "lora") for key in saved)
    again = tuned(kind, name)
    again.module = again.build(bench)
    assert answers(again, bench, blind) == before
    again.restore(tmp_path / "saved")
    assert answers(again, bench, blind) == after


@pytest.mark.parametrize("name", ["finetune", "lora"])
def test_killed_and_resumed_it_ends_with_the_same_weights(
    tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    llm = small_llm("t5")
    data = planted(tmp_path / "data")
    options = {"max_steps": 12, "dropout": 0.3} if name == "lora" else {"max_steps": 12}
    whole = ready(tuned("t5", name, **options), make_bench(tmp_path / "whole", data, llm))

    monkeypatch.setattr(run_state, "CHECKPOINT_SECONDS", 0.0)
    asked = LLM.loss
    steps: list[int] = []

    def dying(self: LLM, *args: Any, **options: Any) -> Tensor:
        steps.append(1)
        if len(steps) == 9:
            raise KeyboardInterrupt
        return asked(self, *args, **options)

    monkeypatch.setattr(LLM, "loss", dying)
    bench = make_bench(tmp_path / "killed", data, llm)
    with pytest.raises(KeyboardInterrupt):
        ready(tuned("t5", name, **options), bench)
    resumed = ready(tuned("t5", name, **options), bench)
    assert 12 < len(steps) < 9 + 12
    weights = dict(whole.module.named_parameters())
    for key, parameter in resumed.module.named_parameters():
        assert torch.equal(parameter, weights[key]), key


def test_head_and_embeddings_of_the_tuned_copy_are_trained_apart(tmp_path: Path) -> None:
    llm = small_llm("llama")
    method = ready(tuned("llama", "finetune", max_steps=2), make_bench(tmp_path, planted(tmp_path), llm))
    model = method.module["llm"]
    assert not torch.equal(model.get_input_embeddings().weight, llm.model.get_input_embeddings().weight)
    assert not torch.equal(model.get_output_embeddings().weight, llm.model.get_output_embeddings().weight)


def test_the_copy_is_float32_whatever_the_llm_is() -> None:
    llm = small_llm("t5")
    llm.model.bfloat16()
    bench: Any = type("Bench", (), {"llm": llm})()
    copy: Any = finetune.Method(finetune.Config()).tunable(bench)
    assert {p.dtype for p in copy.parameters()} == {torch.float32}
    assert {p.dtype for p in llm.model.parameters()} == {torch.bfloat16}


# Retrieval


def test_with_a_retriever_its_items_are_in_the_prompts_of_training_and_prediction(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    history = [("cats", "red"), ("dogs and mice", "blue"), ("fish", "green")]
    headlines(tmp_path, [(animal, "red", history) for animal in ANIMALS], split="train")
    data = headlines(tmp_path, [("dogs", "red", history), ("fish", "red", [])])
    llm = small_llm("t5")
    others = {"bm25": lambda: bm25.Method(bm25.Config())}
    bench = make_bench(tmp_path, data, llm, others, max_input_tokens=120)
    read: list[str] = []
    asked, streamed = LLM.loss, LLM.stream

    def loss(self: LLM, requests: Sequence[Request], *args: Any, **options: Any) -> Tensor:
        read.extend(request.prompt for request in requests)
        return asked(self, requests, *args, **options)

    monkeypatch.setattr(LLM, "loss", loss)
    method = ready(
        tuned("t5", "finetune", retriever="bm25", k=2, hold_out=0, epochs=1.0, batch_size=6), bench
    )

    def expected(example: Any, *positions: int) -> str:
        return personalized_prompt(data.task, example.input, example.select(positions), llm.tokenizer, 120)

    train = {example.input.split()[-1]: example for example in data.split("train")}
    assert len(read) == 6
    assert expected(train["cats"], 0, 2) in read  # equal scores: the later item first
    assert '"red" is the title for "cats"' in expected(train["cats"], 0, 2)

    prompts: list[str] = []

    def stream(self: LLM, requests: Any, **options: Any) -> Any:
        kept = list(requests)
        prompts.extend(request.prompt for request in kept)
        return streamed(self, kept, **options)

    monkeypatch.setattr(LLM, "stream", stream)
    dev = list(data.split("dev").without_outputs())
    predictions = list(method.predict(bench, dev))
    assert predictions[0].ranked == ("0-1", "0-2")
    assert prompts == [expected(dev[0], 1, 2), dev[1].input]  # without a history the question alone
    assert method.bytes_per_user(bench, dev[0]) == sum(
        len(f"{item['text']}{item['title']}{item['id']}") for item in dev[0].profile
    )
    assert tuned("t5", "finetune").bytes_per_user(bench, dev[0]) == 0


def test_the_retriever_is_what_it_is_built_on() -> None:
    assert finetune.Method(finetune.Config()).uses() == ()
    for variant, options in finetune.Method.variants.items():
        assert finetune.Method(finetune.Config(**options)).uses() == (variant,)
        assert lora.Method(lora.Config(**lora.Method.variants[variant])).uses() == (variant,)
    with pytest.raises(RequestError, match="its own retriever"):
        lora.Method(lora.Config(retriever="lora")).uses()


# Selection


def training_of(bench: Bench, method: Any, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """What `fit` asks of `bench.train`."""
    seen: dict[str, Any] = {}

    def train(module: Any, examples: Any, loss: Any, settings: TrainSettings, **more: Any) -> None:
        seen.update(more, examples=examples, settings=settings)

    monkeypatch.setattr(bench, "train", train)
    ready(method, bench)
    return seen


def test_the_best_epoch_is_chosen_by_the_tasks_metric_on_held_out_training_questions(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench = make_bench(tmp_path, planted(tmp_path), small_llm("t5"))
    seen = training_of(bench, tuned("t5", "finetune", hold_out=20, epochs=3.0), monkeypatch)
    settings = seen["settings"]
    assert (len(seen["examples"]), len(seen["dev"])) == (52, 20)
    assert (settings.steps, settings.eval_every, settings.select) == (13, 5, "best")  # 52 questions by 12

    held = bench.hold_out(bench.data.split("train"), 20)[1]
    golds = {example.id: example.output for example in held}

    def generate(examples: Any, *_: Any, **__: Any) -> Any:
        for i, example in enumerate(examples):
            yield replace(blank, id=example.id, output=golds[example.id] if i < 15 else "wrong")

    from lampbench.records.prediction import Prediction

    blank = Prediction("", "")
    monkeypatch.setattr(bench, "generate", generate)
    assert seen["dev_score"]() == pytest.approx(-0.75)  # ROUGE-1: higher is better, so lower is worse


def test_otherwise_by_the_loss_or_not_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bench = make_bench(tmp_path, planted(tmp_path), small_llm("t5"))
    seen = training_of(bench, tuned("t5", "lora", select="loss"), monkeypatch)
    assert seen["dev_score"] is None
    assert seen["settings"].select == "best"
    seen = training_of(bench, tuned("t5", "lora", hold_out=0, max_steps=4), monkeypatch)
    assert (seen["settings"].select, seen["settings"].eval_every, seen["settings"].steps) == ("last", 0, 4)


def test_the_defaults_are_the_papers() -> None:
    c = finetune.Config()
    assert (c.epochs, c.batch_size, c.learning_rate, c.weight_decay, c.warmup) == (10, 16, 5e-5, 1e-4, 0.05)
    low = lora.Config()
    assert (low.rank, low.alpha, low.dropout, low.targets) == (8, 8, 0.05, ("q", "k", "v"))
    assert (low.epochs, low.learning_rate, low.weight_decay, low.warmup, low.clip) == (
        3,
        1e-4,
        1e-2,
        0.1,
        0.3,
    )


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"epochs": 0.0}, "epochs must be above 0"),
        ({"hold_out": -1}, "hold_out must not be negative"),
        ({"k": 0}, "k must be at least 1"),
        ({"rank": 0}, "rank must be at least 1"),
    ],
)
def test_options_that_make_no_sense_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        lora.Config(**options)


@pytest.mark.parametrize("method", [finetune, lora])
@pytest.mark.parametrize("variant", SHARED)
def test_a_control_needs_a_retriever_that_reads_the_history(method: Any, variant: str) -> None:
    ((name, _),) = SHARED[variant].items()
    alone = method.Method(method.Config(**SHARED[variant]))
    assert alone.idle() == dict.fromkeys(
        ("k", "profile", "history_fields"), "without a retriever: set retriever=bm25, say"
    )
    assert name not in method.Method(method.Config(**SHARED[variant], retriever="bm25")).idle()


def test_targets_that_the_llm_lacks_are_told(tmp_path: Path) -> None:
    bench = make_bench(tmp_path, planted(tmp_path), small_llm("llama"))
    with pytest.raises(RequestError, match="no layers named 'wi_0'; it has down_proj"):
        tuned("llama", "lora", targets=("wi_0",)).build(bench)
