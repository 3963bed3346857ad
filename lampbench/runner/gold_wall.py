"""What a run asks of one task, and what of its data methods may see while they work.

Here stands the wall around the golds. While a method fits and predicts, the data that lie within its reach are
those of `Questions`: the train split with its outputs; the questions that are asked, without theirs; and a table
of the items of the train split and of the asked profiles. No table of the outputs of the scored split is open,
and none with items that no asked profile shows: in the time setting, a question and its answer are an item of the
same user's later profiles. `read_golds` opens the outputs, once the predictions are on disk.

The wall is against mistakes and convenience: a method is a program, and could open any file of its machine.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from lampbench import metrics
from lampbench.data.arrow_tables import (
    TRAIN_ITEMS_FILE,
    Damaged,
    golds_file,
    open_table,
    shown_items,
    verify_file,
)
from lampbench.data.item_table import ItemTable, RowMap
from lampbench.dates import undated_rows
from lampbench.errors import RequestError, RunError
from lampbench.files.folders import CACHE_REMEDY, cache_dir, expanded
from lampbench.method.profile_controls import Rng, Viewed, strangers, view
from lampbench.runner.preset import MINI_DATA

if TYPE_CHECKING:
    from lampbench.data.dataset import Example, Split, TaskData
    from lampbench.method.base import View
    from lampbench.progress import Progress
    from lampbench.runner.request import Plan
    from lampbench.tasks import Task


@dataclass(frozen=True)
class Questions:
    """What one task asks.

    Attributes:
        name: what the data are, for records.
        task, setting: as in `lampbench.data.dataset.TaskData`.
        fingerprint: hash of the content of all source files.
        sizes: questions by split.
        asked: the questions that are asked, all of the split or a sample, without outputs.
        scored: whether their outputs are known.
        train: the train split with its outputs; None if there is none.
        items: the items of the train split and of the asked profiles.
        limit: size of the sample.
        store: the folder of the prepared tables; `manifest` says what they are.
        asked_rows: the rows of the asked profiles in the whole items table, which is not open, int64 [n].
        population: the whole split without outputs; its profiles are rows of that table.
        absent_train: why there is no train split.
    """

    name: str
    task: Task
    setting: str
    fingerprint: str
    sizes: Mapping[str, int]
    asked: Split
    scored: bool
    train: Split | None
    items: ItemTable
    limit: int | None
    store: Path
    manifest: Mapping[str, Any] = field(repr=False)
    asked_rows: NDArray[np.int64] = field(repr=False)
    population: Split = field(repr=False)
    absent_train: RequestError | None = None

    @cached_property
    def counts(self) -> dict[str, int]:
        """Facts about the data: questions by split; empty profiles and undated items among those asked."""
        rows = [example.item_rows.tolist() for example in self.asked]
        distinct = self.asked.item_rows
        dates = dict(zip(distinct.tolist(), self.items.column("date", distinct), strict=True))
        return dict(self.sizes) | {
            "items": len(distinct),
            "empty_profile": sum(not profile for profile in rows),
            "undated": len(undated_rows(rows, dates)),
        }

    @cached_property
    def users(self) -> dict[str, str | None] | None:
        """User by question, where users ask more than once: what is resampled then are users."""
        users = self.asked.user_ids
        known = [user for user in users if user is not None]
        return dict(zip(self.asked.ids, users, strict=True)) if len(set(known)) < len(known) else None

    def shown(self, kind: View, examples: Sequence[Example], rng: Rng) -> Viewed:
        """Questions among those asked, with the history that `kind` says; see `lampbench.method.profile_controls`."""
        if kind != "random":
            return view(kind, self.task, examples, self.items, rng)
        # Of all that are asked, so that a resumed run has the same table.
        others = strangers(self.asked.ids, self.population, rng)
        rows = np.concatenate([self.asked_rows, *(other.item_rows for other in others.values())])
        items, row_map = open_items(self.store, self.manifest, np.unique(rows))
        swapped = [
            replace(e, item_rows=row_map(others[e.id].item_rows), item_ids=others[e.id].item_ids, items=items)
            for e in examples
        ]
        return Viewed(swapped, items)


def open_items(store: Path, manifest: Mapping[str, Any], rows: NDArray[np.int64]) -> tuple[ItemTable, RowMap]:
    """A table of the items of the train split and of these rows, and of no other.

    Args:
        store, manifest: the prepared tables.
        rows: of the whole items table, ascending.

    Returns:
        The table, and the map from rows of the whole table to its rows.

    Raises:
        RequestError: the cache cannot be written to.
        RunError: writing failed half-way, or the cache is damaged.
    """
    n_train = manifest["items"]["train"]
    others = rows[rows >= n_train]
    shown = shown_items(store, dict(manifest), others - n_train)
    train = open_table(store, manifest, TRAIN_ITEMS_FILE)
    return ItemTable(*([train] if shown is None else [train, shown])), RowMap(n_train, others)


def wall_off(data: TaskData, split: str, name: str, limit: int | None) -> Questions:
    """What a run asks of the data, apart from them: nothing that is returned leads to an output of the split.

    Args:
        data: the task's data.
        split: which questions.
        name: what the data are, for records.
        limit: only so many questions, drawn at random.

    Raises:
        RequestError: there is no such split, or a gold that cannot be scored.
    """
    whole = data.split(split)
    _check_golds(data.task, whole)
    asked = whole
    if limit is not None:
        # The same sample for every method and seed, so that limited runs can be compared too.
        asked = whole.subset(np.sort(np.random.default_rng(0).permutation(len(whole))[:limit]))
    rows = asked.item_rows
    items, row_map = open_items(data.store, data.manifest, rows)
    has_train = "train" in data.splits
    return Questions(
        name=name,
        task=data.task,
        setting=data.setting,
        fingerprint=data.fingerprint,
        sizes={name: len(data.split(name)) for name in data.splits},
        asked=asked.seen_through(items, row_map),
        scored=whole.has_outputs,
        train=data.split("train").over(items) if has_train else None,
        items=items,
        limit=limit,
        store=data.store,
        manifest=data.manifest,
        asked_rows=rows,
        population=whole.seen_through(ItemTable()),
        absent_train=None if has_train else data.absent("train"),
    )


def open_questions(plan: Plan, task: Task, progress: Progress) -> Questions:
    """The data of a task, prepared if need be, and the questions that are asked.

    Raises:
        RequestError: files are missing or wrong.
    """
    from lampbench.data.dataset import open_task

    folder = _data_folder(plan, task, progress)
    name = "LaMP-mini" if plan.data == MINI_DATA else folder.resolve().name
    with progress.bar(f"preparing {task.name} (MB)") as bar:
        data = open_task(folder, task, plan.setting, on_progress=bar.update, say=progress.say)
    return wall_off(data, plan.request.split, name, plan.request.limit)


def _data_folder(plan: Plan, task: Task, progress: Progress) -> Path:
    if plan.data != MINI_DATA:
        return expanded(plan.data)
    from lampbench.mini.generator import Knobs, write_suite

    knobs = Knobs(setting=plan.setting)
    folder = cache_dir() / f"{MINI_DATA}-{plan.setting}-{knobs.fingerprint}"
    with progress.bar(f"generating LaMP-mini ({task.name})"):
        write_suite(folder, knobs, [task.name], CACHE_REMEDY, ours=True, say=progress.say)
    return folder


def read_golds(questions: Questions) -> Mapping[str, str]:
    """Id to gold output of the questions that were asked: for after the last prediction.

    Raises:
        RunError: the outputs are no longer what they were when the run began.
    """
    path = questions.store / golds_file(questions.asked.name)
    try:
        verify_file(path, questions.manifest["files"][path.name])
    except Damaged as error:
        raise RunError(f"{error}, or the data were changed during the run: run again") from error
    return questions.asked.with_outputs(open_table(questions.store, questions.manifest, path.name)).golds


def _check_golds(task: Task, split: Split) -> None:
    """Golds that cannot be scored are found before an hour of generation, not after it."""
    if split.has_outputs:
        metrics.check_golds(task, split.golds)
