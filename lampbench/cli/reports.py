"""Commands on finished runs: `lampbench compare` and `lampbench leaderboard`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from lampbench.cli.common import Json, Results, TasksDir, print_json, print_text, width
from lampbench.errors import RequestError, RunError


def compare(
    a: Annotated[str, typer.Argument(help="a method, NAME or NAME+VARIANT")],
    b: Annotated[str, typer.Argument(help="another")],
    task: Annotated[str | None, typer.Option("--task", "-t", help="tasks, with commas [all]")] = None,
    suite: Annotated[str | None, typer.Option(help="the suite, if they meet in several")] = None,
    results: Results = Path("results"),
    tasks_dir: TasksDir = None,
    json: Json = False,
) -> None:
    """Is the difference between two methods real? Paired tests on the same questions."""
    from lampbench.files.typed_json import plain
    from lampbench.report import compare as comparing
    from lampbench.tasks.registry import chosen_tasks

    tasks = [one.name for one in chosen_tasks(task)] if task and task != "all" else None
    comparison = comparing.compare(results, a, b, tasks, suite)
    if json:
        print_json(plain(comparison))
    else:
        print_text(comparing.comparison_table(comparison, width()))


def leaderboard(
    check: Annotated[bool, typer.Option("--check", help="only tell whether the file is up to date")] = False,
    format: Annotated[str | None, typer.Option(help="md, csv, latex or html [from the file's name]")] = None,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output", "-o", help="the file; - prints it [leaderboard.md for all of ./results, else -]"
        ),
    ] = None,
    suite: Annotated[str | None, typer.Option(help="only this suite")] = None,
    reference: Annotated[
        str | None,
        typer.Option(help="the method that the others are tested against [the one without a user]"),
    ] = None,
    results: Results = Path("results"),
    tasks_dir: TasksDir = None,
    json: Annotated[bool, typer.Option("--json", help="print JSON in place of writing the file")] = False,
) -> None:
    """Write the leaderboard from the records: tables with intervals, tests, costs, and published numbers."""
    from lampbench.files.typed_json import plain
    from lampbench.report import leaderboard_file as boards
    from lampbench.report.leaderboard import build_leaderboard

    output = output or boards.default_output(results, suite)
    if check and str(output) == "-":
        raise RequestError("--check: name the file with --output; leaderboard.md is that of all of ./results")
    board = build_leaderboard(results, suite, reference)
    if json:
        print_json(plain(board))
    elif str(output) == "-":
        print_text(boards.render(board, format or "md"), end="")
    elif check:
        difference = boards.check_leaderboard(output, board, format)
        if difference:
            print_text(difference, end="")
            raise RunError(f"{output} is not what the records say: run lampbench leaderboard")
        print_text(f"{output} is up to date")
    else:
        print_text(f"wrote {boards.write_leaderboard(output, board, format)}")
