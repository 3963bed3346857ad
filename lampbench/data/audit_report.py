"""What an audit tells of a task's data: the counts and findings of each split, and the table of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from functools import partial
from typing import Any

SHOWN = 5  # names kept per finding

# What is counted, in the order of the table. The first group are errors: such data cannot be prepared.
ERRORS: Mapping[str, str] = {
    "malformed_questions": "malformed questions",
    "malformed_golds": "malformed golds",
    "duplicate_questions": "question ids that occur again",
    "duplicate_golds": "gold ids that occur again",
    "without_gold": "questions without gold",
    "without_question": "golds without question",
}
ODDITIES: Mapping[str, str] = {
    "foreign_inputs": "inputs not of the task's form",
    "foreign_golds": "golds that are no label of the task",
    "empty_golds": "empty golds",
    "tokenless_golds": "golds in which ROUGE sees no token (a-z, 0-9)",
    "empty_profiles": "empty profiles",
    "own_input_in_profile": "profiles that hold the question's own text",
    "gold_in_profile": "profiles that hold the gold",
    "repeated_item_ids": "profiles that use an item id twice",
    "unsorted_profiles": "profiles not in order of date, oldest first",
    "blank_items": "items with an empty field",
    "undated_items": "items without a date that can be read",
    "control_tokens": "texts with a control token of an LLM",
}


@dataclass
class Finding:
    """How often something was found, and the first few names: ids, or record numbers with the reason."""

    count: int = 0
    first: list[str] = field(default_factory=list)
    others: bool = False  # whether there are more names than the first few

    def add(self, name: str) -> None:
        """One more; several may have the same name, such as undated items of one question."""
        self.count += 1
        if name in self.first:
            return
        if len(self.first) < SHOWN:
            self.first.append(name)
        else:
            self.others = True


@dataclass(frozen=True)
class Spread:
    """The distribution of a count over questions."""

    min: int
    mean: float
    median: float
    max: int


@dataclass
class SplitAudit:
    """What one split holds.

    Attributes:
        split: its name.
        questions: well-formed questions with distinct ids.
        published: how many the benchmark has; 0: it does not say.
        golds: well-formed golds with distinct ids; None where there is no outputs file.
        profile_size: items per profile.
        items: profile items in all.
        distinct_items: those of different content.
        dates: the earliest and the latest date, as written.
        labels: how often each gold occurs (tasks with labels).
        floors: what answering always the same gives on these golds; metric to (answer, value).
        findings: everything in `ERRORS` and `ODDITIES`.
        broken: files that could not be read to their end, one line each; counts are of what came before.
    """

    split: str
    questions: int = 0
    published: int = 0
    golds: int | None = None
    profile_size: Spread | None = None
    items: int = 0
    distinct_items: int = 0
    dates: tuple[str, str] | None = None
    labels: dict[str, int] = field(default_factory=dict)
    floors: dict[str, tuple[str, float]] = field(default_factory=dict)
    findings: dict[str, Finding] = field(
        default_factory=lambda: {name: Finding() for name in (*ERRORS, *ODDITIES)}
    )
    broken: list[str] = field(default_factory=list)

    @property
    def can_be_prepared(self) -> bool:
        """Whether the split has none of the errors that end a preparation."""
        return not self.broken and not any(self.findings[name].count for name in ERRORS)


@dataclass
class Audit:
    """What the data of one (task, setting) hold. `splits` has those of which there is any file."""

    task: str
    setting: str
    folder: str
    splits: list[SplitAudit]

    @property
    def can_be_prepared(self) -> bool:
        """Whether every split can be."""
        return all(split.can_be_prepared for split in self.splits)

    def to_json(self) -> dict[str, Any]:
        """Everything, as plain JSON values."""
        return {**asdict(self), "can_be_prepared": self.can_be_prepared}

    def header(self) -> list[str]:
        """The first row of the table."""
        return [f"{self.task} ({self.setting})", *(split.split for split in self.splits)]

    def rows(self) -> list[list[str]]:
        """The table: a name and a cell per split. What is zero in every split is left out."""
        rows = [
            self._row("questions", _questions),
            self._row("golds", lambda s: "-" if s.golds is None else f"{s.golds:,}"),
            self._row("profile size: min / mean / median / max", _sizes),
            self._row("items (distinct)", lambda s: f"{s.items:,} ({s.distinct_items:,})"),
            self._row("dates", lambda s: " to ".join(s.dates) if s.dates else "-"),
        ]
        for metric in dict.fromkeys(name for split in self.splits for name in split.floors):
            rows.append(self._row(f"floor: {metric} of a constant", partial(_floor, metric=metric)))
        for name, label in (*ERRORS.items(), *ODDITIES.items()):
            if any(split.findings[name].count for split in self.splits):
                rows.append(self._row(label, partial(_finding, name=name)))
        if any(split.broken for split in self.splits):
            rows.append(self._row("unreadable", lambda s: "; ".join(s.broken) or "-"))
        return rows

    def _row(self, name: str, cell: Callable[[SplitAudit], str]) -> list[str]:
        return [name, *(cell(split) for split in self.splits)]


def _questions(split: SplitAudit) -> str:
    same = split.published in (0, split.questions)
    return f"{split.questions:,}" + ("" if same else f" (published: {split.published:,})")


def _sizes(split: SplitAudit) -> str:
    size = split.profile_size
    return "-" if size is None else f"{size.min:,} / {size.mean:,.1f} / {size.median:,.0f} / {size.max:,}"


def _floor(split: SplitAudit, metric: str) -> str:
    if metric not in split.floors:
        return "-"
    answer, value = split.floors[metric]
    return f"{value:.3f} ({answer})"


def _finding(split: SplitAudit, name: str) -> str:
    finding = split.findings[name]
    if not finding.count:
        return "-"
    more = ", ..." if finding.others else ""
    return f"{finding.count:,} ({', '.join(finding.first)}{more})"
