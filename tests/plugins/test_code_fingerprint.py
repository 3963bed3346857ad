"""The fingerprints of code: what a method learns with, and what its file does."""

from __future__ import annotations

import importlib
import shutil
import sys
from pathlib import Path

import pytest
from made_methods import LEARNER

from lampbench.errors import RequestError
from lampbench.method.registry import find_method, load
from lampbench.plugins import code_fingerprint as module
from lampbench.plugins.code_fingerprint import PACKAGE, TELLING, code_print, file_print


def print_of(folder: Path, text: str = LEARNER) -> str:
    (folder / "learner.py").write_text(text, encoding="utf-8")
    return load(find_method("learner", folder)).learns_with


def reached_by(name: str) -> set[str]:
    """The modules of lampbench that a method of its own learns with, without the first part of their names."""
    info = find_method(name)
    own = module._Source.of_file(info.path, str(info.module))
    return {name.removeprefix(f"{PACKAGE}.") for name in module._reached([own], everything=True)}


def edit(file: Path, old: str, new: str) -> None:
    text = file.read_text(encoding="utf-8")
    assert text.count(old) == 1
    file.write_text(text.replace(old, new), encoding="utf-8")


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of lampbench to edit, which is read in its place."""
    copy = tmp_path / "copy" / PACKAGE
    shutil.copytree(
        module.HERE, copy, ignore=lambda _, names: [n for n in names if "." in n and not n.endswith(".py")]
    )
    monkeypatch.setattr(module, "HERE", copy)
    return copy


# What is learned


def test_what_is_said_about_the_code_is_no_part_of_it(tmp_path: Path) -> None:
    usual = print_of(tmp_path)
    said = LEARNER.replace("Learns one soft vector.", "Another docstring.") + "\n# A comment.\n"
    assert print_of(tmp_path, said) == usual
    assert print_of(tmp_path, LEARNER.replace("learning_rate=0.1", "learning_rate=0.2")) != usual
    (tmp_path / "elsewhere").mkdir()
    assert print_of(tmp_path / "elsewhere") == usual


@pytest.mark.parametrize(
    ("file", "old", "new"),
    [
        (
            "training/batch_order.py",
            "WINDOW_STEPS = 32",
            "WINDOW_STEPS = 16",
        ),  # imported by what the method imports
        ("training/settings.py", "(step + 1) / rise", "step / rise"),  # the schedule
        (
            "models/likelihood.py",
            "return losses.sum(dim=1)",
            "return losses.mean(dim=1)",
        ),  # reached by the LLM's type
        ("method/fitting.py", '_seed_torch(bench, "fit")', '_seed_torch(bench, "learn")'),
        ("models/encoder.py", '"cpu": 4_096', '"cpu": 2_048'),
    ],
)
def test_another_loss_schedule_or_order_asks_for_a_fit(
    package: Path, tmp_path: Path, file: str, old: str, new: str
) -> None:
    usual = print_of(tmp_path)
    edit(package / file, old, new)
    assert print_of(tmp_path) != usual


@pytest.mark.parametrize(
    ("file", "old", "new"),
    [
        (
            "training/batch_order.py",
            "# steps whose examples are sorted",
            "# the steps whose examples are sorted",
        ),
        ("training/settings.py", "up to 1 in the warm-up, then down", "up in the warm-up and down"),
        (
            "report/leaderboard.py",
            "from __future__ import annotations",
            "from __future__ import annotations\n\nX = 1",
        ),
        ("cli/app.py", "from __future__ import annotations", "from __future__ import annotations\n\nX = 1"),
        ("progress.py", "LINE_EVERY = 15.0", "LINE_EVERY = 30.0"),
        ("version.py", '__version__ = "', '__version__ = "9'),
    ],
)
def test_a_mended_comment_or_another_look_asks_for_nothing(
    package: Path, tmp_path: Path, file: str, old: str, new: str
) -> None:
    usual = print_of(tmp_path)
    edit(package / file, old, new)
    assert print_of(tmp_path) == usual


@pytest.mark.parametrize("name", ["pplug", "ropg-kd", "lora-user", "finetune"])
def test_everything_that_trains_counts_and_nothing_that_tells(name: str) -> None:
    reached = reached_by(name)
    assert {
        *("training.batch_order", "training.settings", "training.loop", "training.trained_weights"),
        *("models.likelihood", "method.base", "method.bench", "tasks.base", "tasks.wording"),
    } <= reached
    rooms = {name.partition(".")[0] for name in reached}
    assert not rooms & {"cli", "conformance", "report"}
    assert not reached & {"runner.job", "runner.run", "runner.run_folder", "tasks.registry", "plugins.finder"}


def test_what_is_told_to_be_left_out_is_there() -> None:
    for name in TELLING:
        assert module.HERE.joinpath(*name.split(".")).with_suffix(".py").is_file(), name


# A stranger's files


def test_a_file_beside_a_method_counts_and_those_that_it_imports(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(str(tmp_path))
    (tmp_path / "parts").mkdir()
    for file in ("_losses.py", "parts/__init__.py", "parts/deep.py", "stranger.py", "random.py"):
        (tmp_path / file).write_text("X = 1\n")
    (tmp_path / "_losses.py").write_text("from parts.deep import X\nimport random\n")
    text = LEARNER.replace("import lampbench.method", "import lampbench.method\nimport _losses")
    learned, did = print_of(tmp_path, text), file_print(tmp_path / "learner.py")
    for file, counts in (
        *(("_losses.py", True), ("parts/__init__.py", True), ("parts/deep.py", True)),
        *(("stranger.py", False), ("random.py", False)),  # the standard library's is meant
    ):
        path = tmp_path / file
        path.write_text(path.read_text() + "# said\n")
        assert (print_of(tmp_path, text), file_print(tmp_path / "learner.py")) == (learned, did), file
        path.write_text(path.read_text() + "Y = 1\n")
        assert (print_of(tmp_path, text) != learned) == counts, file
        assert (file_print(tmp_path / "learner.py") != did) == counts, file
        learned, did = print_of(tmp_path, text), file_print(tmp_path / "learner.py")


def test_in_an_installed_package_its_own_modules_count_and_not_its_neighbours(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    site = tmp_path / "site-packages"
    (site / "extras" / "methods").mkdir(parents=True)
    monkeypatch.syspath_prepend(str(site))
    for file in ("extras/losses.py", "extras/methods/near.py", "neighbour.py"):
        (site / file).write_text("X = 1\n")
    (site / "extras" / "methods" / "base.py").write_text("from lampbench.method import Method as Base\n")
    (site / "extras" / "methods" / "mine.py").write_text(
        "import neighbour\nfrom ..losses import X\nfrom . import near\nfrom extras.methods.base import Base\n\n\n"
        "class Method(Base):\n    pass\n"
    )
    mine = importlib.import_module("extras.methods.mine")
    try:
        reached = module._reached(
            [module._Source.of_file(site / "extras/methods/mine.py", "extras.methods.mine")], everything=False
        )
        assert set(reached) == {
            f"extras.{name}" for name in ("losses", "methods.near", "methods.base", "methods.mine")
        }
        usual = code_print(mine.Method, site / "extras/methods/mine.py", "extras.methods.mine")
        (site / "extras" / "losses.py").write_text("X = 22\n")
        assert code_print(mine.Method, site / "extras/methods/mine.py", "extras.methods.mine") != usual
    finally:
        for name in [name for name in sys.modules if name.partition(".")[0] in ("extras", "neighbour")]:
            del sys.modules[name]


def test_a_method_built_on_one_of_lampbench_counts_it(package: Path, tmp_path: Path) -> None:
    (package / "methods").mkdir(exist_ok=True)
    (package / "methods" / "bm25.py").write_text("X = 1\n")
    text = LEARNER.replace(
        "import lampbench.method", "import lampbench.method\nimport lampbench.methods.bm25", 1
    )
    usual = print_of(tmp_path, text)
    (package / "methods" / "bm25.py").write_text("X = 22\n")
    assert print_of(tmp_path, text) != usual


def test_a_file_that_is_no_python_counts_by_its_bytes(tmp_path: Path) -> None:
    text = LEARNER + "\n\ndef later():\n    import _draft\n"
    (tmp_path / "_draft.py").write_text("def (")
    usual = print_of(tmp_path, text)
    (tmp_path / "_draft.py").write_bytes(b"def \0 (")
    assert print_of(tmp_path, text) != usual


def test_a_file_that_cannot_be_read_makes_the_method_broken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(path: Path, module: str | None) -> str:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr("lampbench.method.registry.file_print", refused)
    with pytest.raises(
        RequestError, match=r"method 'learner' is broken: PermissionError: .*Permission denied"
    ):
        print_of(tmp_path)


# What a file does


def test_what_a_file_does_is_neither_what_it_says_nor_how_it_is_laid_out(tmp_path: Path) -> None:
    def done(text: str) -> str:
        path = tmp_path / "file.py"
        path.write_text(text, encoding="utf-8")
        module._read.cache_clear()
        return file_print(path)

    usual = done('def f(x):\n    """Says."""\n    return [x, "a"]\n')
    assert done("def f(x): return [  # why\n    x,\n    'a',\n]\n") == usual
    for other in ("def f(x): return [x, 'b']", "def f(y): return [y, 'a']", "def f(x): return (x, 'a')"):
        assert done(other) != usual
    assert done("X = None") != done("X = ...") != done("X = 0") != done("X = False")


def test_the_fingerprint_is_the_same_for_every_python(tmp_path: Path) -> None:
    path = tmp_path / "file.py"
    path.write_text(
        "class A:\n    x: int = 1\n\n    def f(self, *a, b=None):\n        return f'{a!r:>{b}}' + u'c'\n"
    )
    assert file_print(path) == "1e0f47850b569c7e7dad97c35d49f199"
