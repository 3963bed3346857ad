"""The embedding store: filled once, resumed after a kill, and never mistaken for another."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from lampbench.embeddings import EmbeddingMatrix, EmbeddingStore
from lampbench.errors import RunError


class Encoder(SimpleNamespace):
    """Stands in for a TextEncoder: the vector of a text is its length and its first letter; counts what it
    encodes."""

    def __init__(self, **changed: Any) -> None:
        super().__init__(
            id="org/encoder", revision="r1", pooling="cls", max_length=32, dtype=torch.float32, dim=3
        )
        self.__dict__.update(changed)
        self.device = torch.device("cpu")
        self.encoded: list[str] = []

    def encode(self, texts: Sequence[str]) -> torch.Tensor:
        self.encoded += texts
        return torch.tensor([[len(t), ord(t[0]), 0.1] for t in texts], dtype=torch.float32).reshape(-1, 3)


TEXTS = ["apple", "pear", "apple", "fig", "banana", "pear", "kiwi", "apple", "plum", "fig"]


def texts_of(rows: Sequence[int]) -> list[str]:
    return [TEXTS[row] for row in rows]


def open_matrix(root: Path, encoder: Encoder, **changed: Any) -> EmbeddingMatrix:
    options = {"template": "plain-1", "data": "fingerprint", "n_rows": len(TEXTS)} | changed
    return EmbeddingStore(root).open(encoder, **options)  # type: ignore[arg-type]


def fill(matrix: EmbeddingMatrix, encoder: Encoder, **options: Any) -> np.memmap:
    return matrix.fill(encoder, texts_of, **({"block_rows": 3} | options))  # type: ignore[arg-type]


def expected() -> np.ndarray:
    return Encoder().encode(TEXTS).numpy()


def test_every_row_holds_the_vector_of_its_text_and_each_distinct_text_is_encoded_once(
    tmp_path: Path,
) -> None:
    encoder = Encoder()
    matrix = fill(open_matrix(tmp_path, encoder), encoder)
    assert isinstance(matrix, np.memmap)
    np.testing.assert_array_equal(matrix, expected())
    assert sorted(encoder.encoded) == sorted(set(TEXTS))


def test_the_result_cannot_be_written_to(tmp_path: Path) -> None:
    encoder = Encoder()
    with pytest.raises(ValueError, match="read-only"):
        fill(open_matrix(tmp_path, encoder), encoder)[0] = 0


def test_a_full_matrix_is_read_without_encoding_or_building_a_text(tmp_path: Path) -> None:
    fill(open_matrix(tmp_path, Encoder()), Encoder())
    again = open_matrix(tmp_path, Encoder())
    np.testing.assert_array_equal(again.fill(None, None), expected())  # type: ignore[arg-type]


def test_a_killed_fill_goes_on_after_its_last_block(tmp_path: Path) -> None:
    class Killed(Encoder):
        def encode(self, texts: Sequence[str]) -> torch.Tensor:
            if "kiwi" in texts:
                raise KeyboardInterrupt
            return super().encode(texts)

    first = Killed()
    with pytest.raises(KeyboardInterrupt):
        fill(open_matrix(tmp_path, first), first)
    matrix = open_matrix(tmp_path, Encoder())
    assert matrix.rows_done == 6
    second = Encoder()
    seen: list[tuple[int, int]] = []
    np.testing.assert_array_equal(
        fill(matrix, second, on_progress=lambda done, total: seen.append((done, total))), expected()
    )
    assert sorted(second.encoded) == [
        "kiwi",
        "plum",
    ]  # the repeated apple and fig are copied from finished rows
    assert seen == [(6, 10), (9, 10), (10, 10)]


def test_rows_are_on_disk_before_the_progress_file_counts_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    encoder = Encoder()
    matrix = open_matrix(tmp_path, encoder)
    events: list[str] = []
    flush = np.memmap.flush
    monkeypatch.setattr(np.memmap, "flush", lambda self: (events.append("flush"), flush(self))[1])
    write = __import__("lampbench.embeddings", fromlist=["x"])._write_progress
    monkeypatch.setattr(
        "lampbench.embeddings._write_progress", lambda *a: (events.append("progress"), write(*a))[1]
    )
    fill(matrix, encoder, block_rows=5)
    assert events == ["flush", "progress"] * 2


@pytest.mark.parametrize(
    "changed",
    [
        {"id": "org/other"},
        {"revision": "r2"},
        {"pooling": "mean"},
        {"max_length": 64},
        {"dtype": torch.bfloat16},
    ],
)
def test_another_encoder_is_another_matrix(tmp_path: Path, changed: dict[str, Any]) -> None:
    fill(open_matrix(tmp_path, Encoder()), Encoder())
    assert open_matrix(tmp_path, Encoder(**changed)).rows_done == 0
    assert open_matrix(tmp_path, Encoder()).rows_done == len(TEXTS)


@pytest.mark.parametrize(
    "changed", [{"template": "plain-2"}, {"data": "other"}, {"n_rows": 9}, {"dtype": "float16"}]
)
def test_another_text_or_data_or_precision_is_another_matrix(tmp_path: Path, changed: dict[str, Any]) -> None:
    fill(open_matrix(tmp_path, Encoder()), Encoder())
    assert open_matrix(tmp_path, Encoder(), **changed).rows_done == 0


@pytest.mark.parametrize("damage", ["cut", "key", "progress", "no-progress"])
def test_a_damaged_matrix_is_made_anew(tmp_path: Path, damage: str) -> None:
    matrix = open_matrix(tmp_path, Encoder())
    fill(matrix, Encoder())
    if damage == "cut":
        rows = matrix.folder / "rows.npy"
        rows.write_bytes(rows.read_bytes()[:-8])
    elif damage == "key":
        key = json.loads((matrix.folder / "key.json").read_text())
        (matrix.folder / "key.json").write_text(json.dumps(key | {"revision": "another"}))
    elif damage == "progress":
        (matrix.folder / "progress.json").write_text("{")
    else:
        (matrix.folder / "progress.json").unlink()
    encoder = Encoder()
    again = open_matrix(tmp_path, encoder)
    assert again.rows_done == 0
    np.testing.assert_array_equal(fill(again, encoder), expected())


def test_half_precision_halves_the_file_and_keeps_three_digits(tmp_path: Path) -> None:
    encoder = Encoder()
    matrix = fill(open_matrix(tmp_path, encoder, dtype="float16"), encoder)
    assert matrix.dtype == np.float16
    np.testing.assert_allclose(matrix, expected(), rtol=1e-3)


def test_a_vector_that_overflows_the_store_stops_with_the_row(tmp_path: Path) -> None:
    class Large(Encoder):
        def encode(self, texts: Sequence[str]) -> torch.Tensor:
            return (
                super().encode(texts) * torch.tensor([1e5 if t == "banana" else 1.0 for t in texts])[:, None]
            )

    encoder = Large()
    with pytest.raises(RunError, match="non-finite values as float16 for the text of row 4"):
        fill(open_matrix(tmp_path, encoder, dtype="float16"), encoder)


def test_nothing_half_made_is_left_behind(tmp_path: Path) -> None:
    open_matrix(tmp_path, Encoder())
    assert [path.name.startswith(".") for path in tmp_path.iterdir()] == [False]


def test_no_rows_give_an_empty_matrix(tmp_path: Path) -> None:
    encoder = Encoder()
    assert fill(open_matrix(tmp_path, encoder, n_rows=0), encoder).shape == (0, 3)
