"""LaMP-mini: six tasks of persona-driven data in the official LaMP format, made from a seed.

Every user is a *persona*: a few latent habits that differ from task to task (`lampbench.mini.personas`). Each
document of the user, history item or question alike, shows the habits only in part: a paper is about one of
the author's fields, a headline carries an opener or does not. So one history item never tells the whole
persona, and the answer to a question depends on what the text says *and* on who wrote it.

The files are official in name and schema and are read by the same loader as the real ones. `manifest.json`
beside them records the generator's version and knobs and, for every task and split, two reference scores: the
*ceiling* (answers made with the user's persona) and the *floor* (answers made with the same guess at it for
everybody). Neither looks for what the question itself gives away of its writer, so the floor can be beaten
without a history: see `lampbench.mini.personas.choices.ProductRating`.
"""

from __future__ import annotations

import datetime
import hashlib
import json
import random
from collections.abc import Iterator, Mapping, Sequence
from copy import deepcopy
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from lampbench.constraints import Checked, Count, PositiveInt, Probability
from lampbench.data.find_files import official_file
from lampbench.errors import RequestError, RunError, unknown
from lampbench.files.atomic_write import replacing
from lampbench.files.bounded_json import BadJson, read_json
from lampbench.files.digests import digest, has_digest
from lampbench.files.folders import expanded, require_writable
from lampbench.files.locks import locked
from lampbench.files.seals import Damaged, Say, read_sealed, seal
from lampbench.mini.personas import DOMAINS, Document, Domain
from lampbench.tasks import SETTINGS, SPLITS, Task, get_task

NAME = "LaMP-mini"
MANIFEST = "manifest.json"

# Raised whenever the same knobs would give other texts.
GENERATOR_VERSION = 1

# Questions per task for train, and for dev and test each. On LaMP-2 there is most to learn, what each of fifteen tags
# is about, and the gains are small. The score of a text says more than a hit or a miss, so that fewer of them do.
SIZES = {
    "LaMP-1": (1000, 150),
    "LaMP-2": (5000, 400),
    "LaMP-3": (1000, 120),
    "LaMP-4": (1000, 80),
    "LaMP-5": (1000, 80),
    "LaMP-7": (1000, 80),
}

_FIRST_DAY = datetime.date(2015, 1, 1)
_LAST_DAY = datetime.date(2023, 12, 31)


def mini_task(task: str | Task) -> Task:
    """The task of that name, if LaMP-mini has it.

    Raises:
        RequestError: no such task, or LaMP-mini has none of that name.
    """
    task = get_task(task)
    if task.name not in SIZES:
        raise RequestError(f"LaMP-mini has no {task.name}: name the folder of its data with --data")
    return task


@dataclass(frozen=True)
class Knobs(Checked):
    """What can be varied.

    Attributes:
        seed: users of different seeds are different people.
        train, dev, test: questions per split, one per user (setting `user`) or the same users in all (setting
        `time`); None for the task's own number, see `SIZES`. history_min, history_max: bounds of the number of
        profile items, drawn uniformly. noise: probability that a document is written as a random
        stranger would write it. drift: 0 to 1; at relative time t in [0, 1] a document follows the user's later
        persona with probability drift * t.
        setting: `user` (users disjoint between splits) or `time` (the same users, later questions).
    """

    seed: int = 0
    train: Count | None = None
    dev: Count | None = None
    test: Count | None = None
    history_min: PositiveInt = 6
    history_max: PositiveInt = 24
    noise: Probability = 0.05
    drift: Probability = 0.0
    setting: str = "user"

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.setting not in SETTINGS:
            raise unknown("setting", self.setting, SETTINGS)
        if self.history_min > self.history_max:
            raise ValueError(
                f"history_min must be at most history_max ({self.history_max}), not {self.history_min}"
            )

    def questions(self, task: Task, split: str) -> int:
        """How many questions a split of a task has."""
        own = SIZES[task.name][0 if split == "train" else 1]
        return own if (wanted := getattr(self, split)) is None else int(wanted)

    def to_json(self) -> dict[str, Any]:
        """The knobs, with the number of questions per task where they leave it open."""
        sizes = {
            task.name: [self.questions(task, split) for split in SPLITS] for task in map(get_task, SIZES)
        }
        return {**asdict(self), "sizes": sizes}

    @property
    def fingerprint(self) -> str:
        """Eight hexadecimal digits; the same generator and knobs always have the same."""
        text = json.dumps([GENERATOR_VERSION, self.to_json()], sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:8]


@dataclass(frozen=True)
class MadeQuestion:
    """A generated question with everything that is known about it: what goes to disk, and the two reference guesses."""

    id: str
    user_id: str
    input: str
    output: str
    profile: tuple[dict[str, str], ...]
    ceiling: str
    floor: str


