"""Finding methods, without running them.

A method is a file. It is found in `lampbench/methods` (in a checkout: `methods/`), in the folders of
`--methods-dir` and of the environment variable `LAMPBENCH_METHODS`, and through the entry-point group
`lampbench.methods` of installed packages, whose entries name a module. Listing reads the files (see
`lampbench.source`) and runs none; only `load` imports one.
"""

from __future__ import annotations

import hashlib
import importlib
import importlib.util
import inspect
import os
import sys
from collections.abc import Iterable, Mapping
from dataclasses import MISSING, dataclass, fields, is_dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lampbench.code_print import code_print, file_print
from lampbench.errors import RequestError, described, unknown
from lampbench.imports import find_module
from lampbench.paths import expanded
from lampbench.source import Option, read_method_file
from lampbench.variants import all_variants

if TYPE_CHECKING:
    from lampbench.method import Method

GROUP = "lampbench.methods"
VARIABLE = "LAMPBENCH_METHODS"


@dataclass(frozen=True)
class MethodInfo:
    """What is known of a method from reading its file.

    Attributes:
        name: what `--method` takes; for a broken file, the file's own name.
        summary: one line.
        paper: where it is from, or empty.
        options: the fields of its Config.
        variants: its named variants and the options they set, those that all methods share included.
        origin: where it was found: `lampbench`, `--methods-dir`, `$LAMPBENCH_METHODS` or an entry point.
        path: its file.
        module: the name to import it by; None for a file outside any package.
        error: why it cannot be used; None if nothing is known against it.
    """

    name: str
    summary: str
    paper: str
    options: tuple[Option, ...]
    variants: Mapping[str, Mapping[str, Any]]
    origin: str
    path: Path
    module: str | None
    error: str | None

    @property
    def where(self) -> str:
        """Origin and file, for messages."""
        return f"{self.path} ({self.origin})"

    def sha256(self) -> str:
        """Hash of the file, byte for byte."""
        return hashlib.sha256(self.path.read_bytes()).hexdigest()


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


def list_methods(
    methods_dir: str | Path | Iterable[str | Path] | None = None,
) -> list[MethodInfo]:
    """All methods in alphabetical order, the broken ones too (their `error` says why).

    Args:
        methods_dir: one or more folders to search besides the usual places.

    Raises:
        RequestError: two files give the same name, or a folder does not exist.
    """
    found: dict[Path, MethodInfo] = {}
    for path, origin, module in _candidates(_folders(methods_dir)):
        resolved = path.resolve()
        if resolved not in found:  # the same file by two roads is one method
            found[resolved] = _read(path, origin, module)
    by_name: dict[str, MethodInfo] = {}
    for info in found.values():
        if info.error:
            continue
        other = by_name.setdefault(info.name, info)
        if other is not info:
            raise RequestError(
                f"two methods are named '{info.name}': {other.where} and {info.where}; rename one of them"
            )
    return sorted(found.values(), key=lambda info: (info.name, info.error or "", info.path))


def find_method(name: str, methods_dir: str | Path | Iterable[str | Path] | None = None) -> MethodInfo:
    """The method of that name.

    Raises:
        RequestError: no such method, or its file is broken.
    """
    found = sorted(list_methods(methods_dir), key=lambda info: not info.error)
    methods = {info.name: info for info in found}  # of one name, that which is not broken
    info = methods.get(name) or methods.get(name.lower())
    if info is None:
        raise unknown("method", name, sorted(m.name for m in found if not m.error))
    if info.error:
        raise broken(info, info.error)
    return info


def broken(info: MethodInfo, reason: str) -> RequestError:
    """The error for a file that cannot be used."""
    return RequestError(f"method '{info.name}' is broken: {reason} ({info.path})")


