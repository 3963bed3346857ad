"""Proof that a task's file will do, in seconds: a made-up user goes through everything that is done with a task.

Its inputs are read, and its items told as texts, lessons and prompts; the right answers score better than wrong ones,
and every metric has an interval and a paired test; its files pass the audit and are prepared; every retrieval method
answers its questions.
"""

from __future__ import annotations

import math
import re
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, get_args

import numpy as np

from lampbench import metrics
from lampbench.conformance import made_up
from lampbench.conformance.report import Broken, CheckReport, rule
from lampbench.conformance.tiny_session import MethodsDir, session_of, tiny_models
from lampbench.errors import RequestError
from lampbench.method.base import RetrievalMethod
from lampbench.method.registry import MethodInfo, list_methods, load
from lampbench.prompts.history_pairs import pairs_from_items
from lampbench.prompts.profile_prompt import personalized_prompt
from lampbench.prompts.texts import Fields, history_text, item_text, own_text, query
from lampbench.runner.job import checked
from lampbench.tasks import Task
from lampbench.tasks.registry import chosen_tasks

DATA = "data"
ROOM = 2048  # tokens, for all that is made up


def check_tasks(
    names: str, methods_dir: MethodsDir = None, *, say: Callable[[str], Any] | None = None
) -> list[CheckReport]:
    """Check the files of tasks.

    Args:
        names: tasks, with commas, or `all`.
        methods_dir: more folders with methods.
        say: called with a text per task as it is done.

    Raises:
        RequestError: no such task, or its file cannot be used.
    """
    reports = []
    for task in chosen_tasks(names):
        with tempfile.TemporaryDirectory(prefix="lampbench-check-") as folder:
            reports.append(_check(task, methods_dir, Path(folder)))
        if say is not None:
            say(str(reports[-1]))
    return reports


def _check(task: Task, methods_dir: MethodsDir, folder: Path) -> CheckReport:
    report = CheckReport(task.name, noun="task")
    start = time.monotonic()
    made_up.write_made_up(folder / DATA, task)
    with rule(report, "an input is read"):
        _read(task)
    with rule(report, "items are told as texts"):
        _told(task)
    with rule(report, "items make lessons"):
        _taught(task)
    with rule(report, "right answers score better"):
        _scored(task)
    with rule(report, "the audit finds nothing odd"):
        _audited(task, folder / DATA)
    with rule(report, "the data are prepared"):
        _prepared(task, folder)
    models = tiny_models(
        folder, [path.read_text("utf-8") for path in sorted((folder / DATA).rglob("*.json"))]
    )
    with rule(report, "a prompt holds input and items, and keeps to its length"):
        _prompted(task, models.llm.tokenizer)
    for info in filter(_retrieves, list_methods(methods_dir)):
        with rule(report, f"{info.name} answers"):
            session, job = session_of(info, methods_dir, folder, models, task.name, DATA)
            asked = list(session.data[task.name].asked)
            list(checked(session.fitted(job).predict(asked), asked, info.name))
    report.seconds = time.monotonic() - start
    return report


def _retrieves(info: MethodInfo) -> bool:
    """Whether it is a retrieval method; one that cannot be used is none, for it tells nothing of the task."""
    try:
        return info.error is None and issubclass(load(info).cls, RetrievalMethod)
    except RequestError:
        return False


def _read(task: Task) -> None:
    text = made_up.asked(task, "asked")
    for what, found in (("query", query(task, text)), ("user's own text", own_text(task, text))):
        if not found.strip():
            raise Broken(f"the {what} is empty, of the input {text!r}")
        if not _words(found) <= _words(text):
            raise Broken(f"the {what} is {found!r}, which is not in the input {text!r}")
    try:
        query(task, "a text of another kind")
    except RequestError:
        return
    raise Broken("an input of another task is taken for one of this")


def _told(task: Task) -> None:
    one, other = (made_up.item(task, 0, id) for id in ("one", "other"))
    shown = {"item_text": item_text} | {
        f"history_text, {fields}": lambda task, item, fields=fields: history_text(task, item, fields)
        for fields in get_args(Fields)
        if not (fields == "output" and task.labels)  # two items may have one label
    }
    for name, tell in shown.items():
        if tell(task, one) == tell(task, other):
            raise Broken(f"{name} is the same for items that have nothing in common: {tell(task, one)!r}")


