from __future__ import annotations

import re

import golden_prompts
import pytest

from lampbench.errors import RequestError
from lampbench.tasks import SETTINGS, SPLITS, TASKS, Task, get_task, metric

EVERY_TASK = pytest.mark.parametrize("task", TASKS.values(), ids=TASKS)


@pytest.mark.parametrize("name", ["LaMP-4", "LaMP_4", "lamp4", "LAMP 4", "4", " LaMP-4 "])
def test_a_task_answers_to_every_common_spelling(name: str) -> None:
    assert get_task(name).name == "LaMP-4"


def test_a_task_stands_for_itself() -> None:
    assert get_task(TASKS["LaMP-2"]) is TASKS["LaMP-2"]


@pytest.mark.parametrize("name", ["LaMP-6", "LaMP-44", "", "rating", "LaMP-4T"])
def test_an_unknown_task_is_named_with_the_known_ones(name: str) -> None:
    with pytest.raises(RequestError, match=re.escape(f"'{name}'")) as error:
        get_task(name)
    assert "LaMP-7" in str(error.value)


def test_the_tasks_are_the_six_public_ones() -> None:
    assert list(TASKS) == ["LaMP-1", "LaMP-2", "LaMP-3", "LaMP-4", "LaMP-5", "LaMP-7"]
    assert [task.official_name for task in TASKS.values()] == [f"LaMP_{n}" for n in (1, 2, 3, 4, 5, 7)]


@EVERY_TASK
def test_every_task_has_a_count_for_every_split(task: Task) -> None:
    assert set(task.counts) == {(setting, split) for setting in SETTINGS for split in SPLITS}


def test_the_two_settings_are_not_swapped() -> None:
    assert TASKS["LaMP-1"].counts["time", "train"] == 6542
    assert TASKS["LaMP-1"].counts["user", "dev"] == 2500
    assert TASKS["LaMP-2"].counts["user", "dev"] == 692
    assert TASKS["LaMP-7"].counts["time", "dev"] == 1498


@EVERY_TASK
def test_the_fields_a_task_names_are_fields_of_its_items(task: Task) -> None:
    assert task.text_field in task.item_fields
    assert task.output_field is None or task.output_field in task.item_fields


@EVERY_TASK
def test_the_marker_is_where_the_variable_part_of_the_template_begins(task: Task) -> None:
    if task.marker is None:
        assert task.name == "LaMP-1"
        return
    before, found, after = task.template.partition(task.marker)
    assert found
    assert "{" not in before
    assert re.fullmatch(r" \{\w+\}", after)


@EVERY_TASK
def test_labels_stand_in_the_template_of_a_classification_task(task: Task) -> None:
    assert all(label in task.template for label in task.labels)
    assert bool(task.labels) == (task.kind != "generation")


def test_movie_tags_come_in_the_official_order() -> None:
    tags = TASKS["LaMP-2"].labels
    assert len(tags) == 15
    assert (tags[0], tags[1], tags[-1]) == ("sci-fi", "based on a book", "true story")
    assert f"tags: [{', '.join(tags)}] description: " in TASKS["LaMP-2"].template


def test_the_main_metric_is_the_first_and_errors_are_lower_when_better() -> None:
    assert [task.metric.key for task in TASKS.values()] == [
        "accuracy",
        "accuracy",
        "mae",
        "rouge1",
        "rouge1",
        "rouge1",
    ]
    assert not metric("mae").higher_is_better
    assert metric("rougeL").higher_is_better
    with pytest.raises(RequestError, match="rougeL"):
        metric("rouge-l")


@EVERY_TASK
def test_inputs_have_the_form_of_the_template(task: Task) -> None:
    slots = re.sub(r"\\\{\w+\\\}", "(.*)", re.escape(task.template))
    for question in golden_prompts.questions(task.name).values():
        # A few inputs of LaMP-1 end with a line break.
        assert re.fullmatch(slots, question["input"].strip(), flags=re.DOTALL), question["id"]
        assert all(set(task.item_fields) <= set(item) for item in question["profile"])