def load(info: MethodInfo) -> LoadedMethod:
    """Import the method's file.

    Raises:
        RequestError: the file is broken; the message names its exception.
    """
    from lampbench.method import Method

    try:
        module = _import(info)
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # whatever a stranger's file may raise; SystemExit is no Exception
        raise broken(info, described(error)) from error
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
    """Why the options of a Config cannot be set; what `lampbench.source` finds, and what it cannot see."""
    if not isinstance(config, type) or not is_dataclass(config):
        return "its Config is no dataclass"
    if "__dataclass_fields__" not in vars(config) and inspect.get_annotations(config):
        return "its Config is no dataclass, only its base is"
    for option in fields(config):
        if option.init and option.default is MISSING and option.default_factory is MISSING:
            return f"option {option.name} of its Config has no default"
    return None


def _left_open(cls: type[Method]) -> str | None:
    """What a method must define and has from its base class only."""
    from lampbench.method import Method, RetrievalMethod

    if cls.predict is Method.predict:
        return "predict(self, bench, examples)"
    if issubclass(cls, RetrievalMethod) and cls.predict is RetrievalMethod.predict:
        return "rank(self, bench, example)" if cls.rank is RetrievalMethod.rank else None
    return None


def _folders(methods_dir: str | Path | Iterable[str | Path] | None) -> list[tuple[Path, str]]:
    given = [methods_dir] if isinstance(methods_dir, (str, Path)) else list(methods_dir or ())
    folders = [(expanded(folder), "--methods-dir") for folder in given]
    folders += [
        (expanded(folder), f"${VARIABLE}")
        for folder in os.environ.get(VARIABLE, "").split(os.pathsep)
        if folder
    ]
    for folder, origin in folders:
        if not folder.is_dir():
            raise RequestError(f"{origin} {folder}: no such folder")
    return folders


def _candidates(folders: list[tuple[Path, str]]) -> Iterable[tuple[Path, str, str | None]]:
    """(file, origin, module name) of every file that should be a method."""
    package = Path(__file__).parent / "methods"
    checkout = package.parents[1] / "methods"
    own = [package]
    if checkout.is_dir() and (checkout.parent / "pyproject.toml").is_file():
        own.append(checkout)
    for folder in own:
        for path in _python_files(folder):
            yield path, "lampbench", f"lampbench.methods.{path.stem}"
    yield from _entry_points()
    for folder, origin in folders:
        for path in _python_files(folder):
            yield path, origin, None


def _python_files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.glob("*.py") if not path.name.startswith("_"))


def _entry_points() -> Iterable[tuple[Path, str, str]]:
    from importlib.metadata import entry_points

    for point in entry_points(group=GROUP):
        package = point.dist.name if point.dist is not None else "?"
        origin = f"entry point of {package}"
        path = find_module(point.module)
        # A registered module that is not there is a broken method, and is shown under its entry's name.
        yield path or Path(f"{point.name}.py"), origin, point.module


@lru_cache(maxsize=1024)
def _read_at(path: Path, origin: str, module: str | None, _modified: int) -> MethodInfo:
    package = module or ""
    if path.name != "__init__.py":
        package = package.rpartition(".")[0]
    source = read_method_file(path, package)
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
    try:
        modified = path.stat().st_mtime_ns
    except OSError as error:
        return MethodInfo(path.stem, "", "", (), {}, origin, path, module, described(error))
    return _read_at(path, origin, module, modified)


def _import(info: MethodInfo) -> Any:
    if info.module is not None:
        return importlib.import_module(info.module)
    # Outside any package: the name carries the content, so that an edited file is imported anew, and the place,
    # so that two files in two folders do not meet.
    content = hashlib.sha256(os.fsencode(info.path.resolve()) + info.path.read_bytes()).hexdigest()
    name = f"lampbench_method_{info.path.stem}_{content[:12]}"
    if name in sys.modules:
        return sys.modules[name]
    spec = importlib.util.spec_from_file_location(name, info.path)
    if spec is None or spec.loader is None:
        raise ImportError(f"cannot import {info.path}")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise
    return module
