"""What a task is: how its questions read, what its items hold, and how its answers are judged.

A task is one file that makes one `Task` and names it TASK. It says nothing about methods, and whatever it does
not say has a default, so that a task of free text is done in a few lines:

    \"\"\"Titles of product reviews: the few words in which a customer sums up a review.\"\"\"

    from lampbench.tasks.base import Task

    TASK = Task(
        name="Review-title",
        title="Personalized review titles",
        kind="generation",
        template="Write a title for the following review: {text}",
        item_fields=("text", "title"),
        output_field="title",
        metrics=("rouge1", "rougeL"),
    )

Its data are official JSON in `<data>/<setting>/Review-title/{train,dev,test}_{questions,outputs}.json`:

    train_questions.json   [{"id": "q1", "input": "Write a title for the following review: Bright and cheap.",
                             "profile": [{"id": "p1", "text": "It broke.", "title": "No", "date": "2020-01-31"}]}]
    train_outputs.json     {"task": "Review-title", "golds": [{"id": "q1", "output": "My lamp"}]}

Answers are judged in one of four ways (`kind`):

    classification   one of `labels`, as it is written
    rating           a number on the scale from the first of `labels` to the last
    generation       free text
    ranking          several answers, one on a line and the best first, against golds of which each has a line

A metric is named by its key where lampbench has its rule (see KNOWN and AT_K); one of a task's own brings its rule:

    def _hits_at_3(predictions: Sequence[str], golds: Sequence[str]) -> np.ndarray:  # texts -> [n, 1]
        pairs = [(set(answers(p)[:3]), set(answers(g))) for p, g in zip(predictions, golds, strict=True)]
        return np.array([[bool(said & right)] for said, right in pairs])

    metrics=(Metric("hits@3", "Hits@3", rows=_hits_at_3), "mrr")

Whatever makes a task special beyond that has a field of its own: see `lampbench/tasks/lamp1.py` for a task that
uses most of them. Nothing here is loaded but the standard library.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Literal, get_args

from lampbench.errors import RequestError, unknown
from lampbench.tasks.wording import (
    ForeignInput,
    InputReader,
    ItemTexts,
    ProfilePrompt,
    slots_in,
    words_before,
)

__all__ = [
    "AT_K",
    "KINDS",
    "KNOWN",
    "SETTINGS",
    "SPLITS",
    "ForeignInput",
    "InputReader",
    "ItemTexts",
    "Kind",
    "Metric",
    "OfficialFiles",
    "ProfilePrompt",
    "Setting",
    "Task",
    "answers",
    "known_metric",
]

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

    from lampbench.stats import Statistic

Setting = Literal["user", "time"]
SETTINGS: tuple[str, ...] = ("user", "time")
SPLITS: tuple[str, ...] = ("train", "dev", "test")

Kind = Literal["classification", "rating", "generation", "ranking"]
KINDS: tuple[Kind, ...] = get_args(Kind)

NAME = re.compile(r"[A-Za-z0-9][\w.-]*")
"""What a name may be: it names folders and stands in lists that commas part."""
NAMES = "use letters, digits, - _ . and not 'all'"


@dataclass(frozen=True)
class Metric:
    """One number of the table.

    Attributes:
        key: its name in records.
        label: its name on paper.
        higher_is_better: its direction.
        rows: the rule of a metric that lampbench does not know: from predictions and golds, texts in one order, to
            numbers `[n]` or `[n, d]`, a row per example. A single number is the example's own score.
        statistic: the metric's value from the means of the columns of `rows`, `[..., d] -> [...]`; None: the first
            mean. Intervals and paired tests resample the rows and apply it anew.
        kinds: the kinds of answers that it can judge.
    """

    key: str
    label: str
    higher_is_better: bool = True
    rows: Callable[[Sequence[str], Sequence[str]], ArrayLike] | None = None
    statistic: Statistic | None = None
    kinds: tuple[Kind, ...] = KINDS


_KNOWN = (
    Metric("accuracy", "Accuracy", kinds=("classification",)),
    Metric("f1", "F1", kinds=("classification",)),
    Metric("mae", "MAE", higher_is_better=False, kinds=("rating",)),
    Metric("rmse", "RMSE", higher_is_better=False, kinds=("rating",)),
    Metric("rouge1", "ROUGE-1", kinds=("generation",)),
    Metric("rougeL", "ROUGE-L", kinds=("generation",)),
    Metric("mrr", "MRR", kinds=("ranking",)),
)
KNOWN: Mapping[str, Metric] = MappingProxyType({metric.key: metric for metric in _KNOWN})
"""The metrics that lampbench has rules for, those of AT_K apart. But for MRR they are the official ones of LaMP."""

AT_K: Mapping[str, str] = MappingProxyType({"recall": "Recall", "mrr": "MRR", "ndcg": "NDCG"})
"""Labels of the metrics of the first k answers of a ranked list; their keys are `recall@5` and the like."""

KNOWN_KEYS: tuple[str, ...] = (*KNOWN, *(f"{name}@k" for name in AT_K))


def known_metric(key: str) -> Metric:
    """The metric of that key, among those that lampbench has a rule for.

    Raises:
        RequestError: it has none.
    """
    name, at, k = key.partition("@")
    if at and name in AT_K and re.fullmatch("[1-9][0-9]*", k):
        return Metric(key, f"{AT_K[name]}@{k}", kinds=("ranking",))
    try:
        return KNOWN[key]
    except KeyError:
        raise unknown("metric", key, KNOWN_KEYS) from None


def is_known(key: str) -> bool:
    """Whether lampbench has a rule for a metric of that key."""
    try:
        known_metric(key)
    except RequestError:
        return False
    return True


def answers(text: str) -> list[str]:
    """The answers of a ranked list, best first: its lines that hold any text, each once.

    What marks a line as one of a list ("1. ", "2) ", "- ") is no part of the answer: LLMs write it unasked.
    """
    lines = (_LIST_MARK.sub("", line.strip()) for line in text.splitlines())
    return list(dict.fromkeys(line for line in lines if line))


_LIST_MARK = re.compile(r"^(?:\d+[.)]|[-*•])\s+")


@dataclass(frozen=True)
class OfficialFiles:
    """How the official files of a task are called, where that is not simply its name.

    Attributes:
        folder: the folder of its files, and its name in outputs files; empty: the task's name.
        time_folder: another name of the folder, for files of the time setting.
        inner: a folder in that one, which comes first if it is there.
        is_meant: whether an outputs file's `task` means this task, from that name and the setting; None: it must
            be the folder's or the task's name.
        older_items: what it means if an item lacks a field and has this one in its place.
        older_golds: what golds may be of that are none of the labels.
        hosted: whether `lampbench data download` can fetch the files from the host of LaMP.
    """

    folder: str = ""
    time_folder: str = ""
    inner: str = ""
    is_meant: Callable[[str, str], bool] | None = None
    older_items: Mapping[str, str] = field(default_factory=dict)
    older_golds: str = ""
    hosted: bool = False


class _Metrics:
    """The metrics of a task: a known one may be given by its key, and all are read as Metric."""

    def __get__(self, task: Task | None, owner: type) -> tuple[Metric, ...]:
        if task is None:  # a dataclass asks for the default: there is none
            raise AttributeError("metrics")
        metrics: tuple[Metric, ...] = task.__dict__["metrics"]
        return metrics

    def __set__(self, task: Task, given: Sequence[Metric | str]) -> None:
        task.__dict__["metrics"] = tuple(m if isinstance(m, Metric) else known_metric(m) for m in given)


@dataclass(frozen=True, kw_only=True, eq=False)  # equal to itself alone, so that it can be a key
class Task:
    """One task. The first six attributes must be said, the others may be.

    Attributes:
        name: the name used everywhere in lampbench, such as `LaMP-4`.
        title: what the task is, for people.
        kind: how answers are judged.
        template: the literal input, with slots; used to parse inputs and to make training pairs from items.
        item_fields: the fields every profile item has, besides `id` and an optional `date`.
        metrics: the metrics, or their keys, the first one being the task's main metric: that which model selection
            and tests use. Methods that learn from the LLM's answers need one that is a mean over questions.
        output_field: the field of an item that plays the role of the task's output (None: items have none).
        labels: the closed set of answers, in the official order; empty for free text and ranked lists.
        text_field: the long field of an item, which is shortened when a profile prompt must fit its budget; by
            default the first one that has a slot in the template.
        marker: the query is what follows the first occurrence of it; by default the words before the only slot of
            a template that ends with it. None: see `reader`.
        reader: how an input is read; by default by the marker, or else by the words around the template's slots.
        texts: items as text.
        prompt: items in a prompt.
        lesson: what an item teaches an LLM, if not the task itself: templates of an input and of its answer.
        files: names of the official files.
        counts: published number of questions per (setting, split).
        max_new_tokens: how long an answer may be, where a preset does not say; None: as long as in other tasks.
        number: its number in the benchmark, if it has one.
        aliases: other names that people give it.
        unscored: keys of metrics that other scoring rules than the official ones do not have for this task, by rules.
    """

    name: str
    title: str
    kind: Kind
    template: str
    item_fields: tuple[str, ...]
    metrics: _Metrics = _Metrics()
    output_field: str | None = None
    labels: tuple[str, ...] = ()
    text_field: str = ""
    marker: str | None = ""
    reader: InputReader | None = None
    texts: ItemTexts = field(default_factory=ItemTexts)
    prompt: ProfilePrompt = field(default_factory=ProfilePrompt)
    lesson: tuple[str, str] | None = None
    files: OfficialFiles = field(default_factory=OfficialFiles)
    counts: Mapping[tuple[str, str], int] = field(default_factory=dict, repr=False)
    max_new_tokens: int | None = None
    number: int | None = None
    aliases: tuple[str, ...] = ()
    unscored: Mapping[str, tuple[str, ...]] = field(default_factory=dict, repr=False)

    def __post_init__(self) -> None:
        fault = _fault(self)
        if fault is not None:
            raise ValueError(fault)
        for name, value in _left_open(self):
            object.__setattr__(self, name, value)
        fault = _fault_of_slots(self)
        if fault is not None:
            raise ValueError(fault)

    @property
    def official_name(self) -> str:
        """The name of its folder and in its official files: `LaMP_4`."""
        return self.files.folder or self.name

    @property
    def items_make_inputs(self) -> bool:
        """Whether items have a field for every slot of the template."""
        return set(slots_in(self.template)) <= set(self.item_fields)

    @property
    def metric(self) -> Metric:
        """The main metric: the one that model selection and significance tests use."""
        return self.metrics[0]


def _left_open(task: Task) -> Iterator[tuple[str, Any]]:
    """What a task did not say and still has: attributes and their values, each from those before it."""
    output = task.output_field
    if not task.text_field:
        asked = [name for name in slots_in(task.template) if name in task.item_fields]
        others = [name for name in task.item_fields if name != output]
        yield "text_field", (asked or others or task.item_fields)[0]
    if task.marker == "":
        yield "marker", words_before(task.template)
    if task.marker is None and task.reader is None:
        yield "reader", InputReader.of_template(task.template, task.text_field)
    searched = [name for name in task.item_fields if not (task.labels and name == output)]
    yield "texts", task.texts.filled(searched, task.text_field, output)
    yield "prompt", task.prompt.filled(task.text_field, output, task.texts.name)


# What cannot be


def _fault(task: Task) -> str | None:
    """Why a task cannot be as it is said to be; None if it can."""
    fields = task.item_fields
    checks = (
        (NAME.fullmatch(task.name) and task.name != "all", f"name {task.name!r} will not do: {NAMES}"),
        (NAME.fullmatch(task.official_name), f"folder {task.official_name!r} will not do: {NAMES}"),
        (task.kind in KINDS, f"kind {task.kind!r} is none of {', '.join(KINDS)}"),
        (_slots_or_none(task.template), f"template {task.template!r} has no slot for what is asked about"),
        (fields and not isinstance(fields, str), 'item_fields names no field: item_fields=("text",)'),
        (all(map(str.isidentifier, fields)), f"item_fields {fields} are not all names"),
        (not {"id", "date", "more"} & set(fields), "item_fields must not name id, date or more"),
        (task.output_field in (None, *fields), f"output_field {task.output_field!r} is none of item_fields"),
        (task.text_field in ("", *fields), f"text_field {task.text_field!r} is none of item_fields"),
        (task.metrics, "it has no metric"),
        (len({m.key for m in task.metrics}) == len(task.metrics), "two of its metrics have one key"),
        (all(key in _SETTINGS_AND_SPLITS for key in task.counts), "counts go by (setting, split)"),
    )
    return next((reason for holds, reason in checks if not holds), _fault_of_labels(task))


def _fault_of_labels(task: Task) -> str | None:
    has_labels = task.kind in ("classification", "rating")
    if has_labels != bool(task.labels):
        return f"kind {task.kind!r} {'needs' if has_labels else 'has no'} labels"
    if len(set(task.labels)) < len(task.labels) or any(label != label.strip() for label in task.labels):
        return "its labels are not distinct, or have white space at their ends"
    if task.kind == "rating" and not all(label.isdecimal() for label in task.labels):
        return "the labels of a rating are whole numbers, from one end of the scale to the other"
    for metric in task.metrics:
        if task.kind not in metric.kinds:
            return f"metric {metric.key!r} does not judge answers of kind {task.kind!r}"
        if metric.rows is None and not is_known(metric.key):
            return f"metric {metric.key!r} has no rows, and lampbench has no rule of that name"
        if metric.rows is not None and is_known(metric.key):
            return f"metric {metric.key!r} has rows of its own and the key of a metric that lampbench has"
    return None


def _fault_of_slots(task: Task) -> str | None:
    """Which text about an item has a slot that items have no field for."""
    templates = {f"texts.{name}": text for name, text in vars(task.texts).items() if name != "name"}
    templates |= {f"prompt.{name}": getattr(task.prompt, name) for name in _ITEM_PROMPTS}
    templates |= {"lesson": "".join(task.lesson or ())}
    for name, template in templates.items():
        there = _slots_or_none(template)
        if there is None or not set(there) <= set(task.item_fields):
            return (
                f"{name} {template!r} has slots that are none of item_fields ({', '.join(task.item_fields)})"
            )
    return None


def _slots_or_none(template: str) -> tuple[str, ...] | None:
    try:
        return slots_in(template)
    except ValueError:  # a single brace
        return None


_ITEM_PROMPTS = ("item", "input_part", "output_part", "counted")
_SETTINGS_AND_SPLITS = {(setting, split) for setting in SETTINGS for split in SPLITS}
