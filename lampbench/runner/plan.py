"""From what was asked to a plan: every name, option and folder is checked before anything slow is loaded."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

from lampbench.data.find_files import has_files
from lampbench.dtypes import dtype_called
from lampbench.errors import RequestError, short, unknown
from lampbench.files.folders import expanded
from lampbench.method.bench import RunSettings
from lampbench.method.options import Setting, as_dict, parse_settings
from lampbench.method.profile_controls import check_view
from lampbench.method.registry import LoadedMethod, broken, find_method, list_methods, load
from lampbench.models.run_models import ModelChoice
from lampbench.prompts.answer_extraction import EXTRACTIONS
from lampbench.runner.naming import suite_name, variant_name
from lampbench.runner.preset import MINI_DATA, Preset, load_preset
from lampbench.runner.request import ALL, ASKED, Names, Plan, RunRequest
from lampbench.runner.setup import Setup, Setups
from lampbench.tasks import SETTINGS, Task
from lampbench.tasks.registry import chosen_tasks, search_in

Chosen = tuple[LoadedMethod, str | None]
"""A method and the named variant that is asked for."""


def make_plan(request: RunRequest) -> Plan:
    """Check the request, cheap things first.

    Raises:
        RequestError: anything in it is wrong.
    """
    request = _at_home(request)
    if request.tasks_dir is not None:
        search_in(request.tasks_dir)
    preset = load_preset(request.preset)
    setting = request.setting or preset.setting
    _check_choices(request, preset, setting)
    data = str(request.data or preset.data)
    tasks, no_tasks = _tasks(request, data, setting)
    seeds = _seeds(request.seed)
    chosen, no_methods = _methods(request)
    settings = parse_settings(request.set)
    _check_folders(request)
    running = [method for method, _ in chosen]
    setups = Setups(preset, running, _settings_of(settings, running), request.methods_dir)
    jobs = _jobs(request, setups, chosen, tasks, seeds)
    _check_places(jobs)
    _check_preset(preset, jobs, request)
    models = _models(preset, request)
    return Plan(
        request=request,
        preset=preset,
        suite=request.suite or suite_name(preset, request, setting, models.dtype),
        models=models,
        data=data,
        setting=setting,
        results=Path(request.results),
        jobs=tuple(jobs),
        setups=setups,
        left_out=no_tasks + no_methods,
    )


# What is asked, apart from methods


def _at_home(request: RunRequest) -> RunRequest:
    """The request with the home folder in place of `~` in its paths; an empty value is refused."""
    found: dict[str, Any] = {f.name: getattr(request, f.name) for f in fields(request)}
    for name, value in found.items():
        if value == "":  # such as "$UNSET": what the preset says is not what was meant
            raise RequestError(f"--{name.replace('_', '-')} is empty: give a value, or leave it out")
        if name in ("data", "llm", "encoder", "retriever", "results") and str(value).startswith("~"):
            found[name] = str(expanded(value))
    return RunRequest(**found)


def _check_choices(request: RunRequest, preset: Preset, setting: str) -> None:
    """Refuse a value that is none of those that its option may have."""
    if setting not in SETTINGS:
        raise unknown("setting", setting, SETTINGS)
    if request.split not in ASKED:
        raise unknown("split", request.split, ASKED)
    if request.dtype is not None:
        dtype_called(request.dtype)
    extract = request.extract or preset.extract
    if extract not in EXTRACTIONS:
        raise unknown("extraction", extract, EXTRACTIONS)
    if request.limit is not None and request.limit < 1:
        raise RequestError(f"--limit must be at least 1, not {request.limit}")
    for option, name in (("--variant", request.variant), ("--suite", request.suite)):
        if name is not None and not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._=+,-]*", name):
            raise RequestError(f"{option} '{name}': use letters, digits and . _ = + , - only")


def _check_folders(request: RunRequest) -> None:
    """Refuse data and models that must lie in a folder which is not there."""
    if request.data is not None and not Path(request.data).is_dir():
        raise RequestError(f"--data {request.data}: no such folder")
    models = {"--llm": request.llm, "--encoder": request.encoder, "--retriever": request.retriever}
    for option, model in models.items():
        if model is not None and _looks_like_a_path(model) and not Path(model).is_dir():
            raise RequestError(f"{option} {model}: no such folder")


def _looks_like_a_path(model: str) -> bool:
    return model.startswith((".", "/", "~")) or model.count("/") > 1 or "\\" in model


def _names(value: Names, everything: Mapping[str, Any]) -> list[str]:
    """`"a,b"`, `["a", "b"]` or `all` as a list without repetitions."""
    parts = value.split(",") if isinstance(value, str) else list(value)
    names = [part.strip() for part in parts if str(part).strip()]
    if not names:
        raise RequestError("no name given; write a name, several with commas, or all")
    expanded = [name for part in names for name in (everything if part == ALL else [part])]
    return list(dict.fromkeys(expanded))


def _seeds(value: int | str | Sequence[int]) -> list[int]:
    parts = [value] if isinstance(value, int) else value.split(",") if isinstance(value, str) else list(value)
    try:
        seeds = list(dict.fromkeys(int(part) for part in parts))
    except ValueError:
        raise RequestError(f"--seed {value}: write an integer, or several with commas") from None
    if not seeds or any(not 0 <= seed < 2**32 for seed in seeds):  # what every library takes
        raise RequestError(f"--seed {short(value)}: seeds are integers from 0 to {2**32 - 1}")
    return seeds


def _models(preset: Preset, request: RunRequest) -> ModelChoice:
    # One model may serve as both; another encoder then retrieves too.
    apart = preset.retriever != preset.encoder
    encoder = request.encoder or preset.encoder
    return ModelChoice(
        llm=request.llm or preset.llm,
        encoder=encoder,
        retriever=request.retriever or (preset.retriever if apart else encoder),
        device=request.device,
        dtype=dtype_called(request.dtype) if request.dtype else preset.dtype,
        offline=request.offline,
        chat_template=preset.chat_template if request.chat_template is None else request.chat_template,
    )


# Tasks, methods and their options


def _tasks(request: RunRequest, data: str, setting: str) -> tuple[list[Task], tuple[str, ...]]:
    """The tasks asked for, and why some of `all` cannot be had. Of `all` there are those that the data have.

    Raises:
        RequestError: no such task, or LaMP-mini has none of that name.
    """
    is_mini = data == MINI_DATA
    left_out: list[str] = []

    def there(task: Task) -> bool:
        # The tasks that one command fetches are all meant, so that one which is missing is told.
        return task.files.hosted or (not is_mini and has_files(data, task, setting))

    tasks = chosen_tasks(request.task, there, left_out.append)
    if is_mini:
        from lampbench.mini.generator import mini_task

        tasks = [mini_task(task) for task in tasks]
    return tasks, tuple(left_out)


def _methods(request: RunRequest) -> tuple[list[Chosen], tuple[str, ...]]:
    """The methods asked for with their named variants, and why some of `all` cannot be had."""
    infos = list_methods(request.methods_dir)
    asked = _names(request.method, {ALL: None})
    left_out = [str(broken(info, info.error)) for info in infos if info.error and ALL in asked]
    chosen = []
    for spec in _names(request.method, {info.name: info for info in infos if not info.error}):
        name, _, named = spec.partition("+")
        try:
            chosen.append((load(find_method(name, request.methods_dir)), named or None))
        except RequestError as error:  # what reading its file could not tell
            if spec in asked:
                raise
            left_out.append(str(error))
    if not chosen:
        raise RequestError(f"no method can be run: {'; '.join(left_out)}")
    return chosen, tuple(left_out)


def _settings_of(settings: Sequence[Setting], running: Sequence[LoadedMethod]) -> dict[str, dict[str, str]]:
    """`--set` values by method."""
    options = {method.name: {option.name for option in fields(method.config)} for method in running}
    by_method: dict[str, dict[str, str]] = {}
    for setting in settings:
        method = setting.method or _only_one(setting, options)
        if method not in options:
            raise unknown("method in --set", method, options)
        by_method.setdefault(method, {})[setting.name] = setting.text
    return by_method


def _only_one(setting: Setting, options: Mapping[str, set[str]]) -> str:
    """The method that a setting without a method's name is for: the only one that runs."""
    names = list(options)
    if len(names) == 1:
        return names[0]
    having = [name for name in names if setting.name in options[name]]
    if not having:
        raise unknown(f"option of {', '.join(names)}", setting.name, set().union(*options.values()))
    example = f"{having[0]}.{setting.name}={setting.text}"
    raise RequestError(
        f"--set {setting.name}: several methods run; write --set {example} (it is an option of "
        f"{', '.join(having)})"
    )


