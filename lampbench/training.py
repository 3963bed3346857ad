"""The one training loop: AdamW, warm-up and decay, mixed precision, checkpoints, and the same result after a
kill.

Everything random in a run is a function of (seed, step): the order of the examples is computed and not kept,
and torch's generators are seeded anew at every step. So a resumed run does what an undisturbed one would have
done, and how often the dev set is scored changes nothing.
"""

from __future__ import annotations

import hashlib
import json
import math
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch
from torch import Tensor, nn

from lampbench.errors import RequestError, RunError
from lampbench.order import Order
from lampbench.seals import Say
from lampbench.train_settings import (
    TrainSettings,
    precision_for,
    rate_factor,
    refuse_numbers,
    settings_from,
    steps_for,
)
from lampbench.weights import (
    load_state,
    load_trainable,
    save_state,
    save_trainable,
    set_trainable,
    trainable,
)

__all__ = [
    "TrainReport",
    "TrainSettings",
    "load_trainable",
    "precision_for",
    "save_trainable",
    "settings_from",
    "steps_for",
    "train",
]

T = TypeVar("T")

CHECKPOINT_SECONDS = 60.0  # between checkpoints; more where one takes long to write
CURVE_POINTS = 50  # of the training curve at most, each the mean of a stretch of steps


@dataclass
class TrainReport:
    """What a training run did.

    Attributes:
        steps: optimizer steps done (fewer than asked for when patience ended the run).
        seconds: wall time, that of resumed parts included.
        losses: (last step, mean training loss) of consecutive stretches of steps.
        dev: (step, dev score), lower is better.
        selected_step: the step whose weights the module has now.
    """

    steps: int = 0
    seconds: float = 0.0
    losses: list[tuple[int, float]] = field(default_factory=list)
    dev: list[tuple[int, float]] = field(default_factory=list)
    selected_step: int = 0


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
    parameters = [p for p in module.parameters() if p.requires_grad]
    _check(settings, parameters, examples, scored)
    device = parameters[0].device
    accelerator = _accelerator(settings, device)
    optimizer = accelerator.prepare(_optimizer(module, settings))
    scheduler = torch.optim.lr_scheduler.LambdaLR(optimizer.optimizer, rate_factor(settings))
    order = Order(
        len(examples),
        settings.batch_size,
        settings.accumulation,
        settings.steps,
        settings.seed,
        [length(example) for example in examples] if length is not None else None,
    )
    run = _Run(module, optimizer, scheduler, accelerator.scaler)
    key = _key(settings, module, len(examples), len(dev), length is not None)
    if checkpoint_dir is not None:
        run.load(checkpoint_dir, key, say)
    report = run.report
    before, start = report.seconds, time.monotonic()
    saved_step = report.steps
    if progress is not None and report.steps > 0:
        progress(report.steps, settings.steps, "resumed")

    def judge() -> None:
        module.eval()
        with torch.no_grad(), accelerator.autocast():
            score = dev_score() if dev_score is not None else _mean_loss(loss, dev, settings.batch_size)
        run.judge(float(score), settings)

    with _private_state(device):
        # What is tuned may be best as it is.
        if scored and settings.select == "best" and report.steps == 0:
            judge()
        while report.steps < settings.steps and not run.stopped:
            step = report.steps
            _seed(settings.seed, step)
            module.train()
            total = 0.0
            micro_batches = order.of_step(step)
            n = sum(map(len, micro_batches))
            for positions in micro_batches:
                with accelerator.autocast():
                    value = loss([examples[i] for i in positions])
                share = value * (len(positions) / n)
                total += float(share.detach())
                if not math.isfinite(total):
                    raise RunError(_not_finite("loss", total, step, settings))
                accelerator.backward(share)
            norm = float(accelerator.clip_grad_norm_(parameters, settings.clip or math.inf))
            # With fp16 an overflow is an ordinary event: the scaler skips the step and lowers its scale.
            if not math.isfinite(norm) and settings.mixed_precision != "fp16":
                raise RunError(_not_finite("gradient", norm, step, settings))
            optimizer.step()
            scheduler.step()
            optimizer.zero_grad()
            report.steps = step + 1
            run.log(total, math.ceil(settings.steps / CURVE_POINTS))

            last = report.steps == settings.steps
            if scored and (last or _is_due(report.steps, settings.eval_every)):
                judge()
            report.seconds = before + time.monotonic() - start
            if checkpoint_dir is not None and run.should_save(settings.checkpoint_every):
                run.save(checkpoint_dir, key)
                saved_step = report.steps
            if progress is not None:
                progress(report.steps, settings.steps, f"loss {total:.4f}")

    run.log_rest()
    if checkpoint_dir is not None and saved_step < report.steps:
        run.save(checkpoint_dir, key)
    report.selected_step = report.steps
    if settings.select == "best" and run.best is not None:
        set_trainable(module, run.best)
        report.selected_step = run.best_step
    module.eval()
    return report


# ------------------------------------------------------------------------------------------------ state of on


