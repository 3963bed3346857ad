"""The embedding store: filled once, resumed after a kill, and never mistaken for another."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from damaging import WAYS, damage, full
from places import CHECKOUT, HELPERS

from lampbench.caches.embedding_store import EmbeddingMatrix, EmbeddingStore, check_matrix
from lampbench.errors import RunError
from lampbench.files.seals import Say


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


def open_matrix(
    root: Path, encoder: Encoder, say: Say = lambda text: None, **changed: Any
) -> EmbeddingMatrix:
    options = {"template": "plain-1", "data": "fingerprint", "n_rows": len(TEXTS)} | changed
    return EmbeddingStore(root, say).open(encoder, **options)  # type: ignore[arg-type]


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


def test_rows_are_on_disk_before_a_line_counts_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    encoder = Encoder()
    counted: list[int] = []
    flush = np.memmap.flush

    def watched(self: np.memmap) -> None:
        for blocks in tmp_path.glob("encoder-plain*/blocks.txt"):
            counted.append(len(blocks.read_text().splitlines()))
        flush(self)

    monkeypatch.setattr(np.memmap, "flush", watched)
    fill(open_matrix(tmp_path, encoder), encoder, block_rows=5)
    assert counted == [0, 1]


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


@pytest.mark.parametrize("how", WAYS)
@pytest.mark.parametrize("name", ["rows.npy", "blocks.txt", "key.json"])
def test_a_damaged_matrix_is_named_and_made_right(tmp_path: Path, name: str, how: str) -> None:
    said: list[str] = []
    matrix = open_matrix(tmp_path, Encoder(), say=said.append)
    fill(matrix, Encoder())
    damage(matrix.folder / name, how)
    kill = name == "blocks.txt" and how != "flipped"  # a kill or a power cut leaves such a file too
    assert bool(check_matrix(matrix.folder)) != kill
    np.testing.assert_array_equal(fill(matrix, Encoder()), expected())
    assert check_matrix(matrix.folder) is None
    assert kill or (str(matrix.folder) in said[0] and "damaged" in said[0])
    assert fill(matrix, None) is not None  # type: ignore[arg-type]


@pytest.mark.parametrize("change", [(b"False", b"True "), (b"<f4", b"<i4"), (b"(10, 3)", b"(3, 10)")])
def test_a_damaged_header_is_no_way_to_other_numbers(tmp_path: Path, change: tuple[bytes, bytes]) -> None:
    matrix = open_matrix(tmp_path, Encoder())
    fill(matrix, Encoder())
    rows = matrix.folder / "rows.npy"
    content = rows.read_bytes()
    assert change[0] in content
    rows.write_bytes(content.replace(*change))
    np.testing.assert_array_equal(fill(matrix, Encoder()), expected())


def test_of_a_damaged_matrix_the_whole_blocks_are_kept(tmp_path: Path) -> None:
    matrix = open_matrix(tmp_path, Encoder())
    fill(matrix, Encoder())
    rows = np.lib.format.open_memmap(matrix.folder / "rows.npy", mode="r+")
    rows[4] = 7.0
    rows.flush()
    assert matrix.rows_done == 7
    encoder = Encoder()
    np.testing.assert_array_equal(fill(matrix, encoder), expected())
    assert encoder.encoded == ["fig", "banana"]  # of rows 3 to 5; the other pear is copied


def test_a_torn_line_of_a_kill_costs_its_block(tmp_path: Path) -> None:
    matrix = open_matrix(tmp_path, Encoder())
    fill(matrix, Encoder())
    blocks = matrix.folder / "blocks.txt"
    blocks.write_text(blocks.read_text()[:-20])
    encoder = Encoder()
    np.testing.assert_array_equal(fill(matrix, encoder), expected())
    assert encoder.encoded == []  # row 9 is another fig
    assert matrix.rows_done == len(TEXTS)


FILL = """
import sys, time
from pathlib import Path
sys.path.insert(0, sys.argv[2])
import numpy as np
import lampbench.caches.embedding_store
from test_embedding_store import Encoder, open_matrix, fill, expected

class Slow(Encoder):
    def encode(self, texts):
        time.sleep(0.3)
        return super().encode(texts)

create = lampbench.caches.embedding_store.EmbeddingMatrix._create
def slowly(self):
    create(self)
    time.sleep(0.3)
lampbench.caches.embedding_store.EmbeddingMatrix._create = slowly
encoder = Slow()
np.testing.assert_array_equal(fill(open_matrix(Path(sys.argv[1]), encoder), encoder), expected())
print(len(encoder.encoded))
"""


def test_two_commands_that_create_one_matrix_at_once_encode_each_text_once(tmp_path: Path) -> None:
    here = Path(__file__).parent
    environment = {**os.environ, "PYTHONPATH": f"{CHECKOUT}{os.pathsep}{HELPERS}"}
    words = [sys.executable, "-c", FILL, str(tmp_path), str(here)]
    both = [subprocess.Popen(words, env=environment, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    printed = [process.communicate()[0] for process in both]
    assert [process.returncode for process in both] == [0, 0]
    assert sorted(int(text) for text in printed) == [0, len(set(TEXTS))]


def test_a_full_disk_is_told_in_one_line_and_leaves_nothing_half_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(os, "posix_fallocate", full)
        with pytest.raises(RunError, match=r"cannot write embeddings to .*No space left.*LAMPBENCH_CACHE"):
            fill(open_matrix(tmp_path, Encoder()), Encoder())
    assert not [path for path in tmp_path.iterdir() if path.is_dir()]
    np.testing.assert_array_equal(fill(open_matrix(tmp_path, Encoder()), Encoder()), expected())


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
    fill(open_matrix(tmp_path, Encoder()), Encoder())
    assert [path.name.startswith(".") for path in tmp_path.iterdir() if path.is_dir()] == [False]


def test_no_rows_give_an_empty_matrix(tmp_path: Path) -> None:
    encoder = Encoder()
    assert fill(open_matrix(tmp_path, encoder, n_rows=0), encoder).shape == (0, 3)
