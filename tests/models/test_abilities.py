"""What a method needs of an LLM is tried out when it is loaded, before anything is embedded or trained."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from tiny_llms import HIDDEN, TINY_LLMS, VOCABULARY, open_tiny, tiny_llama, tiny_t5, tiny_tokenizer
from transformers import OpenAIGPTConfig, OpenAIGPTLMHeadModel

from lampbench.errors import RequestError
from lampbench.files.folders import cache_dir
from lampbench.models.frozen_llm import FrozenLLM
from lampbench.models.requests import Request
from lampbench.runner.run import run

LIMITS: dict[str, Any] = {"max_input_tokens": 20, "max_target_tokens": 6}


@pytest.fixture(scope="module")
def gpt(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An LLM whose class generates from token ids only."""
    folder = tmp_path_factory.mktemp("gpt")
    shape: dict[str, Any] = {"vocab_size": VOCABULARY, "n_embd": HIDDEN, "n_layer": 1, "n_head": 2}
    torch.manual_seed(0)
    OpenAIGPTLMHeadModel(OpenAIGPTConfig(**shape, eos_token_id=1)).save_pretrained(folder)
    tiny_tokenizer().save_pretrained(folder)
    return folder


@pytest.mark.parametrize("kind", TINY_LLMS)
def test_the_usual_llms_can_do_all(kind: str, tmp_path: Path) -> None:
    llm = open_tiny(TINY_LLMS[kind](tmp_path))
    weights = {name: weight.clone() for name, weight in llm.model.state_dict().items()}
    llm.abilities.check_soft_vectors()
    llm.abilities.check_tunable()
    llm.abilities.check_adapters(["q", "v"])
    assert not llm.model.training
    assert all(torch.equal(weights[name], weight) for name, weight in llm.model.state_dict().items())
    assert not any(module._forward_hooks for module in llm.model.modules())


def test_an_llm_that_generates_from_tokens_only_is_refused_where_soft_vectors_go_in(gpt: Path) -> None:
    llm = FrozenLLM.load(gpt, device="cpu")
    soft = torch.zeros(2, HIDDEN, requires_grad=True)
    for ask in (
        llm.abilities.check_soft_vectors,
        lambda: llm.loss([Request("w5", soft)], ["w6"], **LIMITS),  # before the first step of a training
        lambda: llm.generate([Request("w5", soft)], max_input_tokens=20, max_new_tokens=4),
    ):
        with pytest.raises(
            RequestError, match=r"takes no soft vectors .*generates from tokens only"
        ) as caught:
            ask()
        assert "\n" not in str(caught.value)
    assert llm.generate(["w5"], max_input_tokens=20, max_new_tokens=4)


def test_a_run_is_refused_before_anything_is_trained(
    gpt: Path, tiny_encoder: Path, tiny_data: Path, tmp_path: Path
) -> None:
    options: dict[str, Any] = {"data": tiny_data, "results": tmp_path, "progress": "none", "device": "cpu"}
    with pytest.raises(RequestError, match="takes no soft vectors"):
        run("pplug", "LaMP-3", llm=str(gpt), encoder=str(tiny_encoder), **options)
    assert not list(tmp_path.rglob("record.json"))
    assert not (cache_dir() / "fits").exists()
    assert not (cache_dir() / "embeddings").exists()
    with pytest.raises(RequestError, match="the LLM has no layers named 'q'; it has c_attn"):
        run("lora", "LaMP-3", llm=str(gpt), encoder=str(tiny_encoder), **options)
    assert not (cache_dir() / "fits").exists()


def test_an_llm_that_looks_up_more_by_the_token_than_its_embedding_is_refused(tmp_path: Path) -> None:
    llm = FrozenLLM.load(tiny_llama(tmp_path), device="cpu")
    forward = llm.model.forward

    def with_more(input_ids: Any = None, **inputs: Any) -> Any:
        out = forward(input_ids=input_ids, **inputs)
        if input_ids is not None:
            kept = inputs.get("logits_to_keep", slice(None))
            out.logits[..., 7] += input_ids[:, kept].float()
        return out

    with_more.__signature__ = __import__("inspect").signature(forward)  # type: ignore[attr-defined]
    llm.model.forward = with_more
    with pytest.raises(RequestError, match="a token's embedding is not all of the token"):
        llm.abilities.check_soft_vectors()


def test_quantized_weights_are_not_tuned(tmp_path: Path) -> None:
    llm = FrozenLLM.load(tiny_t5(tmp_path), device="cpu")
    llm.model.hf_quantizer = object()
    with pytest.raises(RequestError, match="are quantized and cannot be trained"):
        llm.abilities.check_tunable()


def test_layers_that_mix_the_requests_of_a_batch_take_no_adapters(tmp_path: Path) -> None:
    from transformers import SwitchTransformersConfig, SwitchTransformersForConditionalGeneration

    torch.manual_seed(0)
    config = SwitchTransformersConfig(
        vocab_size=VOCABULARY, d_model=HIDDEN, d_kv=4, d_ff=32, num_layers=2, num_heads=4, num_experts=2,
        num_sparse_encoder_layers=1, num_sparse_decoder_layers=1, decoder_start_token_id=0, pad_token_id=0,
    )  # fmt: skip
    SwitchTransformersForConditionalGeneration(config).save_pretrained(tmp_path)
    tiny_tokenizer(closes=True).save_pretrained(tmp_path)
    llm = FrozenLLM.load(tmp_path, device="cpu")
    llm.abilities.check_adapters(["q", "v"])
    with pytest.raises(RequestError, match=r"its layer .* name other layers in the option targets"):
        llm.abilities.check_adapters(["wi"])
