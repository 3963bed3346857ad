"""The generation cache: what the LLM has answered once it is not asked again, and nobody is told another's
answer."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from damaging import WAYS, damage
from places import CHECKOUT, HELPERS

from lampbench.caches.generation_cache import Answer, GenerationCache
from lampbench.errors import RunError
from lampbench.models.requests import Generation, Request

DECIDES = {"id": "tiny", "revision": "1", "dtype": "float32", "max_new_tokens": 4, "beams": 1}


class Parrot:
    """Answers in batches of `size` with what it was asked, and remembers what that was."""

    def __init__(self, size: int = 2, tone: str = "") -> None:
        self.size = size
        self.tone = tone
        self.asked: list[str] = []

    def __call__(self, requests: Iterator[Request]) -> Iterator[Generation]:
        batch: list[Request] = []
        for request in requests:  # one ahead, as the LLM reads
            if len(batch) == self.size:
                yield from self._answers(batch)
                batch = []
            batch.append(request)
        yield from self._answers(batch)

    def _answers(self, batch: list[Request]) -> list[Generation]:
        self.asked += [request.prompt for request in batch]
        return [
            Generation(f"{r.prompt}{self.tone}!", len(r.prompt), 0 if r.soft is None else 1, 2, False, 0.25)
            for r in batch
        ]


def ask(
    cache: GenerationCache, llm: Parrot, prompts: Iterable[str | Request], **changed: Any
) -> list[Answer]:
    requests = (Request(prompt) if isinstance(prompt, str) else prompt for prompt in prompts)
    return list(cache.stream(llm, {**DECIDES, **changed}, requests))


def texts(answers: Iterable[Answer]) -> list[str]:
    return [answer.generation.text for answer in answers]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "cache" / "generations.sqlite"


def rows_in(path: Path) -> int:
    with sqlite3.connect(path) as connection:
        return int(connection.execute("SELECT COUNT(*) FROM generations").fetchone()[0])


def test_what_was_answered_is_looked_up_by_the_next_process(path: Path) -> None:
    first, second = Parrot(), Parrot()
    made = ask(GenerationCache(path), first, ["a", "é", "c"])
    found = ask(GenerationCache(path), second, ["c", "a", "é"])
    assert second.asked == []
    assert texts(found) == ["c!", "a!", "é!"]
    assert [a.reused for a in made] == [False] * 3
    assert [a.reused for a in found] == [True] * 3
    assert found[1].generation == made[0].generation
    assert found[1].generation.seconds == made[0].generation.seconds == 0.25  # what it cost when it was made


@pytest.mark.parametrize("size", [1, 2, 3, 20])
def test_known_and_unknown_prompts_and_soft_vectors_come_back_in_order(path: Path, size: int) -> None:
    cache, soft = GenerationCache(path), torch.zeros(1, 8)
    ask(cache, Parrot(), ["b", "d"])
    llm = Parrot(size)
    asked: list[str | Request] = [
        "b",
        "a",
        Request("a", soft),
        "a",
        "d",
        "c",
        "a",
        Request("b", soft),
        "c",
        "b",
        "d",
        "e",
        "b",
    ]
    answers = ask(cache, llm, asked)
    assert texts(answers) == [f"{a if isinstance(a, str) else a.prompt}!" for a in asked]
    assert llm.asked == ["a", "a", "c", "b", "e"]  # each unknown prompt once, each soft one whenever it comes
    assert [a.reused for a in answers] == [i not in (1, 2, 5, 7, 11) for i in range(13)]
    assert answers[2].generation.soft_tokens == 1


@pytest.mark.parametrize(
    "changed",
    [{"id": "other"}, {"revision": "2"}, {"dtype": "bfloat16"}, {"max_new_tokens": 5}, {"beams": 4}],
)
def test_another_llm_or_limit_is_another_question(path: Path, changed: dict[str, Any]) -> None:
    cache, llm = GenerationCache(path), Parrot(tone="?")
    ask(cache, Parrot(), ["a"])
    assert texts(ask(cache, llm, ["a"], **changed)) == ["a?!"]
    assert texts(ask(cache, llm, ["a"])) == ["a!"]


def test_soft_vectors_are_never_kept(path: Path) -> None:
    cache = GenerationCache(path)
    ask(cache, Parrot(), [Request("a", torch.zeros(1, 8))])
    assert not path.exists() or rows_in(path) == 0
    assert texts(ask(cache, Parrot(tone="?"), ["a"])) == ["a?!"]


def test_a_batch_is_on_disk_before_the_next_one_begins(path: Path) -> None:
    seen: list[int] = []

    class Watched(Parrot):
        def _answers(self, batch: list[Request]) -> list[Generation]:
            seen.append(rows_in(path))
            return super()._answers(batch)

    ask(GenerationCache(path), Watched(2), "abcde")
    assert seen == [0, 2, 4]
    assert rows_in(path) == 5


def test_whoever_stops_listening_loses_no_answer_that_was_heard(path: Path) -> None:
    stream = GenerationCache(path).stream(Parrot(3), DECIDES, map(Request, "abcdef"))
    for _ in range(2):
        next(stream)
    stream.close()  # type: ignore[attr-defined]
    llm = Parrot()
    ask(GenerationCache(path), llm, "abc")
    assert llm.asked == ["c"]


def test_a_killed_process_loses_the_batch_in_flight_and_nothing_else(path: Path) -> None:
    code = f"""
