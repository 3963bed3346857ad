"""The house: what one opens stays small, what one imports stays cheap, and the tests stand where the code stands."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from places import CHECKOUT

HOUSE = CHECKOUT / "lampbench"
PLUG_INS = {"methods", "tasks"}  # one file for each thing that is added, as many as there are
MODULES, LINES, BODY = 16, 400, 50
HEAVY = {"torch", "transformers", "numpy", "pandas", "pyarrow", "sklearn", "evaluate"}

MODULE_FILES = sorted([*HOUSE.rglob("*.py"), *(CHECKOUT / "methods").glob("*.py")])
ROOMS = sorted(path.parent for path in HOUSE.rglob("__init__.py"))


def name_of(path: Path) -> str:
    return path.relative_to(CHECKOUT).as_posix()


def long_functions(path: Path) -> Iterator[str]:
    """Functions whose statements take too many lines; what they promise and are called with does not count."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            body = node.body[1:] if ast.get_docstring(node) and len(node.body) > 1 else node.body
            lines = int(node.end_lineno or 0) - body[0].lineno + 1
            if lines > BODY:
                yield f"{name_of(path)}: {node.name} ({lines} lines)"


@pytest.mark.parametrize("room", ROOMS, ids=name_of)
def test_a_room_can_be_overlooked(room: Path) -> None:
    modules = [path.name for path in room.glob("*.py") if path.name != "__init__.py"]
    assert room.name in PLUG_INS or len(modules) <= MODULES, modules


def test_a_module_is_read_in_one_sitting() -> None:
    lines = {name_of(path): len(path.read_text(encoding="utf-8").splitlines()) for path in MODULE_FILES}
    assert {name: n for name, n in lines.items() if n > LINES} == {}


def test_a_function_fits_a_screen() -> None:
    assert [found for path in MODULE_FILES for found in long_functions(path)] == []


@pytest.mark.parametrize("room", ROOMS, ids=name_of)
def test_a_room_says_in_a_sentence_what_it_is_for(room: Path) -> None:
    said = ast.get_docstring(ast.parse((room / "__init__.py").read_text(encoding="utf-8")))
    assert said is not None
    assert said.split("\n")[0].endswith((".", "?"))


def test_to_enter_a_room_costs_nothing() -> None:
    rooms = [".".join(room.relative_to(CHECKOUT).parts) for room in ROOMS]
    code = (
        f"import sys\nfor room in {rooms!r}:\n    __import__(room)\n"
        f"    assert not {HEAVY!r} & set(sys.modules), (room, {HEAVY!r} & set(sys.modules))"
    )
    ended = subprocess.run(
        [sys.executable, "-c", code], cwd=CHECKOUT, capture_output=True, text=True, check=False
    )
    assert ended.returncode == 0, ended.stderr


def test_the_tests_stand_where_the_code_stands() -> None:
    folders = {path.parent for path in (CHECKOUT / "tests").rglob("test_*.py")} - {CHECKOUT / "tests"}
    assert {
        folder.name for folder in folders if not (HOUSE / folder.relative_to(CHECKOUT / "tests")).is_dir()
    } == set()


def test_contributors_are_shown_the_house_as_it_stands() -> None:
    drawn = subprocess.run(
        [sys.executable, CHECKOUT / ".ci" / "layers"], capture_output=True, text=True, check=True
    ).stdout
    text = (CHECKOUT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    assert drawn in text, "put what .ci/layers prints into CONTRIBUTING.md"
    for path in re.findall(r"`((?:lampbench|methods|tests)/[\w/.]+)`", text):
        assert (CHECKOUT / path).exists(), path
