"""What differs between a run that is recorded and one that is asked for, and whether it may be replaced.

A complete record stays unless `--fresh` is said, with one exception: where the same was asked and only the code
has changed that answers, of a method that learns nothing, the run is made again after saying so.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from lampbench.errors import short
from lampbench.files.folders import expanded
from lampbench.files.typed_json import plain
from lampbench.method.options import as_dict
from lampbench.models.run_models import ROLES
from lampbench.records.record import Record, without_folders
from lampbench.runner.older_records import asked_alike, told_by

if TYPE_CHECKING:
    from lampbench.runner.gold_wall import Questions
    from lampbench.runner.session import Session
    from lampbench.runner.setup import Setup

MOST = 3  # differences that are told; of many, the first tell enough
GIVEN = (
    "models",
    "options",
    "limits",
    "data",
    "limit",
    "setting",
    "split",
    "questions",
    "train",
    "seed",
    "libraries",
)
"""What of a spec is asked for or installed; the rest is how lampbench and its methods answer."""
WORDS = {
    "questions": "questions (hash)",
    "train": "training questions (hash)",
    "file": "method file",
    "task_file": "task file",
    "code": "code (hash)",
}


@dataclass(frozen=True)
class Difference:
    """One of the facts that decide a run: its dotted name in a spec (`models.llm.revision`), and both values."""

    name: str
    there: Any
    asked: Any

    @property
    def is_of_code(self) -> bool:
        """Whether the same was asked of other code of lampbench or of a method."""
        return not any(part in GIVEN for part in self.name.split("."))

    def __str__(self) -> str:
        groups = ("models", "options", "uses", "limits")
        words = " ".join(WORDS.get(word, word) for word in self.name.split(".") if word not in groups)
        return f"{words} {short(self.there, 40)} and not {short(self.asked, 40)}"


def differences(
    record: Record, spec: Mapping[str, Any], session: Session, job: Setup, questions: Questions
) -> list[Difference]:
    """What decided the recorded run and would be otherwise in this one, what was asked first. Of what a record
    does not tell nothing is said.

    Args:
        record: of the run.
        spec: all that decides this one.
    """
    if record.spec is not None:
        there, asked = flat(record.spec), flat(without_folders(plain(spec), marked=True))
        there |= {"code": _digest(record.code)}
        asked |= {"code": _digest(job.code)}
    else:
        there = told_by(record)
        defaults = plain(without_folders(as_dict(job.method.config())))
        names = {role: expanded(session.models.name_of(role)) for role in ROLES}
        folders = {role: path for role, path in names.items() if path.is_dir()}
        asked = asked_alike(there, without_folders(plain(spec)), defaults, folders)
        there = {name: value for name, value in there.items() if name in asked}
    if there.get("questions") != asked.get("questions"):  # in words that people know, where there are some
        there |= {"data": record.data.name, "limit": record.data.limit}
        asked |= {"data": questions.name, "limit": questions.limit}
    differing = [name for name in there | asked if there.get(name) != asked.get(name)]
    if "data" in differing or "limit" in differing:
        differing.remove("questions")
    found = [Difference(name, there.get(name), asked.get(name)) for name in differing]
    return sorted(found, key=lambda difference: difference.is_of_code)


def _digest(prints: list[str]) -> str:
    return hashlib.sha256(" ".join(prints).encode()).hexdigest()[:12]


def sentence(found: list[Difference]) -> str:
    """The differences in one line."""
    more = f"; and {len(found) - MOST} more" if len(found) > MOST else ""
    return "; ".join(str(difference) for difference in found[:MOST]) + more


def flat(spec: Mapping[str, Any], above: str = "") -> dict[str, Any]:
    """A spec as values by dotted names: `models.llm.id`."""
    found: dict[str, Any] = {}
    for name, value in spec.items():
        found |= flat(value, f"{above}{name}.") if isinstance(value, dict) else {f"{above}{name}": value}
    return found
