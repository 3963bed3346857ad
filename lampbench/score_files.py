"""Scoring prediction files against gold files: one pair, or a folder or zip of them in one call.

The official schema is the same for golds and, oddly, predictions:
`{"task": "LaMP_3", "golds": [{"id": "...", "output": "..."}]}`. Lines or a list of `{"id", "output"}`, as in
the predictions.jsonl of a run, are read too; these do not say their task, and files of the official schema may
leave it out: then the path says it, or the caller. The official script takes all seven
tasks or none; here a folder may hold any of them. LaMP-6 needs a licensed corpus and is skipped by name.
"""

from __future__ import annotations

import json
import os
import re
import zipfile
import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from lampbench.errors import RequestError, unknown
from lampbench.metrics import Score, check_ids, score
from lampbench.paths import expanded
from lampbench.replacing import write_atomic
from lampbench.tasks import TASKS, Task, get_task

AVOCADO = "needs the licensed Avocado corpus and is not scored here"

# 20,000 outputs take about 2 MB; what is far larger is something else, such as questions with profiles.
LARGEST_FILE = 256 * 2**20


@dataclass(frozen=True)
class Outputs:
    """What one file holds: text by example id, and the task that the file names (None: it names none).

    `task` is the file's own spelling where lampbench does not know the task, else its name, such as `LaMP-3`.
    """

    task: str | None
    texts: dict[str, str]
    source: str


@dataclass(frozen=True)
class FolderScore:
    """The scores of a set of prediction files.

    Attributes:
        scores: per task name, in the order of the benchmark.
        skipped: per task that was not scored although predictions are there, the reason.
        absent: tasks for which there are no predictions.
    """

    scores: dict[str, Score]
    skipped: dict[str, str]
    absent: tuple[str, ...]


@dataclass(frozen=True)
class _Source:
    """A file in a folder or in a zip: its name for people, its absolute path, its size in bytes."""

    name: str
    path: PurePosixPath
    size: int
    read: Callable[[], bytes]


def read_predictions_file(path: str | os.PathLike[str], task: str | Task | None = None) -> Outputs:
    """Reads predictions, in the official schema or as lines or a list of `{"id", "output"}`.

    Args:
        path: the file.
        task: where given, a file that names another task is refused.

    Raises:
        RequestError: no such file, not JSON, a web page, a key is missing, an id occurs twice, another task.
    """
    return _read(_file(expanded(path)), task)


def read_golds_file(path: str | os.PathLike[str], task: str | Task | None = None) -> Outputs:
    """Reads golds, such as `dev_outputs.json`; formats and errors as in read_predictions_file."""
    return _read(_file(expanded(path)), task)


def write_predictions_file(
    path: str | os.PathLike[str], task: str | Task, outputs: Mapping[str, str]
) -> None:
    """Writes predictions in the official schema, which the official script and the leaderboard read.

    The file appears whole or not at all. It is plain ASCII, other characters being escaped.
    """
    path = expanded(path)
    content = {
        "task": get_task(task).official_name,
        "golds": [{"id": str(id), "output": text} for id, text in outputs.items()],
    }
    write_atomic(path, json.dumps(content))


def score_files(
    predictions: str | os.PathLike[str],
    golds: str | os.PathLike[str],
    profile: str = "official",
    task: str | Task | None = None,
) -> Score:
    """Scores one prediction file against one gold file.

    Args:
        predictions, golds: the files; see read_predictions_file.
        profile: the rules; see metrics.score.
        task: needed only where neither file names its task, nor the path of either.

    Raises:
        RequestError: a file that cannot be used, files of different tasks, ids that do not match.
    """
    gold = read_golds_file(golds, task)
    predicted = read_predictions_file(predictions, task)
    if predicted.task and gold.task and predicted.task != gold.task:
        raise RequestError(f"{predicted.source} is for {predicted.task}, {gold.source} is for {gold.task}")
    name = get_task(task).name if task else gold.task or predicted.task
    name = name or _task_in_path(_absolute(predictions)) or _task_in_path(_absolute(golds))
    if name is None:
        raise RequestError(
            f"neither {predicted.source} nor {gold.source} names its task: say which it is with --task"
        )
    return _score(name, predicted, gold, profile)


