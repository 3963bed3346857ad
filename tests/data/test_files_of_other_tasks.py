"""Data of a task that is none of LaMP are read as the official ones are."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from lampbench.data import open_task
from lampbench.data.audit import audit
from lampbench.data.download import download
from lampbench.errors import RequestError
from lampbench.tasks import Task
from lampbench.tasks.base import OfficialFiles

BOOKS = Task(
    name="Next-books",
    title="Next books",
    kind="ranking",
    template="Which books come after {title}",
    item_fields=("title",),
    metrics=("recall@5",),
    files=OfficialFiles(folder="books", inner="v2", older_items={"name": "these are the books of 2019"}),
)


def write(folder: Path, golds: list[dict[str, Any]], item: dict[str, Any], name: str = "books") -> None:
    """A dev split of one question, in the folder that the task says."""
    folder = folder / "user" / "books" / "v2"
    folder.mkdir(parents=True)
    asked = {"id": "q", "input": "Which books come after Emma", "profile": [{"id": "1", **item}]}
    (folder / "dev_questions.json").write_text(json.dumps([asked]))
    (folder / "dev_outputs.json").write_text(json.dumps({"task": name, "golds": golds}))


def test_they_are_found_opened_and_audited(tmp_path: Path) -> None:
    write(tmp_path, [{"id": "q", "output": "Persuasion\nUlysses"}], {"title": "Emma"})
    (example,) = open_task(tmp_path, BOOKS).split("dev")
    assert (example.output, example.profile) == ("Persuasion\nUlysses", [{"id": "1", "title": "Emma"}])
    (split,) = audit(tmp_path, BOOKS).splits
    assert split.can_be_prepared
    assert split.findings["own_input_in_profile"].count == 1
    assert split.floors == {}


@pytest.mark.parametrize(
    ("golds", "item", "name", "message"),
    [
        ([{"id": "q", "output": " "}], {"title": "Emma"}, "books", "' ', without any relevant answer"),
        (
            [{"id": "q", "output": "x"}],
            {"name": "Emma"},
            "books",
            "has id, name: these are the books of 2019",
        ),
        ([{"id": "q", "output": "x"}], {"title": "Emma"}, "LaMP_3", "is for task 'LaMP_3', not 'books'"),
    ],
)
def test_what_is_wrong_with_them_is_told(
    tmp_path: Path, golds: list[dict[str, Any]], item: dict[str, Any], name: str, message: str
) -> None:
    write(tmp_path, golds, item, name)
    with pytest.raises(RequestError, match=message) as error:
        open_task(tmp_path, BOOKS)
    assert "\n" not in str(error.value)


def test_nobody_is_sent_to_the_host_of_lamp_for_them(tmp_path: Path) -> None:
    with pytest.raises(RequestError, match=f"put its official files into {tmp_path}/user/books") as error:
        open_task(tmp_path, BOOKS)
    assert "download" not in str(error.value)
    with pytest.raises(
        RequestError, match="Next-books is not on the host of LaMP: put its official files into"
    ):
        download(BOOKS, tmp_path)
    with pytest.raises(RequestError, match="does not exist; put its official files into"):
        open_task(tmp_path / "absent", BOOKS)
