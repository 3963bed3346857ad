"""ROPG: the losses by hand, feedback that is made once, and a candidate that is always right."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from lampbench.methods.ropg_kd import Config as KdConfig
from lampbench.methods.ropg_kd import kl_loss, released_loss
from lampbench.methods.ropg_rl import reinforce_loss
from planted_item import answering, plant

from lampbench.caches.embedding_store import EmbeddingMatrix
from lampbench.data import open_task
from lampbench.errors import RequestError
from lampbench.families.tuned_retriever import Judged
from lampbench.methods import ropg_rl
from lampbench.models.encoder import EncoderModule, TextEncoder
from lampbench.records.predictions import read_predictions
from lampbench.records.record import Record
from lampbench.runner.run import run

SCORES = torch.tensor([[1.0, 1.2, 0.9, 1.1]])
GOLD = torch.tensor([[1.0, 0.0, 0.0, 0.0]])
ALL = torch.ones(1, 4, dtype=torch.bool)
PI = (0.2363278, 0.2886514, 0.2138382, 0.2611826)  # softmax of SCORES, by hand


def gradient(loss: Callable[..., torch.Tensor], scores: torch.Tensor, *rest: Any) -> torch.Tensor:
    leaf = scores.clone().requires_grad_(True)
    (result,) = torch.autograd.grad(loss(leaf, *rest), leaf)
    return result


# The losses


def test_the_papers_distillation_has_the_gradient_of_the_cross_entropy() -> None:
    target = GOLD.softmax(dim=1)
    entropy = float(-(target * target.log()).sum())
    assert float(kl_loss(SCORES, GOLD, ALL)) + entropy == pytest.approx(1.4076, abs=5e-5)
    expected = [[-0.2390, 0.1138, 0.0390, 0.0863]]
    torch.testing.assert_close(
        gradient(kl_loss, SCORES, GOLD, ALL), torch.tensor(expected), atol=6e-5, rtol=0
    )


def test_the_released_distillation_applies_the_softmax_twice() -> None:
    assert float(released_loss(SCORES, GOLD, ALL)) == pytest.approx(1.3908, abs=5e-5)
    expected = [[-0.0552, 0.0231, 0.0131, 0.0191]]
    found = gradient(released_loss, SCORES, GOLD, ALL)
    torch.testing.assert_close(found, torch.tensor(expected), atol=6e-5, rtol=0)


@pytest.mark.parametrize(
    ("loss", "gold", "optimum"),
    [
        (kl_loss, (1, 0, 0, 0), (0.475, 0.175, 0.175, 0.175)),
        (kl_loss, (0.5, 0.3, 0.2, 0.1), (0.310, 0.253, 0.229, 0.208)),
        (released_loss, (0.5, 0.3, 0.2, 0.1), (0.475, 0.275, 0.175, 0.075)),
        (released_loss, (1, 0, 0, 0), (1, 0, 0, 0)),
    ],
)
def test_the_two_distillations_end_in_different_retrievers(
    loss: Callable[..., torch.Tensor], gold: tuple[float, ...], optimum: tuple[float, ...]
) -> None:
    scores = torch.zeros(1, 4, requires_grad=True)
    optimizer = torch.optim.Adam([scores], lr=0.1)
    for _ in range(800):
        optimizer.zero_grad()
        loss(scores, torch.tensor([gold]), ALL).backward()
        optimizer.step()
    found = scores.detach().softmax(dim=1)[0]
    torch.testing.assert_close(found, torch.tensor(optimum, dtype=torch.float32), atol=0.01, rtol=0)


def test_the_temperature_sharpens_the_target() -> None:
    target = [0.731059, 0.268941]  # softmax of (1, 0), the usefulness (0.5, 0) at temperature 0.5
    expected = sum(t * math.log(t / 0.5) for t in target)
    scores, useful = torch.zeros(1, 2), torch.tensor([[0.5, 0.0]])
    assert float(kl_loss(scores, useful, ALL[:, :2], 0.5)) == pytest.approx(expected, abs=1e-6)
    for name in ("temperature", "target_temperature"):
        with pytest.raises(ValueError, match=f"{name} must be above 0"):
            KdConfig(**{name: 0.0})


def test_reinforce_is_minus_reward_times_log_probability() -> None:
    rewards = torch.tensor([[0.0, 1.0, 0.0, -0.5]])
    for drawn, expected in ((0, 0.0), (1, 1.242536), (3, -0.671268)):  # -r log π, by hand
        picked = torch.tensor([drawn])
        assert float(reinforce_loss(SCORES, rewards, ALL, picked)) == pytest.approx(expected, abs=2e-6)
    found = gradient(reinforce_loss, SCORES, rewards, ALL, torch.tensor([1]))
    expected_gradient = torch.tensor([[PI[0], PI[1] - 1, PI[2], PI[3]]])
    torch.testing.assert_close(found, expected_gradient, atol=2e-6, rtol=0)


def test_the_expectation_is_the_mean_over_draws_and_the_gradient_of_the_expected_reward() -> None:
    rewards = torch.tensor([[0.0, 1.0, 0.0, -0.5]])
    each = [gradient(reinforce_loss, SCORES, rewards, ALL, torch.tensor([d])) for d in range(4)]
    mean = sum(p * g for p, g in zip(PI, each, strict=True))
    found = gradient(reinforce_loss, SCORES, rewards, ALL)
    torch.testing.assert_close(found, mean, atol=1e-6, rtol=0)

    def expected_loss(scores: torch.Tensor) -> torch.Tensor:
        return -(scores.softmax(dim=1) * rewards).sum()

    torch.testing.assert_close(found, gradient(expected_loss, SCORES), atol=1e-6, rtol=0)


def test_the_baseline_is_the_first_candidate_of_the_untuned_retriever() -> None:
    method = ropg_rl.Method(ropg_rl.Config(estimate="expectation"))
    useful = torch.tensor([[0.4, 1.0, 0.4, 0.0]])
    expected = reinforce_loss(SCORES, torch.tensor([[0.0, 0.6, 0.0, -0.4]]), ALL)
    torch.testing.assert_close(method.loss(SCORES, useful, ALL), expected)
    # All as good as the first: nothing to learn, whatever is drawn.
    drawing = ropg_rl.Method(ropg_rl.Config())
    assert float(drawing.loss(SCORES, torch.full((1, 4), 0.7), ALL)) == 0.0


@pytest.mark.parametrize("loss", [kl_loss, released_loss, reinforce_loss])
def test_empty_slots_change_nothing(loss: Callable[..., torch.Tensor]) -> None:
    two = SCORES[:, :2], torch.tensor([[0.2, 0.9]]), ALL[:, :2]
    mask = torch.tensor([[True, True, False, False]])
    # Scores and usefulness of slots without an item, as tempting as they can be.
    padded = torch.tensor([[1.0, 1.2, 50.0, -50.0]]), torch.tensor([[0.2, 0.9, 4.0, 4.0]]), mask
    torch.testing.assert_close(loss(*padded), loss(*two))
    found = gradient(loss, *padded)
    torch.testing.assert_close(found[:, :2], gradient(loss, *two))
    assert found[:, 2:].abs().max() == 0


def test_an_empty_slot_is_never_drawn() -> None:
    method = ropg_rl.Method(ropg_rl.Config())
    mask = torch.tensor([[True, True, False, False]])
    scores, useful = torch.tensor([[0.0, 0.0, 30.0, 30.0]]), torch.tensor([[0.0, 1.0, 9.0, 9.0]])
    torch.manual_seed(0)
    losses = {round(float(method.loss(scores, useful, mask)), 4) for _ in range(50)}
    assert losses == {0.0, round(math.log(2), 4)}  # either of the two items, each with probability 1/2


# The whole road: a candidate that is always right


@pytest.fixture
def run_planted(tmp_path: Path) -> Callable[..., Record]:
    preset = plant(tmp_path)

    def run_one(method: str, *settings: str, **options: Any) -> Record:
        (record,) = run(
            method,
            "LaMP-3",
            preset=str(preset),
            results=tmp_path / "results",
            set=settings,
            progress="none",
            device="cpu",
            **options,
        )
        return record

    return run_one


QUICK = (
    "learning_rate=0.01",
    "batch_size=8",
    "accumulation=1",
    "max_steps=60",
    "candidates=6",
    "use_date=false",
)


def share_right(record: Record) -> float:
    """The share of questions whose prompt has the planted item."""
    lines = read_predictions(record.predictions).values()
    return sum(line["ranked"][0].endswith("right") for line in lines) / len(lines)


@pytest.mark.parametrize(
    ("method", "settings"),
    [
        ("ropg-rl", ()),
        ("ropg-rl", ("estimate=expectation",)),
        ("ropg-kd", ()),
        ("ropg-kd", ("loss=released",)),
    ],
)
def test_the_candidate_that_is_always_right_is_ranked_first(
    run_planted: Callable[..., Record],
    monkeypatch: pytest.MonkeyPatch,
    method: str,
    settings: tuple[str, ...],
) -> None:
    answering(monkeypatch)
    untuned, tuned = run_planted("contriever"), run_planted(method, *QUICK, *settings)
    assert share_right(untuned) < 0.7
    assert share_right(tuned) == 1.0
    assert tuned.metrics["mae"].value == 0.0
    assert untuned.metrics["mae"].value > 1.0


def test_the_llm_is_asked_once_for_its_feedback_whoever_needs_it(
    run_planted: Callable[..., Record], monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = answering(monkeypatch)
    run_planted("ropg-rl", *QUICK, "candidates=3")
    feedback = asked[: 48 * 3]
    assert len(set(feedback)) == 48 * 3  # one prompt per training question and candidate
    before = len(asked)
    for method, seed in (("ropg-kd", 0), ("ropg-rl", 1)):
        record = run_planted(method, *QUICK, "candidates=3", seed=seed)
        assert record.cost.calls_by_phase["fit"] == 0
        assert record.cost.reused_by_phase["fit"] == 48 * 3
        assert record.cost.reused_seconds["fit"] == pytest.approx(48 * 3 * 0.01)
    assert not set(asked[before:]) & set(feedback)


def test_every_text_is_encoded_once(
    run_planted: Callable[..., Record], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    answering(monkeypatch)
    filled: list[str] = []
    fill = EmbeddingMatrix.fill

    def listening(self: EmbeddingMatrix, *rest: Any, **options: Any) -> Any:
        if self.rows_done < self.key.n_rows:
            filled.append(self.key.revision.partition("+")[2] or "untuned")
        return fill(self, *rest, **options)

    batches: list[list[str]] = []
    forward = EncoderModule.forward

    def watching(self: EncoderModule, texts: Any) -> Any:
        batches.append(list(texts))
        return forward(self, texts)

    monkeypatch.setattr(EmbeddingMatrix, "fill", listening)
    monkeypatch.setattr(EncoderModule, "forward", watching)
    run_planted("contriever")  # embeds the items of dev
    run_planted("ropg-rl", *QUICK, "max_steps=4")  # those of train, and those of dev with the tuned encoder
    assert filled[:2] == ["untuned", "untuned"]
    assert len(filled) == 3
    assert filled[2] != "untuned"
    run_planted("ropg-rl", *QUICK, "max_steps=4", "k=2")  # the same retriever, two items in the prompt
    assert len(filled) == 3
    assert len(batches) == 4
    assert all(len(texts) == len(set(texts)) for texts in batches)


def test_fewer_questions_are_the_same_for_every_seed(
    run_planted: Callable[..., Record], monkeypatch: pytest.MonkeyPatch
) -> None:
    answering(monkeypatch)
    options = (*QUICK, "questions=10", "max_steps=2", "candidates=4")
    first, second = (run_planted("ropg-rl", *options, seed=seed) for seed in (0, 1))
    assert first.cost.calls_by_phase["fit"] == 40
    assert second.cost.reused_by_phase["fit"] == 40
    assert first.training is not None
    assert second.training is not None
    assert first.training.losses != second.training.losses  # the seed orders and draws


def test_the_best_weights_are_chosen_on_held_out_training_questions(
    run_planted: Callable[..., Record], monkeypatch: pytest.MonkeyPatch
) -> None:
    answering(monkeypatch)
    record = run_planted("ropg-kd", *QUICK, "hold_out=12", "evaluations=6")
    assert record.training is not None
    scores = dict(record.training.dev)
    assert len(scores) == 1 + 6  # before the first step, and then as often as asked
    assert scores[0] > -1.0
    assert min(scores.values()) == scores[record.training.selected_step or 0] == -1.0  # usefulness 1 is best
    assert share_right(record) == 1.0


def test_the_tuned_retriever_has_vectors_of_its_own(tmp_path: Path) -> None:
    plant(tmp_path)
    encoder = TextEncoder.load(tmp_path / "encoder", device="cpu")
    copy = encoder.trainable_copy()
    same = encoder.using(copy)
    torch.testing.assert_close(same.encode(["amber red"]), encoder.encode(["amber red"]))
    with torch.no_grad():
        next(copy.parameters()).mul_(1.5)
    tuned = encoder.using(copy)
    assert len({encoder.revision, same.revision, tuned.revision}) == 3
    assert not np.allclose(tuned.encode(["amber red"]), encoder.encode(["amber red"]))
    assert all(parameter.requires_grad for parameter in copy.transformer.embeddings.parameters())


def test_histories_of_one_item_leave_nothing_to_learn(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    answering(monkeypatch)
    preset = plant(tmp_path, train=4, dev=4, n_items=1)
    with pytest.raises(RequestError, match="LaMP-3: no training question has two items to choose from"):
        run("ropg-kd", "LaMP-3", preset=str(preset), results=tmp_path / "results", progress="none")
    record = json.loads(next((tmp_path / "results").rglob("record.json")).read_text())
    assert record["status"] == "failed"
    assert len(open_task(tmp_path / "data", "LaMP-3").split("train")) == 4


def test_the_temperature_of_the_retriever_divides_its_scores_and_keeps_its_order(tmp_path: Path) -> None:
    plant(tmp_path)
    encoder = TextEncoder.load(tmp_path / "encoder", device="cpu")
    data = open_task(tmp_path / "data", "LaMP-3")
    bench: Any = SimpleNamespace(task=data.task, retriever=encoder, items=data.items)
    batch = [
        Judged("amber red", np.array(rows), np.array(useful, dtype=np.float32))
        for rows, useful in (([3, 1, 3], [0, 1, 0.5]), ([2], [0.25]))
    ]
    found = []
    for temperature in (1.0, 10.0):
        method = ropg_rl.Method(ropg_rl.Config(temperature=temperature))
        method.module = method.build(bench).eval()
        found.append(method.scored(bench, batch))
    (scores, useful, mask), (cooler, *_) = found
    torch.testing.assert_close(scores, cooler * 10)
    assert mask.tolist() == [[True, True, True], [True, False, False]]
    assert useful.tolist() == [[0, 1, 0.5], [0.25, 0, 0]]
    texts = [method.item_text(bench, data.items[row]) for row in (3, 1, 3, 2)]
    expected = encoder.encode(texts) @ encoder.encode(["amber red"])[0]
    torch.testing.assert_close(scores[mask], expected)
