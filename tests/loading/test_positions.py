"""Models are given as many tokens as they have positions for, wherever their tables begin to count."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from tiny_encoder import MEAN
from tiny_llms import VOCABULARY, tiny_tokenizer

from lampbench.errors import RequestError
from lampbench.loading.positions import Positions
from lampbench.models.encoder import TextEncoder
from lampbench.models.frozen_llm import FrozenLLM

ROWS = 26
SHAPE: dict[str, Any] = {
    "vocab_size": VOCABULARY,
    "hidden_size": 16,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "intermediate_size": 16,
    "max_position_embeddings": ROWS,
    "pad_token_id": 0,
}
FAIRSEQ = {**SHAPE, "pad_token_id": 1}  # padding is token 1 there, and text begins at row 2
ENCODERS: dict[str, tuple[dict[str, Any], int]] = {
    "Bert": (SHAPE, ROWS),
    "Roberta": (FAIRSEQ, ROWS - 2),
    "XLMRoberta": (FAIRSEQ, ROWS - 2),
    "Camembert": (FAIRSEQ, ROWS - 2),
    "MPNet": (FAIRSEQ, ROWS - 2),
    "Longformer": ({**FAIRSEQ, "attention_window": [4]}, ROWS - 2),
    "Nystromformer": (SHAPE, ROWS),  # it has two rows more than it says
}


@pytest.mark.parametrize("kind", ENCODERS)
def test_an_encoder_reads_as_many_tokens_as_it_has_positions(tmp_path: Path, kind: str) -> None:
    shape, expected = ENCODERS[kind]
    torch.manual_seed(0)
    model = getattr(transformers, f"{kind}Model")(getattr(transformers, f"{kind}Config")(**shape))
    model.save_pretrained(tmp_path)
    tiny_tokenizer(opens=True, closes=True).save_pretrained(tmp_path)
    (tmp_path / "1_Pooling").mkdir()
    (tmp_path / "1_Pooling" / "config.json").write_text(json.dumps(MEAN))

    encoder = TextEncoder.load(tmp_path, device="cpu", dtype="float32")
    assert encoder.max_length == expected
    long = " ".join(["w5"] * 40)
    assert encoder.encode([long]).isfinite().all()
    # No position is wasted: the last word that fits still counts.
    fits = " ".join(["w5"] * (expected - 3))
    assert not torch.allclose(encoder.encode([fits + " w6"]), encoder.encode([fits + " w7"]), atol=1e-6)


FFN: dict[str, Any] = {"d_model": 16, "encoder_layers": 1, "decoder_layers": 1, "encoder_attention_heads": 2}
FFN |= {"decoder_attention_heads": 2, "encoder_ffn_dim": 16, "decoder_ffn_dim": 16, "vocab_size": VOCABULARY}
LLMS: dict[str, tuple[str, str, dict[str, Any], tuple[int, int]]] = {
    "OPT": ("OPTForCausalLM", "OPTConfig", {**SHAPE, "ffn_dim": 16, "word_embed_proj_dim": 16}, (26, 26)),
    "GPT": ("OpenAIGPTLMHeadModel", "OpenAIGPTConfig", {"n_embd": 16, "n_layer": 1, "n_head": 2}, (512, 512)),
    "BART": (
        "BartForConditionalGeneration",
        "BartConfig",
        {**FFN, "max_position_embeddings": 26},
        (26, 26),
    ),
    "LED": (
        "LEDForConditionalGeneration",
        "LEDConfig",
        {**FFN, "max_encoder_position_embeddings": 32, "max_decoder_position_embeddings": 8},
        (32, 8),
    ),
}


@pytest.mark.parametrize("kind", LLMS)
def test_prompt_and_answer_have_the_positions_of_their_own_tables(kind: str) -> None:
    cls, config, shape, expected = LLMS[kind]
    positions = Positions.of(getattr(transformers, cls)(getattr(transformers, config)(**shape)))
    assert (positions.prompt, positions.answer) == expected


def test_rotary_and_relative_positions_have_no_end(tiny_llm: Path) -> None:
    positions = Positions.of(FrozenLLM.load(tiny_llm, device="cpu").model)
    assert (positions.prompt, positions.answer) == (None, None)


@pytest.fixture(scope="module")
def led(tmp_path_factory: pytest.TempPathFactory) -> FrozenLLM:
    """An encoder-decoder model of 32 positions for the prompt and 8 for the answer."""
    folder = tmp_path_factory.mktemp("led")
    cls, config, shape, _ = LLMS["LED"]
    special = {"pad_token_id": 0, "eos_token_id": 1, "bos_token_id": 3, "decoder_start_token_id": 1}
    shape = {**shape, **special, "attention_window": 4}
    getattr(transformers, cls)(getattr(transformers, config)(**shape)).save_pretrained(folder)
    tiny_tokenizer(closes=True).save_pretrained(folder)
    return FrozenLLM.load(folder, device="cpu")


def test_a_prompt_may_be_longer_than_an_answer(led: FrozenLLM) -> None:
    prompt = " ".join(["w5"] * 40)
    (answer,) = led.generate([prompt], max_input_tokens=32, max_new_tokens=8)
    assert answer.prompt_tokens == 32
    assert led.loss([prompt], ["w6 w7"], max_input_tokens=32, max_target_tokens=8).isfinite()
    with pytest.raises(RequestError, match=r"33 positions .* has 32: lower max_input_tokens"):
        led.generate([prompt], max_input_tokens=33, max_new_tokens=8)
    with pytest.raises(RequestError, match=r"9 positions .* has 8: lower max_input_tokens or max_new_tokens"):
        led.generate([prompt], max_input_tokens=32, max_new_tokens=9)
    with pytest.raises(RequestError, match="9 positions"):
        led.loss([prompt], [prompt], max_input_tokens=32, max_target_tokens=9)
