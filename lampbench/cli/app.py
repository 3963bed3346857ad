"""The command line: parse, call, print. What the commands do is in the modules that they call.

Nothing heavy is imported here, every command imports what it needs: `lampbench --help` answers at once.
"""

from __future__ import annotations

import errno
import os
import re
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from lampbench.cli.cache import app as cache_app
from lampbench.cli.common import (
    Json,
    MethodsDir,
    Results,
    TasksDir,
    print_json,
    print_table,
    print_text,
    width,
)
from lampbench.cli.data import app as data_app
from lampbench.cli.listing import app as list_app
from lampbench.cli.listing import record_rows
from lampbench.cli.reports import compare, leaderboard
from lampbench.errors import LampbenchError, RequestError, described, short
from lampbench.terminal import close_streams, complain, open_streams, print_bug, refuses

if TYPE_CHECKING:
    from lampbench.records.record import Record

app = typer.Typer(
    name="lampbench",
    help="On one frozen LLM, which way of personalizing works best, by how much, and is the difference real?",
    no_args_is_help=True,
    add_completion=False,
    # Plain help: rich takes longer to import than the rest of the command line together.
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.add_typer(list_app, name="list")
app.add_typer(data_app, name="data")
app.add_typer(cache_app, name="cache")
app.command()(compare)
app.command()(leaderboard)


# Why a path cannot even be looked at. Any function that asks whether a file exists may meet these.
_UNREACHABLE = {errno.EACCES, errno.EPERM, errno.ENAMETOOLONG, errno.ELOOP}


def main(arguments: Sequence[str] | None = None) -> None:
    """The command `lampbench`: exits with 0 (done), 1 (failed), 2 (the request was wrong) or 130 (Ctrl-C)."""
    open_streams()
    words = spread_set(list(sys.argv[1:] if arguments is None else arguments))
    try:
        status = _status_of(words)
        sys.stdout.flush()
    except OSError:
        refusal = refuses(sys.stdout)
        if refusal is None:
            raise
        # A reader (`| head`) that has seen enough is no failure.
        enough = isinstance(refusal, BrokenPipeError)
        status = 0 if enough else _complain(f"standard output takes no more: {refusal.strerror}", 1)
    close_streams()
    sys.exit(status)


def _status_of(words: Sequence[str]) -> int:
    """Do what the words say; the exit status. What went wrong is told in one line, a bug is raised."""
    try:
        _refuse_empty(words)
        status = app(args=words, standalone_mode=False, prog_name="lampbench")
        if status == 130:  # what typer makes of Ctrl-C
            return _interrupted()
    except LampbenchError as error:
        return _complain(str(error), error.exit_status)
    except KeyboardInterrupt:
        return _interrupted()
    except SystemExit as end:
        if isinstance(end.__context__, BrokenPipeError):  # what typer makes of a reader that has seen enough
            return 0
        # Nothing here ends that way, and a stranger's code must not end a run in silence.
        return _complain(f"ended half-way by {described(end)} in the code of a method or library", 1)
    except Exception as error:
        kind = type(error).__name__
        if kind == "Abort":  # what older versions make of Ctrl-C
            return _interrupted()
        if kind == "NoArgsIsHelpError":  # `lampbench data`: its message is the help, in lines
            complain(error.format_message())  # type: ignore[attr-defined]
            return 2
        if hasattr(error, "format_message"):  # typer's own errors: an unknown option, a missing argument
            return _complain(error.format_message(), 2)
        if isinstance(error, OSError) and error.errno in _UNREACHABLE and error.filename:
            return _complain(f"cannot reach {short(error.filename, 200)}: {error.strerror}", 2)
        sys.excepthook = print_bug
        raise
    return int(status or 0)


def _refuse_empty(words: Sequence[str]) -> None:
    """No option takes an empty text; it comes of a shell variable that is not set, and would mean the default."""
    for number, word in enumerate(words):
        if not word or re.fullmatch(r"--[\w-]+=", word):
            where = word.rstrip("=") or ["lampbench", *words][number]
            raise RequestError(f"an empty value after {where}: is a variable of the shell not set?")


def _complain(message: str, status: int) -> int:
    complain(f"error: {' '.join(message.split())}")
    return status


def _interrupted() -> int:
    complain("interrupted: the same command goes on from here")
    return 130


def spread_set(words: list[str]) -> list[str]:
    """`--set a=1 b=2` as `--set a=1 --set b=2`, so that both may be written."""
    spread: list[str] = []
    setting = False
    for word in words:
        if setting and spread[-1] != "--set" and not word.startswith("-") and "=" in word:
            spread.append("--set")
        elif word == "--set":
            setting = True
        elif spread and spread[-1] != "--set":
            setting = False
        spread.append(word)
    return spread


def _limit(text: str) -> int:
    """The value of `--limit`; not left to typer, whose message does not name what was given."""
    try:
        return int(text)
    except ValueError:
        raise RequestError(f"--limit {short(text)}: write an integer") from None


@app.command()
def run(
    method: Annotated[str, typer.Option("--method", "-m", help="methods, with commas, or all")],
    task: Annotated[str, typer.Option("--task", "-t", help="tasks, with commas, or all")] = "all",
    preset: Annotated[str, typer.Option(help="mini, base, paper, or a TOML file of yours")] = "mini",
    data: Annotated[str | None, typer.Option(help="the data folder [preset]")] = None,
    setting: Annotated[str | None, typer.Option(help="user or time [preset]")] = None,
    split: Annotated[str, typer.Option(help="dev or test")] = "dev",
    llm: Annotated[str | None, typer.Option(help="the LLM: hub name or folder [preset]")] = None,
    encoder: Annotated[str | None, typer.Option(help="the text encoder: hub name or folder [preset]")] = None,
    retriever: Annotated[
        str | None, typer.Option(help="the dense retriever: hub name or folder [preset]")
    ] = None,
    seed: Annotated[str, typer.Option(help="seeds, with commas")] = "0",
    limit: Annotated[
        int | None,
        typer.Option(parser=_limit, metavar="N", help="only so many questions, drawn at random"),
    ] = None,
    set: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="NAME=VALUE",
            help="option of a method; METHOD.NAME=VALUE where several run; may be repeated",
        ),
    ] = None,
    variant: Annotated[str | None, typer.Option(help="a name for these options in the results")] = None,
    suite: Annotated[
        str | None, typer.Option(help="the folder of these results [from preset and options]")
    ] = None,
    results: Results = Path("results"),
    device: Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:N, balanced")] = "auto",
    dtype: Annotated[str | None, typer.Option(help="precision of the LLM: auto, fp32, bf16, fp16")] = None,
    chat_template: Annotated[
        bool | None,
        typer.Option("--chat-template/--no-chat-template", help="put prompts into the LLM's chat template"),
    ] = None,
    extract: Annotated[
        str | None, typer.Option(help="find answers in what the LLM says: none, first-line, label")
    ] = None,
    fresh: Annotated[bool, typer.Option("--fresh", help="ignore what earlier runs left")] = False,
    offline: Annotated[bool, typer.Option("--offline", help="never touch the network")] = False,
    methods_dir: MethodsDir = None,
    tasks_dir: TasksDir = None,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="no progress")] = False,
    json: Json = False,
) -> None:
    """Train and evaluate methods on tasks. The same command resumes, or finds everything done."""
    if offline:
        os.environ["HF_HUB_OFFLINE"] = "1"  # before the hub's library is imported
    from lampbench.runner.run import RunsError
    from lampbench.runner.run import run as run_methods

    try:
        records = run_methods(
            method,
            task,
            progress="none" if quiet else "auto",
            preset=preset,
            data=data,
            setting=setting,
            split=split,
            llm=llm,
            encoder=encoder,
            retriever=retriever,
            seed=seed,
            limit=limit,
            set=tuple(set or ()),
            variant=variant,
            suite=suite,
            results=results,
            device=device,
            dtype=dtype,
            chat_template=chat_template,
            extract=extract,
            fresh=fresh,
            offline=offline,
            methods_dir=tuple(methods_dir) if methods_dir else None,
            tasks_dir=tuple(tasks_dir) if tasks_dir else None,
        )
    except RunsError as failure:
        if failure.records:
            _print_results(failure.records, results, json)
        raise
    _print_results(records, results, json)


