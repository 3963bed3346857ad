"""The options of a Config, read where they stand and without running anything."""

from __future__ import annotations

import ast
import io
import tokenize
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from lampbench.constraints import in_words
from lampbench.plugins.import_check import PACKAGE, find_module, parsed


@dataclass(frozen=True)
class Option:
    """One field of a Config, as written: name, type, default, the comment beside it, and what its type allows."""

    name: str
    type: str
    default: str
    help: str
    allowed: str = ""  # the constraint in words: `at least 1`


def class_named(tree: ast.Module, name: str) -> ast.ClassDef | None:
    """The class that the file's own name stands for; None if it defines none."""
    classes = [node for node in tree.body if isinstance(node, ast.ClassDef) and node.name == name]
    return classes[-1] if classes else None


@lru_cache(maxsize=128)  # most methods share their bases
def options_in(tree: ast.Module, text: str, path: Path, name: str = "Config") -> Mapping[str, Option]:
    """Fields of the dataclass `name`, its bases' first; bases are followed into lampbench's own modules."""
    node = class_named(tree, name)
    if node is None:
        return _imported_options(tree, path, name)
    options: dict[str, Option] = {}
    for base in reversed(node.bases):  # the order of dataclasses: the last base has the first fields
        if _name(base) not in ("", name):
            options |= options_in(tree, text, path, _name(base))
    lines = text.splitlines()
    comments = _comments(lines, node)
    for name, statement in _fields(node) if _is_decorated(node) is not False else ():
        kind, allowed = _type(tree, statement.annotation)
        options[name] = Option(
            name=name,
            type=kind,
            default=_default(statement.value),
            help=_comment_of(statement, comments, lines),
            allowed=allowed,
        )
    return options


def _imported_options(tree: ast.Module, path: Path, name: str) -> Mapping[str, Option]:
    """Fields of a dataclass that the file has from a module of lampbench; none if it has it from elsewhere."""
    module, original = _imported(tree, name) or ("", name)
    if not module and name == "Config":
        # No Config at all: a retrieval method has the options that its base class brings.
        method = class_named(tree, "Method")
        if method is not None and "RetrievalMethod" in map(_name, method.bases):
            module, original = "lampbench.method", "RetrievalConfig"
    source = _source(module)
    if source is None or source.resolve() == path.resolve():
        return {}
    try:
        return options_in(*parsed(source), source, original)
    except (OSError, SyntaxError):
        return {}


def _source(module: str) -> Path | None:
    """The file of one of lampbench's own modules; None of any other."""
    return find_module(module) if module.partition(".")[0] == PACKAGE else None


def _fields(node: ast.ClassDef) -> Iterator[tuple[str, ast.AnnAssign]]:
    """The fields that the class itself has if it is a dataclass."""
    for statement in node.body:
        if isinstance(statement, ast.AnnAssign) and isinstance(statement.target, ast.Name):
            kind = ast.unparse(statement.annotation).removeprefix("typing.").removeprefix("dataclasses.")
            if not kind.startswith(("ClassVar", "KW_ONLY")):
                yield statement.target.id, statement


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
    return _imports(tree).get(name)


@lru_cache(maxsize=64)
def _imports(tree: ast.Module) -> dict[str, tuple[str, str]]:
    own = (ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)  # what is inside has names of its own
    return {
        alias.asname or alias.name: (node.module, alias.name)
        for statement in tree.body
        if not isinstance(statement, own)
        for node in ast.walk(statement)
        if isinstance(node, ast.ImportFrom) and node.module and not node.level
        for alias in node.names
    }


# Types and their constraints


def _type(tree: ast.Module, annotation: ast.expr) -> tuple[str, str]:
    """A type without its constraints, and these in words: `int` and `at least 1` of `Annotated[int, Ge(1)]`."""
    constraints: list[Any] = []
    return _bare(tree, annotation, constraints), in_words(constraints)


def _bare(tree: ast.Module, node: ast.expr, constraints: list[Any]) -> str:
    """The type as written but for the constraints inside it, which are added to `constraints`."""
    if isinstance(node, ast.Name) and (named := _constrained_type(tree, node.id)):
        return _bare(tree, named, constraints)
    if isinstance(node, ast.BinOp):
        return f"{_bare(tree, node.left, constraints)} | {_bare(tree, node.right, constraints)}"
    if isinstance(node, ast.Subscript) and isinstance(node.slice, ast.Tuple) and node.slice.elts:
        if _name(node.value) == "Annotated":
            constraints += map(_constraint, node.slice.elts[1:])
            return _bare(tree, node.slice.elts[0], constraints)
        parts = ", ".join(_bare(tree, part, constraints) for part in node.slice.elts)
        return f"{ast.unparse(node.value)}[{parts}]"
    return ast.unparse(node)


