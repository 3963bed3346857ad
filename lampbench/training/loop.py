"""The one training loop: AdamW, warm-up and decay, mixed precision, checkpoints, and the same result after a
kill.

Everything random in a run is a function of (seed, step): the order of the examples is computed and not kept,
and torch's generators are seeded anew at every step. So a resumed run does what an undisturbed one would have
done, and how often the dev set is scored changes nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch
from torch import Tensor, nn

from lampbench.errors import RequestError
from lampbench.files.seals import Say
from lampbench.training.batch_order import Order
from lampbench.training.run_state import RunState, TrainReport, key_of
from lampbench.training.settings import TrainSettings, refuse_numbers

T = TypeVar("T")


def train(
    module: nn.Module,
    examples: Sequence[T],
    loss: Callable[[Sequence[T]], Tensor],
    settings: TrainSettings,
    *,
    dev: Sequence[T] = (),
    dev_score: Callable[[], float] | None = None,
    checkpoint_dir: Path | None = None,
    progress: Callable[[int, int, str], None] | None = None,
    say: Say = lambda text: None,
    length: Callable[[T], int] | None = None,
) -> TrainReport:
    """Train the parameters of `module` that require gradients, in place; it is left in evaluation mode.

    Args:
        module: what is trained; it is put into training mode for `loss` and into evaluation mode for dev
            scores.
        examples: what to learn from.
        loss: the mean loss of some examples, as a scalar tensor. What it draws must come from torch's global
            generators: they are seeded at every step.
        settings: how to train.
        dev: examples held out from training; scored by their mean loss in evaluation mode.
        dev_score: another score, lower is better, in place of the mean loss on `dev`.
        checkpoint_dir: where checkpoints go. A checkpoint of the same settings and parameters found there is
            continued, any other is ignored and overwritten. The last one stays until the caller removes the
            folder, which no other process may use at the time.
        progress: called after every step with (steps done, steps, a few words: the loss).
        say: told of a checkpoint that is damaged: training starts over.
        length: the length of an example in any unit; given it, examples of similar length share a batch.

    Returns:
        What was done.

    Raises:
        RequestError: the settings contradict each other, or there is nothing to train on.
        RunError: the loss or its gradient is not finite, or a checkpoint cannot be written.
    """
    scored = settings.eval_every > 0 and (len(dev) > 0 or dev_score is not None)
    _check(settings, module, examples, scored)
    order = Order(
        len(examples),
        batch_size=settings.batch_size,
        batches=settings.accumulation,
        steps=settings.steps,
        seed=settings.seed,
        lengths=[length(example) for example in examples] if length is not None else None,
    )
    key = key_of(module, settings, len(examples), len(dev), length is not None)
    run = RunState(module, settings, checkpoint_dir, key)
    run.resume(say)
    if progress is not None and run.report.steps > 0:
        progress(run.report.steps, settings.steps, "resumed")

    def judge() -> None:
        module.eval()
        with torch.no_grad(), run.autocast():
            score = dev_score() if dev_score is not None else _mean_loss(loss, dev, settings.batch_size)
        run.judge(float(score))

    with _private_generators(run.device):
        # What is tuned may be best as it is.
        if scored and settings.select == "best" and run.report.steps == 0:
            judge()
        while not run.is_over:
            mean = _step(run, examples, order.of_step(run.report.steps), loss)
            if scored and run.is_to_be_judged:
                judge()
            run.save_if_due()
            if progress is not None:
                progress(run.report.steps, settings.steps, f"loss {mean:.4f}")
    return run.finish()


def _step(
    run: RunState,
    examples: Sequence[T],
    batches: Sequence[Sequence[int]],
    loss: Callable[[Sequence[T]], Tensor],
) -> float:
    """One optimizer step, on `batches` of positions in `examples`; its mean training loss."""
    _seed(run.settings.seed, run.report.steps)
    run.module.train()
    total, n = 0.0, sum(map(len, batches))
    for positions in batches:
        with run.autocast():
            value = loss([examples[i] for i in positions])
        share = value * (len(positions) / n)
        total += float(share.detach())
        run.check_finite("loss", total)
        run.scaler.scale(share).backward()
    run.update()
    run.note(total)
    return total


def _check(settings: TrainSettings, module: nn.Module, examples: Sequence[Any], scored: bool) -> None:
    refuse_numbers(settings)
    if len(examples) == 0:
        raise RequestError("training: there are no training examples")
    device = next((p.device for p in module.parameters() if p.requires_grad), None)
    if device is None:
        raise RequestError("training: the module has no parameter that requires gradients")
    if (settings.select == "best" or settings.patience) and not scored:
        raise RequestError(
            "training: select=best and patience need dev examples and eval_every of at least 1"
        )
    if settings.mixed_precision == "fp16" and device.type == "cpu":
        raise RequestError("training: fp16 needs a GPU; on a CPU use no or bf16")


def _mean_loss(loss: Callable[[Sequence[T]], Tensor], dev: Sequence[T], batch_size: int) -> float:
    total = 0.0
    for start in range(0, len(dev), batch_size):
        batch = [dev[i] for i in range(start, min(start + batch_size, len(dev)))]
        total += float(loss(batch)) * len(batch)
    return total / len(dev)


def _seed(seed: int, step: int) -> None:
    torch.manual_seed(int(np.random.SeedSequence([seed, step]).generate_state(1, np.uint64)[0] >> 1))


@contextmanager
def _private_generators(device: torch.device) -> Iterator[None]:
    """Leave torch's generators as they were found."""
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        yield
