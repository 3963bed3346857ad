"""Digests and locks: what is kept is known by its bytes, and made by one process at a time."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from lampbench.errors import RunError
from lampbench.files.digests import digest, file_digest
from lampbench.files.locks import locked

MAKER = """
import sys, time
from pathlib import Path
from lampbench.files.locks import locked

thing = Path(sys.argv[1])
with locked(thing):
    if not thing.exists():
        time.sleep(0.2)  # long enough for the others to come
        with open(sys.argv[2], "a") as log:
            log.write("made\\n")
        thing.write_text("whole")
"""


def test_of_many_processes_one_makes_the_thing(tmp_path: Path) -> None:
    words = [sys.executable, "-c", MAKER, str(tmp_path / "new" / "thing"), str(tmp_path / "log")]
    makers = [subprocess.Popen(words) for _ in range(4)]
    assert [maker.wait() for maker in makers] == [0] * 4
    assert (tmp_path / "log").read_text() == "made\n"


def test_who_waits_is_told_why(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lampbench.files.locks.TELL_AFTER", 0.05)
    hold = (
        f"from lampbench.files.locks import locked\nfrom pathlib import Path\nimport time\n"
        f"with locked(Path({str(tmp_path / 'thing')!r})):\n    print('held', flush=True); time.sleep(0.6)"
    )
    with subprocess.Popen([sys.executable, "-c", hold], stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        told: list[str] = []
        with locked(tmp_path / "thing", waiting=told.append):
            pass
    assert told == ["waiting for another command that is making thing"]


def test_a_place_that_cannot_be_locked_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(RunError, match="cannot lock"), locked(tmp_path / "file" / "thing"):
        pass


def test_a_digest_is_of_the_bytes_however_they_come(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"abcdef")
    assert file_digest(tmp_path / "a") == digest(b"abc", memoryview(b"def")) == digest(b"abcdef")
    assert digest(b"abcdeg") != digest(b"abcdef")


def test_who_does_not_wait_is_told_that_another_has_it(tmp_path: Path) -> None:
    thing = tmp_path / "thing"

    def take() -> None:
        with locked(thing, wait=False):
            pass

    with locked(thing), pytest.raises(RunError, match=r"another command is making .*thing"):
        take()
    take()


def test_a_tidy_lock_leaves_no_file_and_excludes_all_the_same(tmp_path: Path) -> None:
    maker = MAKER.replace("locked(thing)", "locked(thing, tidy=True)").replace(
        "if not thing.exists()", "if True"
    )
    maker = maker.replace(
        'log.write("made\\n")', 'log.write("in\\n"); log.flush(); time.sleep(0.05); log.write("out\\n")'
    )
    words = [sys.executable, "-c", maker, str(tmp_path / "thing"), str(tmp_path / "log")]
    makers = [subprocess.Popen(words) for _ in range(4)]
    assert [one.wait() for one in makers] == [0] * 4
    assert (tmp_path / "log").read_text().split() == ["in", "out"] * 4
    assert sorted(path.name for path in tmp_path.iterdir()) == ["log", "thing"]
