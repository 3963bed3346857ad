"""Fixtures that several test files share."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

# No test may reach a hub, and progress bars of libraries do not belong in test output.
os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")

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


@pytest.fixture(scope="session")
def tiny_data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """LaMP-mini with a handful of questions per split, in both settings."""
    from lampbench.synthetic import Knobs, write_suite

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
def tiny_words(tiny_data: Path) -> list[str]:
    """Every word of the tiny data."""
    from lampbench.mini.tokenizer import words

    found: set[str] = set()
    for path in sorted(tiny_data.rglob("*.json")):
        found.update(words(path.read_text(encoding="utf-8")))
    return sorted(word for word in found if word.strip(' \\"{}:'))


@pytest.fixture(scope="session")
def tiny_llm(tmp_path_factory: pytest.TempPathFactory, tiny_words: list[str]) -> Path:
    """A T5 of random weights that knows the tiny data's words; its answers are nonsense."""
    import string

    import torch
    from transformers import T5Config, T5ForConditionalGeneration

    from lampbench.mini.tokenizer import CLS, EOS, PAD, SEP, UNK, build_tokenizer

    characters = string.ascii_lowercase + string.digits + string.punctuation
    entries = [
        PAD,
        EOS,
        UNK,
        CLS,
        SEP,
        *characters,
        *(f"##{c}" for c in string.ascii_lowercase + string.digits),
    ]
    tokenizer = build_tokenizer(list(dict.fromkeys([*entries, *tiny_words])), for_encoder=False)
    config = T5Config(
        vocab_size=len(tokenizer),
        d_model=16,
        d_kv=8,
        d_ff=32,
        num_layers=1,
        num_heads=2,
        decoder_start_token_id=tokenizer.pad_token_id,
        pad_token_id=tokenizer.pad_token_id,
        eos_token_id=tokenizer.eos_token_id,
        dropout_rate=0.1,
    )
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = T5ForConditionalGeneration(config)
    folder = tmp_path_factory.mktemp("models") / "tiny-t5"
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def tiny_encoder(tmp_path_factory: pytest.TempPathFactory, tiny_words: list[str]) -> Path:
    """A BERT of random weights with mean pooling."""
    from tiny_encoder import MEAN, write_tiny_encoder

    return write_tiny_encoder(tmp_path_factory.mktemp("models") / "tiny-bert", words=tiny_words, pooling=MEAN)
