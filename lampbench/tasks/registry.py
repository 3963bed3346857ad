"""Finding tasks, without running them, and getting one by its name.

A task is a file with a TASK in it (see `lampbench.tasks.base`). It is found in `lampbench/tasks`, in the folders of
`--tasks-dir` and of the environment variable `LAMPBENCH_TASKS`, and through the entry-point group `lampbench.tasks`
of installed packages, whose entries name a module. Listing reads the files; only a task that is named is run.

Records and prediction files name their tasks, so the folders of `--tasks-dir` hold for the whole program.
"""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any
from weakref import WeakKeyDictionary

from lampbench.errors import RequestError, described, short
from lampbench.files.folders import expanded
from lampbench.plugins.code_fingerprint import file_print
from lampbench.plugins.finder import OWN, Candidate, Finder, Folders, PluginFile, changed, once, package_of
from lampbench.plugins.import_check import import_fault, read_with
from lampbench.tasks.base import (
    NAME,
    NAMES,
    SETTINGS,
    SPLITS,
    Metric,
    Task,
    is_known,
    known_metric,
)

FINDER = Finder(
    noun="task",
    package="lampbench.tasks",
    folders=(Path(__file__).parent,),
    variable="LAMPBENCH_TASKS",
    passed_over=("base", "registry", "spelling", "wording"),
)
ALL = "all"

Names = str | Sequence[str]


@dataclass(frozen=True)
class TaskInfo(PluginFile):
    """What is known of a task from reading its file.

    Attributes:
        said: the attributes of its Task that are written as plain values and of the right kind; of metrics, keys and
            labels; of files, the `folder`.
    """

    said: Mapping[str, Any]


def list_tasks() -> list[TaskInfo]:
    """All tasks, those of lampbench first, the broken ones too (their `error` says why).

    Raises:
        RequestError: two files give the same name, aliases included, or a folder does not exist.
    """
    return list(_listed(*_places()))


def get_task(name: str | Task) -> Task:
    """The task of that name; accepts `LaMP-4`, `LaMP_4`, `lamp4`, `4`.

    Raises:
        RequestError: no such task, and the nearest name is suggested; or its file is broken.
    """
    return name if isinstance(name, Task) else _got(str(name), *_places())


def chosen_tasks(
    names: Names, has: Callable[[Task], bool] | None = None, say: Callable[[str], Any] = lambda text: None
) -> list[Task]:
    """The tasks of a `--task` option: names, with commas or as a list, each task once.

    Args:
        names: what was asked for; `all` stands for every task that can be used.
        has: which tasks are meant by `all`.
        say: told why a task is left out of `all`.

    Raises:
        RequestError: there is no name or no such task, or one that is named is broken.
    """
    parts = names.split(",") if isinstance(names, str) else [str(name) for name in names]
    asked = [part.strip() for part in parts if part.strip()]
    if not asked:
        raise RequestError("--task: name a task, several with commas, or all")
    found: dict[str, Task] = {}
    for name in asked:
        tasks = filter(has, _usable(say)) if name == ALL else [get_task(name)]
        found |= {task.name: task for task in tasks if task.name not in found}
    if not found:
        raise RequestError(f"--task {ALL}: there is nothing here of any task; known are {', '.join(TASKS)}")
    return list(found.values())


def find_metric(task: str, key: str) -> Metric | None:
    """The metric of that key, as the task has it; None if neither that task, as it is now, nor lampbench has one."""
    try:
        metrics = get_task(task).metrics
    except RequestError:
        metrics = ()
    known = known_metric(key) if is_known(key) else None
    return next((metric for metric in metrics if metric.key == key), known)


def why_absent(task: str) -> str | None:
    """Why the task that a record names cannot be had, with the remedy; None if it can."""
    try:
        get_task(task)
    except RequestError as error:
        listed = any(info.name == task for info in list_tasks())
        return str(error) if listed else f"its task is not found: name its folder with {FINDER.option}"
    return None


def task_order(task: str) -> tuple[int, str]:
    """Sort key: the benchmark's order of tasks, then the others by name."""
    own = [info.name for info in _listed(*_places()) if info.origin == OWN]
    return (own.index(task) if task in own else len(own), task)


def task_print(task: Task) -> str:
    """The fingerprint of what a task's file did when it was run: a task that does something else is another task.

    Raises:
        RequestError: it was made elsewhere, and not found by its name.
    """
    if task not in _prints:
        raise RequestError(f"task '{task.name}' is from no file that was found: get it by its name")
    return _prints[task]


