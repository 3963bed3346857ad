"""The hashes of large files are remembered, and never believed for another file."""

from __future__ import annotations

import hashlib
import os
import shutil
import threading
from pathlib import Path

import pytest

from lampbench.files import remembered_hashes
from lampbench.files.folders import cache_dir
from lampbench.files.remembered_hashes import LARGE, MEMORY, file_hashes

LONG_AGO = 1_000_000_000


@pytest.fixture
def read(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of the files that have been read, as they are."""
    names: list[str] = []
    made = remembered_hashes._sha256

    def listening(path: Path, on_read: object) -> str:
        names.append(path.name)
        return made(path, on_read)  # type: ignore[arg-type]

    monkeypatch.setattr(remembered_hashes, "_sha256", listening)
    return names


def large_file(path: Path, mark: bytes = b"a", *, age: int = LONG_AGO) -> Path:
    """A file of zeros with a mark in the middle."""
    content = bytearray(LARGE)
    content[LARGE // 2 : LARGE // 2 + 1] = mark
    path.write_bytes(content)
    os.utime(path, (age, age))
    return path


def hash_of(path: Path) -> str:
    (found,) = file_hashes([path])
    assert found == hashlib.sha256(path.read_bytes()).hexdigest()
    return found


def test_a_large_file_is_read_once_and_a_small_one_always(tmp_path: Path, read: list[str]) -> None:
    small = tmp_path / "small"
    small.write_text("small")
    os.utime(small, (LONG_AGO, LONG_AGO))
    for _ in range(2):
        hash_of(large_file(tmp_path / "large") if not read else tmp_path / "large")
        hash_of(small)
    assert read == ["large", "small", "small"]


def test_a_file_that_took_the_place_of_another_is_read(tmp_path: Path, read: list[str]) -> None:
    first = hash_of(large_file(tmp_path / "weights"))
    # Of the same size and age, written elsewhere and renamed: another inode.
    large_file(tmp_path / "new", b"b").replace(tmp_path / "weights")
    assert hash_of(tmp_path / "weights") != first
    assert read == ["weights", "weights"]


def test_a_file_that_was_changed_in_place_is_read(tmp_path: Path, read: list[str]) -> None:
    file = large_file(tmp_path / "weights")
    seen = {hash_of(file)}
    inode = file.stat().st_ino
    large_file(file, b"b", age=LONG_AGO + 1)
    seen.add(hash_of(file))
    large_file(file, b"c", age=LONG_AGO + 1)  # whose time of modification was set back
    seen.add(hash_of(file))
    assert file.stat().st_ino == inode
    assert len(seen) == len(read) == 3


def test_a_file_that_may_still_be_written_is_not_remembered(tmp_path: Path, read: list[str]) -> None:
    file = tmp_path / "weights"
    file.write_bytes(bytes(LARGE))
    hash_of(file)
    hash_of(file)
    assert len(read) == 2


@pytest.mark.parametrize(
    "damage",
    [
        lambda text: text[: len(text) // 2],
        lambda text: text.replace("a", "b"),
        lambda text: "[]",
        lambda text: "\0" * len(text),
        lambda text: text[:-20] + "é",
    ],
)
def test_a_damaged_memory_remembers_nothing(tmp_path: Path, read: list[str], damage: object) -> None:
    file = large_file(tmp_path / "weights")
    hash_of(file)
    memory = cache_dir() / MEMORY
    memory.write_text(damage(memory.read_text()), encoding="utf-8")  # type: ignore[operator]
    hash_of(file)
    hash_of(file)
    assert len(read) == 2


def test_commands_at_the_same_time_forget_nothing(tmp_path: Path, read: list[str]) -> None:
    files = [large_file(tmp_path / f"file{i}") for i in range(8)]
    threads = [threading.Thread(target=hash_of, args=(file,)) for file in files]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(read) == 8
    file_hashes(files)
    assert len(read) == 8


def test_files_that_are_gone_are_forgotten(tmp_path: Path) -> None:
    hash_of(large_file(tmp_path / "old"))
    (tmp_path / "old").unlink()
    hash_of(large_file(tmp_path / "new"))
    text = (cache_dir() / MEMORY).read_text()
    assert "new" in text
    assert "old" not in text.replace(str(tmp_path), "")


def test_without_a_cache_folder_files_are_read(
    tmp_path: Path, read: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    blocked = tmp_path / "no-folder"
    blocked.write_text("a file")
    monkeypatch.setenv("LAMPBENCH_CACHE", str(blocked / "cache"))
    file = large_file(tmp_path / "weights")
    hash_of(file)
    hash_of(file)
    assert len(read) == 2


def test_progress_is_told_in_megabytes_over_all_files(tmp_path: Path) -> None:
    told: list[int] = []
    file_hashes([large_file(tmp_path / "one"), large_file(tmp_path / "two")], told.append)
    assert told == [1, 2]


def test_a_link_is_the_file_that_it_leads_to(tmp_path: Path, read: list[str]) -> None:
    (tmp_path / "blobs").mkdir()
    link = tmp_path / "weights"
    link.symlink_to(large_file(tmp_path / "blobs" / "one"))
    first = hash_of(link)
    link.unlink()
    link.symlink_to(large_file(tmp_path / "blobs" / "two", b"b"))
    assert hash_of(link) != first
    shutil.rmtree(tmp_path / "blobs")
    with pytest.raises(FileNotFoundError):
        file_hashes([link])
