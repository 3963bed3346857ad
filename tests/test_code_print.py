"""The fingerprint of the code that a method learns with."""

from __future__ import annotations

from pathlib import Path

import pytest
from made_methods import LEARNER

from lampbench import code_print as module
from lampbench.code_print import code_print
from lampbench.registry import find_method, load


def print_of(folder: Path, text: str) -> str:
    (folder / "learner.py").write_text(text, encoding="utf-8")
    return code_print(load(find_method("learner", folder)).cls)


def test_what_is_said_about_the_code_is_no_part_of_it(tmp_path: Path) -> None:
    usual = print_of(tmp_path, LEARNER)
    said = LEARNER.replace("Learns one soft vector.", "Another docstring.") + "\n# A comment.\n"
    assert print_of(tmp_path, said) == usual
    assert print_of(tmp_path, LEARNER.replace("learning_rate=0.1", "learning_rate=0.2")) != usual
    (tmp_path / "elsewhere").mkdir()
    assert print_of(tmp_path / "elsewhere", LEARNER) == usual


@pytest.mark.parametrize(
    ("changed", "counts"),
    [
        ("lampbench.training", True),  # imported by the file
        ("lampbench.method", True),  # of the base class
        ("lampbench.leaderboard", False),
    ],
)
def test_the_modules_that_it_imports_from_lampbench_count(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, changed: str, counts: bool
) -> None:
    usual = print_of(tmp_path, LEARNER)
    meaning = module._meaning
    monkeypatch.setattr(module, "_meaning", lambda name: meaning(name) + "x" * (name == changed))
    assert (print_of(tmp_path, LEARNER) != usual) == counts


def test_every_import_is_found_wherever_it_stands() -> None:
    found = module._imported("lampbench.tuned_retriever")
    assert {"lampbench.feedback", "lampbench.training"} <= found
    assert all(name.startswith("lampbench.") for name in found)
    assert "lampbench.llm" in module._imported("lampbench.bench")  # inside a function
