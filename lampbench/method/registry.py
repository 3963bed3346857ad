"""Finding methods, without running them.

A method is a file. It is found in `lampbench/methods` (in a checkout: `methods/`), in the folders of
`--methods-dir` and of the environment variable `LAMPBENCH_METHODS`, and through the entry-point group
`lampbench.methods` of installed packages, whose entries name a module. Listing reads the files (see
`lampbench.plugins.file_reader`) and runs none; only `load` imports one.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Mapping
from dataclasses import MISSING, dataclass, fields, is_dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lampbench.errors import RequestError, described
from lampbench.plugins.code_fingerprint import code_print, file_print
from lampbench.plugins.config_reader import Option
from lampbench.plugins.file_reader import read_method_file
from lampbench.plugins.finder import Finder, Folders, PluginFile, changed, package_of

if TYPE_CHECKING:
    from lampbench.method.base import Method

PACKAGE = Path(__file__).resolve().parents[1] / "methods"
CHECKOUT = PACKAGE.parents[1] / "methods"  # in a checkout they stand beside the package
FINDER = Finder(
    noun="method",
    package="lampbench.methods",
    folders=(PACKAGE, CHECKOUT) if (CHECKOUT.parent / "pyproject.toml").is_file() else (PACKAGE,),
    variable="LAMPBENCH_METHODS",
)


# Variants that every method has whose options allow them, beside those that its file declares. They are controls, and a
# control is of use when it is asked of all: does the gain need this user's history, its labels, any history at all; and
# is it in what the user was given or in what the user answered?
SHARED: Mapping[str, Mapping[str, Any]] = {
    "random-profile": {"profile": "random"},
    "shuffled-labels": {"profile": "shuffled-labels"},
    "empty-profile": {"profile": "empty"},
    "inputs-only": {"history_fields": "input"},
    "outputs-only": {"history_fields": "output"},
}


@dataclass(frozen=True)
class MethodInfo(PluginFile):
    """What is known of a method from reading its file.

    Attributes:
        paper: where it is from, or empty.
        options: the fields of its Config.
        variants: its named variants and the options they set, those that all methods share included.
    """

    paper: str
    options: tuple[Option, ...]
    variants: Mapping[str, Mapping[str, Any]]


@dataclass(frozen=True)
class LoadedMethod:
    """A method ready for use.

    Attributes:
        info: what reading its file has told.
        cls: its class.
        config: its Config dataclass.
        code: fingerprint of what its file does; a method that does something else is another method.
        learns_with: fingerprint of all code that it learns with.
    """

    info: MethodInfo
    cls: type[Method]
    config: type
    code: str
    learns_with: str

    @property
    def name(self) -> str:
        """The name of the method."""
        return self.info.name

    @property
    def variants(self) -> Mapping[str, Mapping[str, Any]]:
        """Its named variants and the options they set, those that all methods share included."""
        return all_variants([f.name for f in fields(self.config)], self.cls.variants)


def all_variants(
    options: Iterable[str], own: Mapping[str, Mapping[str, Any]]
) -> dict[str, Mapping[str, Any]]:
    """The variants of a method with these options; where a name is declared twice, its own counts."""
    known = set(options)
    shared = {name: values for name, values in SHARED.items() if values.keys() <= known}
    return {**shared, **own}


def list_methods(methods_dir: Folders = None) -> list[MethodInfo]:
    """All methods in alphabetical order, the broken ones too (their `error` says why).

    Args:
        methods_dir: one or more folders to search besides the usual places.

    Raises:
        RequestError: two files give the same name, or a folder does not exist.
    """
    return FINDER.listed(_read(*candidate) for candidate in FINDER.candidates(methods_dir))


def find_method(name: str, methods_dir: Folders = None) -> MethodInfo:
    """The method of that name.

    Raises:
        RequestError: no such method, or its file is broken.
    """
    return FINDER.named(list_methods(methods_dir), name)


def broken(info: MethodInfo, reason: str) -> RequestError:
    """The error for a file that cannot be used."""
    return FINDER.broken(info, reason)


def load(info: MethodInfo) -> LoadedMethod:
    """Import the method's file.

    Raises:
        RequestError: the file is broken; the message names its exception.
    """
    from lampbench.method.base import Method

    module = FINDER.import_file(info)
    cls = getattr(module, "Method", None)
    if not (isinstance(cls, type) and issubclass(cls, Method)):
        raise broken(info, "its Method is no lampbench Method")
    config = getattr(module, "Config", cls.default_config)
    reason = _config_fault(config)
    if reason is not None:
        raise broken(info, reason)
    missing = _left_open(cls)
    if missing is not None:  # better told now than once the models are loaded
        raise broken(info, f"its Method defines no {missing}")
    # Of the files as they are now: an edit while the method runs is no part of what runs.
    try:
        prints = file_print(info.path, info.module), code_print(cls, info.path, info.module)
    except OSError as error:  # of a file beside it, which it imports later
        raise broken(info, described(error)) from error
    return LoadedMethod(info, cls, config, *prints)


def _config_fault(config: Any) -> str | None:
    """Why the options of a Config cannot be set; what `lampbench.plugins.file_reader` finds, and what it cannot see."""
    from lampbench.method.base import HistoryConfig, ProfileConfig

    if not isinstance(config, type) or not is_dataclass(config):
        return "its Config is no dataclass"
    if "__dataclass_fields__" not in vars(config) and inspect.get_annotations(config):
        return "its Config is no dataclass, only its base is"
    acted_on = {"profile": ProfileConfig, "history_fields": HistoryConfig}
    for option in fields(config):
        if option.init and option.default is MISSING and option.default_factory is MISSING:
            return f"option {option.name} of its Config has no default"
        base = acted_on.get(option.name)
        if base is not None and not issubclass(config, base):
            return (
                f"option {option.name} of its Config is one that lampbench acts on: "
                f"write class Config(lampbench.method.{base.__name__})"
            )
    return None


def _left_open(cls: type[Method]) -> str | None:
    """What a method must define and has from its base class only."""
    from lampbench.method.base import Method, RetrievalMethod

    if cls.predict is Method.predict:
        return "predict(self, bench, examples)"
    if issubclass(cls, RetrievalMethod) and cls.predict is RetrievalMethod.predict:
        return "rank(self, bench, example)" if cls.rank is RetrievalMethod.rank else None
    return None


@lru_cache(maxsize=1024)
def _read_at(path: Path, origin: str, module: str | None, _changed: int | None) -> MethodInfo:
    source = read_method_file(path, package_of(path, module))
    return MethodInfo(
        name=source.name or path.stem.replace("_", "-"),
        summary=source.summary,
        paper=source.paper,
        options=source.options,
        variants=all_variants([option.name for option in source.options], source.variants),
        origin=origin,
        path=path,
        module=module,
        error=source.error,
    )


def _read(path: Path, origin: str, module: str | None) -> MethodInfo:
    return _read_at(path, origin, module, changed(path))
