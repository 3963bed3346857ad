"""Presets: what `--preset NAME` fixes, as data in `lampbench/presets/NAME.toml`.

A preset says which models and data a run uses, under which limits every method generates, and which options
of a method differ from the method's own defaults. Every command-line option overrides its preset.
"""

from __future__ import annotations

import sys
from collections.abc import Collection, Mapping
from dataclasses import MISSING, dataclass, field, fields
from importlib import import_module
from pathlib import Path
from typing import Annotated, Any, TypeVar, get_type_hints

from annotated_types import Interval

from lampbench.constraints import Checked, typed
from lampbench.dtypes import AUTO, dtype_called
from lampbench.errors import RequestError, short, unknown
from lampbench.files.folders import expanded
from lampbench.files.regular_file import read_regular
from lampbench.method.options import describe
from lampbench.prompts.answer_extraction import Extract
from lampbench.tasks import SETTINGS, TASKS, Task, get_task

FOLDER = Path(__file__).resolve().parents[1] / "presets"

MINI_DATA = "lamp-mini"
"""The `data` of a preset that runs on LaMP-mini: generated when it is first needed, not downloaded."""

_PACKAGE = "package:"

_MOST = 2**31 - 1
_LARGEST = 2**20  # bytes; the presets of the package have 2,000

Key = TypeVar("Key")
Tables = dict[Key, dict[str, Any]]
Number = Annotated[int, Interval(ge=1, le=_MOST)]  # of tokens or beams


@dataclass(frozen=True, kw_only=True)
class Preset(Checked):
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
    dtype: str = AUTO
    data: str
    setting: str
    max_input_tokens: Number
    max_new_tokens: Mapping[str, int]
    beams: Number
    limited: Collection[str] = ()
    chat_template: bool = False
    extract: Extract = "none"
    options: Mapping[str, Any] = field(default_factory=dict)
    methods: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    task_options: Mapping[tuple[str, str], Mapping[str, Any]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.setting not in SETTINGS:
            raise unknown("setting", self.setting, SETTINGS)
        dtype_called(self.dtype)

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
    try:
        return _preset(path.stem, content)
    except (ValueError, RequestError) as error:
        raise RequestError(f"preset {path}: {error}") from None


def _preset(name: str, given: dict[str, Any]) -> Preset:
    """The preset of that content. Raises ValueError or RequestError."""
    methods, task_options = _method_tables(given.pop("method", {}))
    given = {"retriever": given.get("encoder"), **given}
    values: dict[str, Any] = {"name": name, "methods": methods, "task_options": task_options}
    if "max_new_tokens" in given:
        limits = _table("max_new_tokens", given.pop("max_new_tokens"))
        values["limited"] = tuple(get_task(task).name for task in limits if task != "default")
        values["max_new_tokens"] = _by_task(limits)
    hints = get_type_hints(Preset)
    for entry in fields(Preset):
        if entry.name in values:
            continue
        if entry.name in given:
            value = given.pop(entry.name)
            try:
                values[entry.name] = typed(value, hints[entry.name])
            except ValueError:
                wanted = describe(hints[entry.name])
                raise ValueError(f"{entry.name} must be {wanted}, not '{short(value)}'") from None
        elif entry.default is MISSING and entry.default_factory is MISSING:
            raise ValueError(f"it has no {entry.name}")
    if given:
        raise ValueError(f"unknown entry '{next(iter(given))}'")
    return Preset(**values | {key: resolve(values[key]) for key in ("llm", "encoder", "retriever")})


def _method_tables(tables: Any) -> tuple[Tables[str], Tables[tuple[str, str]]]:
    """The options of `[method.NAME]` by method, and those of `[method.NAME.TASK]` by method and task."""
    methods: Tables[str] = {}
    by_task: Tables[tuple[str, str]] = {}
    for method, table in _table("method", tables).items():
        methods[method] = {}
        for name, value in _table(f"method.{method}", table).items():
            if isinstance(value, dict):
                by_task[method, get_task(name).name] = value
            else:
                methods[method][name] = value
    return methods, by_task


def _table(name: str, value: Any) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise ValueError(f"{name} must be a table, not '{short(value)}'")
    return value


def _by_task(limits: dict[str, int]) -> dict[str, int]:
    default = limits.get("default", 128)
    chosen = {get_task(name).name: limit for name, limit in limits.items() if name != "default"}
    for limit in (default, *chosen.values()):
        if type(limit) is not int or not 0 < limit <= _MOST:
            raise ValueError(f"max_new_tokens must be positive integers, not '{short(limit)}'")
    return {name: chosen.get(name, default) for name in TASKS}


def resolve(model: str) -> str:
    """A model of the package (`package:mini/mini-t5`) as a path; any other name as it is."""
    if model.startswith(_PACKAGE):
        return str(Path(__file__).resolve().parents[1] / model.removeprefix(_PACKAGE))
    return model
