"""A model is what it contains, or a commit of the hub; what is neither is never taken for the same again."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import huggingface_hub
import pytest
import transformers
from places import CHECKOUT

from lampbench.caches.embedding_store import EmbeddingStore
from lampbench.errors import RequestError
from lampbench.loading import identity
from lampbench.loading.identity import hub_commit, library_versions, model_revision
from lampbench.models.encoder import TextEncoder
from lampbench.models.frozen_llm import FrozenLLM
from lampbench.models.run_models import ModelChoice, Models
from lampbench.runner.run import run

COMMIT = "0123456789abcdef0123456789abcdef01234567"
MINI = Path(identity.__file__).parents[1] / "mini"


def model_folder(folder: Path) -> Path:
    """Files as a model has them; their content is of no account here."""
    files = ("config.json", "tokenizer.json", "chat_template.jinja", "spiece.model", "model.safetensors")
    for name in (*files, "1_Pooling/config.json", "2_Dense/model.safetensors"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(name.encode() * 100)
    return folder


def models_of(name: str | Path) -> Models:
    return Models(ModelChoice(str(name), str(name), str(name), device="cpu", offline=True))


# Folders


def test_a_folder_is_what_it_contains_wherever_it_lies(tmp_path: Path) -> None:
    first = model_folder(tmp_path / "one")
    second = Path(shutil.copytree(first, tmp_path / "elsewhere" / "two"))
    assert model_revision(first) == model_revision(second)
    assert (model_revision(first) or "").startswith("sha256:")


@pytest.mark.parametrize(
    "file",
    [
        "config.json",
        "chat_template.jinja",
        "spiece.model",
        "model.safetensors",
        "1_Pooling/config.json",
        "2_Dense/model.safetensors",
    ],
)
def test_every_byte_of_every_file_counts(tmp_path: Path, file: str) -> None:
    folder = model_folder(tmp_path)
    seen = {model_revision(folder)}
    content = (folder / file).read_bytes()
    for place in (0, len(content) // 2, len(content) - 1):
        changed = bytearray(content)
        changed[place] ^= 1
        (folder / file).write_bytes(changed)
        seen.add(model_revision(folder))
    assert len(seen) == 4


@pytest.mark.parametrize(
    "name", ["generation_config.json", "vocab.txt", "tokenizer.spm", "weights.gguf", "a/b"]
)
def test_a_new_file_or_another_name_counts(tmp_path: Path, name: str) -> None:
    folder = model_folder(tmp_path)
    before = model_revision(folder)
    (folder / name).parent.mkdir(exist_ok=True)
    (folder / name).touch()
    added = model_revision(folder)
    (folder / name).rename((folder / name).with_name("c"))
    assert len({before, added, model_revision(folder)}) == 3


def test_the_middle_of_a_large_file_counts(tmp_path: Path) -> None:
    file = tmp_path / "model.safetensors"
    seen = set()
    for mark in (b"\1", b"\2"):
        with file.open("wb") as out:  # a hole on the disk, so that it costs none
            out.truncate(300 << 20)
            out.seek(150 << 20)
            out.write(mark)
        os.utime(file, (1_000_000_000, 1_000_000_000))
        seen.add(model_revision(tmp_path))
    assert len(seen) == 2


def test_what_a_training_leaves_beside_a_model_is_no_part_of_it(tmp_path: Path) -> None:
    folder = model_folder(tmp_path)
    before = model_revision(folder)
    for name in ("README.md", ".git/HEAD", "optimizer.pt", "checkpoint-500/model.safetensors", "runs/events"):
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text("x")
    (folder / "gone").symlink_to(folder / "nowhere")
    assert model_revision(folder) == before


def test_links_are_followed_and_end(tmp_path: Path) -> None:
    folder = model_folder(tmp_path / "one")
    linked = tmp_path / "two"
    linked.mkdir()
    for entry in folder.iterdir():
        (linked / entry.name).symlink_to(entry)
    assert model_revision(linked) == model_revision(folder)
    (linked / "around").symlink_to(linked)
    assert model_revision(linked) == model_revision(folder)


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(path: Path, on_read: object) -> None:
        raise PermissionError(13, "Permission denied", str(path))

    folder = model_folder(tmp_path)
    monkeypatch.setattr("lampbench.files.remembered_hashes._sha256", refused)
    with pytest.raises(RequestError, match=r"model folder .*1_Pooling/config\.json: Permission denied"):
        model_revision(folder)


@pytest.mark.parametrize(
    ("name", "recorded"), [("mini-t5", "sha256:b67064db0e9cbf69"), ("mini-bert", "sha256:8c0b5ec1f53d2872")]
)
def test_the_embedded_models_stay_comparable_with_the_committed_records(
    tmp_path: Path, name: str, recorded: str
) -> None:
    assert model_revision(MINI / name) == recorded
    copy = Path(shutil.copytree(MINI / name, tmp_path / name))
    assert model_revision(copy) == recorded
    with (copy / "config.json").open("a") as file:
        file.write(" ")
    assert model_revision(copy) != recorded


def test_an_adapter_is_what_it_contains_on_what_it_is_loaded_on(tmp_path: Path) -> None:
    base = model_folder(tmp_path / "base")
    adapter = tmp_path / "adapter"
    adapter.mkdir()
    (adapter / "adapter_config.json").write_text(json.dumps({"base_model_name_or_path": str(base)}))
    (adapter / "adapter_model.safetensors").write_text("weights")
    seen = {model_revision(base), model_revision(adapter)}
    (base / "model.safetensors").write_text("others")
    seen.add(model_revision(adapter))
    (adapter / "adapter_model.safetensors").write_text("others")
    seen.add(model_revision(adapter))
    assert len(seen) == 4
    assert None not in seen
    (adapter / "adapter_config.json").write_text(json.dumps({"base_model_name_or_path": "lamp/nowhere"}))
    assert model_revision(adapter) is None


def test_a_folder_that_is_written_while_it_is_loaded_is_refused(
    tiny_llm: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = Path(shutil.copytree(tiny_llm, tmp_path / "llm"))
    load = FrozenLLM.load

    def written_meanwhile(*args: object, **options: object) -> FrozenLLM:
        llm = load(*args, **options)  # type: ignore[arg-type]
        (folder / "generation_config.json").write_text("{}")
        return llm

    monkeypatch.setattr(FrozenLLM, "load", written_meanwhile)
    with pytest.raises(RequestError, match=r"model folder '.*llm' has changed while it was loaded"):
        models_of(folder).get("llm")


def test_the_committed_runs_still_answer_the_commands_that_made_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("a model was loaded")

    monkeypatch.setattr(FrozenLLM, "load", refuse)
    committed = CHECKOUT / "results" / "mini" / "LaMP-3"
    there = Path(shutil.copytree(committed, tmp_path / "mini" / "LaMP-3"))
    records = run("all", "LaMP-3", results=tmp_path, progress="none")
    assert len(records) > 10
    for record in records:
        file = there / record.method.label / "seed0" / "record.json"
        assert (record.status, record.spec) == ("complete", None)
        assert file.read_bytes() == (committed / file.relative_to(there)).read_bytes()


# The hub


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache of the hub."""
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    if hasattr(transformers.utils.hub, "TRANSFORMERS_CACHE"):  # transformers 4
        monkeypatch.setattr(transformers.utils.hub, "TRANSFORMERS_CACHE", str(tmp_path / "hub"))
    return tmp_path / "hub"


