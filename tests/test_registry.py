"""Methods are found by reading their files; a broken one is listed as broken and harms no other."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from lampbench import registry
from lampbench.errors import RequestError
from lampbench.registry import find_method, list_methods, load

GOOD = '''"""Ranks nothing new.

More words.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal

from lampbench.method import Bench, RetrievalConfig, RetrievalMethod


@dataclass(frozen=True)
class Config(RetrievalConfig):
    order: Literal["first", "last"] = "first"  # which end of the profile
    # How much,
    # in units.
    weight: float = 0.5
    kept: ClassVar[int] = 1


class Method(RetrievalMethod):
    name = "{name}"
    summary = "Takes items from one end"
    paper = "arXiv:0000.00000"
    variants = {{"tail": {{"order": "last"}}}}

    def rank(self, bench: Bench, example) -> Sequence[int]:
        return list(range(len(example.item_ids)))
'''


def write(folder: Path, file: str, text: str) -> Path:
    folder.mkdir(exist_ok=True)
    path = folder / file
    path.write_text(text, encoding="utf-8")
    return path


def test_the_methods_of_the_checkout_are_found_without_importing_them() -> None:
    code = (
        "import sys; from lampbench.registry import list_methods; names = {m.name for m in list_methods()};"
        "assert {'adhoc', 'random', 'recency', 'bm25', 'contriever', 'pplug'} <= names, names;"
        "loaded = {'torch', 'numpy', 'pandas', 'pyarrow', 'transformers'} & set(sys.modules);"
        "assert not loaded, loaded;"
        "assert not [m for m in sys.modules if m.startswith('lampbench.methods')]"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_reading_a_file_gives_its_name_options_and_variants(tmp_path: Path) -> None:
    path = write(tmp_path, "mine.py", GOOD.format(name="mine"))
    info = find_method("mine", tmp_path)
    assert (info.summary, info.paper, info.error) == ("Takes items from one end", "arXiv:0000.00000", None)
    assert info.path == path
    assert info.variants["tail"] == {"order": "last"}
    assert info.variants["random-profile"] == {"profile": "random"}  # as every method with that option
    described = {o.name: (o.type, o.default, o.help) for o in info.options}
    assert list(described) == [
        "profile",
        "k",
        "history_fields",
        "order",
        "weight",
    ]  # those of the base class first
    assert described["k"] == ("int", "4", "profile items in the prompt")
    assert described["order"] == ("Literal['first', 'last']", "'first'", "which end of the profile")
    assert described["weight"] == ("float", "0.5", "How much, in units.")


def test_every_option_that_reading_finds_exists_when_imported() -> None:
    import dataclasses

    for info in list_methods():
        assert info.error is None, info
        config = load(info).config
        assert [o.name for o in info.options] == [f.name for f in dataclasses.fields(config)], info.name


def test_a_retrieval_method_without_a_config_has_the_options_of_its_kind(tmp_path: Path) -> None:
    text = (
        "import lampbench.method\n"
        "class Method(lampbench.method.RetrievalMethod):\n"
        "    name = 'bare'\n"
        "    summary = 'x'\n"
        "    def rank(self, bench, example): return []\n"
    )
    write(tmp_path, "bare.py", text)
    info = find_method("bare", tmp_path)
    assert [o.name for o in info.options] == ["profile", "k", "history_fields"]
    assert load(info).config().k == 4


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("def f(:\n", "SyntaxError"),
        ("import a_module_that_is_not_there\nclass Method:\n    name = 'x'\n", "ModuleNotFoundError"),
        ("from lampbench.method import Nothing\nclass Method:\n    name = 'x'\n", "ImportError"),
        ("from .sibling import x\nclass Method:\n    name = 'x'\n", "ImportError"),
        ("raise RuntimeError('not today')\nclass Method:\n    name = 'x'\n", "RuntimeError: not today"),
        ("X = 1 / 0\nclass Method:\n    name = 'x'\n", "ZeroDivisionError"),
        ("x = 1\n", "no class named Method"),
        ("class Method:\n    pass\n", "no name"),
        ("x = €", "SyntaxError"),
    ],
)
def test_a_broken_file_is_listed_with_its_exception(tmp_path: Path, text: str, error: str) -> None:
    write(tmp_path, "wrong.py", text)
    write(tmp_path, "right.py", GOOD.format(name="right"))
    by_file = {info.path.name: info for info in list_methods(tmp_path)}
    assert error in (by_file["wrong.py"].error or "")
    assert by_file["right.py"].error is None
    with pytest.raises(RequestError, match="is broken: "):
        find_method(by_file["wrong.py"].name, tmp_path)


@pytest.mark.parametrize(
    ("base", "missing"),
    [
        ("Method", r"predict\(self, bench, examples\)"),
        ("RetrievalMethod", r"rank\(self, bench, example\)"),
    ],
)
def test_a_method_without_what_makes_it_one_is_told_what_it_lacks(
    tmp_path: Path, base: str, missing: str
) -> None:
    text = f"import lampbench.method\nclass Method(lampbench.method.{base}):\n    name = 'half'\n"
    path = write(tmp_path, "half.py", text)
    info = find_method("half", tmp_path)
    with pytest.raises(
        RequestError, match=f"method 'half' is broken: its Method defines no {missing}.*{path}"
    ):
        load(info)
    write(tmp_path, "half.py", f"{text}    def predict(self, bench, examples): return []\n")
    assert load(find_method("half", tmp_path)).cls.name == "half"


def test_what_reading_cannot_see_is_told_when_the_method_is_loaded(tmp_path: Path) -> None:
    text = (
        "from dataclasses import dataclass\n"
        "@dataclass\n"
        "class Config:\n"
        "    items: list = []\n"
        "class Method:\n"
        "    name = 'sly'\n"
    )
    path = write(tmp_path, "sly.py", text)
    info = find_method("sly", tmp_path)
    with pytest.raises(RequestError, match=f"method 'sly' is broken: ValueError: mutable default.*{path}"):
        load(info)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("class Method:\n    name = 'odd'\n", "no lampbench Method"),
        (
            "import lampbench.method\nclass Method(lampbench.method.Method):\n    name = 'odd'\n"
            "class Config:\n    k = 1\n",
            "no dataclass",
        ),
    ],
)
def test_a_file_of_another_shape_is_refused(tmp_path: Path, text: str, reason: str) -> None:
    write(tmp_path, "odd.py", text)
    with pytest.raises(RequestError, match=reason):
        load(find_method("odd", tmp_path))


def test_two_methods_of_one_name_are_an_error_that_names_both(tmp_path: Path) -> None:
    one = write(tmp_path, "one.py", GOOD.format(name="same"))
    two = write(tmp_path, "two.py", GOOD.format(name="same"))
    with pytest.raises(RequestError) as error:
        list_methods(tmp_path)
    assert str(one) in str(error.value)
    assert str(two) in str(error.value)


def test_a_name_of_lampbench_cannot_be_taken(tmp_path: Path) -> None:
    write(tmp_path, "mine.py", GOOD.format(name="bm25"))
    with pytest.raises(RequestError, match=r"two methods are named 'bm25': .*bm25\.py \(lampbench\)"):
        list_methods(tmp_path)


def test_the_same_file_by_two_roads_is_one_method() -> None:
    checkout = Path(registry.__file__).parents[1] / "methods"
    assert [m.name for m in list_methods(checkout)] == [m.name for m in list_methods()]


def test_a_folder_may_come_from_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path, "mine.py", GOOD.format(name="mine"))
    monkeypatch.setenv("LAMPBENCH_METHODS", str(tmp_path))
    assert find_method("mine").origin == "$LAMPBENCH_METHODS"
    monkeypatch.setenv("LAMPBENCH_METHODS", str(tmp_path / "absent"))
    with pytest.raises(RequestError, match="no such folder"):
        list_methods()


def test_entry_points_of_installed_packages_are_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = tmp_path / "lamp_extras"
    package.mkdir()
    (package / "__init__.py").write_text("raise RuntimeError('listing must not import me')")
    write(package, "mine.py", GOOD.format(name="mine"))
    monkeypatch.syspath_prepend(str(tmp_path))
    dist = SimpleNamespace(name="lamp-extras")
    points = [
        SimpleNamespace(name="mine", module="lamp_extras.mine", dist=dist),
        SimpleNamespace(name="gone", module="lamp_extras.gone", dist=dist),
    ]
    monkeypatch.setattr("importlib.metadata.entry_points", lambda group: points)
    by_name = {info.name: info for info in list_methods()}
    assert by_name["mine"].origin == "entry point of lamp-extras"
    assert "gone" in by_name
    assert by_name["gone"].error is not None


def test_an_unknown_name_suggests_the_nearest() -> None:
    with pytest.raises(RequestError, match="unknown method 'bm2': did you mean 'bm25'"):
        find_method("bm2")


def test_the_hash_of_a_method_follows_its_file(tmp_path: Path) -> None:
    path = write(tmp_path, "mine.py", GOOD.format(name="mine"))
    before = find_method("mine", tmp_path)
    first, loaded = before.sha256(), load(before)
    path.write_text(path.read_text().replace("one end", "the other end"), encoding="utf-8")
    after = find_method("mine", tmp_path)
    assert after.sha256() != first
    assert load(after).cls.summary != loaded.cls.summary  # an edited file is imported anew
