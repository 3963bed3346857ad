"""`lampbench data`: get the official files, prepare them, look at what is in them, or make LaMP-mini."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from lampbench.cli.common import Json, TasksDir, print_json, print_table
from lampbench.terminal import complain

if TYPE_CHECKING:
    from lampbench.tasks import Task

app = typer.Typer(help="Get, prepare, audit or generate data.", no_args_is_help=True, rich_markup_mode=None)

TaskOption = Annotated[str, typer.Option("--task", "-t", help="tasks, with commas, or all")]
Data = Annotated[Path, typer.Option("--data", help="the data folder")]
SettingOption = Annotated[str, typer.Option("--setting", help="user or time")]


def chosen(names: str, has: Callable[[Task], bool]) -> list[Task]:
    """The tasks of a `--task` option; by `all` are meant those of the benchmark, and of others those that `has`."""
    from lampbench.tasks.registry import chosen_tasks

    return chosen_tasks(names, lambda task: task.files.hosted or has(task), complain)


def _in(data: Path, setting: str) -> Callable[[Task], bool]:
    from lampbench.data.find_files import has_files

    return lambda task: has_files(data, task, chosen_setting(setting))


def chosen_setting(name: str) -> str:
    """A setting that exists."""
    from lampbench.errors import unknown
    from lampbench.tasks import SETTINGS

    if name not in SETTINGS:
        raise unknown("setting", name, SETTINGS)
    return name


@app.command()
def download(
    task: TaskOption = "all",
    data: Data = Path("data"),
    setting: SettingOption = "time",
    split: Annotated[str, typer.Option(help="train, dev, test, with commas, or all")] = "all",
    offline: Annotated[bool, typer.Option("--offline", help="only say what is missing")] = False,
    json: Json = False,
) -> None:
    """Fetch the official files; goes on where an interrupted download stopped."""
    from lampbench.data.download import download as fetch
    from lampbench.progress import Progress
    from lampbench.tasks import SPLITS

    splits: Sequence[str] = SPLITS if split == "all" else [part.strip() for part in split.split(",")]
    progress = Progress()
    done = []
    for one in chosen(task, lambda task: task.files.hosted):
        with progress.bar(f"downloading {one.name} (MB)") as bar:
            done += fetch(
                one,
                data,
                chosen_setting(setting),
                splits,
                offline=offline,
                on_progress=bar.update,
                say=progress.say,
            )
    if json:
        print_json([{"path": str(f.path), "url": f.url, "size": f.size, "status": f.status} for f in done])
    else:
        print_table(("status", "MB", "file"), [(f.status, f"{f.size / 1e6:.1f}", str(f.path)) for f in done])


@app.command()
def prepare(
    task: TaskOption = "all",
    data: Data = Path("data"),
    setting: SettingOption = "time",
    fresh: Annotated[bool, typer.Option("--fresh", help="prepare again what was prepared")] = False,
    tasks_dir: TasksDir = None,
    json: Json = False,
) -> None:
    """Convert the official files for fast access. `run` does it too, when it is needed."""
    from lampbench.data.dataset import open_task
    from lampbench.data.prepare import prepare_task
    from lampbench.progress import Progress

    progress = Progress()
    rows = []
    for one in chosen(task, _in(data, setting)):
        with progress.bar(f"preparing {one.name} (MB)") as bar:
            prepare_task(data, one, chosen_setting(setting), on_progress=bar.update, fresh=fresh)
        opened = open_task(data, one, setting)
        sizes = {name: len(opened.split(name)) for name in opened.splits}
        rows.append({"task": one.name, "setting": setting, "items": len(opened.items), **sizes})
    if json:
        print_json(rows)
    else:
        names = ("task", "setting", "train", "dev", "test", "items")
        print_table(names, [[str(row.get(name, "-")) for name in names] for row in rows])


@app.command()
def audit(
    task: TaskOption = "all",
    data: Data = Path("data"),
    setting: SettingOption = "time",
    tasks_dir: TasksDir = None,
    json: Json = False,
) -> None:
    """Count and name what is odd in the files: malformed records, missing golds, leaks, floors."""
    from lampbench.data.audit import audit as look
    from lampbench.progress import Progress

    progress = Progress()
    reports = []
    for one in chosen(task, _in(data, setting)):
        with progress.bar(f"reading {one.name} (MB)") as bar:
            reports.append(look(data, one, chosen_setting(setting), on_progress=bar.update))
    if json:
        print_json([report.to_json() for report in reports])
    else:
        for number, report in enumerate(reports):
            if number:
                print()
            print_table(report.header(), report.rows())
    if not all(report.can_be_prepared for report in reports):
        raise typer.Exit(1)


@app.command()
def synth(
    output: Annotated[Path, typer.Argument(help="the folder to write to")],
    task: TaskOption = "all",
    set: Annotated[
        list[str] | None, typer.Option("--set", help="a knob: seed=1, train=500, drift=0.5, …")
    ] = None,
    json: Json = False,
) -> None:
    """Generate LaMP-mini in the official format."""
    from lampbench.method.options import make_config, parse_settings
    from lampbench.mini.generator import Knobs, mini_task, write_suite
    from lampbench.progress import Progress

    values = {setting.name: setting.text for setting in parse_settings(set or ())}
    knobs = make_config(Knobs, values, owner="LaMP-mini")
    names = [mini_task(one).name for one in chosen(task, lambda task: False)]
    with Progress().bar("generating", len(names)) as bar:
        for name in names:
            manifest = write_suite(output, knobs, [name])
            bar.advance()
    if json:
        print_json(manifest)
        return
    rows = []
    for name in names:
        for split, scores in manifest["reference_scores"][name].items():
            for kind, metrics in scores.items():
                values_text = "  ".join(f"{key} {value:.3f}" for key, value in metrics.items())
                rows.append((name, split, kind, values_text))
    print_table(("task", "split", "reference", "metrics"), rows)
