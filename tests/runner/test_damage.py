"""Every kind of file that a number depends on, damaged: the predictions stay what they were, and it is said."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from damaging import damage
from made_methods import LEARNER, PRESET, TRICKSTER

from lampbench.files import remembered_hashes
from lampbench.files.folders import cache_dir
from lampbench.mini import generator
from lampbench.progress import Progress
from lampbench.records.record import Record
from lampbench.runner.cache_care import verify
from lampbench.runner.cache_contents import contents
from lampbench.runner.run import run

TASK = "LaMP-3"

# The learner, ended as if by Ctrl-C at a step that the environment names.
STOPPED = LEARNER.replace("os.kill(os.getpid(), signal.SIGKILL)", "raise KeyboardInterrupt").replace(
    'name = "learner"', 'name = "stopped"'
)

METHODS = ("bm25", "contriever", "learner", "lora-user")
SETTINGS = ("lora-user.max_steps=2", "lora-user.keep_adapters=true")


@dataclass(frozen=True)
class File:
    """A kind of file in the cache folder: where such files lie, and a method whose numbers depend on them.

    `told`: that it is damaged. What is made again at once, from what is whole, nobody need know of.
    """

    places: str
    method: str
    told: bool = True


FILES = {
    "questions of a store": File("data/*/*/examples-dev.arrow", "bm25"),
    "golds of the train split": File("data/*/*/golds-train.arrow", "learner"),
    "golds of the asked split": File("data/*/*/golds-dev.arrow", "bm25"),
    "items of the train split": File("data/*/*/items-train.arrow", "contriever"),
    "items of the other splits": File("data/*/*/items-more.arrow", "contriever"),
    "items that are shown": File("data/*/*/shown-*.arrow", "bm25", told=False),
    "manifest of a store": File("data/*/*/manifest.json", "bm25"),
    "sources of a store": File("data/*/sources.json", "bm25", told=False),
    "rows of embeddings": File("embeddings/*/rows.npy", "contriever"),
    "blocks of embeddings": File("embeddings/*/blocks.txt", "contriever"),
    "key of embeddings": File("embeddings/*/key.json", "contriever"),
    "generations": File("generations-2.sqlite", "bm25"),
    "weights of a fit": File("fits/learner-*/learned/trainable.safetensors", "learner"),
    "report of a fit": File("fits/learner-*/fit.json", "learner"),
    "what a fit is about": File("fits/learner-*/about.json", "learner", told=False),
    "adapters of users": File("fits/lora-user-*/users/*.safetensors", "lora-user"),
    "hashes of models": File("file-hashes.json", "bm25", told=False),
    "questions of LaMP-mini": File("lamp-mini-*/user/LaMP_3/dev_questions.json", "bm25"),
    "outputs of LaMP-mini": File("lamp-mini-*/user/LaMP_3/train_outputs.json", "learner"),
    "manifest of LaMP-mini": File("lamp-mini-*/manifest.json", "bm25"),
}

Runner = Callable[..., Record]


@pytest.fixture(scope="module")
def small_mini() -> Iterator[None]:
    """LaMP-mini with a handful of questions, and models whose hashes are remembered small as they are."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(generator, "SIZES", dict.fromkeys(generator.SIZES, (8, 6)))
        patch.setattr(remembered_hashes, "LARGE", 0)
        patch.setattr(remembered_hashes, "SETTLED_NS", 0)
        yield


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, tiny_llm: Path, tiny_encoder: Path) -> Path:
    made = tmp_path_factory.mktemp("damage")
    preset = PRESET.format(llm=tiny_llm, encoder=tiny_encoder, data="lamp-mini")
    (made / "tiny.toml").write_text(preset, encoding="utf-8")
    (made / "methods").mkdir()
    for name, text in (("learner", LEARNER), ("stopped", STOPPED), ("trickster", TRICKSTER)):
        (made / "methods" / f"{name}.py").write_text(text, encoding="utf-8")
    return made


@pytest.fixture
def run_here(folder: Path, small_mini: None, monkeypatch: pytest.MonkeyPatch) -> Runner:
    monkeypatch.setenv("FITS", str(folder / "fits"))

    def run_one(method: str, results: Path, **options: Any) -> Record:
        wanted = tuple(setting for setting in SETTINGS if setting.startswith(f"{method}."))
        (record,) = run(
            method,
            TASK,
            progress=Progress("plain"),
            preset=str(folder / "tiny.toml"),
            methods_dir=folder / "methods",
            results=results,
            set=wanted,
            **options,
        )
        return record

    return run_one


