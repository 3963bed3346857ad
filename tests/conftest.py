"""Fixtures that several test files share."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from lampbench.records.record import Record

# No test may reach a hub, and progress bars of libraries do not belong in test output.
os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
# Models this small are slower on many threads than on one, on a busy machine by far.
os.environ.setdefault("OMP_NUM_THREADS", "1")

SHARED = Path(__file__).resolve().parents[2] / "shared"


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of reference data that lies beside a developer's checkout; skips where it is absent."""
    if not SHARED.is_dir():
        pytest.skip("the reference data (../shared) is not beside this checkout")
    return SHARED


@pytest.fixture(autouse=True)
def private_cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every test has a cache of its own, so that none can pass on another's leftovers."""
    monkeypatch.setenv("LAMPBENCH_CACHE", str(tmp_path_factory.mktemp("cache")))


@pytest.fixture(autouse=True)
def usual_tasks(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a test looks through for tasks is forgotten after it."""
    monkeypatch.setattr("lampbench.tasks.registry._folders", [])


@pytest.fixture(scope="session")
def tiny_data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """LaMP-mini with a handful of questions per split, in both settings."""
    from lampbench.mini.generator import Knobs, write_suite

    folder = tmp_path_factory.mktemp("tiny-data")
    for setting in ("user", "time"):
        knobs = Knobs(train=8, dev=6, test=4, history_min=3, history_max=6, setting=setting)
        write_suite(folder / setting, knobs)
        (folder / setting / setting).rename(folder / f"{setting}-files")
        (folder / setting / "manifest.json").unlink()
        (folder / setting).rmdir()
        (folder / f"{setting}-files").rename(folder / setting)
    return folder


@pytest.fixture(scope="session")
def tiny_texts(tiny_data: Path) -> list[str]:
    """The texts that hold every word of the tiny data."""
    return [path.read_text(encoding="utf-8") for path in sorted(tiny_data.rglob("*.json"))]


@pytest.fixture(scope="session")
def tiny_llm(tmp_path_factory: pytest.TempPathFactory, tiny_texts: list[str]) -> Path:
    """A T5 of random weights that knows the tiny data's words; its answers are nonsense."""
    from lampbench.mini.tiny_models import write_tiny_llm

    return write_tiny_llm(tmp_path_factory.mktemp("models") / "tiny-t5", tiny_texts)


@pytest.fixture(scope="session")
def tiny_encoder(tmp_path_factory: pytest.TempPathFactory, tiny_texts: list[str]) -> Path:
    """A BERT of random weights with mean pooling."""
    from lampbench.mini.tiny_models import write_tiny_encoder

    return write_tiny_encoder(tmp_path_factory.mktemp("models") / "tiny-bert", tiny_texts)


@pytest.fixture
def command(capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, str, str]]:
    """A command in this process: exit status, standard output, standard error."""

    from lampbench.cli.app import main

    def call(*words: object) -> tuple[int, str, str]:
        capsys.readouterr()
        with pytest.raises(SystemExit) as end:
            main([str(word) for word in words])
        out, err = capsys.readouterr()
        return int(end.value.code or 0), out, err

    return call


@pytest.fixture
def place(tmp_path: Path, tiny_llm: Path, tiny_encoder: Path, tiny_data: Path) -> Path:
    """A folder with data of two tasks, models, and a preset that names them."""
    for task in ("LaMP_3", "LaMP_7"):
        shutil.copytree(tiny_data / "user" / task, tmp_path / "data" / "user" / task)
    (tmp_path / "tiny.toml").write_text(
        f'summary = "tiny"\nllm = "{tiny_llm}"\nencoder = "{tiny_encoder}"\ndata = "{tmp_path / "data"}"\n'
        'setting = "user"\nmax_input_tokens = 100\nbeams = 1\n[max_new_tokens]\ndefault = 4\n',
        encoding="utf-8",
    )
    return tmp_path


@pytest.fixture
def folder(tmp_path: Path, tiny_llm: Path, tiny_encoder: Path, tiny_data: Path) -> Path:
    """A folder with a preset and three methods."""
    from made_methods import FUSION, LEARNER, PRESET, TRICKSTER

    preset = PRESET.format(llm=tiny_llm, encoder=tiny_encoder, data=tiny_data)
    (tmp_path / "tiny.toml").write_text(preset, encoding="utf-8")
    (tmp_path / "methods").mkdir()
    for name, text in (("trickster", TRICKSTER), ("learner", LEARNER), ("fusion", FUSION)):
        (tmp_path / "methods" / f"{name}.py").write_text(text, encoding="utf-8")
    return tmp_path


@pytest.fixture
def run_here(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., list[Record]]:
    """`run` with that preset and those methods, quietly."""
    from lampbench.runner.run import run

    monkeypatch.setenv("FITS", str(folder / "fits"))

    def run_quietly(method: str, task: str = "LaMP-3", **options: Any) -> list[Record]:
        options = {"results": folder / "results", "preset": str(folder / "tiny.toml"), **options}
        return run(method, task, progress="none", methods_dir=folder / "methods", **options)

    return run_quietly
