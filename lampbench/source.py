"""Reading a method file without running it: name, summary, paper, options, and whether it would import."""

from __future__ import annotations

import ast
import importlib.util
import io
import tokenize
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Option:
    """One field of a Config, as written: name, type, default and the comment beside it."""

    name: str
    type: str
    default: str
    help: str


@dataclass
class MethodSource:
    """What a method file says of itself.

    Attributes:
        error: the file is certainly broken, and this is its exception.
        doubt: the file may be broken; only importing it can tell.
    """

    name: str = ""
    summary: str = ""
    paper: str = ""
    options: tuple[Option, ...] = ()
    variants: dict[str, dict[str, Any]] = field(default_factory=dict)
    error: str | None = None
    doubt: bool = False


def read_method_file(path: Path) -> MethodSource:
    """Read the file; never raises for what is in it."""
    try:
        text = path.read_text(encoding="utf-8")
        tree = ast.parse(text, filename=str(path))
    except (OSError, SyntaxError, ValueError) as error:
        message = f"{error.msg} (line {error.lineno})" if isinstance(error, SyntaxError) else str(error)
        return MethodSource(error=f"{type(error).__name__}: {message}")
    method = _class(tree, "Method")
    if method is None:
        return MethodSource(error="it has no class named Method")
    source = MethodSource()
    values = _class_values(method)
    source.name = str(values.get("name", ""))
    docstring = ast.get_docstring(tree) or ""
    source.summary = str(values.get("summary", "")) or docstring.partition("\n")[0]
    source.paper = str(values.get("paper", ""))
    variants = values.get("variants", {})
    source.variants = variants if isinstance(variants, dict) else {}
    if not source.name:
        source.error = 'its class Method has no name (name = "…")'
    source.options = tuple(_options(tree, text, path).values())
    source.doubt = any(_doubtful(statement) for statement in tree.body)
    return source


def find_module(name: str) -> Path | None:
    """The file of a module, found without importing its packages; None if there is none."""
    top, *rest = name.split(".")
    try:
        spec = importlib.util.find_spec(top)
    except (ImportError, ValueError):
        return None
    if spec is None:
        return None
    if not rest:
        return Path(spec.origin) if spec.origin else Path(top)
    folders = [Path(folder) for folder in spec.submodule_search_locations or ()]
    if top == "lampbench" and rest[0] == "methods":
        folders += [folder.parent for folder in folders]  # a checkout's methods/ stands beside the package
    for part in rest[:-1]:
        folders = [folder / part for folder in folders if (folder / part).is_dir()]
    for folder in folders:
        for candidate in (folder / f"{rest[-1]}.py", folder / rest[-1] / "__init__.py"):
            if candidate.is_file():
                return candidate
    return None


# Classes and their fields


def _class(tree: ast.Module, name: str) -> ast.ClassDef | None:
    classes = [node for node in tree.body if isinstance(node, ast.ClassDef) and node.name == name]
    return classes[-1] if classes else None


def _class_values(node: ast.ClassDef) -> dict[str, Any]:
    """The class attributes that are literals."""
    values = {}
    for statement in node.body:
        if isinstance(statement, ast.Assign) and isinstance(statement.targets[0], ast.Name):
            name, value = statement.targets[0].id, statement.value
        elif isinstance(statement, ast.AnnAssign) and isinstance(statement.target, ast.Name):
            if statement.value is None:
                continue
            name, value = statement.target.id, statement.value
        else:
            continue
        try:
            values[name] = ast.literal_eval(value)
        except ValueError:
            continue
    return values


@lru_cache(maxsize=64)
def _parsed(path: Path) -> tuple[ast.Module, str]:
    text = path.read_text(encoding="utf-8")
    return ast.parse(text), text


def _options(tree: ast.Module, text: str, path: Path, name: str = "Config") -> dict[str, Option]:
    """Fields of the dataclass `name`, its bases' first; bases are followed into lampbench's own modules."""
    node = _class(tree, name)
    if node is None:
        target = _imported(tree, name)
        if target is None:
            # No Config at all: a retrieval method has the options that its base class brings.
            method = _class(tree, "Method") if name == "Config" else None
            bases = {_name(base) for base in method.bases} if method is not None else set()
            if "RetrievalMethod" not in bases:
                return {}
            target = ("lampbench.method", "RetrievalConfig")
        module, original = target
        source = find_module(module) if module.split(".")[0] == "lampbench" else None
        if source is None or source.resolve() == path.resolve():
            return {}
        try:
            other, other_text = _parsed(source)
        except (OSError, SyntaxError):
            return {}
        return _options(other, other_text, source, original)
    options: dict[str, Option] = {}
    for base in reversed(node.bases):  # the order of dataclasses: the last base has the first fields
        if _name(base) not in ("", name):
            options |= _options(tree, text, path, _name(base))
    comments = _comments(text)
    lines = text.splitlines()
    for statement in node.body:
        if isinstance(statement, ast.AnnAssign) and isinstance(statement.target, ast.Name):
            kind = ast.unparse(statement.annotation)
            if kind.startswith("ClassVar"):
                continue
            options[statement.target.id] = Option(
                name=statement.target.id,
                type=kind,
                default=_default(statement.value),
                help=_comment_of(statement, comments, lines),
            )
    return options