class _User:
    """One person: two personas (before and after a drift) and a stream of dated documents."""

    def __init__(self, domain: Domain, rng: random.Random, knobs: Knobs) -> None:
        self._domain, self._rng, self._knobs = domain, rng, knobs
        self._early = domain.persona(rng)
        self._late = domain.persona(rng) if knobs.drift else self._early

    def persona(self, time: float) -> Any:
        """The persona in force at relative time `time` in [0, 1]."""
        return self._late if self._rng.random() < self._knobs.drift * time else self._early

    def write(self, time: float) -> tuple[Document, Any]:
        """A document of that time, and the persona that a reader in the know would expect behind it."""
        persona = self.persona(time)
        author = self._domain.persona(self._rng) if self._rng.random() < self._knobs.noise else persona
        return self._domain.document(author, self._rng), persona


def _dates(n: int, rng: random.Random) -> list[str]:
    span = (_LAST_DAY - _FIRST_DAY).days
    days = sorted(rng.sample(range(span), n))
    return [(_FIRST_DAY + datetime.timedelta(days=day)).isoformat() for day in days]


def user_questions(
    task: Task | str, user_id: str, n_questions: int, knobs: Knobs, domain: Domain | None = None
) -> list[MadeQuestion]:
    """The questions of one user, oldest first: the profile of each is everything the user wrote before it.

    A user is determined by the task, the seed and the id alone, so splits can be made in any order or in
    parallel. `domain` replaces the task's own world, for data that are not the benchmark's.
    """
    task = mini_task(task)
    domain = domain or DOMAINS[task.name]
    rng = random.Random(f"lamp-mini/{GENERATOR_VERSION}/{knobs.seed}/{task.name}/{user_id}")
    user = _User(domain, rng, knobs)
    n_history = rng.randint(knobs.history_min, knobs.history_max)
    n_documents = n_history + n_questions
    last = max(n_documents - 1, 1)
    written = [user.write(position / last) for position in range(n_documents)]
    dates = _dates(n_documents, rng)
    questions = []
    for position in range(n_history, n_documents):
        document, persona = written[position]
        asked = domain.question(document, persona, rng)
        question_id = f"{user_id}{position - n_history}"
        profile = tuple(
            {"id": f"{question_id}-{i}", **written[i][0].fields, "date": dates[i]} for i in range(position)
        )
        questions.append(
            MadeQuestion(
                id=question_id,
                user_id=user_id,
                input=asked.input,
                output=asked.output,
                profile=profile,
                ceiling=domain.guess(asked, persona),
                floor=domain.guess(asked, None),
            )
        )
    return questions


def generate(task: Task | str, split: str, knobs: Knobs) -> Iterator[MadeQuestion]:
    """The questions of one split, in the order of the file.

    Raises:
        RequestError: unknown task or split.
    """
    task = get_task(task)
    if split not in SPLITS:
        raise unknown("split", split, SPLITS)
    part = SPLITS.index(split)
    for number in range(knobs.questions(task, split)):
        if knobs.setting == "time":
            # One user, three questions: the oldest is the train question, the newest the test question.
            questions = user_questions(task, f"{task.number}9{number:05d}", len(SPLITS), knobs)
            yield questions[part]
        else:
            yield user_questions(task, f"{task.number}{part}{number:05d}", 1, knobs)[0]


def _write_json(path: Path, value: object, remedy: str) -> str:
    """Write a file unless it says so already, for readers that are at it; returns the digest of its content."""
    content = json.dumps(value, ensure_ascii=False).encode("utf-8", errors="backslashreplace")
    if not (path.is_file() and path.read_bytes() == content):
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with replacing(path) as temporary:
                temporary.write_bytes(content)
        except OSError as error:
            reason = error.strerror or error
            raise RunError(f"cannot write {path}: {reason}; make room there, or {remedy}") from error
    return digest(content)


def _reference_scores(task: Task, questions: Sequence[MadeQuestion]) -> dict[str, dict[str, float]]:
    from lampbench.metrics.scoring import score

    golds = {q.id: q.output for q in questions}
    return {
        "ceiling": score(task, {q.id: q.ceiling for q in questions}, golds).metrics,
        "floor": score(task, {q.id: q.floor for q in questions}, golds).metrics,
    }


