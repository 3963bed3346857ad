"""What the imports of a file would find, told by reading: nothing is imported and nothing runs."""

from __future__ import annotations

import ast
import importlib.util
from collections.abc import Callable, Iterator
from functools import lru_cache
from pathlib import Path
from typing import TypeVar

Read = TypeVar("Read")

PACKAGE = __name__.partition(".")[0]
ANY = "*"  # among the names of a module: it may have others, which reading does not see


def find_module(name: str) -> Path | None:
    """The file of a module, found without importing its packages; None if there is none."""
    top, *rest = name.split(".")
    try:
        spec = importlib.util.find_spec(top)
    except ImportError:
        return None
    except ValueError:  # loaded, but not by the usual road, such as __main__
        return Path(top)
    if spec is None:
        return None
    if not rest:
        return Path(spec.origin) if spec.origin else Path(top)
    folders = [Path(folder) for folder in spec.submodule_search_locations or ()]
    if top == PACKAGE and rest[0] == "methods":
        folders += [folder.parent for folder in folders]  # a checkout's methods/ stands beside the package
    for part in rest[:-1]:
        folders = [folder / part for folder in folders if (folder / part).is_dir()]
    for folder in folders:
        for candidate in (folder / f"{rest[-1]}.py", folder / rest[-1] / "__init__.py"):
            if candidate.is_file():
                return candidate
    return None


@lru_cache(maxsize=64)
def parsed(path: Path) -> tuple[ast.Module, str]:
    """The syntax tree and the text of a file.

    Raises:
        OSError, SyntaxError, ValueError: it cannot be read as Python.
    """
    text = path.read_text(encoding="utf-8")
    return ast.parse(text), text


def read_with(reader: Callable[[ast.Module, str], Read], path: Path) -> Read | str:
    """What a reader makes of a file's tree and text, or why the file cannot be read; nothing is raised for it."""
    if not path.is_file():  # a pipe would be waited for
        return "it is no file"
    try:
        text = path.read_text(encoding="utf-8")
        return reader(ast.parse(text, filename=str(path)), text)
    except SyntaxError as error:
        return f"{type(error).__name__}: {error.msg} (line {error.lineno})"
    except (OSError, ValueError) as error:
        return f"{type(error).__name__}: {error}"
    except (RecursionError, MemoryError):
        return "it is nested too deeply to be read"


def import_fault(tree: ast.Module, package: str) -> str | None:
    """Why a file certainly cannot be imported, in the words of the exception; None if reading finds no reason.

    Only what always runs is judged: imports at the top level, and `raise` there. An import inside a `try`, an
    `if` or a function may never happen.

    Args:
        tree: the file.
        package: the package that relative imports start from; empty for a file outside any.
    """
    paths_as_usual = True
    for statement in tree.body:
        if isinstance(statement, ast.Raise):
            return f"its top level ends in: {ast.unparse(statement)}"
        if isinstance(statement, (ast.Import, ast.ImportFrom)):
            for module, name in _targets(statement, package):
                fault = _fault(module, name, paths_as_usual)
                if fault is not None:
                    return fault
        elif not _leaves_paths_alone(statement):
            paths_as_usual = False  # as sys.path.insert(…) does
    return None


def _leaves_paths_alone(statement: ast.stmt) -> bool:
    """Whether the statement cannot change where modules are found; a call can, and so can an assignment to sys.path."""
    if isinstance(statement, ast.Expr):
        return isinstance(statement.value, ast.Constant)
    if isinstance(statement, ast.If):
        return isinstance(statement.test, ast.Name) and statement.test.id == "TYPE_CHECKING"
    if isinstance(statement, (ast.Assign, ast.AnnAssign)):
        return not any(isinstance(node, (ast.Call, ast.Attribute)) for node in ast.walk(statement))
    return isinstance(statement, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef))


def _targets(statement: ast.Import | ast.ImportFrom, package: str) -> Iterator[tuple[str | None, str | None]]:
    """(module, name in it) of everything imported; the module is None where it lies outside its package."""
    if isinstance(statement, ast.Import):
        yield from ((alias.name, None) for alias in statement.names)
        return
    module = statement.module
    if statement.level:
        above = package.split(".") if package else []
        kept = len(above) - (statement.level - 1)
        module = ".".join([*above[:kept], *([module] if module else [])]) if kept > 0 else None
    yield from ((module, alias.name) for alias in statement.names)


def _fault(module: str | None, name: str | None, paths_as_usual: bool) -> str | None:
    if module is None:
        return "ImportError: attempted relative import beyond its package"
    top = module.partition(".")[0]
    if top != PACKAGE:
        # Below the top a package may make its modules itself; only importing it could tell.
        known = not paths_as_usual or _is_there(top)
        return None if known else f"ModuleNotFoundError: No module named '{top}'"
    path = find_module(module)
    if path is None:
        return f"ModuleNotFoundError: No module named '{module}'"
    if name in (None, ANY) or not {name, ANY}.isdisjoint(_names_in(path)) or find_module(f"{module}.{name}"):
        return None
    return f"ImportError: cannot import name '{name}' from '{module}'"


@lru_cache(maxsize=256)
def _is_there(top: str) -> bool:
    return find_module(top) is not None


@lru_cache(maxsize=64)
def _names_in(path: Path) -> frozenset[str]:
    """The names that a module defines or imports at its top level, in whichever branch.

    Those that a package of lampbench hands on lazily are among them: it imports them for type checkers.
    """
    names: set[str] = {ANY} if path.suffix != ".py" else set()
    waiting: list[ast.AST] = list(parsed(path)[0].body) if path.suffix == ".py" else []
    while waiting:
        node = waiting.pop()
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            names.add(node.name)
            continue  # what is inside has names of its own
        if isinstance(node, (ast.Import, ast.ImportFrom)):
            names |= {alias.asname or alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            names.add(node.id)
        waiting += ast.iter_child_nodes(node)
    return frozenset(names)
