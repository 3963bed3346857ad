"""The record of a run: what ran, on what, with what result, at what cost. One run, one record.json.

    results/<suite>/<task>/<method>[+<variant>]/seed<k>/record.json        this module
                                                       /predictions.jsonl    lampbench.records.predictions

A record is written when its run starts, and again when it has ended or failed. It is made to be published, so
nothing in it may tell where it was made: models and data that lie in a local folder go by the name of that
folder and a hash of its content (`revision`, `fingerprint`), and texts with paths in them go through
`shareable` first.
"""

from __future__ import annotations

import hashlib
import json
import re
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timezone
from pathlib import Path
from typing import Any, Literal

from lampbench.errors import RequestError
from lampbench.files.atomic_write import write_atomic
from lampbench.files.bounded_json import BadJson, read_json
from lampbench.files.folders import expanded
from lampbench.files.typed_json import NOT_IN_FILE, WrongShape, plain, pretty, read_as
from lampbench.records.attempts import PREDICTIONS, RECORD, predictions_of
from lampbench.records.choice import ChoiceRecord
from lampbench.records.cost import Cost
from lampbench.records.environment import Environment
from lampbench.records.predictions import PredictionLog

__all__ = [
    "PREDICTIONS",
    "RECORD",
    "SCHEMA_VERSION",
    "ChoiceRecord",
    "DataRecord",
    "MethodRecord",
    "MetricRecord",
    "ModelRecord",
    "PredictionLog",
    "Record",
    "TrainingRecord",
    "now",
    "read_record",
    "request_key",
    "run_path",
    "shareable",
    "without_folders",
    "write_record",
    "write_record_into",
]

SCHEMA_VERSION = 3  # 2: the cost tells reused generations apart; 3: what decides the result is kept (`spec`)

Status = Literal["started", "complete", "failed"]


@dataclass(frozen=True)
class MethodRecord:
    """The method of a run.

    Attributes:
        name: its name, such as `bm25`.
        variant: what tells this configuration from the usual one; None for the usual one.
        origin: where its file was found.
        sha256: hash of its file, byte for byte.
        config: every option with its value.
        built_on: the same of each method that it is built on, by name.
        trainable_parameters: number of trained scalars; 0 for a method that trains nothing.
        summary, paper: as the method states them.
        reads_profile: False if it looks at no history at all. Such a method is what personalization is
            measured against; None if nobody says.
        order: place among the columns of a table, low first; None: after those that have one, by name.
    """

    name: str
    variant: str | None = None
    origin: str = ""
    sha256: str = ""
    config: dict[str, Any] = field(default_factory=dict)
    built_on: dict[str, dict[str, Any]] = field(default_factory=dict)
    trainable_parameters: int = 0
    summary: str = ""
    paper: str = ""
    reads_profile: bool | None = None
    order: int | None = None

    @property
    def label(self) -> str:
        """The name that tables show and the folder has: `name` or `name+variant`."""
        return f"{self.name}+{self.variant}" if self.variant else self.name


@dataclass(frozen=True)
class DataRecord:
    """The questions of a run.

    Attributes:
        name: what the data are, such as `LaMP` or the name of their folder.
        setting, split: such as `time` and `dev`.
        fingerprint: hash of their content.
        n: questions answered.
        counts: facts about them, such as questions per split, empty profiles, undated items.
        limit: number of questions drawn at random; None if all were asked.
        train: hash of the content of the training questions; None if neither the method nor one that it is built
            on learns from them.
    """

    name: str
    setting: str
    split: str
    fingerprint: str
    n: int
    counts: dict[str, int] = field(default_factory=dict)
    limit: int | None = None
    train: str | None = None


@dataclass(frozen=True)
class ModelRecord:
    """A model: hub name or name of its folder, revision (commit, or hash of its content), precision, size.

    Of an encoder also the prompts for `query` and `document` that its authors name, where they do. They stand
    before the texts only if the method's option `prompts` says so.
    """

    id: str
    revision: str | None = None
    dtype: str | None = None
    parameters: int | None = None
    prompts: dict[str, str] | None = None


