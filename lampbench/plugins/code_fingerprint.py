"""Fingerprints of code by what it does: comments, docstrings and layout are no part of them.

What was learned by other code is not found again: a changed loss, schedule or order of batches would else go on
giving the results of the old one. So the fingerprint of learned code is of every module that a method reaches:
its own, those of its base classes, that which fits every method, whatever these import, and so on, in functions
and for type checking too, because what a module is handed over at run time it names in its annotations. Followed
are imports of lampbench and of files beside the method's own (its folder, or the package that it is installed
in); other libraries count by their version (`lampbench.loading.identity`).

Not followed are the modules of `TELLING`: they find, name, keep, refuse or show things and compute nothing that a
method learns. A module that is not listed there counts, which at worst asks for a fit in vain.

Files are read and not imported. One interpreter's fingerprint is the other's.
"""

from __future__ import annotations

import ast
import hashlib
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parents[1]  # the folder of lampbench
PACKAGE = HERE.name

TELLING = frozenset(
    """
    caches.generation_cache constraints errors files.atomic_write files.bounded_json files.digests
    files.folders files.locks files.regular_file files.remembered_hashes files.seals files.typed_json lazy
    loading.hub loading.identity loading.load_errors method.options method.registry method.saved_fits
    metrics.constant_floors metrics.hf_evaluate models.run_models plugins.code_fingerprint plugins.finder
    progress records.environment records.record tasks.registry tasks.spelling version
    """.split()
)

FITTING = f"{PACKAGE}.method.fitting"
"""How every method is seeded, built and fitted; no method imports it."""

INSTALLED = {"site-packages", "dist-packages"}  # folders in which many packages lie side by side


def code_print(cls: type, path: Path, module: str | None = None) -> str:
    """The fingerprint of all code that a method learns with, 32 hexadecimal digits.

    Args:
        cls: the class of the method.
        path, module: as for `file_print`.
    """
    own = _Source.of_file(path, module or path.stem)
    others = [own.find(name) for name in (FITTING, *(base.__module__ for base in cls.__mro__))]
    return _print(_reached([own, *filter(None, others)], everything=True), own)


def file_print(path: Path, module: str | None = None) -> str:
    """The fingerprint of a method's file and of those beside it that it imports; lampbench itself is left out.

    Args:
        path: the file.
        module: the name that it is imported by, if it is in a package.

    Raises:
        OSError: the file cannot be read.
    """
    own = _Source.of_file(path, module or path.stem)
    return _print(_reached([own], everything=False), own)


@dataclass(frozen=True)
class _Source:
    """A module that has a source file.

    Attributes:
        name: its full name.
        path: its file.
        root: the folder in which its topmost package lies.
    """

    name: str
    path: Path
    root: Path

    @classmethod
    def of_file(cls, path: Path, name: str) -> _Source:
        path = path.resolve()
        base = path.parent if path.name == "__init__.py" else path
        return cls(name, path, base.parents[name.count(".")])

    @property
    def is_ours(self) -> bool:
        return self.name.partition(".")[0] == PACKAGE

    @property
    def is_telling(self) -> bool:
        top, _, rest = self.name.partition(".")
        return top == PACKAGE and (not rest or rest in TELLING)

    @property
    def package(self) -> str:
        """The package that its relative imports start from."""
        return self.name if self.path.name == "__init__.py" else self.name.rpartition(".")[0]

    def imports(self, everything: bool) -> Iterator[_Source]:
        """The modules that it imports and that count; those of lampbench only if everything does."""
        for level, name in _read(self.path, self.path.stat().st_mtime_ns).imports:
            full = name
            if level:
                above = self.package.split(".")[: -(level - 1) or None]
                full = ".".join((*above, name)).rstrip(".")
            parts = full.split(".")
            for n in range(1, len(parts) + 1):  # a package's own file runs when a module of it is imported
                found = self.find(".".join(parts[:n]))
                if found is not None and (everything or not found.is_ours):
                    yield found

    def find(self, name: str) -> _Source | None:
        """The module that this one imports by that name, if it counts."""
        top = name.partition(".")[0]
        if top == PACKAGE:
            return _own(name, HERE.parent)
        if self.is_ours or top in sys.stdlib_module_names or not self._may_hold(top):
            return None
        return _at(self.root / name.replace(".", "/"), name, self.root)

    def _may_hold(self, top: str) -> bool:
        """Whether a package of that name in the root is the same author's."""
        return self.root.name not in INSTALLED or top == self.name.partition(".")[0]