class _Tasks(Mapping[str, Task]):
    """The tasks by name, those whose files cannot be used left out; one is loaded when it is first asked for."""

    def __getitem__(self, name: str) -> Task:
        if name not in iter(self):
            raise KeyError(name)
        return get_task(name)

    def __iter__(self) -> Iterator[str]:
        return (info.name for info in _listed(*_places()) if not info.error)

    def __len__(self) -> int:
        return sum(1 for _ in self)


TASKS: Mapping[str, Task] = _Tasks()

# Where tasks are. Records and prediction files name tasks, and are read far from any option.

_prints: WeakKeyDictionary[Task, str] = WeakKeyDictionary()  # of files as they were when they were run

Places = tuple[tuple[str, ...], tuple[tuple[Candidate, int | None], ...]]
"""What decides which tasks there are: where packages lie, and the files in folders with their last change."""

_folders: list[Path] = []


def search_in(tasks_dir: Folders) -> None:
    """From now on look for tasks in these folders: what `--tasks-dir` does.

    Raises:
        RequestError: a folder does not exist.
    """
    folders = [tasks_dir] if isinstance(tasks_dir, (str, Path)) else list(tasks_dir or ())
    once(FINDER.in_folders(folders))  # refuses what is no folder
    _folders[:] = [expanded(folder) for folder in folders]


def _places() -> Places:
    return tuple(sys.path), tuple((file, changed(file[0])) for file in FINDER.in_folders(_folders))


@lru_cache(maxsize=16)
def _fixed(_paths: tuple[str, ...]) -> list[Candidate]:
    return [*FINDER.own(), *FINDER.installed()]


@lru_cache(maxsize=16)
def _listed(paths: tuple[str, ...], more: tuple[tuple[Candidate, int | None], ...]) -> tuple[TaskInfo, ...]:
    candidates = once([*_fixed(paths), *(file for file, _ in more)])
    infos = FINDER.listed((_read(*candidate) for candidate in candidates), _same)
    _aliases(infos)  # refuses what is taken
    return tuple(sorted(infos, key=lambda info: info.origin != OWN))


def _aliases(infos: Sequence[TaskInfo]) -> dict[str, str]:
    """The names of tasks by their aliases; those of broken files do not count.

    Raises:
        RequestError: an alias is another task's name or alias.
    """
    whole = [info for info in infos if not info.error]
    owners = {_same(info.name): info for info in whole}
    for info in whole:
        for alias in info.said.get("aliases", ()):
            owner = owners.setdefault(_same(alias), info)
            if owner is not info:
                raise RequestError(
                    f"task '{info.name}' has the alias '{alias}', by which task '{owner.name}' is known: "
                    f"{info.where} and {owner.where}; leave it out of one of them"
                )
    return {alias: info.name for alias, info in owners.items()}


@lru_cache(maxsize=256)
def _got(name: str, *places: Any) -> Task:
    infos = _listed(*places)
    exact = any(_same(info.name) == _same(name) for info in infos)
    info = FINDER.named(infos, name if exact else _aliases(infos).get(_same(name), name), _same)
    task = getattr(FINDER.import_file(info), "TASK", None)
    if not isinstance(task, Task):
        raise FINDER.broken(info, "its TASK is no lampbench Task")
    if task.name != info.name:
        raise FINDER.broken(info, f"its TASK is named {task.name!r} when it runs")
    if task not in _prints:  # a file that is still imported does what it did
        try:
            _prints[task] = file_print(info.path, info.module)
        except OSError as error:  # of a file beside it, which it imports later
            raise FINDER.broken(info, described(error)) from error
    return task


def _usable(say: Callable[[str], Any] = lambda text: None) -> Iterator[Task]:
    for info in list_tasks():
        try:
            if info.error:
                raise FINDER.broken(info, info.error)
            yield get_task(info.name)
        except RequestError as error:
            say(str(error))


def _same(name: str) -> str:
    """What names have in common that nobody should have to tell apart: `LaMP-4`, `LaMP_4`, `lamp 4`."""
    return re.sub("[-_ ]", "", name).casefold()


# Reading their files


