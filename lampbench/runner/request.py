"""What `lampbench run` was asked, and what that comes to: the jobs of a checked request (`lampbench.runner.plan`)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from lampbench.models.run_models import ModelChoice
from lampbench.runner.preset import Preset
from lampbench.runner.setup import Setup, Setups
from lampbench.tasks import Task

ALL = "all"
ASKED = ("dev", "test")

Names = str | Sequence[str]


@dataclass(frozen=True)
class RunRequest:
    """What `lampbench run` was asked, as it was asked; None stands for what the preset says.

    Attributes:
        method: method names (`bm25`, `pplug+top4`), with commas or as a list; `all` for every method.
        task: task names, likewise.
        seed: one or more seeds.
        set: `name=value` or `method.name=value`.
        limit: only so many questions, sampled at random.
        chat_template: put prompts into the LLM's chat template.
        extract: how answers are found in what the LLM says; see `lampbench.prompts.answer_extraction`.
        fresh: neither resume nor reuse anything that an earlier run left.
    """

    method: Names
    task: Names = ALL
    preset: str = "mini"
    data: str | Path | None = None
    setting: str | None = None
    split: str = "dev"
    llm: str | None = None
    encoder: str | None = None
    retriever: str | None = None
    seed: int | str | Sequence[int] = 0
    limit: int | None = None
    set: Sequence[str] = ()
    variant: str | None = None
    suite: str | None = None
    results: str | Path = "results"
    device: str = "auto"
    dtype: str | None = None
    chat_template: bool | None = None
    extract: str | None = None
    fresh: bool = False
    offline: bool = False
    methods_dir: str | Path | Sequence[str | Path] | None = None
    tasks_dir: str | Path | Sequence[str | Path] | None = None


@dataclass(frozen=True)
class Plan:
    """A checked request.

    Attributes:
        jobs: what to run, in order: by method (those that others are built on first), task, seed.
        setups: makes the setups of what is built on something, and was not known before.
        left_out: of `all` tasks and methods, those that cannot be had and why.
    """

    request: RunRequest
    preset: Preset
    suite: str
    models: ModelChoice
    data: str
    setting: str
    results: Path
    jobs: tuple[Setup, ...]
    setups: Setups
    left_out: tuple[str, ...] = ()

    @property
    def tasks(self) -> list[Task]:
        """The tasks of the jobs, each once."""
        return list({job.task.name: job.task for job in self.jobs}.values())
