"""Finding plug-ins: one file each, in the folders of lampbench, of an option, of a variable, or of other packages.

What is found is read and not run; only `import_file` runs it. Files whose names begin with `_` are none.
"""

from __future__ import annotations

import hashlib
import importlib
import importlib.util
import os
import sys
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import TypeVar

from lampbench.errors import RequestError, described, unknown
from lampbench.files.folders import expanded
from lampbench.plugins.import_check import find_module

OWN = "lampbench"
"""The origin of what comes with lampbench."""

Folders = str | Path | Iterable[str | Path] | None


@dataclass(frozen=True)
class PluginFile:
    """What is known of a plug-in from reading its file.

    Attributes:
        name: what people call it by; for a broken file, the file's own name.
        summary: one line.
        origin: where it was found: `lampbench`, an option, a variable, or an entry point.
        path: its file.
        module: the name to import it by; None for a file outside any package.
        error: why it cannot be used; None if nothing is known against it.
    """

    name: str
    summary: str
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


File = TypeVar("File", bound=PluginFile)
Candidate = tuple[Path, str, str | None]
"""File, origin and module name of what should be a plug-in."""


@dataclass(frozen=True)
class Finder:
    """Where plug-ins of one kind are.

    Attributes:
        noun: what one is called: `method`.
        package: the package of lampbench's own ones: `lampbench.methods`.
        folders: the folders of lampbench's own ones.
        variable: the environment variable that names more folders.
        passed_over: modules in the own folders that are none.
    """

    noun: str
    package: str
    folders: tuple[Path, ...]
    variable: str
    passed_over: tuple[str, ...] = ()

    @property
    def option(self) -> str:
        """The option of commands that names more folders."""
        return f"--{self.noun}s-dir"

    @property
    def group(self) -> str:
        """The entry-point group of other packages; an entry names a module."""
        return f"lampbench.{self.noun}s"

    def candidates(self, more: Folders = None) -> list[Candidate]:
        """Every file that should be a plug-in; the same file by two roads is one.

        Args:
            more: one or more folders to search besides the usual places.

        Raises:
            RequestError: a folder does not exist.
        """
        return once([*self.own(), *self.installed(), *self.in_folders(more)])

    def own(self) -> Iterator[Candidate]:
        """The files that come with lampbench."""
        for folder in self.folders:
            for path in _python_files(folder):
                if path.stem not in self.passed_over:
                    yield path, OWN, f"{self.package}.{path.stem}"

    def installed(self) -> Iterator[Candidate]:
        """What installed packages register."""
        from importlib.metadata import entry_points

        for point in entry_points(group=self.group):
            package = point.dist.name if point.dist is not None else "?"
            path = find_module(point.module)
            # A registered module that is not there is a broken plug-in, and is shown under its entry's name.
            yield path or Path(f"{point.name}.py"), f"entry point of {package}", point.module

    def in_folders(self, more: Folders = None) -> Iterator[Candidate]:
        """The files in the folders of the option, `more`, and of the variable.

        Raises:
            RequestError: a folder does not exist.
        """
        given = [more] if isinstance(more, (str, Path)) else list(more or ())
        folders = [(expanded(folder), self.option) for folder in given]
        variable = os.environ.get(self.variable, "").split(os.pathsep)
        folders += [(expanded(folder), f"${self.variable}") for folder in variable if folder]
        for folder, origin in folders:
            if not folder.is_dir():
                raise RequestError(f"{origin} {folder}: no such folder")
            for path in _python_files(folder):
                yield path, origin, None

    def listed(self, found: Iterable[File], same: Callable[[str], str] = str) -> list[File]:
        """The files in alphabetical order, the broken ones too.

        Args:
            found: what was read of them.
            same: maps names that nobody should have to tell apart to one.

        Raises:
            RequestError: two files give the same name.
        """
        files = list(found)
        by_name: dict[str, File] = {}
        for file in files:
            if file.error:
                continue
            other = by_name.setdefault(same(file.name), file)
            if other is not file:
                raise RequestError(
                    f"two {self.noun}s are named '{file.name}': {other.where} and {file.where}; "
                    "rename one of them"
                )
        return sorted(files, key=lambda file: (file.name, file.error or "", file.path))

    def named(self, files: Iterable[File], name: str, same: Callable[[str], str] = str.lower) -> File:
        """The file of that name.

        Raises:
            RequestError: there is none, or it is broken.
        """
        found = sorted(
            files, key=lambda file: not file.error
        )  # of one name, that which is not broken is kept
        exact = {file.name: file for file in found}
        file = exact.get(name) or {same(file.name): file for file in found}.get(same(name))
        if file is None:
            error = unknown(self.noun, name, sorted(other.name for other in found if not other.error))
            raise RequestError(f"{error}; one of your own is found with {self.option}")
        if file.error:
            raise self.broken(file, file.error)
        return file

    def broken(self, file: PluginFile, reason: str) -> RequestError:
        """The error for a file that cannot be used."""
        return RequestError(f"{self.noun} '{file.name}' is broken: {reason} ({file.path})")

    def import_file(self, file: PluginFile) -> ModuleType:
        """Run the file.

        Raises:
            RequestError: it cannot be run; the message names its exception.
        """
        try:
            return self._imported(file)
        except KeyboardInterrupt:
            raise
        except BaseException as error:  # whatever a stranger's file may raise; SystemExit is no Exception
            raise self.broken(file, described(error)) from error

    def _imported(self, file: PluginFile) -> ModuleType:
        if file.module is not None:
            return importlib.import_module(file.module)
        # Outside any package: the name carries the content, so that an edited file is imported anew, and the place,
        # so that two files in two folders do not meet.
        content = hashlib.sha256(os.fsencode(file.path.resolve()) + file.path.read_bytes()).hexdigest()
        name = f"lampbench_{self.noun}_{file.path.stem}_{content[:12]}"
        if name in sys.modules:
            return sys.modules[name]
        spec = importlib.util.spec_from_file_location(name, file.path)
        if spec is None or spec.loader is None:
            raise ImportError(f"cannot import {file.path}")
        module = importlib.util.module_from_spec(spec)
        sys.modules[name] = module
        try:
            spec.loader.exec_module(module)
        except BaseException:
            del sys.modules[name]
            raise
        return module


def once(candidates: Iterable[Candidate]) -> list[Candidate]:
    """Of the roads to one file, the first."""
    found: dict[Path, Candidate] = {}
    for candidate in candidates:
        found.setdefault(candidate[0].resolve(), candidate)
    return list(found.values())


def changed(path: Path) -> int | None:
    """When the file was last changed, in nanoseconds; None if it cannot be told."""
    try:
        return path.stat().st_mtime_ns
    except OSError:
        return None


def package_of(path: Path, module: str | None) -> str:
    """The package that the relative imports of a file start from; empty for a file outside any."""
    package = module or ""
    return package if path.name == "__init__.py" else package.rpartition(".")[0]


def _python_files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.glob("*.py") if not path.name.startswith("_"))
