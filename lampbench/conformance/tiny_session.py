"""Tiny models, and a session of one method on one task with them, in which nothing takes long."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from lampbench.models.run_models import ModelChoice, Models

if TYPE_CHECKING:
    from lampbench.method.registry import MethodInfo
    from lampbench.runner.session import Session
    from lampbench.runner.setup import Setup

LLM, ENCODER = "tiny-llm", "tiny-bert"

MethodsDir = str | Path | Sequence[str | Path] | None


def tiny_models(folder: Path, texts: Iterable[str], llm: str = "t5") -> Models:
    """Models of random weights that can read `texts`; they are written to `folder`.

    Args:
        llm: which kind of LLM; see `lampbench.mini.tiny_models.write_tiny_llm`.
    """
    from lampbench.mini.tiny_models import write_tiny_encoder, write_tiny_llm

    known = list(texts)
    write_tiny_llm(folder / LLM, known, kind=llm)
    write_tiny_encoder(folder / ENCODER, known)
    encoder = str(folder / ENCODER)
    choice = ModelChoice(
        llm=str(folder / LLM),
        encoder=encoder,
        retriever=encoder,
        device="cpu",
        dtype="float32",
        offline=True,
    )
    return Models(choice)


def texts_in(data: Path) -> list[str]:
    """All that data files say."""
    return [path.read_text(encoding="utf-8") for path in sorted(data.rglob("*.json"))]


def session_of(
    info: MethodInfo, methods_dir: MethodsDir, folder: Path, models: Models, task: str, data: str
) -> tuple[Session, Setup]:
    """A session with a cache of its own: nothing is found that another check has left.

    Args:
        folder: holds the data in a folder named `data`, and takes the cache.
    """
    from lampbench.data.dataset import open_task
    from lampbench.progress import Progress
    from lampbench.runner.gold_wall import wall_off
    from lampbench.runner.plan import make_plan
    from lampbench.runner.request import RunRequest
    from lampbench.runner.session import Session

    cache = folder / "cache" / data
    request = RunRequest(
        method=info.name,
        task=task,
        data=folder / data,
        setting="user",
        results=folder / "results",
        methods_dir=methods_dir,
    )
    plan = make_plan(request)
    job = plan.jobs[0]
    small = plan.setups.resolve(
        job.method,
        job.method.cls.check_options,
        job.task,
        job.seed,
        replace(job.settings, max_new_tokens=6, beams=2),
    )
    questions = wall_off(open_task(folder / data, task, "user", cache), "dev", data, None)
    # Everything is generated anew, or the second answer to a question would be the first one by definition.
    return Session(plan, models, {task: questions}, Progress("none"), cache / info.name, reuse=False), small
