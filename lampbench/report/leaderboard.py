"""From records to the leaderboard: a pure function of a results folder and the published numbers.

    board = build_leaderboard("results")
    render(board, "md")

Nothing is run, downloaded or dated here: the same records give the same board. What may be compared is decided in
`lampbench.report.comparable_runs`, what a suite's table says in `lampbench.report.suite`, and the file that shows it
is made in `lampbench.report.leaderboard_file`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from lampbench.errors import unknown
from lampbench.records.record import Record
from lampbench.records.results_folder import load_records
from lampbench.report.published import Published, PublishedTable, load_published, published_tables
from lampbench.report.suite import Suite, build_suite


@dataclass(frozen=True)
class Leaderboard:
    """All suites of a results folder, by name, and the published numbers."""

    suites: tuple[Suite, ...] = ()
    published: tuple[PublishedTable, ...] = ()


def build_leaderboard(
    results: str | Path = "results",
    suite: str | None = None,
    reference: str | None = None,
    published: Sequence[Published] | None = None,
) -> Leaderboard:
    """The leaderboard of a results folder.

    Args:
        results: the folder.
        suite: only that suite.
        reference: the method (`name` or `name+variant`) that the others are tested against. Unless given, it
            is the one whose record says that it reads no profile, if there is exactly one.
        published: in place of the numbers that come with lampbench.

    Raises:
        RequestError: there are no records, one cannot be read, or no suite has the reference.
    """
    numbers = load_published() if published is None else list(published)
    by_suite: dict[str, list[Record]] = {}
    for record in load_records(results, suite):
        by_suite.setdefault(record.suite, []).append(record)
    if reference is not None:
        labels = sorted({record.method.label for records in by_suite.values() for record in records})
        if reference not in labels:
            raise unknown("reference method", reference, labels)
    suites = [build_suite(name, records, numbers, reference) for name, records in by_suite.items()]
    return Leaderboard(tuple(suites), tuple(published_tables(numbers)))
