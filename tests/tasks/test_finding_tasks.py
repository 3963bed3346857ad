"""Tasks are found as methods are: their files are read and not run, and a broken one harms no other."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import zipfile
from dataclasses import replace
from pathlib import Path

import pytest

from lampbench.cli.app import main
from lampbench.errors import RequestError
from lampbench.plugins.finder import Finder
from lampbench.tasks import TASKS, get_task, metric
from lampbench.tasks.registry import chosen_tasks, find_metric, list_tasks, search_in, task_order, task_print

LAMP = ["LaMP-1", "LaMP-2", "LaMP-3", "LaMP-4", "LaMP-5", "LaMP-7"]

GOOD = '''"""Titles of recipes."""

from lampbench.tasks.base import Metric, Task

FIELDS = ("text", "title")


def rows(predictions, golds):
    return [[float(len(p))] for p in predictions]


TASK = Task(
    name="{name}",
    title="Titles of recipes",
    kind="generation",
    template="Name the recipe: {{text}}",
    item_fields=FIELDS,
    output_field="title",
    metrics=("rouge1", Metric("length", "Length", rows=rows)),
)
'''


def write(folder: Path, file: str, text: str) -> Path:
    folder.mkdir(exist_ok=True)
    path = folder / file
    path.write_text(text, encoding="utf-8")
    return path


def lampbench(*words: object) -> int:
    with pytest.raises(SystemExit) as end:
        main([str(word) for word in words])
    return int(end.value.code or 0)


def test_the_tasks_are_found_without_importing_them_or_anything_heavy() -> None:
    code = (
        "import sys; from lampbench.tasks.registry import list_tasks; names = [t.name for t in list_tasks()];"
        f"assert names[:6] == {LAMP}, names;"
        "loaded = {'torch', 'numpy', 'pandas', 'pyarrow', 'transformers'} & set(sys.modules);"
        "assert not loaded, loaded;"
        "assert not [m for m in sys.modules if m.startswith('lampbench.tasks.lamp')]"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_what_reading_tells_of_a_task_is_what_it_says_when_it_runs() -> None:
    for info in list_tasks():
        task = get_task(info.name)
        assert info.error is None
        assert (info.summary, info.said["kind"], info.said["item_fields"]) == (
            task.title,
            task.kind,
            task.item_fields,
        )
        assert info.said.get("labels", ()) == task.labels
        assert info.said["counts"] == task.counts
        assert info.said["metrics"] == {m.key: m.label for m in task.metrics}


def test_a_task_in_a_folder_is_a_task_like_any_other(tmp_path: Path) -> None:
    path = write(tmp_path, "recipes.py", GOOD.format(name="Recipe-title"))
    search_in(tmp_path)
    info = list_tasks()[-1]
    assert (info.name, info.origin, info.path) == ("Recipe-title", "--tasks-dir", path)
    assert info.said["metrics"] == {"rouge1": "ROUGE-1", "length": "Length"}
    assert list(TASKS) == [*LAMP, "Recipe-title"]
    assert get_task("recipe_title") is TASKS["Recipe-title"]
    length = find_metric("Recipe-title", "length")
    assert length is TASKS["Recipe-title"].metrics[1]
    with pytest.raises(RequestError, match="unknown metric 'length'"):
        metric("length")
    assert [task.name for task in chosen_tasks("all,LaMP-3")] == [*LAMP, "Recipe-title"]


def test_an_edited_file_is_another_task(tmp_path: Path) -> None:
    path = write(tmp_path, "recipes.py", GOOD.format(name="Recipe-title"))
    search_in(tmp_path)
    before = task_print(get_task("Recipe-title"))
    path.write_text("# A remark changes nothing.\n" + path.read_text())
    assert task_print(get_task("Recipe-title")) == before
    path.write_text(path.read_text().replace("Name the recipe", "How is this called"))
    assert get_task("Recipe-title").template == "How is this called: {text}"
    assert task_print(get_task("Recipe-title")) != before


def test_a_task_that_is_at_work_stays_what_it_was_whatever_becomes_of_its_file(tmp_path: Path) -> None:
    path = write(tmp_path, "recipes.py", GOOD.format(name="Recipe-title"))
    search_in(tmp_path)
    task = get_task("Recipe-title")
    before = task_print(task)
    for text in (path.read_text().replace("Name the recipe", "How is this called"), "def broken(:"):
        path.write_text(text)
        assert task_print(task) == before
    path.unlink()
    assert task_print(task) == before
    stranger = replace(TASKS["LaMP-3"], title="Stars")
    with pytest.raises(RequestError, match="task 'LaMP-3' is from no file that was found"):
        task_print(stranger)


def test_a_module_that_is_not_imported_again_stays_the_task_that_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write(tmp_path, "kitchen_recipes.py", GOOD.format(name="Recipe-title"))
    monkeypatch.syspath_prepend(tmp_path)
    entry = (path, "entry point of kitchen", "kitchen_recipes")
    monkeypatch.setattr(Finder, "installed", lambda finder: iter([entry]))
    before = task_print(get_task("Recipe-title"))
    path.write_text(path.read_text().replace("Name the recipe", "How is this called"))
    again = get_task("recipe title")  # by another name, so that it is looked for anew
    assert again.template == "Name the recipe: {text}"
    assert task_print(again) == before


def test_tasks_that_are_not_of_the_benchmark_come_last_and_unknown_ones_too(tmp_path: Path) -> None:
    write(tmp_path, "recipes.py", GOOD.format(name="A-title"))
    search_in(tmp_path)
    names = ["Z", "LaMP-7", "A-title", "LaMP-1", "LaMP-6"]
    assert sorted(names, key=task_order) == ["LaMP-1", "LaMP-7", "A-title", "LaMP-6", "Z"]


def test_a_folder_may_come_from_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path, "recipes.py", GOOD.format(name="Recipe-title"))
    monkeypatch.setenv("LAMPBENCH_TASKS", str(tmp_path))
    assert list_tasks()[-1].origin == "$LAMPBENCH_TASKS"
    monkeypatch.setenv("LAMPBENCH_TASKS", str(tmp_path / "absent"))
    with pytest.raises(RequestError, match="no such folder"):
        list_tasks()


SAID = GOOD.format(name="x")


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("def f(:\n", "SyntaxError"),
        ("import a_module_that_is_not_there\n" + SAID, "ModuleNotFoundError: No module named 'a_module_that"),
        ("from lampbench.tasks import Nothing\n" + SAID, "ImportError: cannot import name 'Nothing'"),
        ("x = 1\n", "it has no TASK"),
        ("TASK = 5\n", "it has no TASK"),
        (SAID.replace('name="x"', "name=rows"), "its TASK does not say its name"),
        (
            SAID.replace('name="x"', 'name="x", aliases=(8,)'),
            "its aliases=(8,) will not do: write texts, like",
        ),
        (
            SAID.replace('name="x"', 'name="x", aliases=("8")'),
            "its aliases='8' will not do: write texts, like",
        ),
        (SAID.replace('name="x"', 'name="x", labels=5'), "its labels=5 will not do: write texts, like"),
        (
            SAID.replace('name="x"', 'name="x", counts=[1, 2]'),
            "its counts=[1, 2] will not do: write numbers by",
        ),
        (
            SAID.replace('name="x"', 'name="x", counts={"dev": 9}'),
            "its counts={'dev': 9} will not do: write numbers",
        ),
        (SAID.replace('"Titles of recipes",', "7,"), "its title=7 will not do: write a text"),
        (SAID.replace('kind="generation"', "kind={}"), "its kind={} will not do: write a text"),
        (SAID.replace('("text", "title")', "2"), "its item_fields=2 will not do: write texts, like"),
        (SAID.replace('name="x"', 'name="all"'), "its name 'all' will not do"),
        (SAID.replace('name="x"', 'name="../up"'), "its name '../up' will not do"),
    ],
)
def test_a_broken_file_is_listed_with_what_is_wrong_and_harms_no_other(
    tmp_path: Path, text: str, error: str, capsys: pytest.CaptureFixture[str]
) -> None:
    path = write(tmp_path, "wrong.py", text)
    write(tmp_path, "right.py", GOOD.format(name="Recipe-title"))
    assert lampbench("list", "tasks", "--tasks-dir", tmp_path) == 0
    rows = " ".join(capsys.readouterr().out.split())
    assert f"BROKEN: {error}" in rows
    assert "Recipe-title ROUGE-1 Length" in rows
    broken = next(info for info in list_tasks() if info.error)
    assert lampbench("list", "tasks", "--tasks-dir", tmp_path, "--json") == 0
    assert json.loads(capsys.readouterr().out)[-1]["error"] == broken.error
    assert get_task("LaMP-3").name == "LaMP-3"
    assert lampbench("run", "--method", "adhoc", "--task", broken.name, "--tasks-dir", tmp_path) == 2
    told = capsys.readouterr().err
    assert f"error: task '{broken.name}' is broken: " in told
    assert f"({path})" in told


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (('metrics=("rouge1"', 'metrics=("rouge9"'), "RequestError: unknown metric 'rouge9'"),
        (('kind="generation"', 'kind="guess"'), "ValueError: kind 'guess' is none of classification, rating"),
        (('kind="generation"', 'kind="rating"'), "ValueError: kind 'rating' needs labels"),
        (('kind="generation"', 'kind="ranking"'), "metric 'rouge1' does not judge answers of kind 'ranking'"),
        (("Name the recipe: {text}", "Name it"), "has no slot for what is asked about"),
        (("Name the recipe: {text}", "Name {it"), "has no slot for what is asked about"),
        (('output_field="title"', 'output_field="name"'), "output_field 'name' is none of item_fields"),
        (('FIELDS = ("text", "title")', 'FIELDS = ("id", "title")'), "must not name id, date or more"),
        (("rows=rows", ""), "metric 'length' has no rows, and lampbench has no rule of that name"),
        (('Metric("length"', 'Metric("rouge1"'), "two of its metrics have one key"),
        (("TASK = Task(", "TASK = dict("), "its TASK is no lampbench Task"),
        (('title="Titles of recipes",', ""), "TypeError: Task.__init__() missing 1 required"),
    ],
)
def test_what_only_running_a_file_shows_is_told_when_its_task_is_asked_for(
    tmp_path: Path, change: tuple[str, str], told: str
) -> None:
    write(tmp_path, "recipes.py", SAID.replace(*change))
    search_in(tmp_path)
    with pytest.raises(RequestError) as error:
        get_task("x")
    assert str(error.value).startswith("task 'x' is broken: ")
    assert told in str(error.value)
    left_out: list[str] = []
    assert [task.name for task in chosen_tasks("all", say=left_out.append)] == LAMP
    assert left_out == [str(error.value)]


def test_two_tasks_of_one_name_are_an_error_that_names_both(tmp_path: Path) -> None:
    path = write(tmp_path, "mine.py", GOOD.format(name="lamp_4"))
    search_in(tmp_path)
    with pytest.raises(
        RequestError, match=r"two tasks are named 'lamp_4': .*lamp4\.py \(lampbench\)"
    ) as error:
        list_tasks()
    assert str(path) in str(error.value)


@pytest.mark.parametrize(("alias", "owner"), [("lamp_3", "LaMP-3"), ("4", "LaMP-4"), ("Cakes", "Cake-title")])
def test_an_alias_that_is_taken_is_an_error_that_names_both(tmp_path: Path, alias: str, owner: str) -> None:
    def named(name: str, *aliases: str) -> str:
        return GOOD.format(name=name).replace("kind=", f"aliases={aliases},\n    kind=")

    mine = write(tmp_path, "recipes.py", named("Recipe-title", alias))
    write(tmp_path, "cakes.py", named("Cake-title", "Cakes"))
    search_in(tmp_path)
    with pytest.raises(RequestError, match=r"by which task '.*' is known") as error:
        get_task(owner)
    assert str(error.value).startswith(
        f"task 'Recipe-title' has the alias '{alias}', by which task '{owner}'"
    )
    assert str(mine) in str(error.value)
    write(tmp_path, "recipes.py", named("Recipe-title", "Puddings"))
    assert get_task(owner).name == owner
    assert get_task("puddings").name == "Recipe-title"
    write(tmp_path, "recipes.py", named("Recipe-title", alias) + "def broken(:")
    assert get_task(owner).name == owner


def test_the_name_of_a_broken_file_goes_before_an_alias(tmp_path: Path) -> None:
    write(tmp_path, "cakes.py", "x = 1")
    write(
        tmp_path, "recipes.py", GOOD.format(name="Recipe-title").replace("kind=", 'aliases=("Cakes",), kind=')
    )
    search_in(tmp_path)
    with pytest.raises(RequestError, match="task 'cakes' is broken: it has no TASK"):
        get_task("Cakes")


def test_a_task_that_the_data_do_not_have_is_not_meant_by_all(tmp_path: Path) -> None:
    from lampbench.runner.plan import make_plan
    from lampbench.runner.request import RunRequest

    write(tmp_path / "tasks", "recipes.py", GOOD.format(name="Recipe-title"))
    request = RunRequest("adhoc", "all", tasks_dir=tmp_path / "tasks", results=tmp_path / "results")
    assert [task.name for task in make_plan(request).tasks] == LAMP
    with pytest.raises(RequestError, match="LaMP-mini has no Recipe-title: name the folder of its data"):
        make_plan(RunRequest("adhoc", "Recipe-title", tasks_dir=tmp_path / "tasks"))


METHOD = '''"""The shortest items."""

from lampbench.method import RetrievalMethod


class Method(RetrievalMethod):
    name = "shortest"
    summary = "The shortest items"

    def rank(self, bench, example):
        return sorted(range(len(example.profile)), key=lambda i: len(str(example.profile[i])))
'''


def test_an_installed_package_brings_a_task_and_a_method(tmp_path: Path) -> None:
    wheel = tmp_path / "lamp_kitchen-1.0-py3-none-any.whl"
    entries = (
        "[lampbench.tasks]\nrecipes = lamp_kitchen.recipes\n\n"
        "[lampbench.methods]\nshortest = lamp_kitchen.shortest\n"
    )
    files = {
        "lamp_kitchen/__init__.py": "raise RuntimeError('listing must not import me')\n",
        "lamp_kitchen/recipes.py": GOOD.format(name="Recipe-title"),
        "lamp_kitchen/shortest.py": METHOD,
        "lamp_kitchen-1.0.dist-info/METADATA": "Metadata-Version: 2.1\nName: lamp-kitchen\nVersion: 1.0\n",
        "lamp_kitchen-1.0.dist-info/WHEEL": "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        "lamp_kitchen-1.0.dist-info/entry_points.txt": entries,
    }
    with zipfile.ZipFile(wheel, "w") as archive:
        for name, text in files.items():
            archive.writestr(name, text)
        archive.writestr("lamp_kitchen-1.0.dist-info/RECORD", "".join(f"{name},,\n" for name in files))
    installed = tmp_path / "installed"
    pip = ["-m", "pip", "install", "-q", "--no-deps", "--no-index", "--target", str(installed), str(wheel)]
    subprocess.run([sys.executable, *pip], check=True)
    paths = os.pathsep.join(filter(None, [str(installed), os.environ.get("PYTHONPATH")]))

    def told(*words: str) -> str:
        done = subprocess.run(
            [sys.executable, *words],
            capture_output=True,
            text=True,
            check=False,
            env={**os.environ, "PYTHONPATH": paths},
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    assert "Recipe-title  ROUGE-1 Length" in told("-m", "lampbench", "list", "tasks")
    assert "shortest " in told("-m", "lampbench", "list", "methods")
    (installed / "lamp_kitchen" / "__init__.py").write_text("")
    loaded = "from lampbench.tasks.registry import *; print(list_tasks()[-1].origin, get_task('recipe-title').kind)"
    assert told("-c", loaded) == "entry point of lamp-kitchen generation\n"
