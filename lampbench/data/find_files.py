"""Where the official LaMP files lie: the layouts in which people keep them."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from lampbench.errors import RequestError, unknown
from lampbench.files.folders import expanded
from lampbench.tasks import SETTINGS, SPLITS, Task


@dataclass(frozen=True)
class SplitFiles:
    """The two files of one split; either may be missing on disk.

    Attributes:
        split: `train`, `dev` or `test`.
        questions, outputs: where they are, or where they were expected.
    """

    split: str
    questions: Path
    outputs: Path

    @property
    def problem(self) -> str | None:
        """Why the split cannot be used; None if it can.

        Only `test` may come without outputs: its golds are hidden.
        """
        if not self.questions.is_file():
            return f"{self.questions.name} is missing"
        if self.split != "test" and not self.outputs.is_file():
            return f"{self.outputs.name} is missing beside {self.questions}"
        return None

    @property
    def paths(self) -> tuple[Path, ...]:
        """The files that exist, questions first."""
        return tuple(path for path in (self.questions, self.outputs) if path.is_file())


@dataclass(frozen=True)
class TaskFiles:
    """The files of one (task, setting) under a data folder.

    Attributes:
        data_dir: the folder that was searched, as given.
        folders: the folders that may hold the files, the preferred one first.
        splits: the files by split, all from one folder, so that two data sets are never mixed.
    """

    data_dir: Path
    task: Task
    setting: str
    folders: tuple[Path, ...]
    splits: Mapping[str, SplitFiles]

    @property
    def present(self) -> tuple[str, ...]:
        """The splits that can be used, in the order train, dev, test."""
        return tuple(name for name, files in self.splits.items() if files.problem is None)

    @property
    def remedy(self) -> str:
        """How to get the files."""
        return _remedy(self.task, self.setting, self.data_dir, "get it with")

    @property
    def again(self) -> str:
        """How to get files that are broken."""
        return _remedy(self.task, self.setting, self.data_dir, "get it again with")

    def missing(self, split: str) -> RequestError:
        """The error for a split that cannot be used: which file, where it was looked for, how to get it."""
        files = self.splits[split]
        where = f"{self.task.name} ({self.setting} setting) has no usable {split} split"
        if files.paths:
            return RequestError(f"{where}: {files.problem}; {self.remedy}")
        names = f"{files.questions.name}" + ("" if split == "test" else f" and {files.outputs.name}")
        return RequestError(
            f"{where} in {self.data_dir}: looked for {names} in {_listed(self.folders)}; {self.remedy}"
        )

    def nothing(self) -> RequestError:
        """The error for a folder that holds no usable split of the task."""
        problems = [files.problem for files in self.splits.values() if files.paths and files.problem]
        if problems:
            found = "; ".join(problems)
        else:
            names = "{train,dev}_{questions,outputs}.json and test_questions.json"
            found = f"looked for {names} in {_listed(self.folders)}"
        other = next(name for name in SETTINGS if name != self.setting)
        hint = ""
        if find_files(self.data_dir, self.task, other).present:
            hint = f" (the folder holds it in the {other} setting: --setting {other})"
        return RequestError(
            f"no {self.task.name} ({self.setting} setting) in {self.data_dir}{hint}: {found}; {self.remedy}"
        )


def official_file(split: str, kind: str) -> str:
    """The name of a file in the official data; `kind` is `questions` or `outputs`."""
    return f"{split}_{kind}.json"


def find_files(data_dir: str | Path, task: Task, setting: str) -> TaskFiles:
    """The files of a task, in the layouts in which people keep them.

    `<data>/<setting>/LaMP_<n>/` is what lampbench writes (`Task.files` has the names). Also found: the layout of
    the official host (a folder per split, `time/` in front, the task's `inner` folder), the task's `time_folder`,
    `LaMP_<n>/` at the top (setting `user`), and a data folder that is itself `user/`, `time/` or the task's.

    Raises:
        RequestError: no such setting, or the data folder does not exist.
    """
    if setting not in SETTINGS:
        raise unknown("setting", setting, SETTINGS)
    data = expanded(data_dir)
    if data.exists() and not data.is_dir():
        raise RequestError(f"data folder {data} is a file, not a folder: name a folder with --data")
    if not data.is_dir():
        remedy = _remedy(task, setting, data, "to fetch the data into it")
        raise RequestError(f"data folder {data} does not exist; {remedy}")
    folders = tuple(_folders(data, task, setting))
    chosen = next((folder for folder in folders if _holds_any(folder)), folders[0])
    return TaskFiles(data, task, setting, folders, {split: _split_files(chosen, split) for split in SPLITS})


def has_files(data_dir: str | Path, task: Task, setting: str) -> bool:
    """Whether a data folder holds a usable split of the task."""
    data = expanded(data_dir)
    return data.is_dir() and bool(find_files(data, task, setting).present)


def _folders(data: Path, task: Task, setting: str) -> Iterator[Path]:
    plain, timed = task.official_name, task.files.time_folder
    top = data.resolve()
    folders = [data / setting / plain]
    if setting == "time" and timed:
        folders += [data / "time" / timed, data / timed]
    # A plain name belongs to the user setting, unless it lies in a folder that says otherwise.
    if (top.name == "time") == (setting == "time"):
        folders.append(data / plain)
    if top.name == timed and setting == "time":
        folders.append(data)
    if top.name == plain and (top.parent.name == "time") == (setting == "time"):
        folders.append(data)
    for folder in folders:
        if task.files.inner:
            yield folder / task.files.inner
        yield folder


def _remedy(task: Task, setting: str, data: Path, how: str) -> str:
    if not task.files.hosted:
        return f"put its official files into {data / setting / task.official_name}"
    folder = shlex.quote(str(data))
    return f"{how}: lampbench data download --task {task.name} --setting {setting} --data {folder}"


def _places(folder: Path, split: str, kind: str) -> tuple[Path, Path]:
    name = official_file(split, kind)
    return folder / name, folder / split / name


def _holds_any(folder: Path) -> bool:
    kinds = ("questions", "outputs")
    return any(path.is_file() for s in SPLITS for kind in kinds for path in _places(folder, s, kind))


def _split_files(folder: Path, split: str) -> SplitFiles:
    def path(kind: str) -> Path:
        flat, nested = _places(folder, split, kind)
        return nested if nested.is_file() and not flat.is_file() else flat

    return SplitFiles(split, path("questions"), path("outputs"))


def _listed(paths: Iterable[Path]) -> str:
    return ", ".join(str(path) for path in paths)
