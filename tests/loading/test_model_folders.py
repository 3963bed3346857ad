"""What lies in a model's folder or on the hub is loaded as what it is, or refused in one line; nothing of it runs."""

from __future__ import annotations

import io
import json
import pickle
import shutil
import socket
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import huggingface_hub
import pytest
import torch
from safetensors.torch import load_file, save_file
from tiny_encoder import CLS, write_tiny_encoder
from tiny_llms import HIDDEN, VOCABULARY, tiny_llama, tiny_t5, tiny_tokenizer

from lampbench.errors import RequestError
from lampbench.loading import hub
from lampbench.models.encoder import TextEncoder
from lampbench.models.frozen_llm import FrozenLLM
from lampbench.models.requests import Request

LIMITS: dict[str, int] = {"max_input_tokens": 20, "max_new_tokens": 6}
LOADERS: dict[str, Callable[..., Any]] = {"llm": FrozenLLM.load, "encoder": TextEncoder.load}


def edit(file: Path, **values: Any) -> None:
    content = json.loads(file.read_text()) if file.is_file() else {}
    file.write_text(json.dumps(content | values))


# Foreign code


@pytest.fixture(params=LOADERS)
def kind(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture
def folder(kind: str, tmp_path: Path) -> Path:
    """An LLM or an encoder."""
    return tiny_t5(tmp_path / "m") if kind == "llm" else write_tiny_encoder(tmp_path / "m", pooling=CLS)


@pytest.fixture
def ran(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The file that foreign code writes when it runs. Whoever is asked says yes."""
    monkeypatch.setattr("builtins.input", lambda *question: "yes")
    return tmp_path / "ran"


def bring_code(folder: Path, ran: Path) -> None:
    (folder / "mine.py").write_text(f"open({str(ran)!r}, 'w').close()\n")


def test_a_model_that_needs_code_of_its_own_is_refused_and_the_code_never_runs(
    kind: str, folder: Path, ran: Path
) -> None:
    bring_code(folder, ran)
    classes = {"AutoConfig": "mine.Config", "AutoModel": "mine.Model", "AutoModelForSeq2SeqLM": "mine.Model"}
    edit(folder / "config.json", model_type="mine", auto_map=classes)
    with pytest.raises(RequestError, match="runs no code that comes with a model") as caught:
        LOADERS[kind](folder, device="cpu")
    assert str(folder) in str(caught.value)
    assert "\n" not in str(caught.value)
    assert not ran.exists()


def test_code_beside_a_model_that_transformers_knows_is_left_alone(
    kind: str, folder: Path, ran: Path
) -> None:
    bring_code(folder, ran)
    (folder / "custom_generate").mkdir()
    shutil.copy(folder / "mine.py", folder / "custom_generate" / "generate.py")
    edit(folder / "config.json", auto_map={"AutoModel": "mine.Model", "AutoModelForSeq2SeqLM": "mine.Model"})
    edit(folder / "tokenizer_config.json", auto_map={"AutoTokenizer": ["mine.Tokenizer", None]})
    LOADERS[kind](folder, device="cpu")
    assert not ran.exists()


def test_modules_of_a_folders_own_are_named_and_never_imported(tmp_path: Path, ran: Path) -> None:
    folder = write_tiny_encoder(tmp_path / "m", pooling=CLS, modules=["Transformer", "Pooling", "Normalize"])
    bring_code(folder, ran)
    modules = json.loads((folder / "modules.json").read_text())
    modules[2]["type"] = "mine.Mine"
    (folder / "modules.json").write_text(json.dumps(modules))
    with pytest.raises(RequestError, match=r"modules.json lists a mine\.Mine: .* runs no code"):
        TextEncoder.load(folder, device="cpu")
    assert not ran.exists()


class Bomb:
    """Runs when it is unpickled."""

    def __init__(self, ran: Path) -> None:
        self.ran = ran

    def __reduce__(self) -> Any:
        return (open, (str(self.ran), "w"))


def test_code_in_pickled_weights_never_runs(kind: str, folder: Path, ran: Path) -> None:
    weights: dict[str, Any] = load_file(folder / "model.safetensors")
    torch.save(weights | {"bomb": Bomb(ran)}, folder / "pytorch_model.bin", pickle_module=pickle)
    (folder / "model.safetensors").unlink()
    with pytest.raises(RequestError, match="a pickled file holds more than weights") as caught:
        LOADERS[kind](folder, device="cpu")
    assert "\n" not in str(caught.value)
    assert not ran.exists()


# The hub


@pytest.fixture
def no_hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """An empty cache and a hub that refuses connections; whoever tries is listed."""
    tried: list[Any] = []

    def refuse(*address: Any, **options: Any) -> Any:
        tried.append(address)
        raise OSError("no network here")

    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setenv("HF_HUB_OFFLINE", "0")
    hub.answers.cache_clear()
    return tried


# Of the second encoder the pooling is known by its name, so that its weights are asked for too.
NAMES = [("llm", "me/llm"), ("encoder", "me/encoder"), ("encoder", "facebook/contriever")]


@pytest.mark.parametrize(("kind", "name"), NAMES)
def test_offline_nobody_is_asked(no_hub: list[Any], kind: str, name: str) -> None:
    with pytest.raises(RequestError, match=f"'{name}' is not .*on this machine"):
        LOADERS[kind](name, device="cpu", offline=True)
    assert not no_hub


@pytest.mark.parametrize(("kind", "name"), NAMES)
def test_a_hub_that_does_not_answer_is_asked_once(no_hub: list[Any], kind: str, name: str) -> None:
    start = time.monotonic()
    with pytest.raises(RequestError, match=f"'{name}' is not .*on this machine") as caught:
        LOADERS[kind](name, device="cpu")
    assert "\n" not in str(caught.value)
    assert len(no_hub) <= 2  # a library may try two kinds of addresses
    assert time.monotonic() - start < 10


# The T5 family


@pytest.mark.parametrize("umt5", [False, True])
def test_in_the_t5_family_a_file_without_a_head_is_of_a_tied_model(tmp_path: Path, umt5: bool) -> None:
    folder = tiny_t5(tmp_path, tied=True, umt5=umt5)
    edit(folder / "config.json", tie_word_embeddings=False)
    model = FrozenLLM.load(folder).model
    assert model.lm_head.weight is model.shared.weight
    assert torch.equal(model.shared.weight, load_file(folder / "model.safetensors")["shared.weight"])


def test_a_long_t5_without_a_head_runs(tmp_path: Path) -> None:
    from transformers import LongT5Config, LongT5ForConditionalGeneration

    torch.manual_seed(0)
    shape: dict[str, Any] = {"vocab_size": VOCABULARY, "d_model": HIDDEN, "d_kv": 4, "d_ff": 32}
    shape |= {
        "num_layers": 1,
        "num_heads": 4,
        "pad_token_id": 0,
        "eos_token_id": 1,
        "decoder_start_token_id": 0,
    }
    LongT5ForConditionalGeneration(LongT5Config(**shape)).save_pretrained(tmp_path)
    tiny_tokenizer(closes=True).save_pretrained(tmp_path)
    edit(tmp_path / "config.json", tie_word_embeddings=False)
    llm = FrozenLLM.load(tmp_path)
    assert llm.model.lm_head.weight is llm.model.shared.weight
    assert llm.generate(["w5 w6"], **LIMITS)[0].generated_tokens > 0


def test_elsewhere_a_head_that_is_promised_must_be_there(tmp_path: Path) -> None:
    folder = tiny_llama(tmp_path)
    weights = load_file(folder / "model.safetensors")
    del weights["lm_head.weight"]
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(RequestError, match=r"its weights lack lm_head\.weight"):
        FrozenLLM.load(folder)


def test_a_flan_t5_that_transformers_has_saved_answers_as_before(tmp_path: Path) -> None:
    from transformers import T5ForConditionalGeneration

    original = tiny_t5(tmp_path / "original")
    T5ForConditionalGeneration.from_pretrained(original).save_pretrained(tmp_path / "saved")
    tiny_tokenizer(closes=True).save_pretrained(tmp_path / "saved")
    limits = {"max_input_tokens": 9, "max_target_tokens": 9}
    first, again = (
        FrozenLLM.load(tmp_path / name).loss(["w5 w6"], ["w7"], **limits) for name in ("original", "saved")
    )
    assert first.item() == again.item()


# A language model within a larger one


def test_of_a_model_that_sees_the_language_model_is_loaded(tmp_path: Path) -> None:
    from transformers import Gemma3Config, Gemma3ForCausalLM, Gemma3ForConditionalGeneration

    torch.manual_seed(0)
    text = {"vocab_size": VOCABULARY, "hidden_size": HIDDEN, "intermediate_size": 32, "num_hidden_layers": 2}
    text |= {"num_attention_heads": 2, "num_key_value_heads": 1, "head_dim": 8, "initializer_range": 0.5}
    text |= {"pad_token_id": 0, "eos_token_id": 1, "bos_token_id": 3}
    vision = {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}
    vision |= {"image_size": 28, "patch_size": 14}
    config = Gemma3Config(text_config=text, vision_config=vision, mm_tokens_per_image=4, image_token_index=60)
    whole = Gemma3ForConditionalGeneration(config).eval()
    whole.save_pretrained(tmp_path)
    tiny_tokenizer(opens=True).save_pretrained(tmp_path)
    llm = FrozenLLM.load(tmp_path)
    assert isinstance(llm.model, Gemma3ForCausalLM)
    ids = torch.tensor([[3, 5, 6, 7]])
    with torch.no_grad():
        torch.testing.assert_close(llm.model(ids).logits, whole(ids).logits)
        # What soft vectors that are tokens' own embeddings say is what the tokens say.
        soft = llm.model.get_input_embeddings()(ids[:, :2])[0]
    (plain,) = llm.generate(["w5 w6 w7"], **LIMITS)
    llm.save(tmp_path / "again")
    assert FrozenLLM.load(tmp_path / "again").generate(["w5 w6 w7"], **LIMITS) == [plain]
    alone = Request("w6 w7", soft)
    llm.tokenizer.backend_tokenizer.post_processor = tiny_tokenizer().backend_tokenizer.post_processor
    (mixed,) = llm.generate([alone], **LIMITS)
    assert mixed.text == plain.text
    assert mixed.soft_tokens == 2


# Adapters


@pytest.fixture
def adapter(tmp_path: Path) -> Path:
    """An adapter for the T5 beside it."""
    from peft import LoraConfig, get_peft_model
    from transformers import T5ForConditionalGeneration

    base = tiny_t5(tmp_path / "t5")
    model = T5ForConditionalGeneration.from_pretrained(base)
    torch.manual_seed(0)
    config = LoraConfig(r=2, target_modules=["q", "v"], init_lora_weights=False, task_type="SEQ_2_SEQ_LM")
    get_peft_model(model, config).save_pretrained(tmp_path / "adapter")
    edit(tmp_path / "adapter" / "adapter_config.json", base_model_name_or_path=str(base))
    return tmp_path / "adapter"


def test_an_adapter_is_loaded_on_the_model_that_it_names(adapter: Path, tmp_path: Path) -> None:
    from peft import PeftModel
    from transformers import T5ForConditionalGeneration

    base = FrozenLLM.load(tmp_path / "t5")
    llm = FrozenLLM.load(adapter)  # the tokenizer is the base's
    assert (llm.id, llm.n_parameters) == ("adapter", base.n_parameters)
    assert llm.revision != base.revision
    with torch.no_grad():
        theirs = PeftModel.from_pretrained(
            T5ForConditionalGeneration.from_pretrained(tmp_path / "t5"), adapter
        )
        inputs = {"input_ids": torch.tensor([[5, 6, 1]]), "decoder_input_ids": torch.tensor([[0, 7]])}
        expected = theirs.eval()(**inputs).logits
        torch.testing.assert_close(llm.model(**inputs).logits, expected, rtol=1e-4, atol=1e-4)
        assert not torch.allclose(base.model(**inputs).logits, expected, atol=0.1)
    weights = load_file(tmp_path / "t5" / "model.safetensors")
    assert torch.equal(llm.model.lm_head.weight, weights["lm_head.weight"])
    assert torch.equal(llm.model.shared.weight, weights["shared.weight"])


def test_the_revision_of_an_adapter_tells_of_its_base_too(adapter: Path, tmp_path: Path) -> None:
    before = FrozenLLM.load(adapter).revision
    file = tmp_path / "t5" / "model.safetensors"
    weights = load_file(file)
    weights["shared.weight"][5] += 1
    save_file(weights, file, metadata={"format": "pt"})
    assert FrozenLLM.load(adapter).revision != before


def lose_a_matrix(folder: Path) -> None:
    weights = load_file(folder / "adapter_model.safetensors")
    del weights[sorted(weights)[0]]
    save_file(weights, folder / "adapter_model.safetensors")


WRONG: dict[str, tuple[Callable[[Path], None], str]] = {
    "no base": (
        lambda f: edit(f / "adapter_config.json", base_model_name_or_path=None),
        "has no base_model_name_or_path",
    ),
    "no such base": (
        lambda f: edit(f / "adapter_config.json", base_model_name_or_path="/nowhere/t5"),
        "adapter for '/nowhere/t5', and there is no such folder",
    ),
    "a base in nobody's home": (
        lambda f: edit(f / "adapter_config.json", base_model_name_or_path="~nobody-here/t5"),
        "adapter for '~nobody-here/t5', and there is no such folder",
    ),
    "itself as base": (
        lambda f: edit(f / "adapter_config.json", base_model_name_or_path=str(f)),
        "which is an adapter too: merge that one first",
    ),
    "a base that is not here": (
        lambda f: edit(f / "adapter_config.json", base_model_name_or_path="me/t5"),
        "adapter for 'me/t5': LLM 'me/t5' is not on this machine",
    ),
    "no weights": (
        lambda f: (f / "adapter_model.safetensors").unlink(),
        r"has no weights: expected adapter_model\.safetensors",
    ),
    "half of the weights": (lose_a_matrix, "weights are not those that its adapter_config.json tells of"),
    "other layers": (
        lambda f: edit(f / "adapter_config.json", target_modules=["query"]),
        "does not fit the model that it names",
    ),
    "soft prompts": (
        lambda f: (f / "adapter_config.json").write_text(
            json.dumps(
                {
                    "peft_type": "PROMPT_TUNING",
                    "task_type": "SEQ_2_SEQ_LM",
                    "num_virtual_tokens": 2,
                    "base_model_name_or_path": str(f.parent / "t5"),
                }
            )
        ),
        "of kind PROMPT_TUNING, which cannot be merged",
    ),
}


@pytest.mark.parametrize("name", WRONG)
def test_an_adapter_that_cannot_be_used_is_told(adapter: Path, name: str) -> None:
    damage, reason = WRONG[name]
    damage(adapter)
    with pytest.raises(RequestError, match=reason) as caught:
        FrozenLLM.load(adapter)
    assert str(adapter) in str(caught.value)
    assert "\n" not in str(caught.value)


# Formats


def test_gguf_weights_are_told_from_a_model(tmp_path: Path) -> None:
    (tmp_path / "model.Q4_K_M.gguf").write_bytes(b"GGUF")
    told = r"GGUF weights, which llama\.cpp reads and lampbench does not"
    for name in (tmp_path, tmp_path / "model.Q4_K_M.gguf"):
        with pytest.raises(RequestError, match=told):
            FrozenLLM.load(name)
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(RequestError, match=told):
        FrozenLLM.load(tmp_path)


def sentencepiece_folder(folder: Path) -> tuple[Path, Any]:
    """A T5 whose tokenizer is a SentencePiece model only, and that model."""
    sentencepiece = pytest.importorskip("sentencepiece", reason="the extra 'sentencepiece' is not installed")
    model = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(["cats like red fish", "the lamp is by the river"] * 5),
        model_writer=model,
        vocab_size=34,
        hard_vocab_limit=False,
        pad_id=0,
        eos_id=1,
        unk_id=2,
        bos_id=-1,
        minloglevel=2,
    )
    tiny_t5(folder, vocabulary=160)
    for file in folder.glob("*token*"):
        file.unlink()
    (folder / "spiece.model").write_bytes(model.getvalue())
    return folder, sentencepiece.SentencePieceProcessor(model_proto=model.getvalue())


def test_a_tokenizer_that_is_a_sentencepiece_model_is_read(tmp_path: Path) -> None:
    pytest.importorskip("google.protobuf", reason="the extra 'sentencepiece' is not installed")
    folder, processor = sentencepiece_folder(tmp_path)
    llm = FrozenLLM.load(folder)
    text = "cats like the lamp"
    assert llm.tokenizer(text)["input_ids"] == [*processor.encode(text), 1]


def test_without_the_extra_it_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder, _ = sentencepiece_folder(tmp_path)

    def refuse(*args: Any, **options: Any) -> Any:
        raise ValueError("`tiktoken` is required to read a `tiktoken` file")

    monkeypatch.setattr("transformers.AutoTokenizer.from_pretrained", refuse)
    with pytest.raises(RequestError, match=r"pip install 'lampbench\[sentencepiece\]'"):
        FrozenLLM.load(folder)
