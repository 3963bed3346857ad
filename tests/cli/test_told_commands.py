"""Commands that the README and the error messages tell people to type: the command line takes them as they stand."""

from __future__ import annotations

import ast
import re
import shlex
from collections.abc import Iterator
from typing import Any

import pytest
from places import CHECKOUT
from typer.main import get_command

from lampbench.cli.app import app, spread_set

TOP = CHECKOUT
README = (TOP / "README.md").read_text(encoding="utf-8")
SOURCES = sorted([*TOP.glob("lampbench/**/*.py"), *TOP.glob("methods/*.py")])
OPTION = re.compile(r"(?<![\w-])--[a-z][a-z-]*[a-z]")


def readme_commands() -> Iterator[str]:
    """The command lines of the README: in its blocks of shell, its tables and its sentences."""
    fence = re.compile(r"^```(\w*)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
    blocks = [block for language, block in fence.findall(README) if language == "sh"]
    lines = [line for block in blocks for line in block.splitlines()]
    spans = re.findall(r"`([^`\n]+)`", fence.sub("", README))
    for line in (*lines, *spans):
        for part in line.split("&&"):
            if part.strip().startswith("lampbench "):
                yield part.strip()


def strings(node: ast.AST) -> Iterator[str]:
    """The strings in a piece of a program, docstrings left out; what is filled in at run time is X."""
    if isinstance(node, ast.JoinedStr):
        yield "".join(str(part.value) if isinstance(part, ast.Constant) else "X" for part in node.values)
        return
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        yield node.value
    for child in ast.iter_child_nodes(node):
        if not (isinstance(child, ast.Expr) and isinstance(child.value, ast.Constant)):
            yield from strings(child)


def told_commands() -> Iterator[str]:
    """The command lines in the strings of the program: each follows a colon, the word "run", or nothing."""
    for path in SOURCES:
        for text in strings(ast.parse(path.read_text(encoding="utf-8"))):
            yield from re.findall(r"(?:^|: |\brun )(lampbench [^;:,()`\n]+)", text)


def told_options() -> Iterator[str]:
    """The options that error messages name."""
    for path in SOURCES:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            name = getattr(getattr(node, "func", None), "id", "")
            if name.endswith("Error") or name == "unknown":
                for text in strings(node):
                    yield from OPTION.findall(text)


def leaves(command: Any) -> Iterator[Any]:
    """The commands under a group of commands, at any depth."""
    for inner in getattr(command, "commands", {}).values():
        yield from leaves(inner) if hasattr(inner, "commands") else [inner]


def parse(line: str) -> None:
    """Read a command line as `lampbench` would, without running it.

    Raises:
        AssertionError: no such command.
        Exception: typer's own, for an option that does not exist, a value or an argument that is missing.
    """
    program, *words = shlex.split(line)
    assert program == "lampbench"
    command: Any = get_command(app)
    name = program
    while hasattr(command, "commands"):
        name, *words = words or [""]
        assert name in command.commands, f"{line}: no command '{name}'"
        command = command.commands[name]
    command.make_context(name, spread_set(words))


@pytest.mark.parametrize("line", dict.fromkeys(readme_commands()))
def test_the_readme_tells_commands_that_exist(line: str) -> None:
    parse(line)


@pytest.mark.parametrize("line", dict.fromkeys(told_commands()))
def test_messages_tell_commands_that_exist(line: str) -> None:
    parse(line)


def test_options_named_without_their_command_exist() -> None:
    known = {"--help", *(word for leaf in leaves(get_command(app)) for p in leaf.params for word in p.opts)}
    known |= {word for leaf in leaves(get_command(app)) for p in leaf.params for word in p.secondary_opts}
    assert set(OPTION.findall(README)) <= known
    assert set(told_options()) <= known


def test_what_is_told_is_found() -> None:
    """Otherwise the tests above could pass for want of anything to look at."""
    assert "lampbench data download --task all --setting time --data LaMP" in set(readme_commands())
    assert "lampbench run --method pplug --task all --results my-results" in set(readme_commands())
    assert "lampbench score predictions.json golds.json" in set(readme_commands())
    assert "lampbench data download --task X --setting X --data X" in set(told_commands())
    assert "lampbench leaderboard" in set(told_commands())
    assert {"--data", "--fresh", "--results"} <= set(told_options())


@pytest.mark.parametrize(
    "line",
    [
        "lampbench data download --output LaMP",
        "lampbench data fetch",
        "lampbench show",
        "lampbench run --method bm25 --task",
    ],
)
def test_a_command_that_does_not_exist_would_be_noticed(line: str) -> None:
    with pytest.raises(Exception, match=r"No such option|no command|[Mm]issing|requires an argument"):
        parse(line)