def _read(path: Path, origin: str, module: str | None) -> TaskInfo:
    package = package_of(path, module)
    found = read_with(lambda tree, text: _said(tree, package), path)
    said, error = ({}, found) if isinstance(found, str) else found
    name = said.get("name") or path.stem.replace("_", "-")
    return TaskInfo(name, str(said.get("title", "")), origin, path, module, error, said)


def _said(tree: ast.Module, package: str) -> tuple[dict[str, Any], str | None]:
    """What a file says of its task in plain values, and why it can certainly not be used."""
    values = _assigned(tree)
    task = values.get("TASK")
    if not isinstance(task, ast.Call):
        return {}, "it has no TASK = Task(…)"
    given = {keyword.arg: keyword.value for keyword in task.keywords if keyword.arg}
    plain = {name: value for name, node in given.items() if (value := _plain(node, values)) is not None}
    said = {n: value for n, value in plain.items() if n not in _KINDS or _KINDS[n][0](value)}
    name, metrics = said.pop("name", None), _metrics(given.get("metrics"), values)
    if not isinstance(name, str):
        return said, 'its TASK does not say its name (name = "…")'
    if not NAME.fullmatch(name) or name == ALL:
        return said, f"its name {name!r} will not do: {NAMES}"
    if isinstance(folder := _keyword(given.get("files"), "folder", values), str):
        said["folder"] = folder
    odd = (
        f"its {n}={short(repr(v))} will not do: write {_KINDS[n][1]}"
        for n, v in plain.items()
        if n in _KINDS.keys() - said
    )
    return said | {"name": name, "metrics": metrics}, next(odd, None) or import_fault(tree, package)


def _is_text(value: Any) -> bool:
    return isinstance(value, str)


def _are_texts(value: Any) -> bool:
    return isinstance(value, (tuple, list)) and all(map(_is_text, value))


def _are_counts(value: Any) -> bool:
    splits = {(setting, split) for setting in SETTINGS for split in SPLITS}
    return isinstance(value, dict) and value.keys() <= splits and all(type(n) is int for n in value.values())


_KINDS: Mapping[str, tuple[Callable[[Any], bool], str]] = {
    "title": (_is_text, "a text"),
    "kind": (_is_text, "a text"),
    "item_fields": (_are_texts, 'texts, like ("text",)'),
    "labels": (_are_texts, 'texts, like ("1", "2")'),
    "aliases": (_are_texts, 'texts, like ("8",)'),
    "counts": (_are_counts, 'numbers by setting and split, like {("user", "dev"): 2500}'),
}
"""What attributes are that are used without running the file."""


def _assigned(tree: ast.Module) -> dict[str, ast.expr]:
    """What the names at the top of a file stand for."""
    values: dict[str, ast.expr] = {}
    for node in tree.body:
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
            values[node.targets[0].id] = node.value
        elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name) and node.value is not None:
            values[node.target.id] = node.value
    return values


def _plain(node: ast.expr, values: Mapping[str, ast.expr]) -> Any:
    """A value that is written as such, here or under a name; None: it is not."""
    if isinstance(node, ast.Name):
        node = values.get(node.id, node)
    try:
        return ast.literal_eval(node)
    except (ValueError, TypeError):
        return None


def _keyword(node: ast.expr | None, name: str, values: Mapping[str, ast.expr]) -> Any:
    """What a call is given by that keyword; None: it is no call, or the value is not written as such."""
    call = values.get(node.id) if isinstance(node, ast.Name) else node
    keywords = call.keywords if isinstance(call, ast.Call) else ()
    return next((_plain(keyword.value, values) for keyword in keywords if keyword.arg == name), None)


def _metrics(node: ast.expr | None, values: Mapping[str, ast.expr]) -> dict[str, str]:
    """Keys and labels of the metrics, as far as they are written as plain values."""
    found: dict[str, str] = {}
    for each in node.elts if isinstance(node, (ast.Tuple, ast.List)) else ():
        made = values.get(each.id, each) if isinstance(each, ast.Name) else each
        if isinstance(made, ast.Call):  # Metric("hits@3", "Hits@3", …)
            parts = [
                *made.args,
                *(k.value for name in ("key", "label") for k in made.keywords if k.arg == name),
            ]
            texts = [str(_plain(part, values)) for part in parts[:2]]
            found |= dict([texts]) if len(texts) == 2 else {}
        elif isinstance(key := _plain(made, values), str):
            found[key] = known_metric(key).label if is_known(key) else key
    return found