def put_on_hub(hub: Path, name: str, folder: Path, commit: str = COMMIT) -> None:
    """A snapshot as the hub's cache holds it: links to blobs, which are named after their content."""
    model = hub / f"models--{name.replace('/', '--')}"
    for file in (path for path in folder.rglob("*") if path.is_file()):
        link = model / "snapshots" / commit / file.relative_to(folder)
        link.parent.mkdir(parents=True, exist_ok=True)
        blob = model / "blobs" / f"{abs(hash((file, commit))):x}"
        blob.parent.mkdir(exist_ok=True)
        shutil.copyfile(file, blob)
        link.symlink_to(blob)
    (model / "refs").mkdir(exist_ok=True)
    (model / "refs" / "main").write_text(commit)


@pytest.fixture(params=["with modules.json", "without"])
def encoder_folder(request: pytest.FixtureRequest, tiny_encoder: Path, tmp_path: Path) -> Path:
    """An encoder of sentence-transformers, and one of transformers alone."""
    if request.param == "without":
        return tiny_encoder
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.models import Pooling, Transformer

    transformer = Transformer(str(tiny_encoder))
    made = SentenceTransformer(modules=[transformer, Pooling(16, pooling_mode="mean")], device="cpu")
    made.save(str(tmp_path / "made"))
    return tmp_path / "made"


