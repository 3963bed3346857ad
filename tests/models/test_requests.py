"""A token that the tokenizer knows and the model does not is named before it is looked up."""

from __future__ import annotations

from pathlib import Path

import pytest
from tiny_encoder import MEAN, write_tiny_encoder
from tiny_llms import VOCABULARY, tiny_llama, tiny_t5

from lampbench.errors import RequestError
from lampbench.models.encoder import TextEncoder
from lampbench.models.frozen_llm import FrozenLLM

LIMITS = {"max_input_tokens": 20, "max_new_tokens": 4}
TOLD = (
    rf"token '<user_7>' \(id {VOCABULARY}\) stands in a text and the model has no embedding for it, but "
    rf"{VOCABULARY} rows: resize the embeddings to the tokenizer's {VOCABULARY + 1} tokens"
)


@pytest.fixture(params=[tiny_t5, tiny_llama])
def llm(request: pytest.FixtureRequest, tmp_path: Path) -> FrozenLLM:
    """An LLM whose tokenizer was given a token, and the model no row for it."""
    llm = FrozenLLM.load(request.param(tmp_path), device="cpu")
    llm.tokenizer.add_tokens(["<user_7>"])
    llm.tokenizer.save_pretrained(tmp_path)
    return FrozenLLM.load(tmp_path, device="cpu")


def test_a_token_without_an_embedding_is_told_where_it_stands(llm: FrozenLLM) -> None:
    with pytest.raises(RequestError, match=TOLD):
        llm.generate(["w5", "w5 <user_7> w6"], **LIMITS)
    with pytest.raises(RequestError, match=TOLD):
        llm.loss(["w5"], ["w6 <user_7>"], max_input_tokens=20, max_target_tokens=4)


def test_where_no_text_has_it_it_does_no_harm(llm: FrozenLLM) -> None:
    assert len(llm.generate(["w5 w6"], **LIMITS)) == 1
    assert llm.loss(["w5"], ["w6"], max_input_tokens=20, max_target_tokens=4).isfinite()


def test_an_encoders_token_without_an_embedding_is_told_too(tmp_path: Path) -> None:
    folder = write_tiny_encoder(tmp_path, pooling=MEAN)
    encoder = TextEncoder.load(folder, device="cpu")
    rows = len(encoder.module.tokenizer)
    encoder.module.tokenizer.add_tokens(["<user_7>"])
    encoder.module.tokenizer.save_pretrained(folder)
    encoder = TextEncoder.load(folder, device="cpu")
    assert encoder.encode(["cats"]).isfinite().all()
    with pytest.raises(RequestError, match=rf"token '<user_7>' \(id {rows}\) .* but {rows} rows"):
        encoder.encode(["cats", "cats like <user_7>"])
