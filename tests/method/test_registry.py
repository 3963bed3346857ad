"""Methods are found by reading their files; a broken one is listed as broken and harms no other."""

from __future__ import annotations

import os
import subprocess
import sys
import typing
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest

from lampbench.constraints import in_words, metadata_of
from lampbench.errors import RequestError
from lampbench.method import registry
from lampbench.method.registry import find_method, list_methods, load
from lampbench.runner.plan import make_plan
from lampbench.runner.request import RunRequest

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
        "import sys; from lampbench.method.registry import list_methods; names = {m.name for m in list_methods()};"
        "assert {'adhoc', 'random', 'recency', 'bm25', 'contriever', 'pplug'} <= names, names;"
        "loaded = {'torch', 'numpy', 'pandas', 'pyarrow', 'transformers', 'pydantic'} & set(sys.modules);"
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
        hints = typing.get_type_hints(config, include_extras=True)
        for option in info.options:
            assert option.allowed == in_words(metadata_of(hints[option.name])), (info.name, option.name)


def test_a_constraint_beside_a_field_is_read_apart_from_its_type(tmp_path: Path) -> None:
    fields = (
        "    weight: Rate = 0.5  # of the first\n"
        "    n: Annotated[int, Ge(2)] = 2\n"
        "    scale: PositiveFloat | None = None\n"
        "    layers: tuple[PositiveInt, ...] = ()\n"
        "    part: typing.Annotated[float, Field(ge=0, lt=1, title='x')] = 0.5\n"
        "    pages: Annotated[int, MultipleOf(2), 'even'] = 2\n"
        "    any: Annotated[int, chosen_at_run_time] = 2\n"
        "    order:"
    )
    text = GOOD.format(name="mine").replace("    order:", fields).replace("    weight: float = 0.5\n", "")
    imports = (
        "import typing\nfrom typing import Annotated\nfrom annotated_types import Ge, Interval, MultipleOf\n"
        "from pydantic import Field\nfrom lampbench.constraints import PositiveFloat, PositiveInt\n\n"
        "chosen_at_run_time = Ge(len('x'))\nRate = Annotated[float, Interval(gt=0, le=1)]\n\n@dataclass"
    )
    write(tmp_path, "mine.py", text.replace("@dataclass", imports))
    info = find_method("mine", tmp_path)
    assert info.error is None
    described = {o.name: (o.type, o.allowed) for o in info.options}
    assert described["k"] == ("int", "at least 1")  # of the base class
    assert described["order"] == ("Literal['first', 'last']", "")
    assert described["weight"] == ("float", "above 0 and at most 1")
    assert described["n"] == ("int", "at least 2")
    assert described["scale"] == ("float | None", "above 0")
    assert described["layers"] == ("tuple[int, ...]", "at least 1")
    assert described["part"] == ("float", "from 0 to below 1")
    assert described["pages"] == ("int", "even")
    assert described["any"] == ("int", "")  # only importing could tell
    config = load(info).config
    assert config(weight=1.0, scale=None).k == 4
    with pytest.raises(ValueError, match="weight must be above 0 and at most 1, not 2"):
        config(weight=2)


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