def _default(value: ast.expr | None) -> str:
    """The default as written; of `field(default=…)` the default alone."""
    if isinstance(value, ast.Call) and _name(value.func) == "field":
        for keyword in value.keywords:
            if keyword.arg in ("default", "default_factory"):
                return ast.unparse(keyword.value)
    return "" if value is None else ast.unparse(value)


def _name(node: ast.expr) -> str:
    if isinstance(node, ast.Attribute):
        return node.attr
    return node.id if isinstance(node, ast.Name) else ""


def _imported(tree: ast.Module, name: str) -> tuple[str, str] | None:
    """(module, name there) of a name that the file imports with `from … import`."""
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module and not node.level:
            for alias in node.names:
                if (alias.asname or alias.name) == name:
                    return node.module, alias.name
    return None


def _comments(text: str) -> dict[int, str]:
    """Comment per line number."""
    tokens = tokenize.generate_tokens(io.StringIO(text).readline)
    return {
        token.start[0]: token.string.lstrip("#").strip() for token in tokens if token.type == tokenize.COMMENT
    }


def _comment_of(statement: ast.stmt, comments: dict[int, str], lines: list[str]) -> str:
    """The comment beside the statement, or else the comment lines right above it."""
    end = statement.end_lineno or statement.lineno
    beside = [comments[line] for line in range(statement.lineno, end + 1) if line in comments]
    if beside:
        return " ".join(beside)
    above: list[str] = []
    line = statement.lineno - 1
    while line in comments and lines[line - 1].lstrip().startswith("#"):
        above.insert(0, comments[line])
        line -= 1
    return " ".join(above)


# Could it be imported?


def _doubtful(statement: ast.stmt) -> bool:
    """Whether this module-level statement may fail when the file is imported.

    Imports of what exists, definitions and constants do not; the rest is left to a trial.
    """
    if isinstance(statement, (ast.Import, ast.ImportFrom)):
        return not all(_exists(*target) for target in _targets(statement))
    if isinstance(statement, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef, ast.Pass)):
        return False
    if isinstance(statement, ast.If):
        if _name(statement.test) == "TYPE_CHECKING":
            return any(_doubtful(inner) for inner in statement.orelse)
        return True
    if isinstance(statement, ast.Expr):
        return not isinstance(statement.value, ast.Constant)
    if isinstance(statement, (ast.Assign, ast.AnnAssign)):
        return any(isinstance(node, (ast.Call, ast.BinOp, ast.Await)) for node in ast.walk(statement))
    return True


def _targets(statement: ast.Import | ast.ImportFrom) -> Iterator[tuple[str, str | None]]:
    """(module, name in it) of everything imported."""
    if isinstance(statement, ast.Import):
        yield from ((alias.name, None) for alias in statement.names)
    elif statement.level:
        yield "", None  # a relative import: only an import can tell
    else:
        yield from ((statement.module or "", alias.name) for alias in statement.names)


def _exists(module: str, name: str | None) -> bool:
    if not module:
        return False
    top = module.split(".")[0]
    if top != "lampbench":
        return _top_level_exists(top)
    path = find_module(module)
    if path is None:
        return False
    if name is None or name == "*":
        return True
    return name in _names_in(path) or find_module(f"{module}.{name}") is not None


@lru_cache(maxsize=256)
def _top_level_exists(top: str) -> bool:
    return find_module(top) is not None


@lru_cache(maxsize=64)
def _names_in(path: Path) -> frozenset[str]:
    """The names that a module defines or imports at its top level."""
    names: set[str] = set()
    for node in _parsed(path)[0].body:
        if isinstance(node, (ast.FunctionDef, ast.ClassDef)):
            names.add(node.name)
        elif isinstance(node, (ast.Import, ast.ImportFrom)):
            names |= {alias.asname or alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.Assign):
            names |= {target.id for target in node.targets if isinstance(target, ast.Name)}
        elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            names.add(node.target.id)
    return frozenset(names)
