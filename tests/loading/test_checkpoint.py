"""The model in memory is the checkpoint's, however it is loaded, copied, tuned, saved or dispatched; and what
cannot be loaded is named in one line."""

from __future__ import annotations

import copy
import json
import logging
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import huggingface_hub
import pytest
import torch
import transformers
from safetensors.torch import load_file, save_file
from tiny_llms import TINY_LLMS, open_tiny, tiny_llama, tiny_qwen2, tiny_t5, tiny_tokenizer
from transformers import GPTNeoXConfig, GPTNeoXForCausalLM

from lampbench.errors import LampbenchError, RequestError, RunError
from lampbench.loading.checkpoint import copy_model, quiet_transformers
from lampbench.models.frozen_llm import FrozenLLM

LIMITS: dict[str, int] = {"max_input_tokens": 9, "max_new_tokens": 6}


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A T5 in the FLAN shape, whose head is not its embeddings."""
    return tiny_t5(tmp_path_factory.mktemp("llms") / "t5")


@pytest.fixture
def folder(original: Path, tmp_path: Path) -> Path:
    """A copy of it to damage."""
    return Path(shutil.copytree(original, tmp_path / "llm"))


def edit(folder: Path, **values: Any) -> None:
    file = folder / "config.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | values))


def weights_of(folder: Path) -> dict[str, torch.Tensor]:
    return load_file(folder / "model.safetensors")


def write_weights(folder: Path, weights: dict[str, torch.Tensor]) -> None:
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})


def assert_is(model: Any, folder: Path, dtype: torch.dtype = torch.float32) -> None:
    """Head and embeddings of `model` are those on disk, and differ from each other."""
    disk = {name: weight.to(dtype) for name, weight in weights_of(folder).items()}
    assert torch.equal(model.lm_head.weight, disk["lm_head.weight"])
    for embedding in (model.shared, model.encoder.embed_tokens, model.decoder.embed_tokens):
        assert torch.equal(embedding.weight, disk["shared.weight"])
    assert not torch.equal(model.lm_head.weight, model.shared.weight)


# Weights


def test_loading_and_generating_keep_the_head(original: Path) -> None:
    llm = FrozenLLM.load(original)
    llm.generate(["w5 w6", "w7"], **LIMITS)
    llm.loss(["w5"], ["w6"], max_input_tokens=9, max_target_tokens=9)

    assert_is(llm.model, original)


def test_loading_in_bf16_keeps_the_head(original: Path) -> None:
    assert_is(FrozenLLM.load(original, dtype="bf16").model, original, torch.bfloat16)


def test_gelu_is_one_operation_with_the_numbers_of_eight(original: Path) -> None:
    written_out = transformers.T5ForConditionalGeneration.from_pretrained(original).eval()
    fused = FrozenLLM.load(original, device="cpu").model
    kinds = {type(module).__name__ for module in fused.modules()}
    assert "GELU" in kinds
    assert "NewGELUActivation" not in kinds
    ids = torch.arange(3, 11)[None]
    with torch.no_grad():
        expected, logits = (m(input_ids=ids, decoder_input_ids=ids).logits for m in (written_out, fused))
    assert expected.abs().max() > 0.1
    torch.testing.assert_close(logits, expected, rtol=1e-5, atol=1e-5)


def test_copying_keeps_the_head(original: Path) -> None:
    llm = FrozenLLM.load(original)
    tuned = llm.trainable_copy()

    for twin in (tuned, copy_model(llm.model), copy.deepcopy(llm.model), llm.using(tuned).model):
        assert_is(twin, original)
        assert twin.lm_head.weight is not llm.model.lm_head.weight
    assert all(p.requires_grad for p in tuned.parameters())


def test_saving_and_loading_keep_the_head_and_the_outputs(original: Path, tmp_path: Path) -> None:
    llm = FrozenLLM.load(original)
    llm.save(tmp_path / "again")
    again = FrozenLLM.load(tmp_path / "again")

    assert_is(again.model, original)
    assert again.generate(["w5 w6"], **LIMITS) == llm.generate(["w5 w6"], **LIMITS)
    limits = {"max_input_tokens": 9, "max_target_tokens": 9}
    assert torch.equal(again.loss(["w5"], ["w6"], **limits), llm.loss(["w5"], ["w6"], **limits))


def test_reading_tuned_weights_into_a_copy_keeps_head_and_embeddings_apart(original: Path) -> None:
    twin = FrozenLLM.load(original).trainable_copy()
    tuned = {name: weight + 1 for name, weight in weights_of(original).items()}
    twin.load_state_dict(tuned, strict=False)

    assert torch.equal(twin.lm_head.weight, tuned["lm_head.weight"])
    assert torch.equal(twin.shared.weight, tuned["shared.weight"])


def test_tying_the_weights_of_a_loaded_model_does_nothing(original: Path) -> None:
    model = FrozenLLM.load(original).model
    model.tie_weights()

    assert_is(model, original)


def test_dispatching_to_devices_keeps_the_head(original: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from accelerate import dispatch_model

    llm = FrozenLLM.load(original)
    dispatched = dispatch_model(llm.trainable_copy(), {"": "cpu"}, force_hooks=True)
    assert_is(dispatched, original)
    assert_is(copy_model(dispatched), original)
    assert llm.using(dispatched).generate(["w5 w6"], **LIMITS) == llm.generate(["w5 w6"], **LIMITS)

    placed, _ = transformers.AutoModelForSeq2SeqLM.from_pretrained(
        original, device_map={"": "cpu"}, output_loading_info=True
    )
    assert_is(placed, original)


@pytest.mark.parametrize(("tied", "scale"), [(False, 1.0), (True, 16**-0.5)])
@pytest.mark.parametrize("umt5", [False, True])
def test_outputs_are_scaled_only_where_the_head_is_the_embeddings(
    tmp_path: Path, tied: bool, scale: float, umt5: bool
) -> None:
    model = FrozenLLM.load(tiny_t5(tmp_path, tied=tied, umt5=umt5)).model
    with torch.no_grad():
        out = model(
            input_ids=torch.tensor([[5, 6, 1]]),
            decoder_input_ids=torch.tensor([[0, 7]]),
            output_hidden_states=True,
        )
        expected = scale * out.decoder_hidden_states[-1] @ model.lm_head.weight.T

    assert torch.allclose(out.logits, expected, rtol=1e-4, atol=1e-5)
    assert (model.lm_head.weight is model.shared.weight) == tied


@pytest.mark.parametrize("what", ["lm_head", "shared"])
def test_a_replaced_matrix_is_noticed(original: Path, monkeypatch: pytest.MonkeyPatch, what: str) -> None:
    kind = transformers.AutoModelForSeq2SeqLM
    load = kind.from_pretrained

    def replacing(*args: Any, **options: Any) -> Any:
        model, info = load(*args, **options)
        if what == "lm_head":
            model.lm_head.weight = model.shared.weight
        else:
            model.set_input_embeddings(torch.nn.Embedding(64, 16, _weight=model.lm_head.weight.detach()))
        return model, info

    monkeypatch.setattr(kind, "from_pretrained", replacing)
    with pytest.raises(RunError, match=rf"in memory and in the checkpoint \({what}.weight\) differ"):
        FrozenLLM.load(original)


def test_a_decoder_only_head_is_proven_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tiny_llama(tmp_path)
    kind = transformers.AutoModelForCausalLM
    load = kind.from_pretrained

    def tying(*args: Any, **options: Any) -> Any:
        model, info = load(*args, **options)
        model.lm_head.weight = model.model.embed_tokens.weight
        return model, info

    monkeypatch.setattr(kind, "from_pretrained", tying)
    with pytest.raises(RunError, match="output head"):
        FrozenLLM.load(folder)


def test_a_head_of_another_name_is_found_by_its_value(
    tmp_path: Path,
) -> None:
    config = GPTNeoXConfig(
        vocab_size=64, hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=32
    )
    model = GPTNeoXForCausalLM(config)
    model.save_pretrained(tmp_path)  # transformers 5 writes as embed_out what it calls lm_head
    tiny_tokenizer().save_pretrained(tmp_path)

    loaded = FrozenLLM.load(tmp_path).model
    assert torch.equal(loaded.get_output_embeddings().weight, model.get_output_embeddings().weight)


def split_into_shards(folder: Path) -> None:
    weights = weights_of(folder)
    names = sorted(weights)
    parts = {"model-00001-of-00002.safetensors": names[::2], "model-00002-of-00002.safetensors": names[1::2]}
    for file, part in parts.items():
        save_file({name: weights[name] for name in part}, folder / file, metadata={"format": "pt"})
    index = {"metadata": {}, "weight_map": {name: file for file, part in parts.items() for name in part}}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    (folder / "model.safetensors").unlink()


def pickle_weights(folder: Path) -> None:
    torch.save(weights_of(folder), folder / "pytorch_model.bin")
    (folder / "model.safetensors").unlink()


@pytest.mark.parametrize("store", [split_into_shards, pickle_weights])
def test_weights_in_shards_or_pickled_are_proven(
    original: Path, folder: Path, store: Callable[[Path], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    store(folder)
    assert_is(FrozenLLM.load(folder).model, original)

    monkeypatch.setattr(torch, "equal", lambda one, other: False)
    with pytest.raises(RunError, match="differ"):
        FrozenLLM.load(folder)


# Folders that cannot be loaded


def cut(file: str, n_bytes: int) -> Callable[[Path], None]:
    return lambda folder: (folder / file).write_bytes((folder / file).read_bytes()[:n_bytes]) and None


def remove(*files: str) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        for file in files:
            (folder / file).unlink()

    return change


def write(file: str, text: str) -> Callable[[Path], None]:
    return lambda folder: (folder / file).write_text(text) and None


def without(part: str) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        write_weights(folder, {name: w for name, w in weights_of(folder).items() if part not in name})

    return change


def lose_a_shard(folder: Path) -> None:
    split_into_shards(folder)
    (folder / "model-00002-of-00002.safetensors").unlink()


BROKEN: dict[str, tuple[Callable[[Path], None], str]] = {
    "no configuration": (remove("config.json"), "has no config.json"),
    "half a configuration": (cut("config.json", 40), "config.json is not valid JSON"),
    "a list": (write("config.json", "[]"), "config.json is not a JSON object"),
    "no weights": (remove("model.safetensors"), "has no weights: expected model.safetensors"),
    "half of the weights": (cut("model.safetensors", 3000), "damaged or incomplete"),
    "a Git LFS pointer": (write("model.safetensors", "version https://git-lfs"), "damaged or incomplete"),
    "no tokenizer": (remove("tokenizer.json"), "has no tokenizer: expected tokenizer.json"),
    "half a tokenizer": (cut("tokenizer.json", 400), "its tokenizer cannot be read"),
    "an unknown architecture": (lambda f: edit(f, model_type="lamponet"), "model type `lamponet`"),
    "an encoder": (lambda f: edit(f, model_type="vit"), "no encoder-decoder or decoder-only language model"),
    "another width": (lambda f: edit(f, d_ff=64), "has another shape in the weights than config.json says"),
    "a missing layer": (without("block.1"), r"its weights lack decoder.block.1.*and \d+ more"),
    "a missing shard": (lose_a_shard, "model-00002-of-00002.safetensors"),
    "another vocabulary": (lambda f: _shrink_vocabulary(f), "the tokenizer belongs to another model"),
}


def _shrink_vocabulary(folder: Path) -> None:
    edit(folder, vocab_size=50)
    weights = weights_of(folder)
    for name in ("shared.weight", "lm_head.weight"):
        weights[name] = weights[name][:50].clone()
    write_weights(folder, weights)


@pytest.mark.parametrize("name", BROKEN)
def test_a_folder_that_cannot_be_loaded_is_named_with_the_reason(folder: Path, name: str) -> None:
    damage, reason = BROKEN[name]
    damage(folder)

    with pytest.raises(RequestError, match=reason) as caught:
        FrozenLLM.load(folder)
    assert str(folder) in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "error", [torch.OutOfMemoryError("CUDA out of memory"), RuntimeError("can't allocate memory: 9 GB")]
)
def test_a_model_that_is_too_large_is_not_called_broken(
    original: Path, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    def full(*args: Any, **options: Any) -> Any:
        raise error

    monkeypatch.setattr(transformers.AutoModelForSeq2SeqLM, "from_pretrained", full)
    with pytest.raises(RunError, match="does not fit into memory: use --dtype bf16"):
        FrozenLLM.load(original)


@pytest.mark.parametrize("name", ["/nowhere/at/all", "./llm", "~/no-such-folder", "a/b/c"])
def test_a_path_that_is_no_folder_is_not_looked_up_on_the_hub(name: str) -> None:
    with pytest.raises(RequestError, match=f"'{name}': there is no such folder"):
        FrozenLLM.load(name)


def test_a_file_is_no_folder(original: Path) -> None:
    with pytest.raises(RequestError, match="is a file: name the folder"):
        FrozenLLM.load(original / "config.json")


def test_a_device_that_is_not_there_is_refused_before_loading(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(RequestError, match="torch"):
        FrozenLLM.load("/nowhere", device="cuda")


def test_a_batch_holds_something(original: Path) -> None:
    with pytest.raises(RequestError, match="batch_tokens is 0"):
        FrozenLLM.load(original, batch_tokens=0)


# The hub's cache


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache of the hub."""
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path))
    if hasattr(transformers.utils.hub, "TRANSFORMERS_CACHE"):  # transformers 4
        monkeypatch.setattr(transformers.utils.hub, "TRANSFORMERS_CACHE", str(tmp_path))
    return tmp_path