BARE = (
    "import lampbench.method\nclass Method(lampbench.method.Method):\n    name = 'x'\n"
    "    def predict(self, *a): pass\n"
)


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("def f(:\n", "SyntaxError"),
        ("x = €", "SyntaxError"),
        ("x = " + "-" * 50_000 + "1\n", "nested too deeply"),
        ("import a_module_that_is_not_there\n" + BARE, "ModuleNotFoundError: No module named 'a_module_that"),
        (
            "from lampbench.nothing import x\n" + BARE,
            "ModuleNotFoundError: No module named 'lampbench.nothing'",
        ),
        ("from lampbench.method import Nothing\n" + BARE, "ImportError: cannot import name 'Nothing'"),
        ("from lampbench import nothing\n" + BARE, "ImportError: cannot import name 'nothing'"),
        ("from .sibling import x\n" + BARE, "ImportError: attempted relative import"),
        ("raise RuntimeError('not today')\n" + BARE, "raise RuntimeError('not today')"),
        ("x = 1\n", "no class named Method"),
        ("class Method:\n    pass\n", "no name"),
        ("class Method:\n    name = 5\n", "its name 5 will not do"),
        ("class Method:\n    name = 'all'\n", "its name 'all' will not do"),
        ("class Method:\n    name = '../up'\n", "its name '../up' will not do"),
        ("class Method:\n    name = 'x'\n", "no lampbench Method"),
        (BARE + "    variants = {'a': 1}\n", "its variants are not of the form"),
        (BARE + "    variants = {'a': {'k': b'1'}}\n", "its variants are not of the form"),
        (BARE + "class Config:\n    k: int = 1\n", "its Config is no dataclass"),
        (BARE + "class Base:\n    pass\nclass Config(Base):\n    k: int = 1\n", "its Config is no dataclass"),
        (
            BARE + "class Config(lampbench.method.ProfileConfig):\n    k: int = 1\n",
            "its Config is no dataclass",
        ),
        (BARE + "@dataclass\nclass Config:\n    k: int\n", "option k of its Config has no default"),
        (BARE + "@dataclass\nclass Config:\n    k: int = field()\n", "option k of its Config has no default"),
        (BARE + "@dataclass\nclass Config:\n    k: int = 1\n    k: int = 2\n", "has the option k twice"),
        (BARE + "@dataclass\nclass Config:\n    k = 1\n", "k in its Config has no type"),
    ],
)
def test_what_reading_can_tell_of_a_broken_file_is_listed(tmp_path: Path, text: str, error: str) -> None:
    write(tmp_path, "wrong.py", text)
    write(tmp_path, "right.py", GOOD.format(name="right"))
    by_file = {info.path.name: info for info in list_methods(tmp_path)}
    assert error in (by_file["wrong.py"].error or "")
    assert by_file["right.py"].error is None
    with pytest.raises(RequestError, match="is broken: "):
        find_method(by_file["wrong.py"].name, tmp_path)


@pytest.mark.parametrize(
    "text",
    [
        "try:\n    import a_module_that_is_not_there\nexcept ImportError:\n    pass\n" + BARE,
        "import sys\nif sys.version_info > (9,):\n    import a_module_that_is_not_there\n" + BARE,
        "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import a_module_that_is_not_there\n" + BARE,
        "import os.path\nfrom lampbench import run, list_methods\n" + BARE,
        BARE + "    def fit(self, bench, train):\n        import a_module_that_is_not_there\n",
        BARE
        + "@dataclass\nclass Config:\n    N: ClassVar[int]\n    LIMIT = 4\n    _seen = 1\n    k: int = 1\n",
        BARE + "class Config(lampbench.method.ProfileConfig):\n    pass\n",
        "from lampbench.retrieval import *\n" + BARE,
        "from typer import Typer as Base\n" + BARE + "class Config(Base):\n    k: int = 1\n",
        BARE + "@made\nclass Config:\n    k: int\n",
    ],
)
def test_what_reading_cannot_tell_is_not_held_against_a_file(tmp_path: Path, text: str) -> None:
    write(tmp_path, "open.py", text)
    assert find_method("x", tmp_path).error is None


@pytest.mark.parametrize(
    "setup", ["sys.path.insert(0, {!r})", "_ = sys.path.insert(0, {!r})", "sys.path = [{!r}, *sys.path]"]
)
def test_a_folder_that_the_file_itself_puts_on_the_path_is_used(
    tmp_path: Path, setup: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.delitem(sys.modules, "helper_of_mine", raising=False)
    write(tmp_path / "beside", "helper_of_mine.py", "")
    setup = f"import sys\n{setup.format(str(tmp_path / 'beside'))}\nimport helper_of_mine\n"
    write(tmp_path / "methods", "mine.py", setup + BARE)
    assert load(find_method("x", tmp_path / "methods")).name == "x"


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("import sys\nsys.exit(0)\n", "SystemExit: 0"),
        ("exit()\n", "SystemExit: None"),
        ("X = 1 / 0\n", "ZeroDivisionError: division by zero"),
        ("def f(): raise BaseException('mine')\nf()\n", "BaseException: mine"),
    ],
)
def test_a_file_runs_only_when_it_is_loaded_and_cannot_end_the_program(
    tmp_path: Path, text: str, told: str
) -> None:
    mark = tmp_path / "ran"
    path = write(tmp_path / "methods", "sly.py", f"open({str(mark)!r}, 'w').close()\n{text}{BARE}")
    info = find_method("x", tmp_path / "methods")
    assert (info.error, mark.exists()) == (None, False)
    with pytest.raises(RequestError) as error:
        load(info)
    assert str(error.value) == f"method 'x' is broken: {told} ({path})"
    assert mark.exists()