class _Run:
    """All that changes while training; what a checkpoint holds."""

    def __init__(self, module: nn.Module, optimizer: Any, scheduler: Any, scaler: Any) -> None:
        self.module = module
        self.optimizer = optimizer
        self.scheduler = scheduler
        self.scaler = scaler
        self.report = TrainReport()
        self.best: dict[str, Tensor] | None = None
        self.best_step = 0
        self.best_score = math.inf
        self.worse = 0
        self.stopped = False
        self.stretch: list[float] = []
        self.next_save = time.monotonic() + CHECKPOINT_SECONDS

    def log(self, loss: float, stretch: int) -> None:
        """Add a step's loss to the curve, which has one point per `stretch` steps."""
        self.stretch.append(loss)
        if len(self.stretch) >= stretch:
            self.log_rest()

    def log_rest(self) -> None:
        """Make a point of the curve from the steps since its last one."""
        if self.stretch:
            self.report.losses.append((self.report.steps, sum(self.stretch) / len(self.stretch)))
            self.stretch = []

    def judge(self, score: float, settings: TrainSettings) -> None:
        """Take note of a dev score: keep the weights if it is the best so far, stop if patience is over."""
        if not math.isfinite(score):
            raise RunError(_not_finite("dev score", score, self.report.steps - 1, settings))
        self.report.dev.append((self.report.steps, score))
        if score < self.best_score:
            self.best_score, self.best_step, self.worse = score, self.report.steps, 0
            if settings.select == "best":
                self.best = {n: t.detach().to("cpu", copy=True) for n, t in trainable(self.module).items()}
        else:
            self.worse += 1
            self.stopped = 0 < settings.patience <= self.worse

    def should_save(self, every: int) -> bool:
        """Whether a checkpoint is due after this step."""
        return _is_due(self.report.steps, every) if every else time.monotonic() >= self.next_save

    def save(self, folder: Path, key: str) -> None:
        start = time.monotonic()
        state = {
            "key": key,
            "trainable": {name: tensor.detach() for name, tensor in trainable(self.module).items()},
            "optimizer": self.optimizer.state_dict(),
            "scheduler": self.scheduler.state_dict(),
            "scaler": self.scaler.state_dict() if self.scaler is not None else None,
            "report": asdict(self.report),
            "best": self.best,
            "judgement": [self.best_step, self.best_score, self.worse, self.stopped],
            "stretch": self.stretch,
        }
        save_state(state, folder)
        end = time.monotonic()
        self.next_save = end + max(CHECKPOINT_SECONDS, 50 * (end - start))

    def load(self, folder: Path, key: str, say: Say) -> None:
        """Go back to the checkpoint in the folder, if there is a whole one of this very run."""
        state = load_state(folder, say)
        if state is None or state.get("key") != key:
            return
        set_trainable(self.module, state["trainable"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.scheduler.load_state_dict(state["scheduler"])
        if self.scaler is not None:
            self.scaler.load_state_dict(state["scaler"])
        self.report = TrainReport(**state["report"])
        self.best = state["best"]
        self.best_step, self.best_score, self.worse, self.stopped = state["judgement"]
        self.stretch = state["stretch"]


# ---------------------------------------------------------------------------------------------------------- p


def _check(
    settings: TrainSettings, parameters: Sequence[Tensor], examples: Sequence[Any], scored: bool
) -> None:
    refuse_numbers(vars(settings))
    if len(examples) == 0:
        raise RequestError("training: there are no training examples")
    if not parameters:
        raise RequestError("training: the module has no parameter that requires gradients")
    if (settings.select == "best" or settings.patience) and not scored:
        raise RequestError(
            "training: select=best and patience need dev examples and eval_every of at least 1"
        )
    if settings.mixed_precision == "fp16" and parameters[0].device.type == "cpu":
        raise RequestError("training: fp16 needs a GPU; on a CPU use no or bf16")


def _accelerator(settings: TrainSettings, device: torch.device) -> Any:
    """An Accelerator for this run alone."""
    from accelerate import Accelerator

    _forget_accelerate()
    return Accelerator(
        cpu=device.type == "cpu", mixed_precision=settings.mixed_precision, device_placement=False
    )


def _forget_accelerate() -> None:
    """Clear accelerate's process-wide state: device and precision of one run would bind every later one."""
    from accelerate.state import AcceleratorState, GradientState

    AcceleratorState._reset_state(reset_partial_state=True)
    GradientState._reset_state()


def _optimizer(module: nn.Module, settings: TrainSettings) -> torch.optim.Optimizer:
    parameters = [p for p in module.parameters() if p.requires_grad]
    groups = [
        {"params": [p for p in parameters if p.ndim >= 2], "weight_decay": settings.weight_decay},
        {"params": [p for p in parameters if p.ndim < 2], "weight_decay": 0.0},
    ]
    return torch.optim.AdamW([g for g in groups if g["params"]], lr=settings.learning_rate)


def _is_due(step: int, every: int) -> bool:
    return every > 0 and step % every == 0


def _mean_loss(loss: Callable[[Sequence[T]], Tensor], dev: Sequence[T], batch_size: int) -> float:
    total = 0.0
    for start in range(0, len(dev), batch_size):
        batch = [dev[i] for i in range(start, min(start + batch_size, len(dev)))]
        total += float(loss(batch)) * len(batch)
    return total / len(dev)


def _seed(seed: int, step: int) -> None:
    torch.manual_seed(int(np.random.SeedSequence([seed, step]).generate_state(1, np.uint64)[0] >> 1))


@contextmanager
def _private_state(device: torch.device) -> Iterator[None]:
    """Leave torch's generators as they were found, and nothing of accelerate."""
    devices = [device] if device.type == "cuda" else []
    try:
        with torch.random.fork_rng(devices=devices):
            yield
    finally:
        _forget_accelerate()


def _key(settings: TrainSettings, module: nn.Module, n: int, n_dev: int, bucketed: bool) -> str:
    """What must be equal for a checkpoint to be continued. How often it is saved may change."""
    what = asdict(settings)
    del what["checkpoint_every"]
    shapes = {name: list(tensor.shape) for name, tensor in trainable(module).items()}
    text = json.dumps([what, shapes, n, n_dev, bucketed], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


def _not_finite(what: str, value: float, step: int, settings: TrainSettings) -> str:
    remedy = "mixed_precision=bf16 or no" if settings.mixed_precision == "fp16" else "a lower learning_rate"
    return f"training: the {what} is {value} at step {step + 1} of {settings.steps}: try {remedy}"
