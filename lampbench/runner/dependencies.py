"""What methods are built on: other methods, each with the options that it has there.

A retriever below a fusion, a pool below a selector, the task's adapter below the users': they get the preset's
options and the `--set` values of their own name, then what the method above asks of them.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from lampbench.errors import RequestError
from lampbench.method.base import Method, options_below
from lampbench.method.options import as_dict, make_config
from lampbench.method.registry import LoadedMethod, find_method, load
from lampbench.runner.preset import Preset
from lampbench.tasks import Task


@dataclass(frozen=True)
class Configured:
    """A method with its options.

    Attributes:
        method: the method.
        config: its Config.
        asked: what the method above asks of it.
    """

    method: LoadedMethod
    config: Any
    asked: Mapping[str, Any]


class Foundations:
    """The methods of one request, and what they are built on.

    Args:
        preset: gives options.
        settings_of: the `--set` values of each method.
        methods_dir: where methods are looked for besides.
    """

    def __init__(
        self, preset: Preset, settings_of: Mapping[str, Mapping[str, str]], methods_dir: Any
    ) -> None:
        self.preset = preset
        self.settings_of = settings_of
        self.methods_dir = methods_dir
        self._found: dict[str, LoadedMethod] = {}

    def method(self, name: str) -> LoadedMethod:
        """The method of that name. Looked up once: a pool asks for many, time and again.

        Raises:
            RequestError: there is none, or it does not load.
        """
        if name not in self._found:
            self._found[name] = load(find_method(name, self.methods_dir))
        return self._found[name]

    def configured(self, name: str, above: Any, task: Task, asked: Mapping[str, Any]) -> Configured:
        """A method below another.

        Args:
            name: of the method.
            above: the Config of the method above. If it shows another part of items than usual
                (`history_fields`), so does the one below, where it has the option.
            task: the task.
            asked: options that the method above sets.
        """
        method = self.method(name)
        shown = getattr(above, "history_fields", "released")
        has_it = any(field.name == "history_fields" for field in dataclasses.fields(method.config))
        alike = {"history_fields": shown} if shown != "released" and has_it else {}
        options = {**self.settings_of.get(name, {}), **alike, **asked}
        return Configured(method, method_config(self.preset, method, task, options), asked)

    def directly_below(self, method: LoadedMethod, config: Any, task: Task) -> dict[str, Configured]:
        """What a method is built on itself, by name."""
        asked = options_below(instance(method, config))
        return {name: self.configured(name, config, task, options) for name, options in asked.items()}

    def below(
        self, method: LoadedMethod, config: Any, task: Task, seen: Sequence[str] = ()
    ) -> dict[str, Configured]:
        """All that a method is built on, directly or through others, by name; the lowest first.

        Raises:
            RequestError: one of them does not exist, does not load or does not fit, or they are built on each
                other.
        """
        path = [*seen, method.name]
        if method.name in seen:
            raise RequestError(f"methods are built on each other: {' → '.join(path)}")
        found: dict[str, Configured] = {}
        direct = self.directly_below(method, config, task)
        for other in direct.values():
            found |= self.below(other.method, other.config, task, path)
        try:
            instance(method, config).check_below({name: other.method.cls for name, other in direct.items()})
        except ValueError as error:
            raise RequestError(f"{method.name}: {error}") from error
        return found | direct

    def changed_below(self, method: LoadedMethod, config: Any, task: Task) -> dict[str, Any]:
        """The options, as `method.option`, that `--set` has changed in what the method is built on."""
        changed: dict[str, Any] = {}
        for name, other in self.below(method, config, task).items():
            usual = as_dict(method_config(self.preset, other.method, task, other.asked))
            options = {**self.settings_of.get(name, {}), **other.asked}
            now = as_dict(method_config(self.preset, other.method, task, options))
            changed |= {f"{name}.{option}": v for option, v in now.items() if v != usual[option]}
        return changed


def method_config(preset: Preset, method: LoadedMethod, task: Task, options: Mapping[str, Any]) -> Any:
    """The Config of a method on a task: its defaults, then what the preset says, then `options`.

    Raises:
        RequestError: an option does not exist or has the wrong type.
    """
    known = {field.name for field in dataclasses.fields(method.config)}
    values = preset.options_of(method.name, task.name, known) | dict(options)
    return make_config(method.config, values, owner=method.name)


def instance(method: LoadedMethod, config: Any) -> Method:
    """The method with these options.

    Raises:
        RequestError: its file is broken.
    """
    try:
        return method.cls(config)
    except RequestError:
        raise
    except Exception as error:
        raise RequestError(
            f"method '{method.name}' is broken: {type(error).__name__}: {error} ({method.info.path})"
        ) from error
