"""Files that are written whole or not at all."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from places import CHECKOUT

from lampbench.errors import RunError
from lampbench.files.atomic_write import replacing, replacing_folder, write_atomic

KILLED = """
import os, signal, sys
from pathlib import Path
from lampbench.files.atomic_write import replacing
with replacing(Path(sys.argv[1])) as temporary:
    temporary.write_text("half")
    os.kill(os.getpid(), signal.SIGKILL)
"""


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_what_a_killed_writer_left_goes_with_the_next_write(tmp_path: Path) -> None:
    path = tmp_path / "record[1].json"  # a name that is a pattern too
    write_atomic(path, "old")
    done = subprocess.run(
        [sys.executable, "-c", KILLED, path],
        env={**os.environ, "PYTHONPATH": str(CHECKOUT)},
        check=False,
    )
    assert done.returncode == -signal.SIGKILL
    assert path.read_text() == "old"
    assert len(names(tmp_path)) == 2  # the kill did leave something
    write_atomic(path, "new")
    assert names(tmp_path) == ["record[1].json"]
    assert path.read_text() == "new"


def test_the_file_of_a_writer_that_lives_is_left_alone(tmp_path: Path) -> None:
    theirs = tmp_path / f".a.json.{os.getppid()}.tmp"
    theirs.write_text("in the making")
    write_atomic(tmp_path / "a.json", "mine")
    assert names(tmp_path) == [theirs.name, "a.json"]


def test_a_write_that_fails_changes_nothing_and_leaves_nothing(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    write_atomic(path, "old")

    def fail() -> None:
        with replacing(path) as temporary:
            temporary.write_text("half")
            raise ValueError("no more")

    with pytest.raises(ValueError, match="no more"):
        fail()
    assert names(tmp_path) == ["a.json"]
    assert path.read_text() == "old"
    with pytest.raises(RunError, match="cannot write"):
        write_atomic(path / "below", "text")


def test_a_folder_takes_the_place_of_the_old_one_when_it_is_filled(tmp_path: Path) -> None:
    folder = tmp_path / "fit"
    for text in ("old", "new"):
        (tmp_path / ".fit.new").mkdir()  # as a kill leaves it
        (tmp_path / ".fit.new" / "half").touch()
        with replacing_folder(folder) as made:
            assert names(made) == []
            (made / f"{text}.txt").write_text(text)
        assert names(folder) == [f"{text}.txt"]
        assert names(tmp_path) == ["fit"]

    def fail() -> None:
        with replacing_folder(folder) as made:
            (made / "half").touch()
            raise ValueError("no room")

    with pytest.raises(ValueError, match="no room"):
        fail()
    assert names(folder) == ["new.txt"]
    assert names(tmp_path) == ["fit"]
