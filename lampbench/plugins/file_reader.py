"""Reading a method file without running it: name, summary, paper, options, and what is wrong with it."""

from __future__ import annotations

import ast
import json
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from lampbench.plugins.config_reader import Option, class_named, config_fault, options_in
from lampbench.plugins.import_check import import_fault, read_with


@dataclass
class MethodSource:
    """What a method file says of itself.

    Attributes:
        error: why it can certainly not be used, mostly as the exception that importing it would raise. None
            means that reading finds no reason: importing may.
    """

    name: str = ""
    summary: str = ""
    paper: str = ""
    options: tuple[Option, ...] = ()
    variants: dict[str, dict[str, Any]] = field(default_factory=dict)
    error: str | None = None


def read_method_file(path: Path, package: str = "") -> MethodSource:
    """Read the file; never raises for what is in it, and never runs it.

    Args:
        path: the file.
        package: the package that it belongs to, if it does.
    """
    found = read_with(lambda tree, text: _read(tree, text, path, package), path)
    return MethodSource(error=found) if isinstance(found, str) else found


def _read(tree: ast.Module, text: str, path: Path, package: str) -> MethodSource:
    method = class_named(tree, "Method")
    if method is None:
        return MethodSource(error="it has no class named Method")
    values = _class_values(method)
    name, variants = values.get("name", ""), values.get("variants", {})
    docstring = ast.get_docstring(tree) or ""
    faults = (_name_fault(name), _variants_fault(variants), import_fault(tree, package), config_fault(tree))
    return MethodSource(
        name=name if faults[0] is None else "",
        summary=str(values.get("summary", "")) or docstring.partition("\n")[0],
        paper=str(values.get("paper", "")),
        options=tuple(options_in(tree, text, path).values()),
        variants=variants if faults[1] is None else {},
        error=next(filter(None, (*faults, _method_fault(method))), None),
    )


def _name_fault(name: Any) -> str | None:
    if not name:
        return 'its class Method has no name (name = "…")'
    # It names a folder, and stands in --method, where + and , and all mean something.
    if isinstance(name, str) and re.fullmatch(r"\w[\w.-]*", name) and name != "all":
        return None
    return f"its name {name!r} will not do: use letters, digits, - _ . and not 'all'"


def _variants_fault(variants: Any) -> str | None:
    fault = 'its variants are not of the form {"name": {"option": value}}'
    try:
        json.dumps(variants, allow_nan=False)  # lists and records hold them
    except (TypeError, ValueError):
        return fault
    tables = isinstance(variants, dict) and all(isinstance(options, dict) for options in variants.values())
    return None if tables and all(isinstance(key, str) for key in variants) else fault


def _method_fault(method: ast.ClassDef) -> str | None:
    if method.bases or method.keywords or method.decorator_list:
        return None
    return "its Method is no lampbench Method: write class Method(lampbench.method.Method)"


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
        except (ValueError, TypeError):
            continue
    return values