def score_folder(
    predictions: str | os.PathLike[str],
    golds: str | os.PathLike[str],
    profile: str = "official",
    task: str | Task | None = None,
) -> FolderScore:
    """Scores every prediction file that it finds, each against the golds of its task.

    Args:
        predictions: a folder, a zip (as submitted to the leaderboard) or a single file. A file's task is the
            one it names, or else the one in its path: `results/mini/LaMP-3/bm25/seed0/predictions.jsonl`.
        golds: a folder, a zip or a single file, in the official schema. Names do not matter: a data folder
            with `LaMP_3/dev_outputs.json` will do. Where a task has several gold files, as for several
            splits, the one with the ids of the predictions counts.
        profile: the rules; see metrics.score.
        task: of prediction files that name none, in their paths neither, and of a single gold file that names
            none.

    Raises:
        RequestError: nothing to score, a prediction file that cannot be used or is for another task, two for
            one task, no golds for a task or contradicting ones, ids that do not match.
    """
    predictions, golds = expanded(predictions), expanded(golds)
    if _is_plain_file(predictions) and _is_plain_file(golds):
        only = score_files(predictions, golds, profile, task)
        return FolderScore({only.task: only}, {}, tuple(name for name in TASKS if name != only.task))
    wanted = get_task(task).name if task is not None else None
    sources = _prediction_sources(_sources(predictions))
    predicted: dict[str, Outputs] = {}
    for source in sources:
        outputs = _read(source, None)
        name = outputs.task or _task_in_path(source.path) or wanted
        if name is None:
            raise RequestError(
                f"{source.name}: names no task, and neither does its path: say which it is with --task"
            )
        if wanted and name != wanted:
            raise RequestError(f"{source.name}: is for {name}, not {wanted}")
        if name in predicted:
            raise RequestError(f"two prediction files for {name}: {predicted[name].source} and {source.name}")
        predicted[name] = outputs
    skipped = {name: AVOCADO for name in predicted if name == "LaMP-6"}
    for name in sorted(predicted.keys() - TASKS.keys() - skipped.keys()):
        raise RequestError(f"{predicted[name].source}: {unknown('task', name, TASKS)}")
    if not predicted:
        raise RequestError(f"no prediction files (.json or .jsonl) in {predictions}")
    if not predicted.keys() - skipped.keys():
        raise RequestError(f"nothing to score in {predictions}: LaMP-6 {AVOCADO}")

    # Predictions have the schema of golds: found among the golds, they would be scored against themselves.
    own = {os.path.realpath(source.path) for source in sources}
    others = [source for source in _sources(golds) if os.path.realpath(source.path) not in own]
    # A file that was named is golds, whatever it looks like; in a folder it might be anything.
    candidates, unusable = _gold_candidates(others, wanted if _is_plain_file(golds) else None)
    scores: dict[str, Score] = {}
    for name in TASKS:
        if name not in predicted:
            continue
        if not candidates.get(name):
            reasons = f"; not usable there: {'; '.join(unusable[:3])}" if unusable else ""
            raise RequestError(f"no golds for {name} in {golds}{reasons}")
        gold = _choose(name, candidates[name], predicted[name])
        scores[name] = _score(name, predicted[name], gold, profile)
    return FolderScore(scores, skipped, tuple(name for name in TASKS if name not in predicted))


def _score(name: str, predicted: Outputs, gold: Outputs, profile: str) -> Score:
    if name == "LaMP-6":
        raise RequestError(f"{predicted.source}: LaMP-6 {AVOCADO}")
    check_ids(predicted.texts, gold.texts, predicted.source, gold.source)
    return score(name, predicted.texts, gold.texts, profile)