def test_a_hub_model_is_recorded_with_its_commit(hub: Path, original: Path) -> None:
    commit = "0123456789abcdef0123456789abcdef01234567"
    model = hub / "models--lamp--tiny"
    shutil.copytree(original, model / "snapshots" / commit)
    (model / "refs").mkdir()
    (model / "refs" / "main").write_text(commit)
    llm = FrozenLLM.load("lamp/tiny", offline=True)

    assert (llm.id, llm.revision) == ("lamp/tiny", commit)
    assert_is(llm.model, original)


@pytest.mark.usefixtures("hub")
@pytest.mark.parametrize("offline", [True, False])
def test_a_hub_model_that_is_not_here_is_named_when_offline(
    monkeypatch: pytest.MonkeyPatch, offline: bool
) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "0" if offline else "1")
    with pytest.raises(RequestError, match="'lamp/other' is not on this machine and the run is offline"):
        FrozenLLM.load("lamp/other", offline=offline)


# Identity


def test_a_folder_is_known_by_its_content_wherever_it_lies(original: Path, folder: Path) -> None:
    there, here = FrozenLLM.load(original), FrozenLLM.load(folder)

    assert (there.id, here.id) == ("t5", "llm")
    assert there.revision == here.revision
    assert (here.revision or "").startswith("sha256:")
    weights = weights_of(folder)
    weights["lm_head.weight"][3, 3] += 1
    write_weights(folder, weights)
    assert FrozenLLM.load(folder).revision != there.revision


