"""Reading a folder of results: the records of its runs, and of attempts at runs that are recorded already."""

from __future__ import annotations

import difflib
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from lampbench.errors import RequestError, some
from lampbench.files.folders import expanded
from lampbench.records.attempts import RECORD, attempt_beside
from lampbench.records.record import Record, read_record
from lampbench.tasks.registry import task_order


def load_records(results: str | Path = "results", suite: str | None = None) -> list[Record]:
    """All records below a results folder, by suite, task (in the benchmark's order), method and seed.

    The folder of a suite names it, so that renaming the folder renames the suite.

    Args:
        results: the folder.
        suite: only that suite.

    Raises:
        RequestError: no such folder or suite, no record in it, a record that cannot be read, or one that lies
            where another belongs.
    """
    root = expanded(results)
    if not root.is_dir():
        raise RequestError(f"--results {root}: no such folder")
    if suite is not None and not (root / suite).is_dir():
        raise RequestError(f"suite '{suite}': no such folder in {root}")
    records = [_placed(read_record(path), path) for path in _record_files(root, suite)]
    if not records:
        raise _no_runs(root, suite)
    return sorted(records, key=lambda r: (r.suite, task_order(r.task), r.method.label, r.seed))


def find_run(name: str, results: str | Path) -> Record:
    """The run of that name, of which a part is enough if no other run has it, or in that folder.

    Raises:
        RequestError: no such run, or several.
    """
    path = expanded(name)
    if (path / RECORD).is_file() or (path.is_file() and path.name == RECORD):
        return read_record(path)
    records = {record.name: record for record in load_records(results)}
    found = [full for full in records if full == name or full.endswith(f"/{name}")]
    if not found:  # a part from the middle, such as the method alone
        found = [full for full in records if f"/{name}/" in f"/{full}/"]
    if len(found) == 1:
        return records[found[0]]
    listed = f"all {len(records)}: lampbench list runs --results {results}"
    if found:
        raise RequestError(f"run '{name}' is one of {len(found)}: name {some(found)}; {listed}")
    parts = name.count("/") + 1
    pieces = {
        "/".join(words[at : at + parts])
        for words in (full.split("/") for full in records)
        for at in range(len(words) - parts + 1)
    }
    near = difflib.get_close_matches(name, sorted(pieces), n=1)
    hint = f" did you mean '{near[0]}'?" if near else ""
    raise RequestError(f"unknown run '{name}':{hint} {listed}")


def load_attempts(results: str | Path = "results", suite: str | None = None) -> list[Record]:
    """The records of attempts that are under way, stopped or failed beside a run that is recorded; see
    `lampbench.records.attempts`. Those that cannot be read are passed over.
    """
    found = []
    for path in _record_files(expanded(results), suite):
        try:
            found.append(_placed(read_record(attempt_beside(path.parent)), path))
        except RequestError:
            continue
    return found


def _record_files(root: Path, suite: str | None) -> Iterator[Path]:
    for folder in [root / suite] if suite is not None else sorted(root.iterdir()):
        if not folder.name.startswith("."):
            yield from sorted(folder.glob(f"*/*/seed*/{RECORD}"))


def _no_runs(root: Path, suite: str | None) -> RequestError:
    """Mostly the wrong folder: an empty table would look like an answer, and an empty leaderboard like a loss."""
    if suite is None and any(root.glob(f"*/*/seed*/{RECORD}")):
        return RequestError(f"no runs in {root}: it is the folder of one suite; say --results {root.parent}")
    where = root if suite is None else root / suite
    return RequestError(
        f"no runs in {where}: say --results with the folder that holds SUITE/TASK/METHOD/seedN/{RECORD}, or "
        "make runs with lampbench run"
    )


def _placed(record: Record, path: Path) -> Record:
    suite, *place = path.parts[-5:-1]
    if place != [record.task, record.method.label, f"seed{record.seed}"]:
        raise RequestError(
            f"{path} is the record of {record.task}/{record.method.label}/seed{record.seed}: "
            "it was copied to a wrong place; move it there, or remove it"
        )
    return replace(record, suite=suite)