def test_all_methods_are_those_that_can_be_loaded_and_the_others_are_told(tmp_path: Path) -> None:
    exits = write(tmp_path / "methods", "exits.py", f"import sys\nsys.exit(0)\n{BARE}")
    halves = write(tmp_path / "methods", "halves.py", "def f(:\n")
    request = RunRequest("all", "LaMP-3", results=tmp_path / "results", methods_dir=tmp_path / "methods")
    plan = make_plan(request)
    assert {"adhoc", "bm25"} <= {job.method.name for job in plan.jobs}
    assert plan.left_out == (
        f"method 'halves' is broken: SyntaxError: invalid syntax (line 1) ({halves})",
        f"method 'x' is broken: SystemExit: 0 ({exits})",
    )
    for named in ("x", "all,x", ["bm25", "x"]):
        with pytest.raises(RequestError, match="method 'x' is broken: SystemExit: 0"):
            make_plan(replace(request, method=named))


def test_ctrl_c_while_a_file_is_loaded_is_no_fault_of_the_file(tmp_path: Path) -> None:
    write(tmp_path, "slow.py", f"def f(): raise KeyboardInterrupt\nf()\n{BARE}")
    with pytest.raises(KeyboardInterrupt):
        load(find_method("x", tmp_path))


@pytest.mark.parametrize("call", ["sys.exit(0)", "os._exit(0)", "input()", "[0 for _ in iter(int, 1)]"])
def test_the_list_is_complete_whatever_a_file_would_do(tmp_path: Path, call: str) -> None:
    write(tmp_path, "sly.py", f"import os, sys\n{call}\n{BARE}")
    words = ["list", "methods", "--methods-dir", str(tmp_path)]
    done = subprocess.run(
        [sys.executable, "-m", "lampbench", *words], capture_output=True, text=True, check=False, timeout=60
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert {"x", "bm25"} <= {line.split()[0] for line in done.stdout.splitlines()}


def test_what_is_no_file_is_not_read(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.py")
    (tmp_path / "folder.py").mkdir()
    errors = {info.path.name: info.error for info in list_methods(tmp_path) if info.error}
    assert errors == {"pipe.py": "it is no file", "folder.py": "it is no file"}


def test_a_broken_file_neither_hides_a_method_of_its_name_nor_is_hidden(tmp_path: Path) -> None:
    write(tmp_path, "bm25.py", "def f(:\n")
    found = [info.error is None for info in list_methods(tmp_path) if info.name == "bm25"]
    assert found == [True, False]
    assert find_method("bm25", tmp_path).error is None


@pytest.mark.parametrize(
    ("config", "told"),
    [
        ("Config = dict", "its Config is no dataclass"),
        ("def made(c): return c\n@made\nclass Config:\n    k: int = 1", "its Config is no dataclass"),
        (
            "def made(c): return c\n@made\nclass Config(lampbench.method.ProfileConfig):\n    k: int = 1",
            "its Config is no dataclass, only its base is",
        ),
        (
            "import dataclasses\nConfig = dataclasses.make_dataclass('Config', ['k'])",
            "option k of its Config",
        ),
        (
            "from dataclasses import dataclass\n@dataclass\nclass Config:\n    profile: str = 'own'",
            r"option profile of its Config .*: write class Config\(lampbench.method.ProfileConfig\)",
        ),
        (
            "from dataclasses import dataclass\n@dataclass\nclass Config:\n    history_fields: str = 'both'",
            r"option history_fields of its Config .*: write class Config\(lampbench.method.HistoryConfig\)",
        ),
    ],
)
def test_a_config_whose_options_cannot_be_set_is_refused_when_it_is_loaded(
    tmp_path: Path, config: str, told: str
) -> None:
    write(tmp_path, "odd.py", f"{BARE}{config}\n")
    with pytest.raises(RequestError, match=f"method 'x' is broken: {told}"):
        load(find_method("x", tmp_path))


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
        "import lampbench.method\n"
        "class Method(lampbench.method.Method):\n"
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
    checkout = Path(registry.__file__).parents[2] / "methods"
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
