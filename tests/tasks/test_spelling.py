"""Names of tasks are known however people write them."""

from __future__ import annotations

from pathlib import Path

import pytest

from lampbench.tasks import registry
from lampbench.tasks.spelling import task_in, task_named

FILE = """from lampbench.tasks.base import OfficialFiles, Task
TASK = Task(name="{name}", title="T", kind="generation", template="Say {{text}}", item_fields=("text",),
            metrics=("rouge1",), files=OfficialFiles(folder="{folder}"))
"""


@pytest.fixture
def others(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two tasks of somebody's own."""
    for name in ("Next-books", "Books"):
        (tmp_path / f"{name.lower()}.py").write_text(FILE.format(name=name, folder=f"data_of_{name}"))
    monkeypatch.setattr(registry, "_folders", [tmp_path])


@pytest.mark.parametrize("text", ["LaMP_3", "LaMP-3", "lamp3", " Lamp 3\n"])
def test_a_task_of_lamp_is_known_by_its_number(text: str) -> None:
    assert task_named(text) == "LaMP-3"
    assert task_named("3") is None
    assert task_named("3", numbers=True) == "LaMP-3"


@pytest.mark.parametrize("text", ["", "LaMP-33", "LaMP_3 dev", "3rd", "Books"])
def test_other_texts_name_no_task(text: str) -> None:
    assert task_named(text, numbers=True) is None


@pytest.mark.parametrize(
    ("file", "task"),
    [
        ("LaMP_3_preds.json", "LaMP-3"),
        ("my-lamp3.json", "LaMP-3"),
        ("lamp33.json", None),
        ("preds.json", None),
    ],
)
def test_a_task_of_lamp_is_found_in_the_name_of_a_file(file: str, task: str | None) -> None:
    assert task_in(file) == task


@pytest.mark.usefixtures("others")
def test_so_is_a_task_of_somebodys_own() -> None:
    assert task_named("next_books") == "Next-books"
    assert task_named("books") == "Books"
    assert task_named("Data-of_books") == "Books"  # by the name of its folder
    assert task_in("next-books_dev.json") == "Next-books"
    assert task_in("my_Books.json") == "Books"
    assert task_in("notebooks.json") is None
    assert task_in("LaMP_3_books.json") == "LaMP-3"