def _choose(name: str, candidates: Sequence[Outputs], predicted: Outputs) -> Outputs:
    """The gold file with the ids of the predictions, or else the one that shares most ids with them.

    The latter makes the error that follows count what is really missing.
    """
    matching = [gold for gold in candidates if gold.texts.keys() == predicted.texts.keys()]
    if not matching:
        return max(candidates, key=lambda gold: len(gold.texts.keys() & predicted.texts.keys()))
    for gold in matching[1:]:
        if gold.texts != matching[0].texts:
            first, second = matching[0].source, gold.source
            raise RequestError(f"two files hold different golds for {name}: {first} and {second}")
    return matching[0]


def _gold_candidates(
    sources: Sequence[_Source], unnamed: str | None
) -> tuple[dict[str, list[Outputs]], list[str]]:
    """Gold files per task, and why others were not usable: of interest only if golds are missing.

    `unnamed` is the task of files that name none; None: they are not usable.
    """
    candidates: dict[str, list[Outputs]] = {}
    unusable = []
    for source in sources:
        # Questions lie beside the golds in a data folder and are no news.
        if source.path.stem.endswith("questions"):
            continue
        try:
            outputs = _read(source, None)
        except RequestError as error:
            unusable.append(str(error))
            continue
        # A file that names no task is not in the official schema: some run's predictions, most likely.
        if name := outputs.task or unnamed:
            candidates.setdefault(name, []).append(outputs)
        else:
            unusable.append(f"{source.name}: names no task")
    return candidates, unusable


def _prediction_sources(sources: Sequence[_Source]) -> list[_Source]:
    """Leaves out the record of a run, which lies beside the run's predictions."""
    runs = {source.path.parent for source in sources if source.path.name == "predictions.jsonl"}
    return [s for s in sources if not (s.path.name == "record.json" and s.path.parent in runs)]


def _task_in_path(path: PurePosixPath) -> str | None:
    """The task in a file's name or, failing that, the one that the nearest folder is named after."""
    found = re.search(r"lamp[-_ ]?(\d)(?!\d)", path.name, flags=re.IGNORECASE)
    for folder in reversed(path.parent.parts):
        found = found or re.fullmatch(r"lamp[-_ ]?(\d)", folder, flags=re.IGNORECASE)
    return f"LaMP-{found.group(1)}" if found else None


def _sources(path: Path) -> list[_Source]:
    """The JSON files of a folder or zip, at any depth, in the order of their names; or the file itself."""
    if path.is_dir():
        found = [_file(p) for p in path.rglob("*.json*") if p.is_file()]
    elif path.is_file() and zipfile.is_zipfile(path):
        found = _zip_sources(path)
    else:
        return [_file(path)]

    def visible(source: _Source) -> bool:
        inside = source.name.removeprefix(str(path))
        hidden = any(part.startswith((".", "__MACOSX")) for part in re.split(r"[/\\]", inside))
        return source.path.suffix.lower() in (".json", ".jsonl") and not hidden

    return sorted(filter(visible, found), key=lambda source: source.name)


def _is_plain_file(path: Path) -> bool:
    return path.is_file() and not zipfile.is_zipfile(path)


def _zip_sources(path: Path) -> list[_Source]:
    def reader(member: str) -> Callable[[], bytes]:
        def read() -> bytes:
            with zipfile.ZipFile(path) as archive:
                return archive.read(member)

        return read

    with zipfile.ZipFile(path) as archive:
        members = [member for member in archive.infolist() if not member.is_dir()]
    return [
        _Source(f"{path}/{m.filename}", _absolute(path) / m.filename, m.file_size, reader(m.filename))
        for m in members
    ]


def _file(path: Path) -> _Source:
    if not path.exists():
        raise RequestError(f"no such file: {path}")
    if path.is_dir():
        raise RequestError(f"{path} is a folder where a file is needed")
    return _Source(str(path), _absolute(path), path.stat().st_size, path.read_bytes)