def _constrained_type(tree: ast.Module, name: str) -> ast.expr | None:
    """What `name = Annotated[…]` stands for, in the file or in the module of lampbench that it comes from."""
    for statement in tree.body:
        if isinstance(statement, ast.Assign) and _name(statement.targets[0]) == name:
            value = statement.value
            return value if isinstance(value, ast.Subscript) and _name(value.value) == "Annotated" else None
    module, original = _imported(tree, name) or ("", name)
    source = _source(module)
    return None if source is None else _constrained_type(parsed(source)[0], original)


def _constraint(node: ast.expr) -> Any:
    """The text beside a type, or the bounds of a `Ge(1)`, an `Interval(ge=0, le=1)` or a pydantic `Field(ge=1)`."""
    try:
        if not isinstance(node, ast.Call):
            return ast.literal_eval(node)
        bounds = {keyword.arg: ast.literal_eval(keyword.value) for keyword in node.keywords if keyword.arg}
        if len(node.args) == 1:
            bounds[_name(node.func).lower()] = ast.literal_eval(node.args[0])
        return SimpleNamespace(**bounds)
    except (TypeError, ValueError):
        return None  # only importing could tell


def _comments(lines: list[str], node: ast.ClassDef) -> dict[int, str]:
    """Comment per line number of the file, of the lines of a class: those of a whole file take ten times as long."""
    before = node.lineno - 1
    text = "\n".join(lines[before : node.end_lineno]) + "\n"
    return {
        before + token.start[0]: token.string.lstrip("#").strip()
        for token in tokenize.generate_tokens(io.StringIO(text).readline)
        if token.type == tokenize.COMMENT
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


# Is the Config one whose options can be set?


def config_fault(tree: ast.Module) -> str | None:
    """Why the options of the file's Config cannot be set; None where reading finds no reason."""
    config = class_named(tree, "Config")
    if config is None:
        return None
    names = [name for name, _ in _fields(config)]
    decorated = _is_decorated(config)
    if decorated is False:
        inherited = [_is_dataclass(tree, base) for base in config.bases]
        if None not in inherited and (names or not any(inherited)):
            return "its Config is no dataclass: write @dataclass(frozen=True) above it"
    if not decorated:
        return None
    for name, option in _fields(config):
        if names.count(name) > 1:
            return f"its Config has the option {name} twice"
        if not _has_default(option.value):
            return f"option {name} of its Config has no default: every method runs without --set, too"
    for statement in config.body:
        if isinstance(statement, ast.Assign) and isinstance(statement.targets[0], ast.Name):
            name = statement.targets[0].id
            if isinstance(statement.value, ast.Constant) and name.islower() and name[0] != "_":
                return f"{name} in its Config has no type, so it is no option: write {name}: … = …"
    return None


def _is_decorated(node: ast.ClassDef) -> bool | None:
    """Whether the class is made a dataclass by its decorator; None: another one, or a metaclass, may do it."""
    names = {_name(d.func if isinstance(d, ast.Call) else d) for d in node.decorator_list}
    return True if "dataclass" in names else None if names or node.keywords else False


def _is_dataclass(tree: ast.Module, base: ast.expr) -> bool | None:
    """Whether a base class is a dataclass; None: it lies outside this file and lampbench."""
    name = _name(base)
    node = class_named(tree, name)
    if node is not None:
        decorated = _is_decorated(node)
        inherited = [_is_dataclass(tree, above) for above in node.bases]
        return decorated if decorated is not False else None if None in inherited else any(inherited)
    if name == "object":
        return False
    module, _ = _imported(tree, name) or (ast.unparse(base), "")
    return True if module.partition(".")[0] == PACKAGE else None


def _has_default(value: ast.expr | None) -> bool:
    if isinstance(value, ast.Call) and _name(value.func) == "field":
        return any(keyword.arg in ("default", "default_factory", "init", None) for keyword in value.keywords)
    return value is not None
