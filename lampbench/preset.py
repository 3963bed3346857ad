"""Presets: what `--preset NAME` fixes, as data in `lampbench/presets/NAME.toml`.

A preset says which models and data a run uses, under which limits every method generates, and which options
of a method differ from the method's own defaults. Every command-line option overrides its preset.
"""

from __future__ import annotations

import sys
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import Any

from lampbench.errors import RequestError, short, unknown
from lampbench.extraction import EXTRACTIONS, Extract
from lampbench.paths import expanded
from lampbench.regular_file import read_regular
from lampbench.tasks import SETTINGS, TASKS, Task, get_task

FOLDER = Path(__file__).parent / "presets"

MINI_DATA = "lamp-mini"
"""The `data` of a preset that runs on LaMP-mini: generated when it is first needed, not downloaded."""

_PACKAGE = "package:"

_KINDS = {str: "text", int: "an integer", bool: "true or false", dict: "a table"}
_TOO_LARGE = 2**31  # for the numbers of a preset: they count tokens and beams
_LARGEST = 2**20  # bytes; the presets of the package have 2,000


@dataclass(frozen=True)
class Preset:
    """What a preset fixes.

    Attributes:
        name: its name.
        summary: one line.
        llm, encoder, retriever: hub names or folders; `package:mini/mini-t5` is a folder of lampbench itself.
        dtype: precision of the LLM.
        data: a folder, or `lamp-mini`.
        setting: `user` or `time`.
        max_input_tokens: limit of a prompt.
        max_new_tokens: limit of an output, by task.
        limited: the tasks that it names a limit for.
        beams: beams of the search.
        chat_template: put prompts into the LLM's chat template.
        extract: how answers are found in what the LLM says.
        options: options for every method that has them.
        methods: options by method.
        task_options: options by method and task.
    """

    name: str
    summary: str
    llm: str
    encoder: str
    retriever: str
    dtype: str
    data: str
    setting: str
    max_input_tokens: int
    max_new_tokens: Mapping[str, int]
    beams: int
    limited: Collection[str] = ()
    chat_template: bool = False
    extract: Extract = "none"
    options: Mapping[str, Any] = field(default_factory=dict)
    methods: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    task_options: Mapping[tuple[str, str], Mapping[str, Any]] = field(default_factory=dict)

    def options_of(self, method: str, task: str, known: set[str]) -> dict[str, Any]:
        """Options in place of the method's defaults: general ones, then its own, then those for the task."""
        general = {name: value for name, value in self.options.items() if name in known}
        return general | dict(self.methods.get(method, {})) | dict(self.task_options.get((method, task), {}))

    def new_tokens(self, task: Task) -> int:
        """Limit of an output of the task: what is said here of it by name, what the task says, what is said of all."""
        own = None if task.name in self.limited else task.max_new_tokens
        return own or self.max_new_tokens[task.name]

    def check_names(self, methods: Collection[str], options: Collection[str]) -> None:
        """See that nothing in it is for a method or an option that does not exist: it would act on nothing.

        The options of one method are checked when that method is configured.

        Args:
            methods: the names of all methods.
            options: the names of the options of all methods.

        Raises:
            RequestError: a name is none of these.
        """
        for name in self.methods:
            if name not in methods:
                error = unknown(f"method in preset {self.name}", name, methods)
                raise RequestError(f"{error}; one of your own is found with --methods-dir")
        for name in self.options:
            if name not in options:
                raise unknown(f"option in [options] of preset {self.name}", name, options)


def preset_names() -> list[str]:
    """The presets of the package."""
    return sorted(path.stem for path in FOLDER.glob("*.toml"))


