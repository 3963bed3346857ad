"""What decides a run and a fit, and which methods of one command are the same."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from lampbench.errors import RequestError
from lampbench.method.fitting import Fitted
from lampbench.progress import Progress
from lampbench.records.record import request_key
from lampbench.runner.plan import make_plan
from lampbench.runner.request import RunRequest
from lampbench.runner.session import Session
from lampbench.runner.setup import Setup

Open = Callable[..., Session]


@pytest.fixture
def session_of(tmp_path: Path) -> Open:
    """A session for a request, with made-up models and data that only say what they are."""

    def open_session(method: str, *options: str, task: str = "LaMP-4", has_train: bool = True) -> Session:
        plan = make_plan(RunRequest(method, task, set=options, results=tmp_path))
        split = SimpleNamespace(fingerprint="train") if has_train else None
        questions = SimpleNamespace(setting="user", train=split, absent_train=None, items=None)
        models = SimpleNamespace(identity=lambda role: {"id": role})
        data: Any = {task.name: questions for task in plan.tasks}
        return Session(plan, models, data, Progress("none"), tmp_path / "cache", reuse=False)  # type: ignore[arg-type]

    return open_session


def job_of(session: Session, label: str) -> Setup:
    return next(job for job in session.plan.jobs if job.label == label)


def test_what_decides_a_run_is_told_of_all_that_it_is_built_on(session_of: Open) -> None:
    session = session_of("pplug", "retriever=rrf")
    spec = session.spec(session.plan.jobs[0])
    assert spec["train"] == "train"
    assert set(spec["models"]) == {"llm", "encoder"}
    fused = spec["uses"]["rrf"]
    assert (fused["train"], set(fused["models"])) == (None, {"llm"})
    assert set(fused["uses"]) == {"bm25", "recency", "contriever"}
    assert fused["uses"]["contriever"]["models"] == {"llm": {"id": "llm"}, "retriever": {"id": "retriever"}}
    assert {spec["seed"], fused["seed"], fused["uses"]["bm25"]["seed"]} == {0}


def test_options_that_act_at_prediction_only_do_not_ask_for_another_fit(session_of: Open) -> None:
    session = session_of("pplug,pplug+random-profile,pplug+top4")
    own, random, other = (job_of(session, label) for label in ("pplug", "pplug+random-profile", "pplug+top4"))

    def keys(for_fit: bool) -> list[str]:
        return [request_key(session.spec(job, for_fit=for_fit)) for job in (own, random, other)]

    assert len(set(keys(for_fit=False))) == 3
    usual, shown_others, another = keys(for_fit=True)
    assert usual == shown_others != another
    assert session.spec(own, for_fit=True)["code"] == own.code
    assert "code" not in session.spec(own)  # a run tells its commit


def test_without_training_questions_a_method_that_learns_is_refused(session_of: Open) -> None:
    session = session_of("bm25,pplug", has_train=False)
    assert session.spec(job_of(session, "bm25"))["train"] is None
    with pytest.raises(RequestError, match="LaMP-4 has no train split"):
        session.spec(job_of(session, "pplug"))


def test_a_method_is_made_ready_once_and_lends_those_of_its_tree(session_of: Open) -> None:
    session = session_of("rrf,bm25")
    fused, bm25 = session.fitted(job_of(session, "rrf")), session.fitted(job_of(session, "bm25"))
    assert session.fitted(job_of(session, "rrf")) is fused
    assert fused.bench.method("bm25") is bm25  # with the same options it is the same
    other = fused.bench.method("bm25", k=1)
    assert isinstance(other, Fitted)
    assert other.config.k == 1
    assert other.bench.shared is fused.bench.shared  # who asks pays
    session.forget()
    assert session.fitted(job_of(session, "bm25")) is not bm25


def test_a_bench_shows_of_an_item_what_its_method_does(session_of: Open) -> None:
    session = session_of("rrf+inputs-only,bm25,adhoc")
    shown = {job.label: session.fitted(job).bench.history_fields for job in session.plan.jobs}
    assert shown == {"rrf+inputs-only": "input", "bm25": "released", "adhoc": "released"}
    fused: Any = session.fitted(job_of(session, "rrf+inputs-only")).bench.method("recency")
    assert (fused.config.history_fields, fused.bench.history_fields) == ("input", "input")
