"""Scoring prediction files against gold files: one pair, or a folder or zip of them in one call.

The official schema is the same for golds and, oddly, predictions:
`{"task": "LaMP_3", "golds": [{"id": "...", "output": "..."}]}`. Lines or a list of `{"id", "output"}`, as in
the predictions.jsonl of a run, are read too; these do not say their task, and files of the official schema may
leave it out: then the path says it, or the caller. The official script takes all seven
tasks or none; here a folder may hold any of them, and tasks that lampbench leaves out are skipped by name.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath

from lampbench.data.official_json import show_ids, task_problem
from lampbench.data.output_entries import OutputEntries
from lampbench.data.prediction_sources import Source, absolute, file_source, find_sources, is_plain_file
from lampbench.errors import RequestError, short, unknown
from lampbench.files.atomic_write import write_atomic
from lampbench.files.bounded_json import BadJson
from lampbench.files.folders import expanded
from lampbench.files.json_stream import BEGINNING, foreign_format
from lampbench.files.typed_json import WrongShape
from lampbench.metrics.scoring import Score, check_ids, score
from lampbench.tasks import SETTINGS, TASKS, Task, get_task
from lampbench.tasks.registry import ALL, chosen_tasks
from lampbench.tasks.spelling import LEFT_OUT, task_in, task_named


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


def read_predictions_file(path: str | os.PathLike[str], task: str | Task | None = None) -> Outputs:
    """Reads predictions, in the official schema or as lines or a list of `{"id", "output"}`.

    Args:
        path: the file.
        task: where given, a file that names another task is refused.

    Raises:
        RequestError: no such file, not JSON, a web page, a key is missing, an id occurs twice, another task.
    """
    wanted = get_task(task) if task is not None else None
    outputs = _read(file_source(expanded(path)), wanted)
    if wanted and outputs.task and outputs.task != wanted.name:
        raise RequestError(f"{outputs.source}: is for {outputs.task}, not {wanted.name}")
    return outputs


def read_golds_file(path: str | os.PathLike[str], task: str | Task | None = None) -> Outputs:
    """Reads golds, such as `dev_outputs.json`; formats and errors as in read_predictions_file."""
    return read_predictions_file(path, task)


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
    rules: str = "official",
    task: str | Task | None = None,
    *,
    profile: str | None = None,
) -> Score:
    """Scores one prediction file against one gold file.

    Args:
        predictions, golds: the files; see read_predictions_file.
        rules: of scoring; see metrics.score.
        task: needed only where neither file names its task, nor the path of either.
        profile: another name of `rules`.

    Raises:
        RequestError: a file that cannot be used, files of different tasks, ids that do not match.
    """
    gold = read_golds_file(golds, task)
    predicted = read_predictions_file(predictions, task)
    if predicted.task and gold.task and predicted.task != gold.task:
        raise RequestError(f"{predicted.source} is for {predicted.task}, {gold.source} is for {gold.task}")
    name = get_task(task).name if task else gold.task or predicted.task
    name = name or _task_in_path(absolute(predictions)) or _task_in_path(absolute(golds))
    if name is None:
        raise RequestError(
            f"neither {predicted.source} nor {gold.source} names its task: say which it is with --task"
        )
    return _score(name, predicted, gold, profile or rules)


def score_folder(
    predictions: str | os.PathLike[str],
    golds: str | os.PathLike[str],
    rules: str = "official",
    task: str | Task | None = None,
    *,
    profile: str | None = None,
) -> FolderScore:
    """Scores every prediction file that it finds, each against the golds of its task.

    Args:
        predictions: a folder, a zip (as submitted to the leaderboard) or a single file. A file's task is the
            one it names, or else the one in its path: `results/mini/LaMP-3/bm25/seed0/predictions.jsonl`.
        golds: a folder, a zip or a single file, in the official schema. Names do not matter: a data folder
            with `LaMP_3/dev_outputs.json` will do. Where a task has several gold files, as for several
            splits, the one with the ids of the predictions counts.
        rules: of scoring; see metrics.score.
        task: of prediction files that name none, in their paths neither, and of a single gold file that names
            none.
        profile: another name of `rules`.

    Raises:
        RequestError: nothing to score, a prediction file that cannot be used or is for another task, two for
            one task, no golds for a task or contradicting ones, ids that do not match.
    """
    rules = profile or rules
    predictions, golds = expanded(predictions), expanded(golds)
    if is_plain_file(predictions) and is_plain_file(golds):
        only = score_files(predictions, golds, rules, task)
        return FolderScore({only.task: only}, {}, tuple(name for name in TASKS if name != only.task))
    wanted = get_task(task) if task is not None else None
    sources = _prediction_sources(find_sources(predictions))
    predicted = _by_task(sources, wanted)
    if not predicted:
        raise RequestError(f"no prediction files (.json or .jsonl) in {predictions}")
    skipped = {name: LEFT_OUT[name] for name in predicted if name in LEFT_OUT}
    if not predicted.keys() - skipped.keys():
        reasons = ", ".join(f"{name} {reason}" for name, reason in skipped.items())
        raise RequestError(f"nothing to score in {predictions}: {reasons}")

    # Predictions have the schema of golds: found among the golds, they would be scored against themselves.
    own = {os.path.realpath(source.path) for source in sources}
    others = [source for source in find_sources(golds) if os.path.realpath(source.path) not in own]
    # A file that was named is golds, whatever it looks like; in a folder it might be anything.
    candidates, unusable = _gold_candidates(others, wanted, is_plain_file(golds))
    scores: dict[str, Score] = {}
    for name in TASKS:
        if name not in predicted:
            continue
        if not candidates.get(name):
            reasons = f"; not usable there: {'; '.join(unusable[:3])}" if unusable else ""
            raise RequestError(f"no golds for {name} in {golds}{reasons}")
        gold = _choose(name, candidates[name], predicted[name])
        scores[name] = _score(name, predicted[name], gold, rules)
    return FolderScore(scores, skipped, tuple(name for name in TASKS if name not in predicted))


def _by_task(sources: Sequence[Source], wanted: Task | None) -> dict[str, Outputs]:
    """The predictions in some files by the name of their task, which is `wanted` where nothing tells it."""
    predicted: dict[str, Outputs] = {}
    for source in sources:
        outputs = _read(source, wanted)
        name = outputs.task or _task_in_path(source.path) or (wanted.name if wanted else None)
        if name is None:
            raise RequestError(
                f"{source.name}: names no task, and neither does its path: say which it is with --task"
            )
        if wanted and name != wanted.name:
            raise RequestError(f"{source.name}: is for {name}, not {wanted.name}")
        if name in predicted:
            raise RequestError(f"two prediction files for {name}: {predicted[name].source} and {source.name}")
        predicted[name] = outputs
    for name in sorted(predicted.keys() - TASKS.keys() - LEFT_OUT.keys()):
        raise RequestError(f"{predicted[name].source}: {unknown('task', name, TASKS)}")
    return predicted


def _score(name: str, predicted: Outputs, gold: Outputs, rules: str) -> Score:
    if name in LEFT_OUT:
        raise RequestError(f"{predicted.source}: {name} {LEFT_OUT[name]}")
    check_ids(predicted.texts, gold.texts, predicted.source, gold.source)
    return score(name, predicted.texts, gold.texts, rules)


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
    sources: Sequence[Source], wanted: Task | None, chosen: bool
) -> tuple[dict[str, list[Outputs]], list[str]]:
    """Gold files per task, and why others were not usable: of interest only if golds are missing.

    A file that names no task is one of `wanted` if it was `chosen`, and else not usable.
    """
    candidates: dict[str, list[Outputs]] = {}
    unusable = []
    for source in sources:
        # Questions lie beside the golds in a data folder and are no news.
        if source.path.stem.endswith("questions"):
            continue
        try:
            outputs = _read(source, wanted)
        except RequestError as error:
            unusable.append(str(error))
            continue
        # A file that names no task is not in the official schema: some run's predictions, most likely.
        if name := outputs.task or (wanted.name if wanted and chosen else None):
            candidates.setdefault(name, []).append(outputs)
        else:
            unusable.append(f"{source.name}: names no task")
    return candidates, unusable


def _prediction_sources(sources: Sequence[Source]) -> list[Source]:
    """Leaves out the record of a run, which lies beside the run's predictions."""
    runs = {source.path.parent for source in sources if source.path.name == "predictions.jsonl"}
    return [s for s in sources if not (s.path.name == "record.json" and s.path.parent in runs)]