import os, signal, sys
sys.path.insert(0, {str(Path(__file__).parent)!r})
from test_generation_cache import Parrot, DECIDES
from lampbench.caches.generation_cache import GenerationCache
from lampbench.models.requests import Request
from pathlib import Path

class Killed(Parrot):
    def _answers(self, batch):
        if len(self.asked) == 4:
            os.kill(os.getpid(), signal.SIGKILL)
        return super()._answers(batch)

list(GenerationCache(Path({str(path)!r})).stream(Killed(2), DECIDES, map(Request, "abcdefgh")))
"""
    environment = {**os.environ, "PYTHONPATH": f"{CHECKOUT}{os.pathsep}{HELPERS}"}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, check=False)
    assert done.returncode == -signal.SIGKILL, done.stderr
    llm = Parrot()
    assert texts(ask(GenerationCache(path), llm, "abcdefgh")) == [f"{c}!" for c in "abcdefgh"]
    assert llm.asked == list("efgh")


def test_two_processes_share_one_file(path: Path) -> None:
    code = f"""
import sys
sys.path.insert(0, {str(Path(__file__).parent)!r})
from test_generation_cache import Parrot, DECIDES
from lampbench.caches.generation_cache import GenerationCache
from lampbench.models.requests import Request
from pathlib import Path
prompts = [f"{{sys.argv[1]}} {{i}}" for i in range(300)] + [f"both {{i}}" for i in range(300)]
answers = GenerationCache(Path({str(path)!r})).stream(Parrot(3), DECIDES, map(Request, prompts))
assert [a.generation.text for a in answers] == [p + "!" for p in prompts]
"""
    environment = {**os.environ, "PYTHONPATH": f"{CHECKOUT}{os.pathsep}{HELPERS}"}
    both = [
        subprocess.Popen([sys.executable, "-c", code, who], env=environment, stderr=subprocess.PIPE)
        for who in ("one", "two")
    ]
    errors = [process.communicate()[1] for process in both]
    assert [process.returncode for process in both] == [0, 0], errors
    assert rows_in(path) == 900


def test_fresh_ignores_and_replaces_what_was_there_and_still_asks_once(path: Path) -> None:
    ask(GenerationCache(path), Parrot(), "ab")
    cache, llm = GenerationCache(path, fresh=True), Parrot(tone="?")
    assert texts(ask(cache, llm, "ab")) == ["a?!", "b?!"]
    assert [a.reused for a in ask(cache, llm, "ba")] == [True, True]
    assert llm.asked == ["a", "b"]
    assert texts(ask(GenerationCache(path), Parrot(), "ab")) == ["a?!", "b?!"]


def test_answers_of_a_spoilt_llm_are_withdrawn(path: Path) -> None:
    cache = GenerationCache(path)
    ask(cache, Parrot(), "ab")
    cache.mark()
    ask(cache, Parrot(tone=" spoilt"), "bcd")
    cache.withdraw()
    llm = Parrot()
    assert texts(ask(cache, llm, "abcd")) == ["a!", "b!", "c!", "d!"]
    assert llm.asked == ["c", "d"]


def test_a_damaged_file_is_replaced(path: Path) -> None:
    path.parent.mkdir()
    path.write_bytes(b"no database at all, but long enough to be taken for one" * 100)
    assert texts(ask(GenerationCache(path), Parrot(), "a")) == ["a!"]
    llm = Parrot()
    ask(GenerationCache(path), llm, "a")
    assert llm.asked == []


MANY = [f"prompt {i} " + "x" * (i % 97) for i in range(3000)]


@pytest.mark.parametrize("how", WAYS)
def test_of_a_damaged_file_what_is_whole_is_kept_and_nothing_else_believed(path: Path, how: str) -> None:
    first = GenerationCache(path)
    ask(first, Parrot(500), MANY)
    first.close()
    damage(path, how)
    said: list[str] = []
    cache, llm = GenerationCache(path, say=said.append), Parrot(500)
    assert texts(ask(cache, llm, MANY)) == [f"{prompt}!" for prompt in MANY]
    assert how != "flipped" or len(llm.asked) < 50  # the rest of it are the neighbours on one page
    assert all(f"{path} is damaged" in text for text in said)
    assert said or not llm.asked
    cache.close()
    again = Parrot()
    assert texts(ask(GenerationCache(path), again, MANY)) == [f"{prompt}!" for prompt in MANY]
    assert len(again.asked) <= len(MANY) - len(llm.asked)  # found before the damage was met, and lost with it
    assert not list(path.parent.glob(".*.new*"))


@pytest.mark.parametrize("spot", range(8))
def test_bytes_that_change_anywhere_in_the_file_change_no_answer(path: Path, spot: int) -> None:
    first = GenerationCache(path)
    ask(first, Parrot(500), MANY)
    first.close()
    content = bytearray(path.read_bytes())
    for at in range(97 * spot + 100, len(content), 4096 + 997 * spot):
        content[at] ^= 1 + spot
    path.write_bytes(content)
    assert texts(ask(GenerationCache(path), Parrot(500), MANY)) == [f"{prompt}!" for prompt in MANY]


def test_an_answer_that_was_changed_is_named_and_asked_for_again(path: Path) -> None:
    ask(GenerationCache(path), Parrot(), "abc")
    with sqlite3.connect(path) as connection:
        connection.execute("UPDATE generations SET answer = replace(answer, 'b!', 'x!')")
    said: list[str] = []
    llm = Parrot()
    assert texts(ask(GenerationCache(path, say=said.append), llm, "abc")) == ["a!", "b!", "c!"]
    assert llm.asked == ["b"] or llm.asked == ["a", "b", "c"]  # by what SQLite makes of the types
    assert len(said) == 1
    assert f"{path} is damaged: an answer" in said[0]


def test_who_has_a_file_open_that_another_process_replaces_goes_on_in_the_new_one(path: Path) -> None:
    first, second = GenerationCache(path), GenerationCache(path)
    ask(first, Parrot(), "ab")
    ask(second, Parrot(), "cd")
    for file in path.parent.glob(f"{path.name}*"):
        file.unlink()
    ask(second, Parrot(), "ef")
    llm = Parrot()
    assert texts(ask(first, llm, "abef")) == ["a!", "b!", "e!", "f!"]
    assert llm.asked == ["a", "b"]


def test_a_full_disk_is_told_in_one_line_and_costs_no_answer_that_was_written(path: Path) -> None:
    cache = GenerationCache(path)
    ask(cache, Parrot(), "ab")
    cache._file._open().execute("PRAGMA max_page_count = 4")
    with pytest.raises(RunError, match=r"cannot be written \(database or disk is full\): make room there or"):
        ask(cache, Parrot(), [f"{i}" * 5000 for i in range(9)])
    llm = Parrot()
    assert texts(ask(GenerationCache(path), llm, "ab")) == ["a!", "b!"]
    assert llm.asked == []


def test_a_file_that_cannot_be_made_is_told_in_one_line(path: Path) -> None:
    path.mkdir(parents=True)
    with pytest.raises(RunError, match=r"unable to open .*set LAMPBENCH_CACHE"):
        ask(GenerationCache(path), Parrot(), "a")


def test_known_answers_are_handed_out_while_the_rest_is_still_unread(path: Path) -> None:
    cache, read = GenerationCache(path), []
    known = [f"known {i}" for i in range(2000)]
    ask(cache, Parrot(200), known)

    def requests(prompts: list[str]) -> Iterator[Request]:
        for prompt in prompts:
            read.append(prompt)
            yield Request(prompt)

    first = next(cache.stream(Parrot(), DECIDES, requests(known)))
    assert first.generation.text == "known 0!"
    assert len(read) < 300
    read.clear()
    # Nor does a single unknown one wait for a full batch.
    llm = Parrot(50)
    answers = cache.stream(llm, DECIDES, requests(["new", *known, "newer", *known]))
    assert next(answers).generation.text == "new!"
    assert len(read) < 300
    assert texts(answers) == [f"{p}!" for p in [*known, "newer", *known]]
    assert llm.asked == ["new", "newer"]
