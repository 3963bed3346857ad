"""Whatever bytes a stranger's file holds, each reader of such files ends at once in one line that names it."""

from __future__ import annotations

import errno
import json
import os
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from lamp_files import question, write_json, write_split

from lampbench.data import official_json, open_task, prediction_sources
from lampbench.data.audit import audit
from lampbench.data.prediction_files import score_files, score_folder
from lampbench.data.prepare import prepare_task
from lampbench.errors import LampbenchError, RequestError, RunError
from lampbench.files import regular_file
from lampbench.mini.generator import write_suite
from lampbench.records.predictions import LARGEST_LOG, PredictionLog, read_predictions
from lampbench.records.record import read_record
from lampbench.runner.preset import load_preset

DEEP = b"[" * 100_000
BAD: dict[str, bytes] = {
    "nothing": b"",
    "white space": b" \n",
    "a web page": b"<html>",
    "gzip": b"\x1f\x8b\x08\x00\x00",
    "zeros": bytes(5000),
    "no UTF-8": b'[{"id": "\xff\xfe"}]',
    "a cut": b'[{"id": "q", "inp',
    "nested lists": DEEP,
    "nested objects": b'{"id":' * 50_000,
    "nested and closed": DEEP + b"]" * len(DEEP),
    "lines of nested lists": b'{"id": "q", "output": "4"}\n{"id": ' + DEEP,
    "a nested field": b'[{"id": "q", "input": "review: x", "profile": [{"id": '
    + DEEP
    + b"]" * len(DEEP)
    + b"}]}]",
    "a long integer": b'[{"id": ' + b"9" * 5000 + b"}]",
    "a long integer in a line": b'{"id": ' + b"9" * 5000 + b"}",
    "a large exponent": b'[{"id": 1e999999999}]',
    "NaN": b'[{"id": NaN}]',
    "a minus": b"[-",
    "a NUL": b'[{"id": "\x00"}]',
}


def questions(folder: Path, content: bytes) -> Callable[[], object]:
    path = write_split(folder, "LaMP-3", [question("LaMP-3", "q")]) / "user" / "LaMP_3" / "dev_questions.json"
    path.write_bytes(content)
    return lambda: prepare_task(folder, "LaMP-3")


def golds(folder: Path, content: bytes) -> Callable[[], object]:
    path = write_split(folder, "LaMP-3", [question("LaMP-3", "q")]) / "user" / "LaMP_3" / "dev_outputs.json"
    path.write_bytes(content)
    return lambda: prepare_task(folder, "LaMP-3")


def predictions(folder: Path, content: bytes) -> Callable[[], object]:
    outputs = write_json(folder / "golds.json", {"task": "LaMP_3", "golds": [{"id": "q", "output": "4"}]})
    path = folder / "predictions.json"
    path.write_bytes(content)
    return lambda: score_files(path, outputs)


def record(folder: Path, content: bytes) -> Callable[[], object]:
    path = folder / "record.json"
    path.write_bytes(content)
    return lambda: read_record(path)


def log(folder: Path, content: bytes) -> Callable[[], object]:
    path = folder / "predictions.jsonl"
    path.write_bytes(content + b'\n{"id": "q"}\n' if content.strip() else b"[]\n\n")
    return lambda: read_predictions(path)


def preset(folder: Path, content: bytes) -> Callable[[], object]:
    path = folder / "mine.toml"
    path.write_bytes(b"x = " + content)
    return lambda: load_preset(str(path))


def manifest(folder: Path, content: bytes) -> Callable[[], object]:
    path = folder / "suite" / "manifest.json"
    path.parent.mkdir()
    path.write_bytes(content)
    return lambda: write_suite(path.parent, tasks=["LaMP-3"])


READERS = [questions, golds, predictions, record, log, preset, manifest]