@lru_cache(maxsize=4096)  # what lampbench consists of does not change while it runs
def _own(name: str, root: Path) -> _Source | None:
    """The module of lampbench of that name."""
    rest = name.partition(".")[2]
    beside = rest if rest.startswith("methods.") else name  # in a checkout they stand beside the package
    return _at(root / name.replace(".", "/"), name, root) or _at(root / beside.replace(".", "/"), name, root)


def _at(place: Path, name: str, root: Path) -> _Source | None:
    for path in (place.with_name(f"{place.name}.py"), place / "__init__.py"):
        if path.is_file():
            return _Source(name, path, root)
    return None


@dataclass(frozen=True)
class _Text:
    """What a file says: a hash of what it does, and the (level, name) of everything that it imports."""

    meaning: str
    imports: frozenset[tuple[int, str]]


def _reached(starts: Iterable[_Source], everything: bool) -> dict[str, _Source]:
    """The modules that are reached by imports, by name."""
    found: dict[str, _Source] = {}
    todo = list(starts)
    while todo:
        source = todo.pop()
        if source.name not in found and not source.is_telling:
            found[source.name] = source
            todo += source.imports(everything)
    return found


def _print(sources: dict[str, _Source], own: _Source) -> str:
    # The method's own module goes by its content alone: its name says where it was found.
    said = [("" if name == own.name else name, _meaning(source.path)) for name, source in sources.items()]
    return hashlib.sha256(repr(sorted(said)).encode()).hexdigest()[:32]


def _meaning(path: Path) -> str:
    return _read(path, path.stat().st_mtime_ns).meaning


@lru_cache(maxsize=1024)
def _read(path: Path, _modified: int) -> _Text:
    content = path.read_bytes()
    try:
        tree = ast.parse(content)
    except (SyntaxError, ValueError, RecursionError):  # imported by nobody, or in vain
        return _Text(hashlib.sha256(content).hexdigest(), frozenset())
    imports = frozenset(_imported(tree))
    for node in ast.walk(tree):
        documented = isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef))
        if documented and ast.get_docstring(node, clean=False) is not None:  # type: ignore[arg-type]
            node.body = node.body[1:]  # type: ignore[attr-defined]
    return _Text(hashlib.sha256(_form(tree).encode(errors="surrogatepass")).hexdigest(), imports)


def _imported(tree: ast.Module) -> Iterator[tuple[int, str]]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((0, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = f"{node.module}." if node.module else ""
            # Whether a module is meant or a name in one shows when it is looked for.
            yield from ((node.level, f"{base}{alias.name}") for alias in node.names)


def _form(node: Any) -> str:
    """A tree as text. Unlike that of `ast.dump`, it does not differ between versions of Python."""
    if isinstance(node, ast.JoinedStr):  # Python 3.12 puts empty texts into the formats of f-strings
        return f"JoinedStr({_form([part for part in node.values if getattr(part, 'value', None) != ''])})"
    if isinstance(node, ast.AST):
        fields = ((name, value) for name, value in ast.iter_fields(node) if value is not None and value != [])
        return f"{type(node).__name__}({','.join(f'{n}={_form(v)}' for n, v in fields if n != 'kind')})"
    if isinstance(node, list):
        return f"[{','.join(map(_form, node))}]"
    return repr(node)