def _manifest_in(folder: Path, empty: dict[str, Any], remedy: str, ours: bool, say: Say) -> dict[str, Any]:
    """The manifest of the suite that the folder holds; `empty`, that of a suite without files, if it holds none.

    Raises:
        RequestError: it holds another suite, or files of somebody else, among which ours would be lost.
    """
    path = folder / MANIFEST
    found: Any = None
    try:
        if ours:
            return read_sealed(path) if path.is_file() else empty
        if path.is_file():
            found = read_json(path)
        # Hidden files do not count: a killed process and a desktop leave such.
        elif not folder.is_dir() or all(entry.name.startswith(".") for entry in folder.iterdir()):
            return empty
    except Damaged:
        say(f"{path} is damaged: {NAME} is generated again")
        return empty
    except BadJson:  # no JSON: somebody else's file of that name
        pass
    except OSError as error:
        raise RequestError(f"{folder} cannot be read ({error.strerror or error}): {remedy}") from error
    needed = empty.keys() - {"files"}  # which older versions did not write
    if not isinstance(found, dict) or any(found.get("name") != NAME or key not in found for key in needed):
        raise RequestError(f"{folder} is not empty and holds no {NAME}, which takes a folder alone: {remedy}")
    if any(found[key] != empty[key] for key in ("generator_version", "knobs")):
        raise RequestError(f"{folder} holds {NAME} with other knobs: {remedy}, or delete it")
    return {key: found.get(key, {}) for key in empty}


def write_suite(
    folder: str | Path,
    knobs: Knobs | None = None,
    tasks: Sequence[str] | None = None,
    remedy: str = "choose another folder",
    *,
    ours: bool = False,
    say: Say = lambda text: None,
) -> dict[str, Any]:
    """Write LaMP-mini to `folder` in the official layout and return its manifest.

    Files: `<folder>/<setting>/LaMP_<n>/<split>_{questions,outputs}.json` and `<folder>/manifest.json`. Unlike
    the real benchmark, `test` has outputs too. A folder that already holds this very suite is left as it is;
    of one that is damaged, what differs is written again. One process writes at a time, others wait for it.

    Args:
        folder: where to; made if it is not there.
        knobs: what to vary.
        tasks: names of tasks; None for all.
        remedy: what to do about a folder that will not do, for messages.
        ours: the folder is in nobody else's hands, so that whatever is wrong in it is damage.
        say: told of damage, and of what is waited for.

    Raises:
        RequestError: unknown task, impossible knobs, or a folder that holds another suite or other files, or
            cannot be written to; nothing has been written.
        RunError: writing failed half-way, such as on a full disk; the same call goes on from there.
    """
    folder = expanded(folder)
    knobs = knobs or Knobs()
    chosen = [mini_task(name) for name in (tasks or SIZES)]
    empty: dict[str, Any] = {
        "name": NAME,
        "generator_version": GENERATOR_VERSION,
        "knobs": knobs.to_json(),
        "reference_scores": {},
        "files": {},
    }
    manifest = _manifest_in(folder, deepcopy(empty), remedy, ours, lambda text: None)
    if all(_is_whole(folder, manifest, task) for task in chosen):
        return manifest
    require_writable(folder, "folder", remedy)
    with locked(folder / MANIFEST, waiting=say, tidy=True):
        manifest = _manifest_in(folder, empty, remedy, ours, say)  # as whoever was waited for has left it
        # Before the first file: what a kill leaves is then known as ours, and the same call goes on.
        _write_manifest(folder, manifest, remedy)
        for task in chosen:
            if not _is_whole(folder, manifest, task, say):
                _write_task(folder, manifest, task, knobs, remedy)
                _write_manifest(folder, manifest, remedy)
    return manifest


def _is_whole(folder: Path, manifest: Mapping[str, Any], task: Task, say: Say = lambda text: None) -> bool:
    """Whether a task is all there, as it was written."""
    files = {n: v for n, v in manifest["files"].items() if Path(n).parent.name == task.official_name}
    damaged = [folder / name for name, value in files.items() if not has_digest(folder / name, value)]
    for path in damaged:
        say(f"{path} is damaged: it is generated again")
    return task.name in manifest["reference_scores"] and bool(files) and not damaged


def _write_task(folder: Path, manifest: dict[str, Any], task: Task, knobs: Knobs, remedy: str) -> None:
    """Write the files of a task and note them, and their scores, in the manifest."""
    scores: dict[str, Any] = {}
    for split in SPLITS:
        questions = list(generate(task, split, knobs))
        if not questions:
            continue
        asked = [
            {"id": q.id, "input": q.input, "profile": list(q.profile), "user_id": q.user_id}
            for q in questions
        ]
        golds = [{"id": q.id, "output": q.output} for q in questions]
        contents = {"questions": asked, "outputs": {"task": task.official_name, "golds": golds}}
        for kind, content in contents.items():
            name = f"{knobs.setting}/{task.official_name}/{official_file(split, kind)}"
            manifest["files"][name] = _write_json(folder / name, content, remedy)
        scores[split] = _reference_scores(task, questions)
    manifest["reference_scores"][task.name] = scores


def _write_manifest(folder: Path, manifest: dict[str, Any], remedy: str) -> None:
    _write_json(folder / MANIFEST, seal(manifest), remedy)
