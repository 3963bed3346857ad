"""Which runs of a suite may stand in one table, and why the others may not.

Two rows of a table can be compared if everything but the method was the same. What must be the same is
compared here, run by run; a run that differs is named with the difference and kept out, because a table that
mixes two revisions of an LLM looks exactly like one that does not.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from lampbench.records.predictions import Line
from lampbench.records.record import ModelRecord, Record
from lampbench.report.seed_runs import SeedRuns, read_log
from lampbench.tasks.registry import why_absent

Facts = dict[str, str]


@dataclass(frozen=True)
class Aside:
    """A run that is not in the table, and why."""

    record: Record
    reason: str


@dataclass(frozen=True)
class Standing:
    """The runs of one suite.

    Attributes:
        ranked: what may be compared, by task and method.
        limited: complete runs on a sample of the questions.
        failed: runs that failed or have not ended.
        odd: complete runs that differ in what must be equal, whose files disagree, or whose task is not there.
        unscored: complete runs on questions without golds.
    """

    ranked: list[SeedRuns] = field(default_factory=list)
    limited: list[Record] = field(default_factory=list)
    failed: list[Aside] = field(default_factory=list)
    odd: list[Aside] = field(default_factory=list)
    unscored: list[Record] = field(default_factory=list)


def stand(records: Sequence[Record], limited: bool = False) -> Standing:
    """Sort the records of one suite; see the module docstring.

    What most runs have in common decides; of equally many, the one that comes first in text order.

    Args:
        records: of one suite.
        limited: whether runs on a sample of the questions may be ranked, with runs on the same sample.
    """
    standing = Standing()
    candidates = []
    for record in records:
        if record.status != "complete":
            unfinished = "unfinished: the same command goes on with it"
            standing.failed.append(Aside(record, record.error or unfinished))
        elif not record.metrics:
            standing.unscored.append(record)
        elif record.data.limit is not None and not limited:
            standing.limited.append(record)
        elif (absent := why_absent(record.task)) is not None:
            standing.odd.append(Aside(record, absent))
        else:
            candidates.append(record)

    candidates = _agree(candidates, standing)
    by_task: dict[str, list[Record]] = {}
    for record in candidates:
        by_task.setdefault(record.task, []).append(record)
    for same_task in by_task.values():
        _rank_task(_usual(same_task, standing, task_facts), standing)
    return standing


def suite_facts(record: Record) -> Facts:
    """What must be equal throughout a suite, by name."""
    limits = {name: str(value) for name, value in record.generation.items() if name != "max_new_tokens"}
    return {
        "LLM": record.llm.id,
        "LLM revision": _revision(record, "llm"),
        "LLM precision": str(record.llm.dtype),
        "data": record.data.name,
        "setting": record.data.setting,
        "split": record.data.split,
        "prompt version": str(record.prompt_version),
        **limits,
    }


def task_facts(record: Record) -> Facts:
    """What must be equal among the runs on one task, by name."""
    return {
        "data fingerprint": record.data.fingerprint,
        "number of questions": str(record.data.n),
        "max_new_tokens": str(record.generation.get("max_new_tokens")),
    }


def model_text(model: ModelRecord) -> str:
    """A model with its revision, on which two runs must agree."""
    return f"{model.id} ({model.revision})" if model.revision else model.id


def _revision(record: Record, role: str) -> str:
    """The revision of a model; where it was not known, what the run's own command called it, and no other."""
    models = (record.spec or {}).get("models", {})
    return str(getattr(record, role).revision or models.get(role, {}).get("revision"))


def _same_file(one: Record, other: Record) -> bool:
    """Whether the file of two runs' method did the same, as far as their records tell; whatever it said."""
    if one.spec is not None and other.spec is not None:
        return one.spec.get("file") == other.spec.get("file")
    return one.method.sha256 == other.method.sha256


def _agree(records: list[Record], standing: Standing) -> list[Record]:
    records = _usual(records, standing, suite_facts)
    # Not every method uses these models; those that do must use the same ones.
    for role in ("encoder", "retriever"):

        def facts(record: Record, role: str = role) -> Facts:
            return {role: f"{getattr(record, role).id} ({_revision(record, role)})"}

        users = [record for record in records if getattr(record, role) is not None]
        agreeing = {id(record) for record in _usual(users, standing, facts)}
        records = [r for r in records if getattr(r, role) is None or id(r) in agreeing]
    return records


def _usual(records: list[Record], standing: Standing, facts: Callable[[Record], Facts]) -> list[Record]:
    """The records that agree with most; the others go to standing.odd."""
    if not records:
        return []
    votes: Counter[tuple[tuple[str, str], ...]] = Counter(tuple(facts(r).items()) for r in records)
    usual = dict(min(votes.items(), key=lambda vote: (-vote[1], vote[0]))[0])
    kept = []
    for record in records:
        own = facts(record)
        differences = [
            f"{name} {own.get(name, 'missing')}, not {usual.get(name, 'missing')}"
            for name in dict.fromkeys([*usual, *own])
            if own.get(name) != usual.get(name)
        ]
        if differences:
            standing.odd.append(Aside(record, "; ".join(differences)))
        else:
            kept.append(record)
    return kept


def _rank_task(records: list[Record], standing: Standing) -> None:
    """Read the predictions and gather the seeds of each method."""
    logs: dict[str, list[tuple[Record, dict[str, Line]]]] = {}
    questions: set[str] | None = None
    task_file: str | None = None  # older records do not tell it
    for record in records:
        log, problem = read_log(record)
        first = logs.get(record.method.label, [(record, log)])[0][0]
        usual, own = first.method.config, record.method.config
        # An option that one of them does not have yet, it had at its default.
        if problem is None and any(usual[name] != own[name] for name in usual.keys() & own.keys()):
            problem = f"other options than seed {first.seed}"
        if problem is None and not _same_file(first, record):
            problem = f"the file of the method has changed since seed {first.seed}"
        file = (record.spec or {}).get("task_file")
        if problem is None and file is not None and file != (task_file := task_file or file):
            problem = "the file of the task has changed since the runs before it"
        if problem is None and questions is not None and questions != set(log):
            problem = "it answered other questions than the runs before it"
        if problem is not None:
            standing.odd.append(Aside(record, problem))
            continue
        questions = questions or set(log)
        logs.setdefault(record.method.label, []).append((record, log))
    for pairs in logs.values():
        standing.ranked.append(SeedRuns(tuple(r for r, _ in pairs), tuple(log for _, log in pairs)))
