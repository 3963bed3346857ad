"""Folders: `~` is the home folder everywhere, and whether files can be put there leaves nothing behind."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from made_commands import Command

from lampbench import list_methods, load_records, run
from lampbench.errors import RequestError
from lampbench.files.folders import cache_dir, expanded, require_writable


def test_a_folder_that_can_be_made_passes_and_is_not_made(tmp_path: Path) -> None:
    require_writable(tmp_path, "folder", "none")
    require_writable(tmp_path / "new" / "newer", "folder", "none")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["file", "file/below", "link", "link/below", "x" * 5000])
def test_a_folder_that_cannot_be_made_is_named_with_the_remedy(tmp_path: Path, name: str) -> None:
    (tmp_path / "file").write_text("")
    (tmp_path / "link").symlink_to("nowhere")
    with pytest.raises(RequestError) as error:
        require_writable(tmp_path / name, "--results", "choose another folder")
    assert str(error.value).startswith(f"--results {tmp_path / name} cannot be written to (")
    assert str(error.value).endswith("): choose another folder")


def test_the_home_folder_stands_for_its_sign_at_the_start_only(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/me")
    asked = ["~", "~/x", "x/~", "./~/x", "~nobody-of-that-name/x", "/a/~"]
    assert [str(expanded(path)) for path in asked] == [
        *("/home/me", "/home/me/x", "x/~", "~/x", "~nobody-of-that-name/x", "/a/~")
    ]


def test_the_cache_may_lie_at_home(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/me")
    monkeypatch.setenv("LAMPBENCH_CACHE", "~/cache")
    assert cache_dir() == Path("/home/me/cache")
    monkeypatch.setenv("LAMPBENCH_CACHE", "~nobody-of-that-name/cache")
    assert cache_dir() == Path("~nobody-of-that-name/cache")


@pytest.fixture
def home(place: Path, tiny_llm: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The fixture `place` as the home folder, with a method, and another folder as the current one."""
    (place / "elsewhere").mkdir()
    (place / "methods").mkdir()
    (place / "llm").symlink_to(tiny_llm)
    (place / "methods" / "mine.py").write_text(
        "from lampbench.method import RetrievalMethod\n"
        "class Method(RetrievalMethod):\n"
        "    name = 'mine'\n"
        "    def rank(self, bench, example): return range(len(example.profile))\n"
    )
    monkeypatch.setenv("HOME", str(place))
    monkeypatch.chdir(place / "elsewhere")
    return place


def test_every_path_of_a_run_may_begin_at_home(command: Command, home: Path) -> None:
    paths = {
        "preset": "~/tiny.toml",
        "data": "~/data",
        "llm": "~/llm",
        "encoder": "~/llm",
        "retriever": "~/llm",
        "results": "~/results",
        "methods_dir": "~/methods",
    }
    record = run("mine", "LaMP-3", progress="none", **paths)[0]
    assert record.folder is not None
    assert record.folder.is_relative_to(home / "results")
    words = [f"--{name.replace('_', '-')}={path}" for name, path in paths.items()]
    status, out, err = command("run", "--method=mine", "--task=LaMP-3", "--quiet", "--json", *words)
    assert (status, err) == (0, "")
    assert len(load_records("~/results")) == len(json.loads(out)) == 1  # both meant the same places
    assert list((home / "elsewhere").iterdir()) == []


def test_every_command_takes_paths_at_home(
    command: Command, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run("adhoc,random", "LaMP-3", progress="none", preset="~/tiny.toml", results="~/results")
    folder = "~/results/tiny/LaMP-3/adhoc/seed0"
    golds = "~/data/user/LaMP_3/dev_outputs.json"
    for words in (
        ("list", "runs", "--results=~/results"),
        ("list", "methods", "--methods-dir=~/methods"),
        ("show", folder),
        ("show", "adhoc", "--results=~/results"),
        ("compare", "adhoc", "random", "--results=~/results"),
        ("leaderboard", "--results=~/results", "-o", "~/board.md"),
        ("leaderboard", "--results=~/results", "-o", "~/board.md", "--check"),
        ("score", f"{folder}/predictions.jsonl", golds),
        ("score", folder, "~/data"),
        ("data", "prepare", "--data=~/data", "--setting=user", "--task=LaMP-3"),
        ("data", "audit", "--data=~/data", "--setting=user", "--task=LaMP-3"),
        ("data", "synth", "~/mini", "--task=LaMP-3", "--set", "train=2", "dev=2"),
    ):
        status, _, err = command(*words)
        assert (status, err) == (0, ""), words
    monkeypatch.setenv("LAMPBENCH_METHODS", "~/methods")
    assert "mine" in {info.name for info in list_methods()}
    assert (home / "board.md").is_file()
    assert (home / "mini" / "manifest.json").is_file()
    assert list((home / "elsewhere").iterdir()) == []


NOBODY = "~nobody-of-that-name/x"


@pytest.mark.parametrize(
    "words",
    [
        *(("run", "--method=bm25", f"--{name}={NOBODY}") for name in ("data", "llm", "encoder", "retriever")),
        ("run", "--method=bm25", f"--methods-dir={NOBODY}"),
        ("run", "--method=bm25", f"--preset={NOBODY}.toml"),
        ("list", "runs", f"--results={NOBODY}"),
        ("show", f"{NOBODY}/record.json", f"--results={NOBODY}"),
        ("leaderboard", f"--results={NOBODY}"),
        ("score", NOBODY, NOBODY),
        ("data", "prepare", f"--data={NOBODY}"),
        ("data", "audit", f"--data={NOBODY}"),
    ],
    ids=str,
)
def test_the_home_of_nobody_is_a_missing_folder(command: Command, words: tuple[str, ...]) -> None:
    status, out, err = command(*words)
    assert (status, out, err.count("\n")) == (2, "", 1)
    assert NOBODY in err