@dataclass(frozen=True)
class Whole:
    """A cache in which every method has left what it keeps, and what each has answered."""

    cache: Path
    copy: Path
    answers: dict[str, bytes]

    def bring_back(self) -> None:
        """Make the cache what it was, at its place: the names of prepared data tell where their source lies."""
        shutil.rmtree(self.cache)
        shutil.copytree(self.copy, self.cache)


@pytest.fixture(scope="module")
def whole(folder: Path, small_mini: None, tmp_path_factory: pytest.TempPathFactory) -> Whole:
    cache = tmp_path_factory.mktemp("whole-cache")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LAMPBENCH_CACHE", str(cache))
        patch.setenv("FITS", str(folder / "fits"))
        records = run(
            METHODS,
            TASK,
            progress="none",
            preset=str(folder / "tiny.toml"),
            methods_dir=folder / "methods",
            results=folder / "whole",
            set=SETTINGS,
        )
    copy = shutil.copytree(cache, cache.with_name("copy-of-cache"))
    return Whole(cache, copy, {record.method.name: record.predictions.read_bytes() for record in records})


@pytest.mark.parametrize("how", ["flipped", "zeroed"])
@pytest.mark.parametrize("kind", FILES)
def test_a_damaged_file_of_the_cache_changes_no_prediction_and_is_named(
    whole: Whole,
    run_here: Runner,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
    kind: str,
    how: str,
) -> None:
    whole.bring_back()
    monkeypatch.setenv("LAMPBENCH_CACHE", str(whole.cache))
    file = FILES[kind]
    of_a_power_cut = kind == "blocks of embeddings" and how == "zeroed"  # such a file is one that goes on
    damaged = sorted(cache_dir().glob(file.places))
    assert damaged
    assert verify(contents(cache_dir())) == []
    for path in damaged:
        damage(path, how)
    found = verify(contents(cache_dir()))
    assert found or of_a_power_cut
    assert all(any(str(path) in line or str(path.parent) in line for path in damaged) for line in found)
    record = run_here(file.method, tmp_path / "results")
    assert record.predictions.read_bytes() == whole.answers[file.method]
    told = [line for line in capfd.readouterr().err.splitlines() if "damaged" in line]
    if file.told and not of_a_power_cut:
        assert any(str(path) in line or str(path.parent) in line for path in damaged for line in told)
    capfd.readouterr()
    run_here(file.method, tmp_path / "again")
    assert "damaged" not in capfd.readouterr().err


@pytest.mark.parametrize("how", ["flipped", "zeroed"])
def test_damaged_answers_of_an_interrupted_run_are_given_again(
    run_here: Runner, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    undisturbed = run_here("trickster", tmp_path / "whole")
    for name in ("predictions.jsonl", ".predictions.jsonl.digests"):
        results = tmp_path / name
        monkeypatch.setenv("TRICK", "interrupt:4")
        with pytest.raises(KeyboardInterrupt):
            run_here("trickster", results)
        monkeypatch.setenv("TRICK", "")
        (log,) = results.rglob(name)
        damage(log, how)
        resumed = run_here("trickster", results)
        assert resumed.predictions.read_bytes() == undisturbed.predictions.read_bytes()
        assert resumed.metrics == undisturbed.metrics
        assert resumed.cost.examples == undisturbed.cost.examples
        assert [path.name for path in resumed.predictions.parent.iterdir() if path.name.startswith(".")] == []


@pytest.mark.parametrize("how", ["flipped", "zeroed"])
def test_from_a_damaged_checkpoint_nothing_is_learned(
    run_here: Runner,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
    how: str,
) -> None:
    monkeypatch.setenv("KILL_AT", "4")
    with pytest.raises(KeyboardInterrupt):
        run_here("stopped", tmp_path / "results")
    monkeypatch.delenv("KILL_AT")
    (checkpoint,) = cache_dir().glob("fits/stopped-*/checkpoints/train/checkpoint-*.pt")
    damage(checkpoint, how)
    resumed = run_here("stopped", tmp_path / "results")
    assert f"{checkpoint} is damaged: training starts over" in capfd.readouterr().err
    undisturbed = run_here("stopped", tmp_path / "whole", fresh=True)
    assert resumed.predictions.read_bytes() == undisturbed.predictions.read_bytes()