@dataclass(frozen=True)
class MetricRecord:
    """A metric: its value, the 95 % interval over examples (None where there is none), and their number."""

    value: float
    low: float | None
    high: float | None
    n: int


@dataclass(frozen=True)
class TrainingRecord:
    """What training did, which may have been in an earlier run than the record's own.

    Attributes:
        settings: the batches, the optimizer and the schedule.
        steps, seconds: how many optimizer steps, and their wall time.
        losses, dev: curves of the loss and of the held-out score, as (step, value).
        selected_step: whose weights were kept.
        git_commit, git_dirty, threads: as in the environment, of the process that ended the training.
    """

    settings: dict[str, Any] = field(default_factory=dict)
    steps: int = 0
    seconds: float = 0.0
    losses: list[tuple[int, float]] = field(default_factory=list)
    dev: list[tuple[int, float]] = field(default_factory=list)
    selected_step: int | None = None
    git_commit: str | None = None
    git_dirty: bool | None = None
    threads: int | None = None


@dataclass(frozen=True)
class Record:
    """One run of one method on one task with one seed.

    Attributes:
        suite, task, seed: with the method, what the run's folder is named after.
        generation: the limits of generation (input tokens, new tokens, beams); with `chat_template` and
            `extract` only where the LLM's template was used and answers were extracted.
        status: `started`, `complete`, or `failed`.
        error: why it failed, in one line.
        request: hash of everything that decides the result (see request_key). A record answers a request only
            if the two keys are equal, or if it is too old for that and tells nothing to the contrary.
        spec: everything that decides the result, of which `request` is the hash, by name; folders are left out of
            it (see `without_folders`). None in records of schema 1 and 2.
        code: fingerprints of the code that the method and those that it is built on learn and answer with; a
            record answers requests of the same code only. Empty in records of schema 1 and 2.
        command: the command, made shareable.
        prompt_version: version of the prompt templates.
        retriever: the model of dense retrieval, where it is not the encoder.
        metrics: by key, the task's main metric first.
        counts: what went wrong how often: `n`, `truncated`, `unparsed`, `empty` (outputs), `empty_profile`,
            `undated`; with extraction `extracted`, the answers that are a part of what the LLM said, and
            `ambiguous`, those where several labels could be the answer, which are unparsed; for
            text `tokenless` and `tokenless_golds` (`lampbench.metrics`).
        choice: of a method that chooses among answers: how often which, and what choosing could have reached.
        predictions_sha256: hash of the predictions.jsonl that was scored.
        started, finished: UTC times.
        folder: where the record was read from; not part of the file.
    """

    suite: str
    task: str
    seed: int
    method: MethodRecord
    data: DataRecord
    llm: ModelRecord
    generation: dict[str, Any]
    status: Status = "started"
    error: str | None = None
    request: str = ""
    command: str = ""
    prompt_version: int = 1
    encoder: ModelRecord | None = None
    retriever: ModelRecord | None = None
    metrics: dict[str, MetricRecord] = field(default_factory=dict)
    counts: dict[str, int] = field(default_factory=dict)
    cost: Cost = field(default_factory=Cost)
    training: TrainingRecord | None = None
    choice: ChoiceRecord | None = None
    environment: Environment = field(default_factory=Environment)
    predictions_sha256: str | None = None
    started: str | None = None
    finished: str | None = None
    spec: dict[str, Any] | None = None
    code: list[str] = field(default_factory=list)
    folder: Path | None = field(default=None, compare=False, metadata=NOT_IN_FILE)

    @property
    def name(self) -> str:
        """The run as people type it: `suite/task/method/seed0`."""
        return f"{self.suite}/{self.task}/{self.method.label}/seed{self.seed}"

    @property
    def predictions(self) -> Path:
        """The predictions.jsonl beside this record, which must have been read from a folder."""
        if self.folder is None:
            raise ValueError(f"the record of {self.name} was not read from a folder")
        return predictions_of(self.folder)