def _taught(task: Task) -> None:
    items = [made_up.item(task, place, f"item{place}") for place in range(made_up.HISTORY)]
    for fields in get_args(Fields):
        pairs = pairs_from_items(task, items, lambda *names: np.random.default_rng(0), fields)
        if len(pairs) != len(items):
            raise Broken(f"{len(items)} items make {len(pairs)} lessons ({fields})")


def _scored(task: Task) -> None:
    ids = [f"q{i}" for i in range(12)]
    golds = {id: made_up.answer(task, place, id) for place, id in enumerate(ids)}
    others = {id: made_up.answer(task, place + 1, f"other{id}") for place, id in enumerate(ids)}
    right, wrong, empty = (
        metrics.score(task, answers, golds) for answers in (golds, others, dict.fromkeys(ids, ""))
    )
    if right.counts["unparsed"]:
        raise Broken("golds, given as answers, count as unparsed")
    for metric in task.metrics:
        values = [score.metrics[metric.key] for score in (right, wrong, empty)]
        shown = f"{metric.key} is {values[0]:g} for right answers and {values[1]:g} for wrong ones"
        if not all(map(math.isfinite, values)):
            raise Broken(f"{shown}, and {values[2]:g} for empty ones: it must be finite")
        better = (values[0] - values[1]) * (1 if metric.higher_is_better else -1)
        if better < 0 or (better == 0 and metric is task.metric):
            raise Broken(f"{shown}, and {'higher' if metric.higher_is_better else 'lower'} is better")
        low, high = metrics.interval(wrong, metric.key, n=100)
        test = metrics.paired(right, wrong, metric.key, n=100)
        if not all(map(math.isfinite, (low, high, test.p))):
            raise Broken(f"{metric.key} has no interval or paired test: {low}, {high}, {test.p}")


def _audited(task: Task, data: Path) -> None:
    from lampbench.data.audit import audit

    for split in audit(data, task, "user").splits:
        found = [f"{name}: {', '.join(f.first)}" for name, f in split.findings.items() if f.count]
        if split.broken or found:
            raise Broken(f"{split.split}: {'; '.join([*split.broken, *found])}")


def _prepared(task: Task, folder: Path) -> None:
    from lampbench.data.dataset import open_task

    data = open_task(folder / DATA, task, "user", folder / "prepared")
    for example in data.split("dev"):
        wanted = made_up.question(task, example.id)
        profile = [{name: item[name] for name in wanted["profile"][0]} for item in example.profile]
        if (example.input, profile) != (wanted["input"], wanted["profile"]):
            raise Broken(f"question {example.id} comes back as {example.input!r} with the items {profile}")


def _prompted(task: Task, tokenizer: Any) -> None:
    asked = made_up.question(task, "asked")
    text, items = asked["input"], asked["profile"]
    if personalized_prompt(task, text, [], tokenizer, ROOM) != text:
        raise Broken("without items the prompt is not the input")
    for fields in get_args(Fields):
        whole = personalized_prompt(task, text, items, tokenizer, ROOM, fields)
        missing = _words(text) - _words(whole)
        if missing:
            raise Broken(f"the prompt ({fields}) lacks {' '.join(sorted(missing))} of the input: {whole!r}")
        hidden = [item["id"] for item in items if not _shows(whole, item)]
        if hidden:
            raise Broken(f"the prompt ({fields}) shows nothing of item {hidden[0]}: {whole!r}")
        lengths = [
            len(
                tokenizer(personalized_prompt(task, text, items, tokenizer, n, fields), verbose=False)[
                    "input_ids"
                ]
            )
            for n in (8, ROOM // 16, ROOM)
        ]
        if lengths != sorted(lengths):
            raise Broken(f"a prompt with less room is longer ({fields}): {lengths} tokens")


def _shows(prompt: str, item: dict[str, str]) -> bool:
    said = _words(" ".join(value for name, value in item.items() if name not in ("id", "date")))
    return bool(said & _words(prompt))


def _words(text: str) -> set[str]:
    return set(re.findall(r"\w+", text))
