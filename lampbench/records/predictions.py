"""predictions.jsonl: what one run answered, one line per question, written while it goes on.

The log is how an interrupted run resumes, and it is all that re-scoring, comparing and the leaderboard need.
A line:

    {"id": "110", "output": "comedy",           question and generated text
     "user": "u7",                              where the data name the user
     "ranked": ["1102", "1107"],                ids of the profile items in the prompt, best first
     "tokens": {"prompt": 143, "soft": 2, "generated": 3},
     "asked": {"prompt": 410, "generated": 60}, only when the LLM was asked for something else besides
     "truncated": true,                         only when the prompt was cut
     "said": "It is a comedy.",                 only when the output was extracted from what the LLM said
     "extra": {...},                            only when the method said more
     "scores": {"accuracy": 1.0},               once scored: as in metrics.Score.logged
     "labels": [2, 2]}                          once scored, label tasks: as in metrics.Score.labels

It holds no text of the data: neither inputs nor golds nor profiles.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO

from lampbench.errors import RunError
from lampbench.files.atomic_write import replacing
from lampbench.files.bounded_json import BadJson, parse_json
from lampbench.files.digests import digest
from lampbench.files.regular_file import read_regular
from lampbench.files.seals import Say
from lampbench.files.typed_json import compact, plain
from lampbench.records.prediction import Prediction

Line = dict[str, Any]

LARGEST_LOG = 2**30  # bytes; 20,000 answers with all that a thinking LLM said take 200 MB


def line_of(prediction: Prediction, user: str | None = None, asked: Mapping[str, int] | None = None) -> Line:
    """The line that holds a prediction.

    Args:
        prediction: what was answered.
        user: who asked.
        asked: tokens by kind of what the LLM was asked since the line before, for other purposes than predictions.
    """
    line: Line = {"id": prediction.id, "output": prediction.output}
    if user is not None:
        line["user"] = user
    line["ranked"] = list(prediction.ranked)
    line["tokens"] = {
        "prompt": prediction.prompt_tokens,
        "soft": prediction.soft_tokens,
        "generated": prediction.generated_tokens,
    }
    if asked:
        line["asked"] = dict(asked)
    if prediction.truncated:
        line["truncated"] = True
    if prediction.said is not None:
        line["said"] = prediction.said
    if prediction.extra:
        line["extra"] = dict(prediction.extra)
    return line


class PredictionLog:
    """The predictions.jsonl of one run while it goes on, for appending and for reading.

        with PredictionLog(folder / "predictions.jsonl") as log:
            done = log.read()                       # what an interrupted run left: id -> line
            log.append([line_of(p), ...])           # after each batch
            sha256 = log.finalize(order=ids, scores=score.logged)
        log.settle()                                # once the record with that hash is written

    Until then a hidden file beside it holds the digest of every line, written after the line. What it does not
    vouch for is passed over, so of a process that is killed while it appends at most the batch in flight is
    lost, and a line that has changed since is answered again. (A finished file is vouched for by its record.)

    Args:
        path: the file.
        say: told of lines that have changed.
    """

    def __init__(self, path: Path, say: Say = lambda text: None) -> None:
        self.path = path
        self._say = say
        self._told = 0  # damaged lines that were told of
        self._file: BinaryIO | None = None

    def __enter__(self) -> PredictionLog:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def read(self) -> dict[str, Line]:
        """The lines that are as they were written, by id, in the order of the file; of an id that occurs twice,
        the first.

        Raises:
            RunError: the file cannot be read.
        """
        return self._read()[0]

    def append(self, lines: Iterable[Mapping[str, Any]]) -> None:
        """Adds lines at the end and hands them to the operating system before returning.

        Raises:
            RunError: a value cannot be recorded, or the file cannot be written.
        """
        rows = [_row(line, self.path) for line in lines]
        try:
            file = self._open()
            file.write(b"".join(rows))
            file.flush()
            self._vouch(rows)
        except OSError as error:
            raise RunError(f"cannot write {self.path}: {error.strerror or error}") from error

    def finalize(
        self,
        order: Sequence[str],
        scores: Mapping[str, Mapping[str, Any]] | None = None,
        labels: Mapping[str, tuple[int, int]] | None = None,
    ) -> str:
        """Rewrites the file in one stroke: one line per id of `order`, in that order, with its scores.

        Args:
            order: the ids of all questions.
            scores: by metric and id, as in metrics.Score.logged; replaces older scores.
            labels: (gold, predicted) label positions by id, as in metrics.Score.labels.

        Returns:
            SHA-256 of the file, in hex.

        Raises:
            RunError: a question has no prediction, or there is a prediction for no question.
        """
        lines = self.read()
        missing = [id for id in order if id not in lines]
        extra = set(lines) - set(order)
        if missing or extra:
            what = f"{len(missing)} of {len(order)} questions have no prediction" if missing else ""
            also = f"{len(extra)} predictions are for other questions" if extra else ""
            raise RunError(f"{self.path}: {'; '.join(filter(None, (what, also)))}; run again with --fresh")
        if scores is not None or labels is not None:
            for id in order:
                lines[id] = {name: v for name, v in lines[id].items() if name not in ("scores", "labels")}
                lines[id]["scores"] = {metric: values[id] for metric, values in (scores or {}).items()}
                if labels:
                    lines[id]["labels"] = list(labels[id])
        self.close()
        rows = [_row(lines[id], self.path) for id in order]
        try:
            self._vouch(rows)  # a kill before the record is written then costs no answer
            with replacing(self.path) as temporary:
                temporary.write_bytes(b"".join(rows))
        except OSError as error:
            raise RunError(f"cannot write {self.path}: {error.strerror or error}") from error
        return self.sha256()

    def settle(self) -> None:
        """The file is vouched for by a record from now on."""
        self._digests.unlink(missing_ok=True)

    def sha256(self) -> str:
        """SHA-256 of the file, in hex."""
        return hashlib.sha256(self.path.read_bytes()).hexdigest()

    def clear(self) -> None:
        """Forgets everything: removes the file."""
        self.close()
        self.path.unlink(missing_ok=True)
        self.settle()

    def close(self) -> None:
        """Closes the file; appending opens it again."""
        if self._file is not None:
            self._file.close()
            self._file = None

    @property
    def _digests(self) -> Path:
        return self.path.with_name(f".{self.path.name}.digests")

    def _vouch(self, rows: Sequence[bytes]) -> None:
        with self._digests.open("a", encoding="ascii") as file:
            file.writelines(f"{digest(row)}\n" for row in rows)

    def _open(self) -> BinaryIO:
        if self._file is None:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            _, whole = self._read()
            file = open(self.path, "ab")  # noqa: SIM115 -- kept open between batches
            file.truncate(whole)
            if whole and self.path.read_bytes()[-1:] != b"\n":
                file.write(b"\n")
            with self._digests.open("a", encoding="ascii") as digests:
                digests.write("\n")  # a digest that a kill has torn must not run into the next
            self._file = file
        return self._file

    def _read(self) -> tuple[dict[str, Line], int]:
        """(lines by id, number of bytes up to the end of the last line that is as it was written)."""
        content = _content(self.path)
        vouched = frozenset(_content(self._digests).split(b"\n"))
        lines: dict[str, Line] = {}
        end = at = changed = skipped = 0
        for row in (part + b"\n" for part in content.split(b"\n")):
            at += len(row)
            line = _parsed(row) if digest(row).encode() in vouched else None
            if line is not None:
                lines.setdefault(line["id"], line)
                end, changed = min(at, len(content)), changed + skipped
                skipped = 0
            elif row.strip():
                skipped += 1
        if changed > self._told:
            self._told = changed
            self._say(f"{self.path} is damaged: {changed} of its answers are given again")
        return lines, end


def _content(path: Path) -> bytes:
    """The content of a file; nothing if it is not there.

    Raises:
        RunError: it cannot be read, is no regular file, or has more than LARGEST_LOG bytes.
    """
    try:
        return read_regular(path, LARGEST_LOG)
    except FileNotFoundError:
        return b""
    except OSError as error:
        raise RunError(f"cannot read {path}: {error.strerror or error}") from error


def read_predictions(path: Path) -> dict[str, Line]:
    """The lines of a predictions.jsonl by id, in the order of the file.

    Raises:
        RunError: the file is missing, or a line other than the last is not a prediction.
    """
    if not path.is_file():
        raise RunError(f"{path}: no such file")
    lines: dict[str, Line] = {}
    rows = _content(path).split(b"\n")
    for number, row in enumerate(rows, 1):
        line = _parsed(row)
        if line is not None:
            lines.setdefault(line["id"], line)
        elif row.strip() and number < len(rows):
            raise RunError(
                f"{path}, line {number}: not a prediction; the file was changed by hand or by a bad disk: "
                "run again with --fresh"
            )
    return lines


def _row(line: Mapping[str, Any], path: Path) -> bytes:
    checked = plain(line, f"{path.name}: prediction {line.get('id')!r}")
    if not isinstance(checked.get("id"), str):
        raise RunError(f"{path.name}: the id of a prediction is text, not {checked.get('id')!r}")
    # A lone surrogate, which UTF-8 cannot hold, becomes its own JSON escape.
    return f"{compact(checked)}\n".encode("utf-8", errors="backslashreplace")


def _parsed(row: bytes) -> Line | None:
    try:
        line = parse_json(row)
    except BadJson:
        return None
    return line if isinstance(line, dict) and isinstance(line.get("id"), str) else None
