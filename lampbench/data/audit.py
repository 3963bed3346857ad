"""What is in the data of a task, and what is odd about it: counted and named, never repaired.

The audit reads the source files themselves and goes on after malformed records, so that one run tells all. An
oddity is not an error: the official data have some, and the official programs take them as they are.
"""

from __future__ import annotations

import statistics
from collections import Counter
from collections.abc import Callable
from pathlib import Path

from lampbench.data.arrow_tables import DigestRows, content_digest
from lampbench.data.audit_report import Audit, SplitAudit, Spread
from lampbench.data.control_tokens import control_token
from lampbench.data.find_files import SplitFiles, TaskFiles, find_files
from lampbench.data.official_json import (
    Malformed,
    OnProgress,
    SourceFile,
    SourceQuestion,
    item_content,
    item_id,
    parse_gold,
    parse_question,
    task_problem,
    told_in_megabytes,
)
from lampbench.dates import read_dates
from lampbench.errors import RequestError
from lampbench.metrics.constant_floors import constant_floors
from lampbench.metrics.known import answer_kind
from lampbench.prompts.texts import own_text
from lampbench.tasks import SPLITS, Task, get_task


def audit(
    data_dir: str | Path,
    task: Task | str,
    setting: str = "user",
    on_progress: OnProgress | None = None,
) -> Audit:
    """Read the files of a task from end to end and report what they hold.

    Args:
        data_dir: the data folder; see `lampbench.data.find_files.find_files` for the layouts.
        task: the task or its name.
        setting: `user` or `time`.
        on_progress: called as `on_progress(done, total, file)`, in megabytes, while files are read.

    Raises:
        RequestError: there is no file of the task at all.
    """
    task = get_task(task)
    files = find_files(data_dir, task, setting)
    there = [files.splits[name] for name in SPLITS if files.splits[name].paths]
    if not there:
        raise files.nothing()
    total = sum(path.stat().st_size for split in there for path in split.paths)
    advance = told_in_megabytes(on_progress, total)

    def opened(path: Path) -> SourceFile:
        return SourceFile(path, files.again, advance(path))

    return Audit(
        task.name,
        setting,
        str(there[0].paths[0].parent),
        [_SplitReader(files, split).read(opened) for split in there],
    )


class _SplitReader:
    """One pass over the files of a split."""

    def __init__(self, files: TaskFiles, split: SplitFiles) -> None:
        self._files = files
        self._task = files.task
        self._kind = answer_kind(files.task)
        self._split = split
        self._report = SplitAudit(
            split.split, published=files.task.counts.get((files.setting, split.split), 0)
        )
        self._golds: dict[str, str] = {}
        self._seen: set[str] = set()
        self._sizes: list[int] = []
        self._distinct = DigestRows()
        self._dates: dict[str, tuple[tuple[int, ...], str]] = {}

    def read(self, opened: Callable[[Path], SourceFile]) -> SplitAudit:
        report = self._report
        if self._split.problem:
            report.broken.append(self._split.problem)
        for path, reader in (
            (self._split.outputs, self._read_golds),
            (self._split.questions, self._read_questions),
        ):
            if path.is_file():
                try:
                    with opened(path) as source:
                        reader(source)
                except RequestError as error:
                    report.broken.append(str(error))
        self._finish()
        return report

    def _count(self, finding: str, name: str) -> None:
        self._report.findings[finding].add(name)

    def _read_golds(self, source: SourceFile) -> None:
        self._report.golds = 0
        for number, entry in source.golds():
            try:
                id, output = parse_gold(self._task, entry)
            except Malformed as error:
                self._count("malformed_golds", f"gold {number} {error}")
                continue
            if id in self._golds:
                self._count("duplicate_golds", id)
                continue
            self._golds[id] = output
            self._report.golds += 1
            if not output.strip():
                self._count("empty_golds", id)
            elif finding := self._kind.gold_finding(self._task, output):
                self._count(finding, id)
            self._look_for_control_tokens(id, output)
        if problem := task_problem(self._task, self._files.setting, source.task):
            self._report.broken.append(f"{source.path} {problem}")

    def _read_questions(self, source: SourceFile) -> None:
        for number, record in source.records():
            try:
                question = parse_question(self._task, record)
            except Malformed as error:
                self._count("malformed_questions", f"record {number} {error}")
                continue
            if question.id in self._seen:
                self._count("duplicate_questions", question.id)
                continue
            self._seen.add(question.id)
            self._look_at(question)

    def _look_at(self, question: SourceQuestion) -> None:
        self._sizes.append(len(question.profile))
        if not question.profile:
            self._count("empty_profiles", question.id)
        ids = [item_id(item) for item in question.profile]
        if len(set(ids)) < len(ids):
            self._count("repeated_item_ids", question.id)
        written = []
        for item in question.profile:
            content = item_content(self._task, item)
            self._distinct.add(content_digest(content))
            fields = len(self._task.item_fields)
            if not all(text and text.strip() for text in content[:fields]):
                self._count("blank_items", question.id)
            self._look_for_control_tokens(question.id, *filter(None, content[:fields]))
            written.append(content[fields])
        dates = []
        for text, date in zip(written, read_dates(written), strict=True):
            if text is None or date is None:
                self._count("undated_items", question.id)
                continue
            dates.append(date)
            self._dates["first"] = min(self._dates.get("first", (date, text)), (date, text))
            self._dates["last"] = max(self._dates.get("last", (date, text)), (date, text))
        if dates != sorted(dates):
            self._count("unsorted_profiles", question.id)
        self._look_for_control_tokens(question.id, question.input)
        self._look_for_leaks(question)

    def _look_for_control_tokens(self, id: str, *texts: str) -> None:
        for text in texts:
            if token := control_token(text):
                self._count("control_tokens", f"{id} {token}")

    def _look_for_leaks(self, question: SourceQuestion) -> None:
        """Exact matches only, white space at the ends aside: what the official data must not hold."""
        task = self._task
        try:
            own = own_text(task, question.input)
        except RequestError:
            self._count("foreign_inputs", question.id)
        else:
            if own.strip() and own.strip() in _texts(question, task.text_field):
                self._count("own_input_in_profile", question.id)
        # A label is bound to occur in histories; a free text is not.
        gold = self._golds.get(question.id, "").strip()
        if self._kind.free and gold:
            wording = task.output_field or task.text_field
            if gold in _texts(question, wording):
                self._count("gold_in_profile", question.id)

    def _finish(self) -> None:
        report = self._report
        report.questions = len(self._seen)
        report.items = sum(self._sizes)
        report.distinct_items = len(self._distinct)
        if self._sizes:
            report.profile_size = Spread(
                min(self._sizes),
                statistics.fmean(self._sizes),
                statistics.median(self._sizes),
                max(self._sizes),
            )
        if self._dates:
            report.dates = (self._dates["first"][1], self._dates["last"][1])
        if report.golds is not None and not report.broken:
            for id in sorted(self._seen - self._golds.keys()):
                self._count("without_gold", id)
            for id in sorted(self._golds.keys() - self._seen):
                self._count("without_question", id)
        if self._task.labels:
            counts = Counter(output.strip() for output in self._golds.values())
            report.labels = dict(sorted(counts.items(), key=lambda pair: (-pair[1], pair[0])))
            report.floors = constant_floors(self._task, report.labels)


def _texts(question: SourceQuestion, name: str) -> set[str]:
    return {str(item[name]).strip() for item in question.profile}