def _absolute(path: str | os.PathLike[str]) -> PurePosixPath:
    return PurePosixPath(Path(os.path.abspath(path)).as_posix())


def _read(source: _Source, task: str | Task | None) -> Outputs:
    if source.size > LARGEST_FILE:
        raise RequestError(f"{source.name}: has {source.size / 2**20:.0f} MiB, which no file of outputs has")
    try:
        text = source.read().decode("utf-8-sig")
    except UnicodeDecodeError:
        raise RequestError(f"{source.name}: not text in UTF-8, so not JSON") from None
    # RuntimeError: the zip is encrypted.
    except (OSError, zipfile.BadZipFile, zlib.error, RuntimeError) as error:
        raise RequestError(f"{source.name}: cannot be read ({error})") from None
    name, records = _records(text, source.name)
    wanted = get_task(task).name if task is not None else None
    if wanted and name and name != wanted:
        raise RequestError(f"{source.name}: is for {name}, not {wanted}")
    texts: dict[str, str] = {}
    repeated: list[str] = []
    for number, record in enumerate(records, start=1):
        if not (isinstance(record, dict) and "output" in record and _is_text(record.get("id"))):
            raise RequestError(f'{source.name}: entry {number} is not an object with "id" and "output"')
        id = str(record["id"])
        if id in texts:
            repeated.append(id)
        if not _is_text(record["output"]):
            raise RequestError(f"{source.name}: the output of '{id}' is not text")
        texts[id] = str(record["output"])
    if repeated:
        first = ", ".join(repeated[:3]) + (", …" if len(repeated) > 3 else "")
        raise RequestError(f"{source.name}: {len(repeated)} ids occur more than once ({first})")
    return Outputs(name, texts, source.name)


def _is_text(value: object) -> bool:
    """Numbers pass for text: some tools write ids and ratings as numbers."""
    return isinstance(value, (str, int, float)) and not isinstance(value, bool)


def _records(text: str, name: str) -> tuple[str | None, list[Any]]:
    """(task or None, entries) of a file's content."""
    start = text.lstrip()[:1]
    if not start:
        raise RequestError(f"{name}: is empty")
    if start == "<":
        raise RequestError(f"{name}: is a web page, not JSON: download it again")
    try:
        content = json.loads(text)
    except json.JSONDecodeError as whole:
        # JSON lines fail as a whole, with a second value after the first.
        if start == "{" and whole.msg == "Extra data":
            return None, _lines(text, name)
        raise RequestError(f"{name}: not JSON ({whole.msg} in line {whole.lineno})") from None
    if isinstance(content, list):
        return None, content
    if isinstance(content, dict) and "golds" not in content and {"id", "output"} <= content.keys():
        return None, [content]
    if not isinstance(content, dict):
        raise RequestError(f'{name}: not an object with "task" and "golds"')
    if "golds" not in content:
        raise RequestError(
            f'{name}: lacks the key "golds"; expected {{"task": …, "golds": [{{"id", "output"}}]}}'
        )
    if not isinstance(content["golds"], list):
        raise RequestError(f'{name}: "golds" is not a list')
    written = content.get("task")
    return None if written is None else _task_name(written), content["golds"]


def _lines(text: str, name: str) -> list[Any]:
    entries = []
    # Not splitlines(): it also splits at U+2028 and others, which are legal inside a JSON string.
    for number, line in enumerate(text.split("\n"), start=1):
        if not line.strip():
            continue
        try:
            entries.append(json.loads(line))
        except json.JSONDecodeError as error:
            raise RequestError(f"{name}: line {number} is not JSON ({error.msg})") from None
    return entries


def _task_name(written: object) -> str:
    """`LaMP-3` for the spellings of it; what is no LaMP task stays as written."""
    found = re.fullmatch(r"(?:lamp)?[-_ ]?(\d)", str(written).strip(), flags=re.IGNORECASE)
    return f"LaMP-{found.group(1)}" if found else str(written)