@pytest.mark.parametrize("bad", BAD)
@pytest.mark.parametrize("reader", READERS)
def test_bad_bytes_are_one_line_that_names_the_file(
    tmp_path: Path, reader: Callable[[Path, bytes], Callable[[], object]], bad: str
) -> None:
    read = reader(tmp_path, BAD[bad])
    with pytest.raises(LampbenchError) as caught:
        read()
    message = str(caught.value)
    assert "\n" not in message
    assert len(message) < 1000
    assert str(tmp_path) in message


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="the system has no named pipes")
@pytest.mark.parametrize("reader", READERS)
def test_a_pipe_in_place_of_a_file_is_not_waited_for(
    tmp_path: Path, reader: Callable[[Path, bytes], Callable[[], object]]
) -> None:
    read = reader(tmp_path, b"{}")
    for path in [path for path in tmp_path.rglob("*.*") if path.name != "golds.json"]:
        path.unlink()
        os.mkfifo(path)
    with pytest.raises(LampbenchError) as caught:
        read()
    assert str(tmp_path) in str(caught.value)


@pytest.mark.parametrize("reader", [questions, golds, predictions, record])
def test_a_file_that_may_not_be_read_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, reader: Callable[[Path, bytes], Callable[[], object]]
) -> None:
    def refuse(path: object) -> None:
        raise PermissionError(errno.EACCES, "Permission denied", path)

    read = reader(tmp_path, b"[]")
    for module in (regular_file, official_json, prediction_sources):
        monkeypatch.setattr(module, "open_regular", refuse)
    with pytest.raises(RequestError, match=f"{tmp_path}.*Permission denied"):
        read()


def test_a_prediction_log_without_bounds_is_not_read(tmp_path: Path) -> None:
    path = tmp_path / "predictions.jsonl"
    path.touch()
    os.truncate(path, LARGEST_LOG + 1)  # a hole: it takes no disk
    with pytest.raises(RunError, match=r"predictions\.jsonl: it has more than 1024 MiB"):
        read_predictions(path)


def test_devices_and_folders_are_no_files(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="it is a folder, not a file"):
        regular_file.open_regular(tmp_path)
    with pytest.raises(OSError, match="it is a pipe or a device, not a file"):
        regular_file.open_regular(os.devnull)
    path = write_json(tmp_path / "x.json", [1, 2, 3])
    with pytest.raises(OSError, match="it has more than 0 MiB"):
        regular_file.read_regular(path, 8)
    assert regular_file.read_regular(path, 9) == b"[1, 2, 3]"


def test_a_file_that_is_cut_while_it_is_read_is_named(tmp_path: Path) -> None:
    write_split(tmp_path, "LaMP-3", [question("LaMP-3", f"q{i}", 40) for i in range(2500)])
    path = tmp_path / "user" / "LaMP_3" / "dev_questions.json"
    assert path.stat().st_size > 3 * 2**21

    def cut(done: int, total: int, name: str) -> None:
        if name == path.name:
            os.truncate(path, 2**21 + 100)

    with pytest.raises(RequestError, match=r"dev_questions\.json changed while it was read"):
        prepare_task(tmp_path, "LaMP-3", on_progress=cut)
    write_json(path, [question("LaMP-3", f"q{i}", 40) for i in range(2500)])
    (split,) = audit(tmp_path, "LaMP-3", on_progress=cut).splits
    assert "changed while it was read: is it still being downloaded?" in split.broken[0]


def test_the_audit_goes_on_after_each_bad_file(tmp_path: Path) -> None:
    for bad, content in BAD.items():
        questions(tmp_path, content)
        (split,) = audit(tmp_path, "LaMP-3").splits
        assert not split.can_be_prepared, bad
        json.dumps(split.labels, allow_nan=False)
        assert split.golds == 1


# Data as others write them


def as_lines(path: Path, entries: list[object]) -> None:
    path.write_text("".join(json.dumps(entry) + "\n" for entry in entries))


