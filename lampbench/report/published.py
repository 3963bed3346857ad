"""Published numbers, each with its source: facts about other people's runs, never mixed with our own.

`published.csv` holds the numbers and `published_sources.csv` says what each source is. The values are copied
as they were printed. Two numbers can be compared only if setting, split and LLM are the same (`comparable`);
whether they were scored and prompted alike is for the reader to find out from the source.
"""

from __future__ import annotations

import csv
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from lampbench.errors import RequestError
from lampbench.records.record import Record
from lampbench.tasks import SETTINGS, SPLITS, get_task
from lampbench.tasks.registry import task_order

PUBLISHED = Path(__file__).with_name("published.csv")
SOURCES = Path(__file__).with_name("published_sources.csv")


@dataclass(frozen=True)
class Source:
    """Where numbers are from: title, where it is found, and what a reader must know about it."""

    key: str
    title: str
    where: str
    note: str


@dataclass(frozen=True)
class Published:
    """One published number.

    Attributes:
        source: key of its Source.
        setting, split: such as `time` and `dev`.
        llm, encoder: as the source names them, empty where it names none or has none.
        method: the source's method, such as `bm25` or `retrieval:contriever`.
        task, metric: such as `LaMP-3` and `mae`.
        value: as printed.
    """

    source: str
    setting: str
    split: str
    llm: str
    encoder: str
    method: str
    task: str
    metric: str
    value: float


def load_published(path: Path = PUBLISHED) -> list[Published]:
    """The published numbers in the order of the file.

    Raises:
        RequestError: a line is wrong; the message names it.
    """
    with open(path, encoding="utf-8", newline="") as file:
        reader = csv.DictReader(file)
        return [_published(row, f"{path}, line {reader.line_num}") for row in reader]


@cache
def load_sources(path: Path = SOURCES) -> dict[str, Source]:
    """The sources by key."""
    with open(path, encoding="utf-8", newline="") as file:
        rows = csv.DictReader(file)
        return {r["source"]: Source(r["source"], r["title"], r["where"], r["note"]) for r in rows}


def comparable(published: Published, record: Record) -> bool:
    """Whether a published number may stand beside a run: same task, setting, split and LLM, all questions
    asked.

    That all were asked is seen from their number, which is published too. Generated data in the same setting
    and split have another.
    """
    data = record.data
    return (
        published.task == record.task
        and (published.setting, published.split) == (data.setting, data.split)
        and data.limit is None
        and data.n == get_task(record.task).counts.get((data.setting, data.split))
        and _same_model(published.llm, record.llm.id)
    )


def _same_model(published: str, measured: str) -> bool:
    # A copy of a hub model in a local folder goes by the folder's name, which has no owner.
    published, measured = published.lower(), measured.lower()
    return published != "" and measured in (published, published.rpartition("/")[2])


def _published(row: dict[str, str], place: str) -> Published:
    try:
        published = Published(**{**row, "value": float(row["value"])})  # type: ignore[arg-type]
        if published.setting not in SETTINGS or published.split not in SPLITS:
            raise ValueError(f"setting '{published.setting}' or split '{published.split}' is unknown")
        if all(metric.key != published.metric for metric in get_task(published.task).metrics):
            raise ValueError(f"{published.task} has no metric '{published.metric}'")
    except (KeyError, TypeError, ValueError, RequestError) as error:
        raise RequestError(f"{place}: {error}") from error
    return published


@dataclass(frozen=True)
class PublishedTable:
    """Numbers from one source: columns are (method, LLM, encoder); values as printed."""

    source: str
    setting: str
    split: str
    columns: tuple[tuple[str, str, str], ...]
    rows: tuple[tuple[str, str, tuple[float | None, ...]], ...]


def published_tables(numbers: Iterable[Published]) -> list[PublishedTable]:
    """A table per source, setting and split, in the order of the numbers."""
    groups: dict[tuple[str, str, str], list[Published]] = {}
    for number in numbers:
        groups.setdefault((number.source, number.setting, number.split), []).append(number)
    tables = []
    for (source, setting, split), group in groups.items():
        columns = tuple(dict.fromkeys((p.method, p.llm, p.encoder) for p in group))
        values = {(p.task, p.metric, (p.method, p.llm, p.encoder)): p.value for p in group}
        rows = tuple(
            (task, metric.key, tuple(values.get((task, metric.key, column)) for column in columns))
            for task in sorted({p.task for p in group}, key=task_order)
            for metric in get_task(task).metrics
            if any((task, metric.key, column) in values for column in columns)
        )
        tables.append(PublishedTable(source, setting, split, columns, rows))
    return tables
