"""What runs: a method with its options, on one task with one seed, and the same of all that it is built on.

A retriever below a fusion, a pool below a selector, the task's adapter below the users': they get the preset's
options and the `--set` values of their own name, then what the method above asks of them. All this is resolved
once, before anything is loaded, as a tree of setups.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from lampbench.errors import RequestError
from lampbench.method.base import HistoryConfig, Method, ProfileConfig, View, options_below, trains
from lampbench.method.bench import RunSettings
from lampbench.method.options import as_dict, make_config
from lampbench.method.registry import LoadedMethod, find_method, load
from lampbench.runner.preset import Preset
from lampbench.tasks import Task

if TYPE_CHECKING:
    from lampbench.models.frozen_llm import FrozenLLM

Options = Mapping[str, Any]


@dataclass(frozen=True, eq=False)
class Setup:
    """A method as it runs; what ends in one record, or what something that does is built on.

    Attributes:
        method: the method.
        config: its options.
        made: the method with these options, to be asked about them; what is fitted is a fresh one (`make`).
        task: the task; like what follows the same in all that it is built on.
        seed: the seed.
        settings: the limits and rules of generation.
        asked: the options that the method above asks of it.
        changed: the options that the request has changed, by `--set` or by naming a variant.
        built_on: what it is built on itself, by name.
        variant: the name of what tells it from the usual one; None for that one.
    """

    method: LoadedMethod
    config: Any
    made: Method
    task: Task
    seed: int
    settings: RunSettings
    asked: Options = field(default_factory=dict)
    changed: Options = field(default_factory=dict)
    built_on: Mapping[str, Setup] = field(default_factory=dict)
    variant: str | None = None

    @property
    def label(self) -> str:
        """The method as tables show it: `pplug+top4`."""
        return f"{self.method.name}+{self.variant}" if self.variant else self.method.name

    @property
    def profile(self) -> View:
        """Whose history it is shown at prediction."""
        return self.config.profile if isinstance(self.config, ProfileConfig) else "own"

    def below(self) -> dict[str, Setup]:
        """All that it is built on, directly or through others, by name; the lowest first."""
        found: dict[str, Setup] = {}
        for other in self.built_on.values():
            found |= other.below()
        return found | dict(self.built_on)

    def _all(self) -> Iterator[Setup]:
        yield self
        yield from self.below().values()

    @property
    def trains(self) -> bool:
        """Whether the method itself learns anything from the train split."""
        return trains(self.method.cls)

    @property
    def learns(self) -> bool:
        """Whether training questions decide what it does, by itself or through what it is built on."""
        return any(each.trains for each in self._all())

    @property
    def roles(self) -> frozenset[str]:
        """The models besides the LLM that it needs, itself or through what it is built on."""
        return frozenset().union(*(each.made.needs for each in self._all()))

    @property
    def code(self) -> list[str]:
        """Fingerprints of the code that it learns and answers with, and of what it is built on."""
        return [each.method.learns_with for each in self._all()]

    def check_llm(self, llm: FrozenLLM) -> None:
        """Let the method, and those that it is built on, look at the LLM.

        Raises:
            RequestError: it cannot serve.
        """
        for each in self._all():
            each.made.check_llm(llm)

    def make(self) -> Method:
        """A fresh method with these options, which has learned nothing.

        Raises:
            RequestError: its file is broken.
        """
        return instance(self.method, self.config)


class Setups:
    """Makes the setups of one request, every Config and every method with its options once.

    Args:
        preset: gives options.
        running: the methods that run for themselves.
        settings_of: the `--set` values of each method.
        methods_dir: where methods are looked for besides.
    """

    def __init__(
        self,
        preset: Preset,
        running: Iterable[LoadedMethod],
        settings_of: Mapping[str, Options],
        methods_dir: Any,
    ) -> None:
        self.preset = preset
        self.settings_of = settings_of
        self.methods_dir = methods_dir
        self._found = {method.name: method for method in running}
        self._configs: dict[tuple[str, str, str], Any] = {}
        self._instances: dict[int, Method] = {}

    def resolve(
        self, method: LoadedMethod, options: Options, task: Task, seed: int, settings: RunSettings
    ) -> Setup:
        """A method that runs for itself, with `options` in place of the preset's.

        Raises:
            RequestError: an option is wrong; or one of what it is built on does not exist, does not load or does
                not fit; or they are built on each other.
        """
        config = self.config(method, task, options)
        changed = _changes(self.config(method, task, {}), config)
        alone = Setup(method, config, self._instance(method, config), task, seed, settings, {}, changed)
        return self._complete(alone, ())

    def below(self, above: Setup, name: str, asked: Options) -> Setup:
        """A method below another: that of the tree, or with other options one that is resolved now.

        Args:
            above: what is built on it. If it shows another part of items than usual (`history_fields`), so does
                the one below, where it has the option.
            name: of the method.
            asked: the options that the method above sets.

        Raises:
            RequestError: as for `resolve`.
        """
        known = above.built_on.get(name)
        return known if known is not None and known.asked == asked else self._below(above, name, asked, ())

    def _below(self, above: Setup, name: str, asked: Options, path: tuple[str, ...]) -> Setup:
        method = self.method(name)
        if name in path:
            raise RequestError(f"methods are built on each other: {' → '.join((*path, name))}")
        chosen = self._chosen_below(above, method, asked)
        alike = {n: v for n, v in _shown_alike(above.config, method.config).items() if n not in asked}
        _check_heeded(above, name, chosen, alike)
        imposed = {**alike, **asked}
        config = self.config(method, above.task, {**chosen, **imposed})
        changed = _changes(self.config(method, above.task, imposed), config)
        place = above.task, above.seed, above.settings
        alone = Setup(method, config, self._instance(method, config), *place, asked, changed)
        return self._complete(alone, path)

    def _chosen_below(self, above: Setup, method: LoadedMethod, asked: Options) -> Options:
        """The `--set` values of a method that act where another one is built on it.

        Whose history is shown is said by what runs, and a prompt that nobody asks for is of no use. What does
        nothing with the options that are asked (`idle`) does nothing here either, though it may in a run of its own.
        """
        chosen = self.settings_of.get(method.name, {})
        if not chosen:
            return chosen
        made = self._instance(method, self.config(method, above.task, {**chosen, **asked}))
        without = {"profile", *made.idle()}
        if above.made.uses_rankings:
            without |= made.prompt_options
        return {name: value for name, value in chosen.items() if name not in without}

    def _complete(self, setup: Setup, path: tuple[str, ...]) -> Setup:
        """The setup with what it is built on; `path` names what is built on it."""
        path = (*path, setup.method.name)
        below = options_below(setup.made)
        built_on = {name: self._below(setup, name, asked, path) for name, asked in below.items()}
        try:
            setup.made.check_below({name: other.method.cls for name, other in built_on.items()})
        except ValueError as error:
            raise RequestError(f"{setup.method.name}: {error}") from error
        return replace(setup, built_on=built_on)

    def method(self, name: str) -> LoadedMethod:
        """The method of that name. Looked up once: a pool asks for many, time and again.

        Raises:
            RequestError: there is none, or it does not load.
        """
        if name not in self._found:
            self._found[name] = load(find_method(name, self.methods_dir))
        return self._found[name]

    def config(self, method: LoadedMethod, task: Task, options: Options) -> Any:
        """The Config of a method on a task with `options` in place of the preset's.

        Raises:
            RequestError: an option does not exist or has the wrong type.
        """
        key = method.name, task.name, repr(sorted(options.items()))
        if key not in self._configs:
            self._configs[key] = method_config(self.preset, method, task, options)
        return self._configs[key]

    def _instance(self, method: LoadedMethod, config: Any) -> Method:
        if id(config) not in self._instances:  # its own as long as it is kept
            self._instances[id(config)] = instance(method, config)
        return self._instances[id(config)]


def method_config(preset: Preset, method: LoadedMethod, task: Task, options: Options) -> Any:
    """The Config of a method on a task: its defaults, then what the preset says, then `options`.

    Raises:
        RequestError: an option does not exist or has the wrong type.
    """
    known = {option.name for option in dataclasses.fields(method.config)}
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


def _changes(usual: Any, config: Any) -> Options:
    """The options of a Config that are others than in the usual one."""
    if config is usual:
        return {}
    before = as_dict(usual)
    return {name: value for name, value in as_dict(config).items() if value != before[name]}


def _shown_alike(above: Any, below: type) -> Options:
    """What a Config below must show of an item, if that above shows another part than usual."""
    if not isinstance(above, HistoryConfig) or not issubclass(below, HistoryConfig):
        return {}
    shown = above.history_fields
    return {} if shown == "released" else {"history_fields": shown}


def _check_heeded(above: Setup, name: str, chosen: Options, alike: Options) -> None:
    """See that nothing was chosen for a method that another one, which is built on it, shows otherwise.

    What `uses` asks for is another thing: no run of the method above is without it.

    Raises:
        RequestError: something was.
    """
    for option, value in alike.items():
        if chosen.get(option, value) != value:
            raise RequestError(
                f"--set {name}.{option}={chosen[option]}: {above.method.name} is built on {name} and has it show "
                f"what it shows itself, {option}={value}; run the two in commands of their own"
            )