def test_questions_and_golds_may_be_json_lines(tmp_path: Path) -> None:
    records = [question("LaMP-4", f"q{i}", user_id=f"u{i}") for i in range(3)]
    write_split(tmp_path, "LaMP-4", records, {"q0": "a", "q1": "b", "q2": "c"})
    listed = open_task(tmp_path, "LaMP-4").split("dev")
    folder = tmp_path / "user" / "LaMP_4"
    as_lines(folder / "dev_questions.json", records)
    as_lines(folder / "dev_outputs.json", [{"id": f"q{i}", "output": "abc"[i]} for i in (2, 0, 1)])
    lines = open_task(tmp_path, "LaMP-4").split("dev")
    for line, example in zip(lines, listed, strict=True):
        assert (line.id, line.input, line.user_id, line.profile) == (
            example.id,
            example.input,
            example.user_id,
            example.profile,
        )
    assert lines.golds == {"q0": "a", "q1": "b", "q2": "c"}
    (split,) = audit(tmp_path, "LaMP-4").splits
    assert (split.questions, split.golds, split.can_be_prepared) == (3, 3, True)
    as_lines(folder / "dev_questions.json", [*records[:2], {"id": "q2"}])
    with pytest.raises(RequestError, match=r"record 3 \(id 'q2'\) lacks the field 'input'"):
        prepare_task(tmp_path, "LaMP-4")
    (folder / "dev_questions.json").write_text(json.dumps(records[0]) + "\n" + json.dumps(records[1])[:-5])
    with pytest.raises(RequestError, match="not whole JSON after record 1: the file ends too early"):
        prepare_task(tmp_path, "LaMP-4")


def test_halves_of_surrogate_pairs_are_read_everywhere_as_the_replacement_character(tmp_path: Path) -> None:
    half = "yes \ud83d"
    record = question("LaMP-4", "dev\ud83d", 1, user_id=half)
    record["input"] = f"article: {half}"
    record["profile"][0] |= {"id": half, "text": half, "title": half, "mood": {half: [half]}, "date": half}
    write_split(tmp_path, "LaMP-4", [record], {"dev\ud83d": half})
    (example,) = open_task(tmp_path, "LaMP-4").split("dev")
    whole = "yes \ufffd"
    assert (example.id, example.output, example.input) == ("dev\ufffd", whole, f"article: {whole}")
    item = {"id": whole, "text": whole, "title": whole, "mood": {whole: [whole]}, "date": whole}
    assert example.profile == [item]
    predicted = tmp_path / "user" / "LaMP_4" / "dev_outputs.json"
    assert score_files(predicted, predicted).metrics["rouge1"] == 1.0


def test_numbers_in_items_are_written_as_python_writes_them(tmp_path: Path) -> None:
    """As the official program has them in its prompts."""
    record = question("LaMP-3", "q", 0)
    path = write_split(tmp_path, "LaMP-3", [record]) / "user" / "LaMP_3" / "dev_questions.json"
    items = '[{"id": 7, "text": "t", "score": 4.50, "date": 1e3, "more": 1e-7}]'
    path.write_text(json.dumps([record]).replace("[]", items))
    (example,) = open_task(tmp_path, "LaMP-3").split("dev")
    assert example.profile == [{"id": "7", "text": "t", "score": "4.5", "date": "1000.0", "more": 1e-7}]


# Zips


def zipped(folder: Path, content: bytes, method: int = zipfile.ZIP_DEFLATED, members: int = 1) -> Path:
    path = folder / "p.zip"
    with zipfile.ZipFile(path, "w", method) as archive:
        for number in range(members):
            archive.writestr(f"{number}/LaMP_3.json", content)
    return path


@pytest.fixture
def outputs(tmp_path: Path) -> tuple[Path, bytes]:
    """A gold file, and predictions with its ids."""
    entries = [{"id": f"{i}", "output": "4"} for i in range(300)]
    path = write_json(tmp_path / "golds.json", {"task": "LaMP_3", "golds": entries})
    return path, path.read_bytes()


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_a_zip_may_be_packed_in_any_way(tmp_path: Path, outputs: tuple[Path, bytes], method: int) -> None:
    golds, content = outputs
    assert score_folder(zipped(tmp_path, content, method), golds).scores["LaMP-3"].metrics["mae"] == 0.0


