"""The training loop: it learns, a killed run ends like an undisturbed one, and a run that goes wrong says
so."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Literal

import pytest
import torch
from damaging import WAYS, damage, full
from torch import Tensor, nn
from torch.optim.optimizer import register_optimizer_step_pre_hook

from lampbench.errors import RequestError, RunError
from lampbench.training import TrainReport, TrainSettings, train
from lampbench.training.run_state import RunState

Example = tuple[list[float], float]


def make_module(seed: int = 0) -> nn.Module:
    torch.manual_seed(seed)
    return nn.Sequential(nn.Linear(4, 8), nn.Dropout(0.2), nn.Tanh(), nn.Linear(8, 1))


def make_examples(n: int = 50) -> list[Example]:
    """Points of a function that a small network learns: the sign of the first of four numbers."""
    generator = torch.Generator().manual_seed(1)
    points = torch.randn(n, 4, generator=generator)
    return [(point.tolist(), float(point[0].sign())) for point in points]


def squared_error(module: nn.Module, batch: Sequence[Example]) -> Tensor:
    inputs = torch.tensor([x for x, _ in batch])
    targets = torch.tensor([y for _, y in batch])
    return (module(inputs)[:, 0].float() - targets).square().mean()


SETTINGS = TrainSettings(steps=30, batch_size=4, learning_rate=0.02, checkpoint_every=10, weight_decay=0.01)


def run(
    settings: TrainSettings = SETTINGS,
    folder: Path | None = None,
    kill_after: int | None = None,
    dev: Sequence[Example] = (),
    **options: object,
) -> tuple[nn.Module, TrainReport]:
    """Train a fresh module; `kill_after` ends the process, as far as the loop can tell, after that step."""
    module = make_module()

    def progress(step: int, total: int, note: str) -> None:
        if step == kill_after:
            raise KeyboardInterrupt

    report = train(
        module,
        make_examples(),
        lambda batch: squared_error(module, batch),
        settings,
        dev=dev,
        checkpoint_dir=folder,
        progress=progress,
        **options,  # type: ignore[arg-type]
    )
    return module, report


def weights(module: nn.Module) -> dict[str, Tensor]:
    return {name: parameter.detach().clone() for name, parameter in module.named_parameters()}


def assert_same_weights(one: nn.Module, other: nn.Module) -> None:
    for name, tensor in weights(one).items():
        assert torch.equal(tensor, weights(other)[name]), name


def test_it_learns() -> None:
    module, report = run(replace(SETTINGS, steps=150))
    assert squared_error(module, make_examples()) < 0.4
    assert report.steps == report.selected_step == 150
    assert report.losses[-1][0] == 150
    assert report.losses[-1][1] < report.losses[0][1]
    assert not module.training


@pytest.mark.parametrize("kill_after", [3, 10, 17, 29])
def test_a_killed_run_ends_with_the_weights_of_an_undisturbed_one(tmp_path: Path, kill_after: int) -> None:
    dev = make_examples(60)[50:]
    settings = replace(SETTINGS, eval_every=4, select="best", accumulation=2)
    undisturbed, report = run(settings, dev=dev)
    with pytest.raises(KeyboardInterrupt):
        run(settings, tmp_path, kill_after, dev)
    resumed, resumed_report = run(settings, tmp_path, dev=dev)
    assert_same_weights(undisturbed, resumed)
    assert resumed_report.dev == report.dev
    assert resumed_report.losses == report.losses
    assert resumed_report.selected_step == report.selected_step


def test_a_run_killed_twice_with_bucketing_ends_the_same(tmp_path: Path) -> None:
    def length(example: Example) -> int:
        return int(abs(example[0][1]) * 10)

    undisturbed, _ = run(length=length)
    for kill_after in (12, 25):
        with pytest.raises(KeyboardInterrupt):
            run(folder=tmp_path, kill_after=kill_after, length=length)
    assert_same_weights(undisturbed, run(folder=tmp_path, length=length)[0])


def test_a_resumed_run_starts_at_its_checkpoint(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        run(folder=tmp_path, kill_after=25)
    seen: list[int] = []
    module = make_module()
    train(
        module,
        make_examples(),
        lambda batch: squared_error(module, batch),
        SETTINGS,
        checkpoint_dir=tmp_path,
        progress=lambda step, total, note: seen.append(step),
    )
    assert seen == [20, *range(21, 31)]


def test_checkpoints_come_by_the_clock_where_no_steps_are_set(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = 0.0
    monkeypatch.setattr("lampbench.training.run_state.time", SimpleNamespace(monotonic=lambda: now))
    saved: list[int] = []

    def seven_seconds_later(step: int, total: int, note: str) -> None:
        nonlocal now
        now += 7
        for file in tmp_path.glob("checkpoint-*.pt"):
            saved.append(step)
            file.unlink()

    module = make_module()
    train(
        module,
        make_examples(),
        lambda batch: squared_error(module, batch),
        replace(SETTINGS, checkpoint_every=0),
        checkpoint_dir=tmp_path,
        progress=seven_seconds_later,
    )
    assert saved == [10, 19, 28]  # after 63 seconds, and 63 seconds later


def test_a_finished_run_is_not_done_again(tmp_path: Path) -> None:
    module, report = run(folder=tmp_path)

    def fail(batch: Sequence[Example]) -> Tensor:
        raise AssertionError("nothing is left to train")

    again = make_module()
    assert train(again, make_examples(), fail, SETTINGS, checkpoint_dir=tmp_path) == report
    assert_same_weights(module, again)


@pytest.mark.parametrize("changed", [{"learning_rate": 0.01}, {"seed": 1}, {"steps": 31}])
def test_a_checkpoint_of_other_settings_is_not_continued(tmp_path: Path, changed: dict[str, float]) -> None:
    run(folder=tmp_path)
    settings = replace(SETTINGS, **changed)  # type: ignore[arg-type]
    assert_same_weights(run(settings)[0], run(settings, tmp_path)[0])


@pytest.mark.parametrize("how", WAYS)
def test_a_damaged_checkpoint_is_named_and_not_continued(tmp_path: Path, how: str) -> None:
    undisturbed, _ = run()
    with pytest.raises(KeyboardInterrupt):
        run(folder=tmp_path, kill_after=15)
    (file,) = tmp_path.glob("checkpoint-*.pt")
    damage(file, how)
    said: list[str] = []
    assert_same_weights(undisturbed, run(folder=tmp_path, say=said.append)[0])
    assert said == [f"{file} is damaged: training starts over"]


def test_a_full_disk_during_a_checkpoint_is_one_line_and_the_older_checkpoint_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(KeyboardInterrupt):
        run(folder=tmp_path, kill_after=15)
    (older,) = tmp_path.glob("checkpoint-*.pt")
    monkeypatch.setattr("lampbench.files.atomic_write.os.fsync", full)
    with pytest.raises(RunError, match=r"cannot write a checkpoint to .*No space left.*LAMPBENCH_CACHE"):
        run(folder=tmp_path)
    assert list(tmp_path.iterdir()) == [older]


def test_the_seed_decides_and_nothing_else_does() -> None:
    first, _ = run()
    torch.manual_seed(12345)
    torch.rand(100)
    assert_same_weights(first, run()[0])
    other, _ = run(replace(SETTINGS, seed=1))
    assert not torch.equal(weights(first)["0.weight"], weights(other)["0.weight"])


def test_scoring_the_dev_set_does_not_change_the_training() -> None:
    scored, report = run(replace(SETTINGS, eval_every=7), dev=make_examples(10))
    assert_same_weights(run()[0], scored)
    assert [step for step, _ in report.dev] == [7, 14, 21, 28, 30]


def test_training_leaves_the_callers_random_numbers_alone() -> None:
    make_module()
    expected = torch.rand(3)
    run()  # builds the same module, then trains
    assert torch.equal(torch.rand(3), expected)


def test_accumulation_is_a_larger_batch() -> None:
    def without_dropout(settings: TrainSettings) -> nn.Module:
        module = make_module()
        module[1].p = 0.0  # type: ignore[index, union-attr]
        train(module, make_examples(), lambda batch: squared_error(module, batch), settings)
        return module

    whole = without_dropout(replace(SETTINGS, batch_size=8))
    parts = without_dropout(replace(SETTINGS, batch_size=2, accumulation=4))
    for name, tensor in weights(whole).items():
        torch.testing.assert_close(tensor, weights(parts)[name], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("bucketed", [False, True])
def test_every_epoch_sees_every_example_once_in_another_order(bucketed: bool) -> None:
    # 32 steps of 4 are one window of bucketing, so with 64 examples it ends with the second epoch.
    seen: list[int] = []
    module = nn.Linear(1, 1)

    def loss(batch: Sequence[int]) -> Tensor:
        seen.extend(batch)
        return module(torch.ones(1)).square().sum()

    settings = TrainSettings(steps=32, batch_size=4)
    train(module, range(64), loss, settings, length=(lambda i: i // 8) if bucketed else None)
    assert sorted(seen) == sorted([*range(64)] * 2)
    if not bucketed:
        assert sorted(seen[:64]) == list(range(64))
        assert seen[:64] != seen[64:]
        assert seen[:64] != list(range(64))


def test_bucketing_puts_similar_lengths_together() -> None:
    spreads: list[int] = []
    module = nn.Linear(1, 1)

    def loss(batch: Sequence[int]) -> Tensor:
        spreads.append(max(batch) - min(batch))
        return module(torch.ones(1)).square().sum()

    train(module, range(128), loss, TrainSettings(steps=32, batch_size=4), length=lambda i: i)
    assert max(spreads) == 3


def test_the_best_weights_are_those_of_the_best_score() -> None:
    module = make_module()
    scores = iter([4.0, 3.0, 1.0, 2.0])
    kept: list[dict[str, Tensor]] = []

    def score() -> float:
        assert not module.training
        kept.append(weights(module))
        return next(scores)

    settings = replace(SETTINGS, eval_every=10, select="best")
    report = train(
        module, make_examples(), lambda batch: squared_error(module, batch), settings, dev_score=score
    )
    assert report.dev == [(0, 4.0), (10, 3.0), (20, 1.0), (30, 2.0)]
    assert report.selected_step == 20
    assert all(torch.equal(tensor, kept[2][name]) for name, tensor in weights(module).items())


def test_training_that_only_harms_leaves_the_weights_as_they_were() -> None:
    module = make_module()
    before = {name: tensor.clone() for name, tensor in weights(module).items()}
    scores = iter([1.0, 3.0, 2.0, 1.0])
    settings = replace(SETTINGS, eval_every=10, select="best")
    report = train(
        module,
        make_examples(),
        lambda batch: squared_error(module, batch),
        settings,
        dev_score=lambda: next(scores),
    )
    assert (report.steps, report.selected_step) == (30, 0)
    assert all(torch.equal(tensor, before[name]) for name, tensor in weights(module).items())


def test_patience_ends_a_run_that_no_longer_improves(tmp_path: Path) -> None:
    scores = iter([4.0, 3.0, 1.0, 2.0, 1.5, 0.5])
    settings = replace(SETTINGS, eval_every=5, select="best", patience=2)
    _, report = run(settings, tmp_path, dev_score=lambda: next(scores))
    assert (report.steps, report.selected_step) == (20, 10)
    assert run(settings, tmp_path, dev_score=lambda: 0.0)[1] == report


@pytest.mark.parametrize(("clip", "expected"), [(0.5, 0.5), (0.0, 1000.0)])
def test_a_large_gradient_is_clipped(clip: float, expected: float) -> None:
    module = nn.Linear(1, 1, bias=False)
    norms: list[float] = []
    hook = register_optimizer_step_pre_hook(lambda *_: norms.append(float(module.weight.grad.norm())))  # type: ignore[union-attr]
    settings = TrainSettings(steps=1, clip=clip)
    train(module, [0], lambda batch: 1000 * module(torch.ones(1)).sum(), settings)
    hook.remove()
    assert norms == [pytest.approx(expected, rel=1e-4)]


def test_a_loss_that_is_not_finite_ends_the_run_in_one_line() -> None:
    module = make_module()
    calls: list[int] = []

    def loss(batch: Sequence[Example]) -> Tensor:
        calls.append(1)
        return squared_error(module, batch) * (math.nan if len(calls) == 3 else 1.0)

    with pytest.raises(RunError, match=r"the loss is nan at step 3 of 30: try a lower learning_rate"):
        train(module, make_examples(), loss, SETTINGS)


def test_a_gradient_that_is_not_finite_never_reaches_the_weights() -> None:
    module = nn.Linear(1, 1, bias=False)
    before = weights(module)
    with pytest.raises(RunError, match=r"the gradient is (nan|inf) at step 1"):
        train(module, [0.0], lambda batch: (module(torch.zeros(1)) * 0).sqrt().sum(), SETTINGS)
    assert torch.equal(weights(module)["weight"], before["weight"])


@pytest.mark.parametrize("precision", ["no", "bf16"])
def test_a_step_is_torchs_own_forward_backward_clip_and_adamw(precision: Literal["no", "bf16"]) -> None:
    examples, dtype = make_examples(8), torch.bfloat16
    settings = TrainSettings(
        steps=3, batch_size=8, learning_rate=0.02, weight_decay=0.1, clip=0.5, mixed_precision=precision
    )
    settings = replace(settings, schedule="constant", warmup=0.0)

    def make() -> nn.Module:
        module = make_module()
        module[1].p = 0.0  # type: ignore[index, union-attr]
        return module

    ours = make()
    seen: list[tuple[torch.dtype, torch.dtype]] = []

    def loss(batch: Sequence[Example]) -> Tensor:
        inputs = torch.tensor([x for x, _ in sorted(batch)])
        outputs = ours(inputs)
        seen.append((inputs.dtype, outputs.dtype))
        return squared_error(ours, sorted(batch))

    train(ours, examples, loss, settings)
    theirs = make().train()
    parameters = list(theirs.parameters())
    groups = [
        {"params": parameters[::2], "weight_decay": 0.1},
        {"params": parameters[1::2], "weight_decay": 0},
    ]
    optimizer = torch.optim.AdamW(groups, lr=0.02)
    for _ in range(3):
        with torch.autocast("cpu", dtype, enabled=precision == "bf16"):
            value = squared_error(theirs, sorted(examples))
        value.backward()
        nn.utils.clip_grad_norm_(parameters, 0.5)
        optimizer.step()
        optimizer.zero_grad()
    assert_same_weights(ours, theirs)
    assert seen == [(torch.float32, dtype if precision == "bf16" else torch.float32)] * 3


def test_dev_examples_are_scored_in_the_precision_of_training() -> None:
    module = make_module()
    seen: list[tuple[bool, torch.dtype]] = []

    def loss(batch: Sequence[Example]) -> Tensor:
        seen.append((module.training, module(torch.ones(1, 4)).dtype))
        return squared_error(module, batch)

    settings = replace(SETTINGS, steps=1, mixed_precision="bf16", eval_every=1)
    train(module, make_examples(), loss, settings, dev=make_examples(4))
    assert seen == [(True, torch.bfloat16), (False, torch.bfloat16)]


def test_an_overflow_in_fp16_skips_the_step_and_lowers_the_scale() -> None:
    module = nn.Linear(1, 1, bias=False)
    run = RunState(module, replace(SETTINGS, mixed_precision="fp16"), None, "")
    before, scale = weights(module)["weight"], run.scaler.get_scale()
    for gradient in (math.inf, 1.0):
        run.scaler.scale((module.weight * gradient).sum()).backward()
        run.update()
        run.note(1.0)
        changed = not torch.equal(weights(module)["weight"], before)
        assert changed == (gradient == 1.0)
        assert run.scaler.get_scale() == scale / 2
    assert run.report.steps == 2


def test_runs_of_different_precision_follow_one_another_in_one_process() -> None:
    first, _ = run()
    reduced, report = run(replace(SETTINGS, mixed_precision="bf16"))
    assert_same_weights(first, run()[0])
    assert not torch.equal(weights(first)["0.weight"], weights(reduced)["0.weight"])
    assert all(parameter.dtype == torch.float32 for parameter in reduced.parameters())
    assert math.isfinite(report.losses[-1][1])


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (replace(SETTINGS, steps=0), "steps must be at least 1"),
        (replace(SETTINGS, batch_size=0), "batch_size must be at least 1"),
        (replace(SETTINGS, seed=-1), "seed must not be negative"),
        (replace(SETTINGS, warmup=5), "warmup must be a share"),
        (replace(SETTINGS, learning_rate=-1.0), "learning_rate must not be negative"),
        (replace(SETTINGS, clip=-1.0), "clip must not be negative"),
        (replace(SETTINGS, eval_every=-1), "eval_every must not be negative"),
        (replace(SETTINGS, select="best"), "select=best and patience need dev examples"),
        (replace(SETTINGS, mixed_precision="fp16"), "fp16 needs a GPU"),
    ],
)
def test_contradictory_settings_are_refused(settings: TrainSettings, message: str) -> None:
    with pytest.raises(RequestError, match=message):
        run(settings)


def test_without_examples_or_parameters_there_is_nothing_to_train() -> None:
    module = make_module()
    with pytest.raises(RequestError, match="no training examples"):
        train(module, [], lambda batch: torch.zeros(()), SETTINGS)
    with pytest.raises(RequestError, match="no parameter"):
        train(module.requires_grad_(False), [0], lambda batch: torch.zeros(()), SETTINGS)