def _print_results(records: Sequence[Record], results: Path, json: bool) -> None:
    from lampbench.files.typed_json import plain
    from lampbench.report.run_table import results_table

    if json:
        print_json([plain(record) for record in records])
        return
    print_text(results_table(records, width()))
    print_text(f"\nrecords: {results / records[0].suite}")
    official = sorted({r.task for r in records if not r.metrics})
    if official:
        print_text(f"no golds, so no metrics, for {', '.join(official)}: see predictions_official.json there")


@app.command()
def show(
    run: Annotated[
        str, typer.Argument(help="SUITE/TASK/METHOD/seedN, a part that no other has, or its folder")
    ],
    results: Results = Path("results"),
    tasks_dir: TasksDir = None,
    json: Json = False,
) -> None:
    """Everything that is recorded of one run."""
    from lampbench.files.typed_json import plain
    from lampbench.records.results_folder import find_run

    record = find_run(run, results)
    if json:
        print_json(plain(record))
    else:
        print_table(("field", "value"), record_rows(record))


@app.command()
def score(
    predictions: Annotated[Path, typer.Argument(help="a predictions file, a folder or a zip of them")],
    golds: Annotated[Path, typer.Argument(help="the outputs file, or a folder or zip of them")],
    rules: Annotated[
        str, typer.Option("--rules", help="official, or pplug: the rules of its released code")
    ] = "official",
    task: Annotated[str | None, typer.Option("--task", "-t", help="the task, if no file names it")] = None,
    tasks_dir: TasksDir = None,
    json: Json = False,
    profile: Annotated[str | None, typer.Option("--profile", hidden=True)] = None,  # what --rules was called
) -> None:
    """Score prediction files in the official schema against golds."""
    from lampbench.data.prediction_files import score_folder

    rules = profile or rules
    found = score_folder(predictions, golds, rules, task)
    scores, skipped = found.scores, found.skipped
    if json:
        values = {name: {"metrics": s.metrics, "counts": s.counts} for name, s in scores.items()}
        print_json({"rules": rules, "profile": rules, "tasks": values, "skipped": skipped})
        return
    from lampbench.metrics.rouge import TOKENLESS
    from lampbench.tasks import get_task

    tokenless = [n for n in ("tokenless", "tokenless_golds") if any(s.counts.get(n) for s in scores.values())]
    counts = ("n", "unparsed", "empty", *tokenless)
    rows = [
        (name, m.label, f"{s.metrics[m.key]:.4f}", *(str(s.counts.get(count, 0)) for count in counts))
        for name, s in scores.items()
        for m in get_task(name).metrics
        if m.key in s.metrics
    ]
    print_table(("task", "metric", "value", *(count.replace("_", " ") for count in counts)), rows)
    if tokenless:
        print_text(TOKENLESS)
    for name, reason in skipped.items():
        print_text(f"{name}: not scored: {reason}")


@app.command()
def check(
    method: Annotated[str | None, typer.Argument(help="a method, or all")] = None,
    task: Annotated[
        str | None, typer.Option("--task", "-t", help="a task to prove, or to prove the method on")
    ] = None,
    methods_dir: MethodsDir = None,
    tasks_dir: TasksDir = None,
    json: Json = False,
) -> None:
    """Prove that a method keeps the rules (order, batches, seeds, empty histories, saving), or that a task does."""
    say, folders = None if json else print_text, tuple(methods_dir or ())
    if method is not None:
        from lampbench.conformance.method_rules import check_methods

        reports = check_methods(method, folders, say=say, tasks=task)
    elif task is not None:
        from lampbench.conformance.task_rules import check_tasks

        reports = check_tasks(task, folders, say=say)
    else:
        raise RequestError("name a method to check, or a task with --task")
    if json:
        print_json([report.to_json() for report in reports])
    if any(not report.passed for report in reports):
        raise typer.Exit(1)
