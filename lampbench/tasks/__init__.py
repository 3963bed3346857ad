"""The six public LaMP tasks as data: what an input looks like, what an item holds, what counts as an answer.

Everything literal in here (templates, markers, labels, counts) is the benchmark's own protocol, from the code and
the site of LaMP (arXiv:2304.11406, github.com/LaMP-Benchmark/LaMP). LaMP-6 (e-mails) needs a licensed corpus and is
left out.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Literal

from lampbench.errors import unknown

Setting = Literal["user", "time"]
SETTINGS: tuple[str, ...] = ("user", "time")
SPLITS: tuple[str, ...] = ("train", "dev", "test")


@dataclass(frozen=True)
class Metric:
    """One number of the table. `key` is its name in records, `label` its name on paper."""

    key: str
    label: str
    higher_is_better: bool


ACCURACY = Metric("accuracy", "Accuracy", True)
F1 = Metric("f1", "F1", True)
MAE = Metric("mae", "MAE", False)
RMSE = Metric("rmse", "RMSE", False)
ROUGE_1 = Metric("rouge1", "ROUGE-1", True)
ROUGE_L = Metric("rougeL", "ROUGE-L", True)


@dataclass(frozen=True)
class Task:
    """One LaMP task.

    Attributes:
        name: the name used everywhere in lampbench, such as `LaMP-4`.
        number: its number in the benchmark.
        title: what the task is, for people.
        kind: how answers are judged: one of `labels`, a number, or free text.
        template: the literal input, with slots; used to parse inputs and to make training pairs from items.
        marker: the query is what follows the first occurrence of it (None: LaMP-1, whose query is quoted text).
        item_fields: the fields every profile item has, besides `id` and an optional `date`.
        text_field: the field that is shortened when a profile prompt must fit its budget.
        output_field: the field of an item that plays the role of the task's output (None: items have none).
        labels: the closed set of answers, in the official order; empty for free text.
        metrics: the official metrics, the first one being the task's main metric.
        counts: published number of questions per (setting, split).
    """

    name: str
    number: int
    title: str
    kind: Literal["classification", "rating", "generation"]
    template: str
    marker: str | None
    item_fields: tuple[str, ...]
    text_field: str
    output_field: str | None
    labels: tuple[str, ...]
    metrics: tuple[Metric, ...]
    counts: Mapping[tuple[str, str], int] = field(repr=False)

    @property
    def official_name(self) -> str:
        """The spelling inside official files: `LaMP_4`."""
        return f"LaMP_{self.number}"

    @property
    def metric(self) -> Metric:
        """The main metric: the one that model selection and significance tests use."""
        return self.metrics[0]


TAGS = (
    "sci-fi",
    "based on a book",
    "comedy",
    "action",
    "twist ending",
    "dystopia",
    "dark comedy",
    "classic",
    "psychology",
    "fantasy",
    "romance",
    "thought-provoking",
    "social commentary",
    "violence",
    "true story",
)


def _counts(user: tuple[int, int, int], time: tuple[int, int, int]) -> Mapping[tuple[str, str], int]:
    pairs = {("user", split): n for split, n in zip(SPLITS, user, strict=True)}
    pairs |= {("time", split): n for split, n in zip(SPLITS, time, strict=True)}
    return MappingProxyType(pairs)


# Time-split counts: arXiv:2404.05970 Table 1. User-split counts: official prediction files and data cards; the train
# counts of LaMP-1, 2, 3 and 5 are unconfirmed, so a difference is reported and never an error.
TASKS: Mapping[str, Task] = MappingProxyType(
    {
        task.name: task
        for task in (
            Task(
                name="LaMP-1",
                number=1,
                title="Personalized citation identification",
                kind="classification",
                template='For an author who has written the paper with the title "{title}", '
                "which reference is related? "
                'Just answer with [1] or [2] without explanation. [1]: "{reference_1}" [2]: "{reference_2}"',
                marker=None,
                item_fields=("title", "abstract"),
                text_field="title",
                output_field=None,
                labels=("[1]", "[2]"),
                metrics=(ACCURACY, F1),
                counts=_counts((9682, 2500, 2500), (6542, 1500, 1500)),
            ),
            Task(
                name="LaMP-2",
                number=2,
                title="Personalized movie tagging",
                kind="classification",
                template="Which tag does this movie relate to among the following tags? Just answer with the tag name "
                "without further explanation. tags: [" + ", ".join(TAGS) + "] description: {description}",
                marker="description:",
                item_fields=("description", "tag"),
                text_field="description",
                output_field="tag",
                labels=TAGS,
                metrics=(ACCURACY, F1),
                counts=_counts((3820, 692, 870), (5073, 1410, 1557)),
            ),
            Task(
                name="LaMP-3",
                number=3,
                title="Personalized product rating",
                kind="rating",
                template="What is the score of the following review on a scale of 1 to 5? just answer with 1, 2, 3, 4, "
                "or 5 without further explanation. review: {text}",
                marker="review:",
                item_fields=("text", "score"),
                text_field="text",
                output_field="score",
                labels=("1", "2", "3", "4", "5"),
                metrics=(MAE, RMSE),
                counts=_counts((20000, 2500, 2500), (20000, 2500, 2500)),
            ),
            Task(
                name="LaMP-4",
                number=4,
                title="Personalized news headline generation",
                kind="generation",
                template="Generate a headline for the following article: {text}",
                marker="article:",
                item_fields=("text", "title"),
                text_field="text",
                output_field="title",
                labels=(),
                metrics=(ROUGE_1, ROUGE_L),
                counts=_counts((12527, 1925, 2376), (12500, 1500, 1800)),
            ),
            Task(
                name="LaMP-5",
                number=5,
                title="Personalized scholarly title generation",
                kind="generation",
                template="Generate a title for the following abstract of a paper: {abstract}",
                marker="paper:",
                item_fields=("title", "abstract"),
                text_field="abstract",
                output_field="title",
                labels=(),
                metrics=(ROUGE_1, ROUGE_L),
                counts=_counts((9682, 2500, 2500), (14682, 1500, 1500)),
            ),
            Task(
                name="LaMP-7",
                number=7,
                title="Personalized tweet paraphrasing",
                kind="generation",
                template="Paraphrase the following tweet without any explanation before or after it: {text}",
                marker=":",
                item_fields=("text",),
                text_field="text",
                output_field=None,
                labels=(),
                metrics=(ROUGE_1, ROUGE_L),
                counts=_counts((10437, 1500, 1500), (13437, 1498, 1500)),
            ),
        )
    }
)


def get_task(name: str | Task) -> Task:
    """The task of that name; accepts `LaMP-4`, `LaMP_4`, `lamp4`, `4`.

    Raises:
        RequestError: no such task; the nearest name is suggested.
    """
    if isinstance(name, Task):
        return name
    match = re.fullmatch(r"(?:lamp)?[-_ ]?(\d+)", str(name).strip(), flags=re.IGNORECASE)
    if match and (task := TASKS.get(f"LaMP-{match.group(1)}")):
        return task
    raise unknown("task", name, TASKS)


def metric(key: str) -> Metric:
    """The metric with that key (`accuracy`, `f1`, `mae`, `rmse`, `rouge1`, `rougeL`).

    Raises:
        RequestError: no such metric.
    """
    known = {m.key: m for m in (ACCURACY, F1, MAE, RMSE, ROUGE_1, ROUGE_L)}
    try:
        return known[key]
    except KeyError:
        raise unknown("metric", key, known) from None