def _named_options(method: LoadedMethod, named: str | None) -> Mapping[str, Any]:
    if named is None:
        return {}
    variants = method.variants
    if named not in variants:
        problem = unknown(f"variant of {method.name}", named, variants)
        raise RequestError(f"{problem}; any other is made of options: --set OPTION=VALUE --variant {named}")
    return variants[named]


# The jobs


def _jobs(
    request: RunRequest, setups: Setups, chosen: Sequence[Chosen], tasks: Sequence[Task], seeds: Sequence[int]
) -> list[Setup]:
    """What to run, in order: by method (those that others are built on first), task, seed."""
    jobs: list[Setup] = []
    depth: dict[str, int] = {}
    for method, named in chosen:
        options = {**_named_options(method, named), **setups.settings_of.get(method.name, {})}
        found = []
        for task in tasks:
            limits = _limits(request, setups.preset, task)
            found += [setups.resolve(method, options, task, seed, limits) for seed in seeds]
        for setup in found:
            _check_options(setup)
        variant = request.variant or variant_name(found, named)
        jobs += [replace(setup, variant=variant) for setup in found]
        depth[jobs[-1].label] = len(jobs[-1].below())
    # A method may reuse what the methods it is built on have computed, so it goes after them.
    return sorted(jobs, key=lambda job: depth[job.label])


