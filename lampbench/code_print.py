"""A fingerprint of the code that a method learns with.

What was learned by other code is not found again: a changed loss or loop would else go on giving the results of
the old one. The fingerprint is of the modules of the method's class and its bases and of those that they import
from lampbench. Comments, docstrings and layout are no part of it.
"""

from __future__ import annotations

import ast
import hashlib
import importlib.util
import sys
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path

PACKAGE = __name__.partition(".")[0]


def code_print(cls: type) -> str:
    """The fingerprint of a class, 32 hexadecimal digits."""
    modules = {base.__module__ for base in cls.__mro__}
    own = [module for module in modules if _file(module) is not None and _is_ours(module, cls)]
    meanings = {module: _meaning(module) for module in own}
    for module in own:
        meanings |= {imported: _meaning(imported) for imported in _imported(module)}
    # The method's own module goes by its content alone: its name says where it was found.
    named = [("" if module == cls.__module__ else module, text) for module, text in meanings.items()]
    return hashlib.sha256(repr(sorted(named)).encode()).hexdigest()[:32]


def _is_ours(module: str, cls: type) -> bool:
    return module == cls.__module__ or module.partition(".")[0] == PACKAGE


def _file(module: str) -> Path | None:
    """The source file of a module, whether it is imported or not."""
    loaded = sys.modules.get(module)
    name = getattr(loaded, "__file__", None)
    if name is None:
        spec = importlib.util.find_spec(module)
        name = spec.origin if spec is not None and spec.has_location else None
    return Path(name) if name and name.endswith(".py") else None


def _tree(module: str) -> ast.Module:
    file = _file(module)
    return ast.parse(file.read_text(encoding="utf-8") if file is not None else "")


@lru_cache(maxsize=256)
def _meaning(module: str) -> str:
    """What the module does, without what it says about it."""
    tree = _tree(module)
    for node in ast.walk(tree):
        documented = isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef))
        if documented and ast.get_docstring(node, clean=False) is not None:  # type: ignore[arg-type]
            node.body = node.body[1:]  # type: ignore[attr-defined]
    return ast.dump(tree)


@lru_cache(maxsize=256)
def _imported(module: str) -> frozenset[str]:
    """The modules of lampbench that a module imports, in functions too."""
    return frozenset(name for name in _names(module) if name.startswith(f"{PACKAGE}.") and _is_module(name))


def _names(module: str) -> Iterator[str]:
    """What a module imports by its full name, modules or not."""
    for node in ast.walk(_tree(module)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def _is_module(name: str) -> bool:
    try:
        return _file(name) is not None
    except ModuleNotFoundError:  # a class, say, of a module that is no package
        return False