def test_a_zip_that_would_unpack_to_far_more_than_its_size_is_refused_unread(
    tmp_path: Path, outputs: tuple[Path, bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    golds, content = outputs
    many_equal = b'{"id": "1", "output": "4"}\n' * 400_000
    for bomb in (zipped(tmp_path, b"[" * 20_000_000), zipped(tmp_path, many_equal)):
        with pytest.raises(
            RequestError, match=r"p\.zip: 0\.\d MiB would unpack to \d+\.\d MiB, more than 100"
        ):
            score_folder(bomb, golds)
        with pytest.raises(RequestError, match=r"p\.zip: 0\.\d MiB would unpack"):
            score_folder(golds, bomb)
    # One bad member hides among good ones.
    bomb = zipped(tmp_path, os.urandom(10**6))
    with zipfile.ZipFile(bomb, "a", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("x/LaMP_4.json", b"[" * 20_000_000)
    with pytest.raises(RequestError, match=r"p\.zip/x/LaMP_4\.json: .* would unpack to 19\.1 MiB"):
        score_folder(bomb, golds)
    # Many members that share one packed text: only the size of the zip itself bounds them.
    bomb = zipped(tmp_path, b"[" * 500_000, members=50)
    with pytest.raises(RequestError, match=r"p\.zip: 0\.0 MiB would unpack to 23\.8 MiB"):
        score_folder(bomb, golds)
    monkeypatch.setattr(prediction_sources, "LARGEST_FILE", len(content) + 1)
    with pytest.raises(RequestError, match="which no set of outputs has"):
        score_folder(zipped(tmp_path, content, members=2), golds)


def test_each_way_in_which_a_zip_is_broken_is_one_line(tmp_path: Path, outputs: tuple[Path, bytes]) -> None:
    golds, content = outputs

    def message(method: int, change: Callable[[bytearray, int], object]) -> str:
        path = zipped(tmp_path, content, method)
        packed = bytearray(path.read_bytes())
        change(packed, packed.find(b"PK\x01\x02"))
        path.write_bytes(packed)
        with pytest.raises(RequestError) as caught:
            score_folder(path, golds)
        assert "\n" not in str(caught.value)
        assert "p.zip" in str(caught.value)
        return str(caught.value)

    def claims(at: int, value: int) -> Callable[[bytearray, int], object]:
        return lambda packed, directory: struct.pack_into("<I", packed, directory + at, value)

    def spoil(packed: bytearray, directory: int) -> None:
        packed[100:140] = bytes(40)

    def encrypt(packed: bytearray, directory: int) -> None:
        packed[6] |= 1
        packed[directory + 8] |= 1

    def unknown(packed: bytearray, directory: int) -> None:
        packed[8] = packed[directory + 10] = 99

    stored = zipfile.ZIP_STORED
    assert "shorter than the zip says" in message(stored, claims(24, len(content) + 9))
    assert "Bad CRC-32" in message(stored, claims(20, 100))
    assert "Bad CRC-32" in message(stored, claims(24, len(content) - 9))
    assert "cannot be read" in message(stored, claims(42, 10**9))  # lies behind the end
    assert "cannot be read" in message(zipfile.ZIP_DEFLATED, spoil)
    assert "cannot be read" in message(zipfile.ZIP_BZIP2, spoil)
    assert "cannot be read" in message(zipfile.ZIP_LZMA, spoil)
    assert "it is encrypted" in message(stored, encrypt)
    assert "compression method is not supported" in message(stored, unknown)
    assert "is a zip archive that is damaged" in message(
        stored, lambda packed, at: packed.__delitem__(slice(at, None))
    )


@given(data=st.data())
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_zip_with_any_bytes_changed_is_scored_or_named(
    tmp_path: Path, outputs: tuple[Path, bytes], data: st.DataObject
) -> None:
    golds, content = outputs
    method = data.draw(st.sampled_from([zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_LZMA]))
    path = zipped(tmp_path, content, method)
    packed = bytearray(path.read_bytes())
    for _ in range(data.draw(st.integers(1, 4))):
        # Most of what can go wrong is in the headers at both ends.
        at = data.draw(st.integers(0, 60) | st.integers(len(packed) - 120, len(packed) - 1))
        packed[at] = data.draw(st.integers(0, 255))
    path.write_bytes(packed)
    try:
        score = score_folder(path, golds).scores["LaMP-3"]
    except RequestError:
        return
    assert score.metrics["mae"] == 0.0


# What our own files may have become


@given(content=st.binary(max_size=60) | st.text('{}[]":,id1 \n', max_size=60).map(str.encode))
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_bytes_in_a_prediction_log_are_lines_or_an_error(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "predictions.jsonl"
    path.write_bytes(content)
    try:
        lines = PredictionLog(path).read()
    except RunError:
        return
    assert all(isinstance(id, str) for id in lines)