def run_path(
    results: str | Path, suite: str, task: str, method: str, variant: str | None = None, seed: int = 0
) -> Path:
    """The folder of a run, the same for the same request.

    Raises:
        RequestError: a part is no name for a folder.
    """
    label = f"{method}+{variant}" if variant else method
    for kind, part in (("suite", suite), ("task", task), ("method", label)):
        if not re.fullmatch(r"[^\s./\\:*?\"<>|\x00-\x1f][^/\\:*?\"<>|\x00-\x1f]*", part):
            raise RequestError(f"{kind} '{part}' cannot name a folder: use letters, digits, - _ . +")
    return Path(results) / suite / task / label / f"seed{seed}"


def write_record(record: Record, results: str | Path) -> Path:
    """Writes record.json into the folder of the run, whole or not at all.

    Returns:
        The path of the file.

    Raises:
        RunError: a number is not finite (the message names its field), or the file cannot be written.
        RequestError: a name cannot be that of a folder.
    """
    method = record.method
    folder = run_path(results, record.suite, record.task, method.name, method.variant, record.seed)
    return write_record_into(folder, record)


def write_record_into(folder: Path, record: Record) -> Path:
    """Writes record.json into that folder; otherwise like `write_record`."""
    path = folder / RECORD
    content = {"schema": SCHEMA_VERSION, **plain(record)}
    write_atomic(path, pretty(content) + "\n")
    return path


def read_record(path: str | Path) -> Record:
    """The record in that file, or in the folder of that run.

    Raises:
        RequestError: it cannot be read, is no record, or is from a newer lampbench.
    """
    path = expanded(path)
    if path.is_dir():
        path = path / RECORD
    try:
        content = read_json(path)
    except OSError as error:
        raise RequestError(f"cannot read {path}: {error.strerror or error}") from error
    except BadJson as error:
        raise RequestError(f"{path} is not JSON: {error}; run it again with --fresh, or remove it") from error
    version = content.pop("schema", None) if isinstance(content, dict) else None
    if not isinstance(version, int):
        raise RequestError(f"{path} is not the record of a run: it has no schema version")
    if version > SCHEMA_VERSION:
        raise RequestError(
            f"{path} has schema version {version}, and this lampbench reads up to {SCHEMA_VERSION}: "
            "use a newer lampbench"
        )
    try:
        record = read_as(Record, content)
    except WrongShape as error:
        raise RequestError(f"{path} is not a record of schema version {version}: {error}") from error
    return replace(record, folder=path.parent)


def request_key(request: Mapping[str, Any]) -> str:
    """SHA-256 of all that decides a result, as JSON with sorted keys: equal requests have equal keys."""
    text = json.dumps(plain(request, "request"), sort_keys=True, ensure_ascii=True, separators=(",", ":"))
    return hashlib.sha256(text.encode("ascii")).hexdigest()


def shareable(text: str | Sequence[str]) -> str:
    """A command or message without the folders of its machine: of an absolute path, the last part.

    >>> shareable(["lampbench", "run", "--data", "/home/me/LaMP"])
    'lampbench run --data LaMP'
    """
    if not isinstance(text, str):
        return shlex.join(shareable(part) for part in text)
    # A path starts a word or follows one of = ' " ( [ :  -- but not inside a URL or a hub name.
    unix = r"(?<![\w./:~-])(?:~?/(?:[^/\s'\"=,;:()\[\]]+/)+)"
    windows = r"(?<![\w.])(?:[A-Za-z]:\\(?:[^\\\s'\"]+\\)+)"
    return re.sub(f"{unix}|{windows}", "", text)


def without_folders(value: Any, *, marked: bool = False) -> Any:
    """A JSON value whose every text is shareable.

    Args:
        value: the value.
        marked: tell folders of one name apart, by a hash of what was left out.
    """
    if isinstance(value, dict):
        return {
            without_folders(key, marked=marked): without_folders(v, marked=marked) for key, v in value.items()
        }
    if isinstance(value, list):
        return [without_folders(item, marked=marked) for item in value]
    if not isinstance(value, str) or (text := shareable(value)) == value:
        return value
    return f"{text} ({hashlib.sha256(value.encode()).hexdigest()[:8]})" if marked else text


def now() -> str:
    """The time, in UTC to the second: `2025-03-01T12:00:00Z`."""
    return datetime.now(timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")
