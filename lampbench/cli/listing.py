"""`lampbench list` and what `lampbench show` prints: methods, tasks, presets and runs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from lampbench.cli.common import Json, MethodsDir, Results, TasksDir, print_json, print_table

if TYPE_CHECKING:
    from lampbench.plugins.config_reader import Option
    from lampbench.records.record import Record
    from lampbench.tasks.registry import TaskInfo

app = typer.Typer(
    help="What there is: methods, tasks, presets, runs.", no_args_is_help=True, rich_markup_mode=None
)


@app.command()
def methods(
    methods_dir: MethodsDir = None,
    options: Annotated[bool, typer.Option("--options", help="with the options of each")] = False,
    json: Json = False,
) -> None:
    """The methods, read without being imported; broken ones with their exception."""
    from lampbench.method.registry import list_methods

    found = list_methods(tuple(methods_dir or ()))
    if json:
        print_json([_method_json(info) for info in found])
        return
    rows = []
    for info in found:
        about = f"BROKEN: {info.error} ({info.path})" if info.error else info.summary
        rows.append((info.name, about))
        if options and not info.error:
            rows += [("", f"{o.name} = {o.default} ({_type_text(o)}): {o.help}") for o in info.options]
            rows += [
                ("", f"variant +{name}: {_options_text(values)}") for name, values in info.variants.items()
            ]
    print_table(("method", "summary"), rows)


def _method_json(info: Any) -> dict[str, Any]:
    return {
        "name": info.name,
        "summary": info.summary,
        "paper": info.paper,
        "origin": info.origin,
        "path": str(info.path),
        "error": info.error,
        "options": [asdict(option) for option in info.options],
        "variants": info.variants,
    }


def _type_text(option: Option) -> str:
    return f"{option.type}, {option.allowed}" if option.allowed else option.type


def _options_text(values: Mapping[str, Any]) -> str:
    return ", ".join(f"{name}={value}" for name, value in values.items())


@app.command()
def tasks(tasks_dir: TasksDir = None, json: Json = False) -> None:
    """The tasks and their metrics, read without being imported; broken ones with their exception."""
    from lampbench.tasks.registry import list_tasks

    found = list_tasks()
    if json:
        print_json([_task_json(info) for info in found])
        return
    rows = []
    for info in found:
        about = f"BROKEN: {info.error} ({info.path})" if info.error else info.summary
        rows.append((info.name, " ".join(info.said.get("metrics", {}).values()), about))
    print_table(("task", "metrics", "what it is"), rows)


def _task_json(info: TaskInfo) -> dict[str, Any]:
    said = info.said
    return {
        "name": info.name,
        "title": info.summary,
        "kind": said.get("kind", ""),
        "item_fields": list(said.get("item_fields", ())),
        "labels": list(said.get("labels", ())),
        "metrics": list(said.get("metrics", ())),
        "counts": {f"{setting}/{split}": n for (setting, split), n in said.get("counts", {}).items()},
        "origin": info.origin,
        "path": str(info.path),
        "error": info.error,
    }


@app.command()
def presets(json: Json = False) -> None:
    """The presets: models, data and limits that belong together."""
    from lampbench.runner.preset import load_preset, preset_names

    found = [load_preset(name) for name in preset_names()]
    if json:
        print_json(
            [
                {
                    "name": p.name,
                    "summary": p.summary,
                    "llm": p.llm,
                    "encoder": p.encoder,
                    "retriever": p.retriever,
                    "dtype": p.dtype,
                    "data": p.data,
                    "setting": p.setting,
                    "max_input_tokens": p.max_input_tokens,
                    "max_new_tokens": dict(p.max_new_tokens),
                    "beams": p.beams,
                    "chat_template": p.chat_template,
                    "extract": p.extract,
                    "options": dict(p.options),
                    "methods": {name: dict(values) for name, values in p.methods.items()},
                }
                for p in found
            ]
        )
        return
    rows = [(p.name, f"{p.data} ({p.setting})", str(p.max_input_tokens), p.summary) for p in found]
    print_table(("preset", "data", "tokens", "what it is"), rows)


@app.command()
def runs(
    results: Results = Path("results"),
    suite: Annotated[str | None, typer.Option(help="only this suite")] = None,
    tasks_dir: TasksDir = None,
    json: Json = False,
) -> None:
    """The runs that are recorded, finished or not."""
    from lampbench.records.results_folder import load_attempts, load_records

    records, attempts = load_records(results, suite), load_attempts(results, suite)
    if json:
        print_json([_run_json(r) for r in records] + [_run_json(r) | {"attempt": True} for r in attempts])
        return
    rows = []
    for record in records:
        metrics = " ".join(f"{key} {m.value:.3f}" for key, m in record.metrics.items())
        rows.append((record.name, record.status, record.error or metrics))
    for attempt in attempts:
        rows.append((f"{attempt.name} (new attempt)", attempt.status, attempt.error or ""))
    print_table(("run", "status", "result"), rows)


def _run_json(record: Record) -> dict[str, Any]:
    return {
        "run": record.name,
        "status": record.status,
        "error": record.error,
        "metrics": {key: m.value for key, m in record.metrics.items()},
        "n": record.data.n,
        "limit": record.data.limit,
        "finished": record.finished,
    }


def record_rows(record: Record) -> list[tuple[str, str]]:
    """The record as names and values, without empty ones and the spec, which says the same again for programs."""
    from lampbench.files.typed_json import plain

    return [("run", record.name), *_flat(plain(replace(record, spec=None)), "")]


def _flat(value: Any, name: str) -> list[tuple[str, str]]:
    if isinstance(value, dict):
        rows = []
        for key, inner in value.items():
            if inner is not None and inner not in ("", {}, []):
                rows += _flat(inner, f"{name}.{key}" if name else key)
        return rows
    if isinstance(value, list) and value and isinstance(value[0], list):
        return [(name, " ".join(f"{step}:{number:.4g}" for step, number in value))]
    return [(name, ", ".join(map(str, value)) if isinstance(value, list) else str(value))]
