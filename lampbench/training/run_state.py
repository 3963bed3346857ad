"""A training run between two of its steps: what a checkpoint holds, and the report of what was done."""

from __future__ import annotations

import hashlib
import json
import math
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from lampbench.dtypes import autocast, torch_dtype
from lampbench.errors import RunError
from lampbench.files.seals import Say
from lampbench.training.settings import TrainSettings, rate_factor
from lampbench.training.trained_weights import load_state, save_state, set_trainable, trainable

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


class RunState:
    """All that changes while training.

    Attributes:
        module: what is trained.
        settings: how it is trained.
        parameters: those of the module that require gradients.
        device: where they are.
        optimizer: AdamW over them.
        scaler: keeps small gradients above zero in float16; in other precisions it does nothing.
        report: what was done so far.
        stopped: whether patience is over.

    Args:
        folder: where checkpoints go; None for none.
        key: what must be equal for a checkpoint found there to be continued (`key_of`).
    """

    def __init__(self, module: nn.Module, settings: TrainSettings, folder: Path | None, key: str) -> None:
        self.module = module
        self.settings = settings
        self.parameters = [p for p in module.parameters() if p.requires_grad]
        self.device = self.parameters[0].device
        self.optimizer = _adamw(self.parameters, settings)
        self.scaler = torch.amp.GradScaler(self.device.type, enabled=settings.mixed_precision == "fp16")
        self.report = TrainReport()
        self.stopped = False
        self._folder = folder
        self._key = key
        self._rate_factor = rate_factor(settings)
        self._best: dict[str, Tensor] | None = None
        self._best_step = 0
        self._best_score = math.inf
        self._worse = 0
        self._stretch: list[float] = []
        self._begun = time.monotonic()
        self._next_save = self._begun + CHECKPOINT_SECONDS
        self._saved_step = 0

    # A step

    def autocast(self) -> torch.autocast:
        """The precision of the forward pass, for a `with` block."""
        name = self.settings.mixed_precision
        return autocast(self.device, torch_dtype("fp32" if name == "no" else name))

    def update(self) -> None:
        """Change the weights by the gradient that they hold now, and drop it.

        Raises:
            RunError: the gradient is not finite.
        """
        self.scaler.unscale_(self.optimizer)
        norm = float(nn.utils.clip_grad_norm_(self.parameters, self.settings.clip or math.inf))
        # With fp16 an overflow is an ordinary event: the scaler skips the step and lowers its scale.
        if self.settings.mixed_precision != "fp16":
            self.check_finite("gradient", norm)
        for group in self.optimizer.param_groups:
            group["lr"] = self.settings.learning_rate * self._rate_factor(self.report.steps)
        self.scaler.step(self.optimizer)
        self.scaler.update()
        self.optimizer.zero_grad()

    def note(self, loss: float) -> None:
        """Count a step that is done, and add its loss to the curve."""
        self.report.steps += 1
        self._look_at_the_clock()
        self._stretch.append(loss)
        if len(self._stretch) >= math.ceil(self.settings.steps / CURVE_POINTS):
            self._end_stretch()

    def judge(self, score: float) -> None:
        """Take note of a dev score: keep the weights if it is the best so far, stop if patience is over.

        Raises:
            RunError: it is not finite.
        """
        self.check_finite("dev score", score, step=self.report.steps - 1)
        self._look_at_the_clock()
        self.report.dev.append((self.report.steps, score))
        if score < self._best_score:
            self._best_score, self._best_step, self._worse = score, self.report.steps, 0
            if self.settings.select == "best":
                self._best = {n: t.detach().to("cpu", copy=True) for n, t in trainable(self.module).items()}
        else:
            self._worse += 1
            self.stopped = 0 < self.settings.patience <= self._worse

    def check_finite(self, what: str, value: float, step: int | None = None) -> None:
        """End the run at a number that is not finite.

        Args:
            what: what the number is.
            value: the number.
            step: the step that it belongs to, from 0; by default the one that is being done.

        Raises:
            RunError: it is not finite.
        """
        if math.isfinite(value):
            return
        at = (self.report.steps if step is None else step) + 1
        fp16 = self.settings.mixed_precision == "fp16"
        remedy = "mixed_precision=bf16 or no" if fp16 else "a lower learning_rate"
        raise RunError(f"training: the {what} is {value} at step {at} of {self.settings.steps}: try {remedy}")

    # What is due

    @property
    def is_over(self) -> bool:
        """Whether all steps are done, or patience is over."""
        return self.stopped or self.report.steps >= self.settings.steps

    @property
    def is_to_be_judged(self) -> bool:
        """Whether the weights are to be scored after the step that was just done."""
        steps = self.report.steps
        return steps == self.settings.steps or _is_due(steps, self.settings.eval_every)

    # Checkpoints and the end

    def resume(self, say: Say) -> None:
        """Go back to the checkpoint in the folder, if there is a whole one of this very run."""
        state = load_state(self._folder, say) if self._folder is not None else None
        if state is None or state.get("key") != self._key:
            return
        set_trainable(self.module, state["trainable"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.scaler.load_state_dict(state["scaler"])
        self.report = TrainReport(**state["report"])
        self._best = state["best"]
        self._best_step, self._best_score, self._worse, self.stopped = state["judgement"]
        self._stretch = state["stretch"]
        self._saved_step = self.report.steps
        self._begun = time.monotonic() - self.report.seconds

    def save_if_due(self) -> None:
        """Write a checkpoint, where the settings or the clock want one after the step that was just done.

        Raises:
            RunError: it cannot be written.
        """
        every = self.settings.checkpoint_every
        if _is_due(self.report.steps, every) if every else time.monotonic() >= self._next_save:
            self._save()

    def finish(self) -> TrainReport:
        """End the run: the module gets the weights that were asked for, and is left in evaluation mode.

        Raises:
            RunError: the last checkpoint cannot be written.
        """
        self._end_stretch()
        if self._saved_step < self.report.steps:
            self._save()
        self.report.selected_step = self.report.steps
        if self.settings.select == "best" and self._best is not None:
            set_trainable(self.module, self._best)
            self.report.selected_step = self._best_step
        self.module.eval()
        return self.report

    def _save(self) -> None:
        if self._folder is None:
            return
        start = time.monotonic()
        state = {
            "key": self._key,
            "trainable": {name: tensor.detach() for name, tensor in trainable(self.module).items()},
            "optimizer": self.optimizer.state_dict(),
            "scaler": self.scaler.state_dict(),
            "report": asdict(self.report),
            "best": self._best,
            "judgement": [self._best_step, self._best_score, self._worse, self.stopped],
            "stretch": self._stretch,
        }
        save_state(state, self._folder)
        end = time.monotonic()
        self._next_save = end + max(CHECKPOINT_SECONDS, 50 * (end - start))
        self._saved_step = self.report.steps

    def _look_at_the_clock(self) -> None:
        self.report.seconds = time.monotonic() - self._begun

    def _end_stretch(self) -> None:
        """Make a point of the curve from the steps since its last one."""
        if self._stretch:
            self.report.losses.append((self.report.steps, sum(self._stretch) / len(self._stretch)))
            self._stretch = []


def key_of(module: nn.Module, settings: TrainSettings, *facts: Any) -> str:
    """What must be equal for a checkpoint to be continued. How often it is saved may change.

    Args:
        module: what is trained.
        settings: how it is trained.
        facts: of the data, as JSON values.
    """
    what = asdict(settings)
    del what["checkpoint_every"]
    shapes = {name: list(tensor.shape) for name, tensor in trainable(module).items()}
    text = json.dumps([what, shapes, *facts], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


def _adamw(parameters: list[nn.Parameter], settings: TrainSettings) -> torch.optim.Optimizer:
    groups = [
        {"params": [p for p in parameters if p.ndim >= 2], "weight_decay": settings.weight_decay},
        {"params": [p for p in parameters if p.ndim < 2], "weight_decay": 0.0},
    ]
    return torch.optim.AdamW([g for g in groups if g["params"]], lr=settings.learning_rate)


def _is_due(step: int, every: int) -> bool:
    return every > 0 and step % every == 0
