"""What reaches a terminal: text that commands nothing, in any encoding, on streams that may be closed or full."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from made_commands import Command
from made_results import add_run

from lampbench.records.record import write_record
from lampbench.records.results_folder import load_records
from lampbench.report.compare import compare, comparison_table
from lampbench.report.run_table import results_table
from lampbench.terminal import printable, printable_lines

CLEAR = "\x1b[2J"
HOSTILE = f"{CLEAR}\x9b31m\x07\r\x08\u202egpj.exe\u200b\ud800\x7f"


def is_harmless(text: str) -> bool:
    return all(line.isprintable() for line in text.split("\n"))


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("pplug é 日本 😀 − ↑", "pplug é 日本 😀 − ↑"),
        ("a\x1b[2Jb", r"a\x1b[2Jb"),
        ("\x9b31m", r"\x9b31m"),
        ("one\ntwo\tthree\r", r"one\ntwo\tthree\r"),
        ("\u202egpj.exe", r"\u202egpj.exe"),
        ("bm\u200b25\ufeff", r"bm\u200b25\ufeff"),
        ("a\u2028b", r"a\u2028b"),
        ("\ud800", r"\ud800"),
        ("\U000e0041", r"\U000e0041"),
        ("a\xa0b\u3000c", "a\xa0b\u3000c"),
    ],
)
def test_what_cannot_be_seen_is_shown_as_its_escape(text: str, shown: str) -> None:
    assert printable(text) == shown


def test_lines_stay_lines() -> None:
    assert printable_lines("one\ntwo\x1b\n") == "one\ntwo\\x1b\n"


def hostile_results(folder: Path) -> None:
    """Runs whose records and folders hold what a terminal would obey."""
    for method in ("alpha", "beta\x9b2J\u202e"):
        for task, quality in (("LaMP-2", 0.6), ("LaMP-3", 0.4)):
            record = add_run(folder, method, task, quality, suite="small\x9b2J")
            write_record(replace(record, llm=replace(record.llm, id=f"llm{HOSTILE[:-2]}")), folder)
    add_run(
        folder, "broken", "LaMP-2", suite="small\x9b2J", status="failed", error=f"no {CLEAR} luck", metrics={}
    )


def test_no_command_lets_what_is_recorded_act_on_the_terminal(command: Command, tmp_path: Path) -> None:
    hostile_results(tmp_path)
    where = ("--results", tmp_path)
    asked = [
        ("list", "runs", *where),
        ("list", "runs", *where, "--json"),
        ("show", "LaMP-2/alpha", *where),
        ("show", "LaMP-2/broken", *where),
        ("show", "alpha", *where),
        ("compare", "alpha", "beta\x9b2J\u202e", *where),
        ("compare", f"alpha{CLEAR}", "beta", *where),
        ("leaderboard", *where, "-o", "-"),
        ("leaderboard", *where, "-o", "-", "--format", "csv"),
        ("leaderboard", *where, "--json"),
        ("leaderboard", *where, "--check", "-o", tmp_path / "board.md"),
        ("run", "--method", f"bm25{CLEAR}"),
        ("run", f"--no{CLEAR}such"),
        ("show", f"x{CLEAR}", *where),
    ]
    (tmp_path / "board.md").write_text(f"made by lampbench leaderboard {CLEAR}\n")
    for words in asked:
        _, out, err = command(*words)
        assert out + err, words
        assert is_harmless(out + err), words
    shown = json.loads(command("show", "LaMP-2/alpha", *where, "--json")[1])
    assert shown["llm"]["id"] == f"llm{HOSTILE[:-2]}"  # as data it stays exact


def test_tables_keep_their_columns_whatever_the_names_are(tmp_path: Path) -> None:
    hostile_results(tmp_path)
    head, *rows = results_table(load_records(tmp_path), 200).split("\n\n")[0].splitlines()
    assert head.split() == ["alpha", "broken", r"beta\x9b2J\u202e"] or r"beta\x9b2J\u202e" in head
    assert {len(row) for row in rows} == {len(head)}
    text = comparison_table(compare(tmp_path, "alpha", "beta\x9b2J\u202e"))
    assert is_harmless(text)
    assert max(map(len, text.splitlines())) <= 80


def test_scores_and_methods_of_strangers_are_shown_harmless(command: Command, tmp_path: Path) -> None:
    golds = [{"id": f"1{HOSTILE[:-2]}", "output": "3"}, {"id": "2", "output": "3"}]
    gold, predicted = tmp_path / "golds.json", tmp_path / f"preds{CLEAR}.json"
    gold.write_text(json.dumps({"task": "LaMP_3", "golds": golds}))
    for content in (golds[1:], [*golds, golds[0]], [{"id": "1", "output": CLEAR}]):
        predicted.write_text(json.dumps({"task": "LaMP_3", "golds": content}))
        status, out, err = command("score", predicted, gold)
        assert (status, out, err.count("\n")) == (2, "", 1)
        assert is_harmless(err)
    (tmp_path / "methods").mkdir()
    source = "import lampbench.method\nclass Method(lampbench.method.Method):\n    name = 'mine'\n"
    source += f"    summary = {CLEAR!r}\n"
    (tmp_path / "methods" / "mine.py").write_text(source)
    (tmp_path / "methods" / f"{CLEAR}.py").write_text("def f(:")
    for words in (("--options",), ("--json",)):
        status, out, _ = command("list", "methods", "--methods-dir", tmp_path / "methods", *words)
        assert status == 0
        assert is_harmless(out)
        assert r"x1b[2J" in out or r"\u001b[2J" in out


# Streams


def lampbench(*words: object, redirected: str = "", **variables: str) -> subprocess.CompletedProcess[bytes]:
    """The command in a process of its own, its streams redirected as the shell does it."""
    line = f'"$0" -m lampbench "$@" {redirected}'
    return subprocess.run(
        ["sh", "-c", line, sys.executable, *map(str, words)],
        capture_output=True,
        check=False,
        env={**os.environ, **variables},
        timeout=120,
    )


@pytest.mark.parametrize("encoding", ["cp1252", "ascii", "utf-8"])
def test_every_encoding_of_the_output_will_do(tmp_path: Path, encoding: str) -> None:
    for method in ("alpha", "beta日本"):
        add_run(tmp_path, method, "LaMP-3")
    where = ("--results", tmp_path)
    signs = {"cp1252": ("-", "v"), "ascii": ("-", "v"), "utf-8": ("−", "↓")}[encoding]
    for words in (
        ("compare", "alpha", "beta日本", *where),
        ("leaderboard", *where, "-o", "-"),
        ("list", "methods", "--options"),
        ("list", "runs", *where),
    ):
        done = lampbench(*words, PYTHONIOENCODING=encoding)
        assert (done.returncode, done.stderr) == (0, b""), words
        text = done.stdout.decode(encoding)
        if words[0] == "compare":
            assert f"A {signs[0]} B" in text
            assert f"LaMP-3 MAE {signs[1]}" in text
    done = lampbench("show", "beta日本", *where, "--json", PYTHONIOENCODING=encoding)
    assert json.loads(done.stdout.decode(encoding))["method"]["name"] == "beta日本"
    done = lampbench("show", "gamma日本", *where, PYTHONIOENCODING=encoding)
    assert (done.returncode, done.stderr.count(b"\n")) == (2, 1)
    assert done.stderr.startswith(b"error: unknown run 'gamma")


@pytest.mark.parametrize(
    "words", [("list", "tasks"), ("list", "tasks", "--json"), ("list", "--help"), ("--help",)]
)
def test_a_full_disk_behind_the_output_is_one_line(words: tuple[str, ...]) -> None:
    done = lampbench(*words, redirected=">/dev/full")
    assert done.returncode == 1
    assert done.stderr == b"error: standard output takes no more: No space left on device\n"


@pytest.mark.parametrize("words", [("list", "tasks"), ("--help",)])
def test_a_reader_that_has_seen_enough_is_no_error(words: tuple[str, ...]) -> None:
    done = lampbench(*words, redirected="| true")
    assert done.stderr == b""


@pytest.mark.parametrize("redirected", [">&-", "2>&-", ">&- 2>&- <&-", "2>/dev/full"])
def test_closed_streams_change_no_status(redirected: str) -> None:
    for words, status in ((("list", "tasks"), 0), (("--help",), 0), (("list", "taks"), 2)):
        done = lampbench(*words, redirected=redirected)
        assert done.returncode == status, words
        assert b"Traceback" not in done.stdout + done.stderr


def test_files_do_not_take_the_place_of_a_closed_stream(tmp_path: Path) -> None:
    code = (
        "import os, sys\n"
        "from lampbench.terminal import open_streams\n"
        "open_streams()\n"
        f"file = open({str(tmp_path / 'mine')!r}, 'w')\n"
        "os.write(1, b'chatter'); os.write(2, b'chatter'); print('more')\n"
    )
    subprocess.run(["sh", "-c", '"$0" -c "$1" >&- 2>&-', sys.executable, code], check=True)
    assert (tmp_path / "mine").read_text() == ""


def test_the_end_of_a_run_by_a_strangers_exit_is_told(
    command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    def leave(*_: object, **__: object) -> None:
        sys.exit(0)

    monkeypatch.setattr("lampbench.runner.run.run", leave)
    status, out, err = command("run", "--method", "bm25")
    assert (status, out) == (1, "")
    assert err == "error: ended half-way by SystemExit: 0 in the code of a method or library\n"


def test_a_traceback_is_harmless_too(tmp_path: Path) -> None:
    code = (
        "import lampbench.method.registry as r, lampbench.cli.app as c\n"
        "def stumble(*_): raise ZeroDivisionError('\\x1b[2J')\n"
        "r.list_methods = stumble\n"
        "c.main(['list', 'methods'])\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr.startswith("Traceback")
    assert r"ZeroDivisionError: \x1b[2J" in done.stderr
    assert is_harmless(done.stderr)