def _task_in_path(path: PurePosixPath) -> str | None:
    """The task in a file's name or, failing that, the one that the nearest folder is named after."""
    names = (task_in(path.name), *(task_named(folder) for folder in reversed(path.parent.parts)))
    return next(filter(None, names), None)


def _read(source: Source, wanted: Task | None) -> Outputs:
    with source.opened() as file:
        if problem := foreign_format(file.peek(BEGINNING)[:BEGINNING]):
            raise RequestError(f"{source.name}: {problem}")
        entries = OutputEntries(file.read)
        texts = _texts(source.name, entries)
    name = None if entries.task is None else _meant(str(entries.task), wanted)
    return Outputs(name, texts, source.name)


def _meant(said: str, wanted: Task | None) -> str:
    """The name of the task that a file means by what it says, which may mean several: then the one that is wanted.

    What means no task stays as it is.
    """

    def means(task: Task) -> bool:
        return any(task_problem(task, setting, said) is None for setting in SETTINGS)

    if wanted is not None and means(wanted):
        return wanted.name
    # Only the tasks themselves know all that they are called; running their files is left for the last.
    return task_named(said, numbers=True) or next((t.name for t in chosen_tasks(ALL) if means(t)), said)


def _texts(source: str, entries: OutputEntries) -> dict[str, str]:
    texts: dict[str, str] = {}
    repetitions = 0
    repeated: list[str] = []  # the first few: a file may repeat one id without end
    number = 0
    try:
        for number, entry in enumerate(entries, 1):
            if not (isinstance(entry, dict) and "output" in entry and _is_text(entry.get("id"))):
                raise RequestError(f'{source}: entry {number} is not an object with "id" and "output"')
            id = str(entry["id"])
            if id in texts:
                repetitions += 1
                repeated += [id] if len(repeated) < 4 else []
            if not _is_text(entry["output"]):
                raise RequestError(f"{source}: the output of '{short(id)}' is not text")
            texts[id] = str(entry["output"])
    except WrongShape as error:
        raise RequestError(f"{source}: {error}") from None
    except BadJson as error:
        problem = "is cut off" if error.cut else "cannot be read as JSON"
        raise RequestError(f"{source}: {problem} after entry {number}: {error}") from None
    if repetitions:
        raise RequestError(f"{source}: {repetitions} ids occur more than once ({show_ids(repeated)})")
    return texts


def _is_text(value: object) -> bool:
    """Numbers pass for text: some tools write ids and ratings as numbers."""
    return isinstance(value, (str, int, float)) and not isinstance(value, bool)