def load_preset(name: str) -> Preset:
    """The preset of that name, or the one in a TOML file of your own.

    Raises:
        RequestError: no such preset, or its file is wrong.
    """
    path = expanded(name) if name.endswith(".toml") else FOLDER / f"{name}.toml"
    if not path.is_file():
        if name.endswith(".toml"):
            raise RequestError(f"preset {name}: no such file")
        raise unknown("preset", name, preset_names())
    toml = import_module("tomllib" if sys.version_info >= (3, 11) else "tomli")
    try:
        content = toml.loads(read_regular(path, _LARGEST).decode("utf-8"))
    except RecursionError:
        raise RequestError(f"preset {path}: lists or tables too deep inside one another") from None
    except (toml.TOMLDecodeError, UnicodeDecodeError) as error:
        raise RequestError(f"preset {path}: {error}") from error
    except ValueError:
        raise RequestError(f"preset {path}: a number of too many digits") from None
    except OSError as error:
        raise RequestError(f"preset {path}: {error.strerror or error}") from error
    return _preset(path, content)


def _preset(path: Path, content: dict[str, Any]) -> Preset:
    def take(name: str, kind: type, default: Any = None) -> Any:
        value = content.pop(name, default)
        if value is None:
            raise RequestError(f"preset {path}: it has no {name}")
        if not isinstance(value, kind) or isinstance(value, bool) != (kind is bool):
            raise RequestError(f"preset {path}: {name} must be {_KINDS[kind]}, not '{short(value)}'")
        if kind is int and isinstance(value, int) and not 0 < value < _TOO_LARGE:
            raise RequestError(
                f"preset {path}: {name} must be from 1 to {_TOO_LARGE - 1}, not {short(value)}"
            )
        return value

    limits = take("max_new_tokens", dict)
    methods: dict[str, dict[str, Any]] = {}
    task_options: dict[tuple[str, str], dict[str, Any]] = {}
    for method, table in take("method", dict, {}).items():
        if not isinstance(table, dict):
            raise RequestError(f"preset {path}: method.{method} must be a table, not '{short(table)}'")
        methods[method] = {name: value for name, value in table.items() if not isinstance(value, dict)}
        for task, options in table.items():
            if isinstance(options, dict):
                task_options[method, _task(path, task)] = options
    encoder = take("encoder", str)
    preset = Preset(
        name=path.stem,
        summary=take("summary", str),
        llm=resolve(take("llm", str)),
        encoder=resolve(encoder),
        retriever=resolve(take("retriever", str, encoder)),
        dtype=take("dtype", str, "auto"),
        data=take("data", str),
        setting=take("setting", str),
        max_input_tokens=take("max_input_tokens", int),
        max_new_tokens=_by_task(path, limits),
        limited=tuple(_task(path, name) for name in limits if name != "default"),
        beams=take("beams", int),
        chat_template=take("chat_template", bool, False),
        extract=take("extract", str, "none"),
        options=take("options", dict, {}),
        methods=methods,
        task_options=task_options,
    )
    if preset.setting not in SETTINGS:
        raise unknown(f"setting in preset {path}", preset.setting, SETTINGS)
    if preset.extract not in EXTRACTIONS:
        raise unknown(f"extract in preset {path}", preset.extract, EXTRACTIONS)
    if content:
        raise RequestError(f"preset {path}: unknown entry '{next(iter(content))}'")
    return preset


def _by_task(path: Path, limits: dict[str, int]) -> dict[str, int]:
    default = limits.get("default", 128)
    chosen = {_task(path, name): limit for name, limit in limits.items() if name != "default"}
    for limit in (default, *chosen.values()):
        if type(limit) is not int or not 0 < limit < _TOO_LARGE:
            raise RequestError(
                f"preset {path}: max_new_tokens must be positive integers, not '{short(limit)}'"
            )
    return {name: chosen.get(name, default) for name in TASKS}


def _task(path: Path, name: str) -> str:
    try:
        return get_task(name).name
    except RequestError as error:
        raise RequestError(f"preset {path}: {error}") from None


def resolve(model: str) -> str:
    """A model of the package (`package:mini/mini-t5`) as a path; any other name as it is."""
    if model.startswith(_PACKAGE):
        return str(Path(__file__).parent / model.removeprefix(_PACKAGE))
    return model