# Noise


@pytest.mark.parametrize("kind", TINY_LLMS)
def test_loading_is_silent_and_leaves_the_librarys_settings_alone(
    kind: str, tmp_path: Path, capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    folder = TINY_LLMS[kind](tmp_path / kind)
    log = transformers.utils.logging
    log.enable_progress_bar()
    before = (log.get_verbosity(), log.is_progress_bar_enabled())
    capfd.readouterr()
    logging.getLogger("transformers").addHandler(caplog.handler)
    open_tiny(folder).save(tmp_path / "saved")
    logging.getLogger("transformers").removeHandler(caplog.handler)

    assert capfd.readouterr() == ("", "")
    assert not caplog.records
    assert (log.get_verbosity(), log.is_progress_bar_enabled()) == before


def test_quiet_is_over_after_an_error_too() -> None:
    log = transformers.utils.logging
    before = log.get_verbosity()
    with pytest.raises(LampbenchError), quiet_transformers():
        raise RunError("stop")

    assert log.get_verbosity() == before


def test_a_tied_decoder_only_model_stays_tied(tmp_path: Path) -> None:
    llm = FrozenLLM.load(tiny_qwen2(tmp_path))
    tuned = llm.trainable_copy()

    assert tuned.lm_head.weight is tuned.model.embed_tokens.weight
    assert tuned.lm_head.weight is not llm.model.lm_head.weight
