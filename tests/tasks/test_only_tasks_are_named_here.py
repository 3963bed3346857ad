"""Outside `lampbench/tasks` no program text names a task; LaMP-mini and the published numbers apart."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import lampbench

PACKAGE = Path(lampbench.__file__).parent
MAY = ("tasks", "mini", "methods")  # a method may say what its paper did on which task
NAMED = re.compile(r"LaMP[-_ ]?\d", re.IGNORECASE)


def strings(tree: ast.Module) -> Iterator[ast.Constant]:
    """The texts in a program that are no docstrings."""
    told = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in told:
            yield node


def namers() -> set[str]:
    """Modules of lampbench that name a task, or ask for its number."""
    found = set()
    for path in PACKAGE.rglob("*.py"):
        name = path.relative_to(PACKAGE).as_posix()
        tree = ast.parse(path.read_text(encoding="utf-8"))
        asks = any(isinstance(node, ast.Attribute) and node.attr == "number" for node in ast.walk(tree))
        if asks or any(NAMED.search(str(text.value)) for text in strings(tree)):
            found.add(name)
    return found


def test_no_other_module_names_a_task() -> None:
    named = namers()
    assert {"tasks/lamp1.py", "tasks/lamp7.py"} <= named
    assert {name for name in named if not name.startswith(MAY)} == set()