def test_an_encoder_of_the_hub_is_known_by_the_commit_that_is_loaded(hub: Path, encoder_folder: Path) -> None:
    put_on_hub(hub, "lamp/encoder", encoder_folder)
    models = models_of("lamp/encoder")
    before = models.identity("encoder")
    assert before["revision"] == models.encoder.revision == COMMIT
    assert models.identity("encoder") == before
    record = models.record("encoder")
    assert (record.id, record.revision) == ("lamp/encoder", COMMIT)
    newer = "f" * 40
    put_on_hub(hub, "lamp/encoder", encoder_folder, newer)
    assert models.identity("encoder") == before  # what is loaded, not what has come since
    assert models_of("lamp/encoder").identity("encoder")["revision"] == newer


def test_vectors_of_one_commit_are_not_those_of_the_next(
    hub: Path, tiny_encoder: Path, tmp_path: Path
) -> None:
    folders = set()
    for commit in (COMMIT, "f" * 40):
        put_on_hub(hub, "lamp/encoder", tiny_encoder, commit)
        encoder = TextEncoder.load("lamp/encoder", offline=True, device="cpu")
        matrix = EmbeddingStore(tmp_path / "store").open(encoder, template="t", data="d", n_rows=1)
        folders.add(matrix.folder)
    assert len(folders) == 2


def test_an_old_encoder_without_a_configuration_at_the_top_has_a_commit_too(
    hub: Path, tmp_path: Path
) -> None:
    (tmp_path / "old" / "0_Transformer").mkdir(parents=True)
    (tmp_path / "old" / "0_Transformer" / "config.json").write_text("{}")
    (tmp_path / "old" / "modules.json").write_text("[]")
    put_on_hub(hub, "lamp/old", tmp_path / "old")
    assert hub_commit("lamp/old") == COMMIT


@pytest.mark.usefixtures("hub")
@pytest.mark.parametrize("name", ["lamp/other", "./no-folder", "a/b/c", ""])
def test_what_is_not_on_this_machine_has_no_revision(name: str) -> None:
    assert hub_commit(name) is None


def test_without_a_revision_nothing_is_the_same_in_the_next_command(
    tiny_llm: Path, tiny_encoder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("lampbench.loading.checkpoint.model_revision", lambda name: None)
    monkeypatch.setattr("lampbench.models.encoder.model_revision", lambda name: None)
    monkeypatch.setattr("lampbench.models.run_models.model_revision", lambda name, on_progress: None)

    def keys() -> tuple[str, ...]:
        models = Models(ModelChoice(str(tiny_llm), str(tiny_encoder), str(tiny_encoder), device="cpu"))
        assert models.record("llm").revision is models.record("encoder").revision is None
        tuned = models.encoder.using(models.encoder.trainable_copy())
        store = EmbeddingStore(tmp_path)
        matrices = [store.open(e, template="t", data="d", n_rows=1) for e in (models.encoder, tuned)]
        return (
            models.identity("llm")["revision"],
            models.identity("encoder")["revision"],
            *(matrix.folder.name for matrix in matrices),
        )

    first = keys()
    assert keys() == first
    monkeypatch.setattr(identity, "_PROCESS", "another")
    assert not set(first) & set(keys())


# Libraries


def test_the_libraries_that_compute_are_a_part_of_a_model(
    tiny_llm: Path, tiny_encoder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    models = Models(ModelChoice(str(tiny_llm), str(tiny_encoder), str(tiny_encoder), device="cpu"))
    assert models.identity("llm")["libraries"] == library_versions("torch", "transformers", "tokenizers")
    assert models.identity("encoder")["libraries"].keys() > models.identity("llm")["libraries"].keys()
    store = EmbeddingStore(tmp_path)
    before = store.open(models.encoder, template="t", data="d", n_rows=1).folder
    monkeypatch.setattr("lampbench.caches.embedding_store.library_versions", lambda *names: {"torch": "99"})
    assert store.open(models.encoder, template="t", data="d", n_rows=1).folder != before


def test_libraries_that_are_not_installed_are_left_out() -> None:
    assert list(library_versions("no-such-library", "torch")) == ["torch"]