def _limits(request: RunRequest, preset: Preset, task: Task) -> RunSettings:
    extract: Any = request.extract or preset.extract
    return RunSettings(preset.max_input_tokens, preset.new_tokens(task), preset.beams, extract)


def _check_options(setup: Setup) -> None:
    """Refuse options that make no sense for the task, or were chosen and can do nothing.

    Such a run would be another one's twin under the name of something else. What a preset says for all methods,
    or a default, may well be of no use to one of them.
    """
    check_view(setup.profile, setup.task)
    idle = setup.made.idle()
    for name, value in setup.changed.items():
        if name in idle:
            text = str(value).lower() if isinstance(value, bool) else str(value)
            raise RequestError(f"options of {setup.method.name}: {name}={text} changes nothing {idle[name]}")


def _check_places(jobs: Sequence[Setup]) -> None:
    """No two runs write to the same folder."""
    seen: set[tuple[str, str, int]] = set()
    for job in jobs:
        place = (job.label, job.task.name, job.seed)
        if place in seen:
            raise RequestError(
                f"two of the runs would both be {job.label}: leave out --variant, or one of them"
            )
        seen.add(place)


def _check_preset(preset: Preset, jobs: Sequence[Setup], request: RunRequest) -> None:
    """Refuse a preset that names a method or an option that no method has."""
    infos = list_methods(request.methods_dir)
    options = {option.name for info in infos for option in info.options}
    # Reading a file misses the options of a Config that is made in another one; configuring does not.
    options |= {name for job in jobs for name in as_dict(job.config)}
    preset.check_names([info.name for info in infos], sorted(options))
