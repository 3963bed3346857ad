"""predictions.jsonl: what one run answered, one line per question, written while it goes on.

The log is how an interrupted run resumes, and it is all that re-scoring, comparing and the leaderboard need.
A line:

    {"id": "110", "output": "comedy",           question and generated text
     "user": "u7",                              where the data name the user
     "ranked": ["1102", "1107"],                ids of the profile items in the prompt, best first
     "tokens": {"prompt": 143, "soft": 2, "generated": 3},
     "truncated": true,                         only when the prompt was cut
     "said": "It is a comedy.",                 only when the output was extracted from what the LLM said
     "extra": {...},                            only when the method said more
     "scores": {"accuracy": 1.0},               once scored: as in metrics.Score.per_example
     "labels": [2, 2]}                          once scored, label tasks: as in metrics.Score.labels

It holds no text of the data: neither inputs nor golds nor profiles.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO

from lampbench.bounded_json import BadJson, parse_json
from lampbench.errors import RunError
from lampbench.jsonfile import compact, plain
from lampbench.prediction import Prediction
from lampbench.replacing import write_atomic

Line = dict[str, Any]


def line_of(prediction: Prediction, user: str | None = None) -> Line:
    """The line that holds a prediction."""
    line: Line = {"id": prediction.id, "output": prediction.output}
    if user is not None:
        line["user"] = user
    line["ranked"] = list(prediction.ranked)
    line["tokens"] = {
        "prompt": prediction.prompt_tokens,
        "soft": prediction.soft_tokens,
        "generated": prediction.generated_tokens,
    }
    if prediction.truncated:
        line["truncated"] = True
    if prediction.said is not None:
        line["said"] = prediction.said
    if prediction.extra:
        line["extra"] = dict(prediction.extra)
    return line


class PredictionLog:
    """The predictions.jsonl of one run, for appending and for reading.

        with PredictionLog(folder / "predictions.jsonl") as log:
            done = log.read()                       # what an interrupted run left: id -> line
            log.append([line_of(p), ...])           # after each batch
            sha256 = log.finalize(order=ids, scores=score.per_example)

    A process that is killed while it appends leaves a torn last line. Reading passes over it and appending
    removes it, so at most the batch in flight is lost.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._file: BinaryIO | None = None

    def __enter__(self) -> PredictionLog:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def read(self) -> dict[str, Line]:
        """The lines by id, in the order of the file; of an id that occurs twice, the first.

        Raises:
            RunError: a line other than the last is not a prediction.
        """
        return self._read()[0]

    def append(self, lines: Iterable[Mapping[str, Any]]) -> None:
        """Adds lines at the end and hands them to the operating system before returning.

        Raises:
            RunError: a value cannot be recorded, or the file cannot be written.
        """
        text = "".join(_text(line, self.path) for line in lines)
        try:
            file = self._open()
            # A lone surrogate, which UTF-8 cannot hold, becomes its own JSON escape.
            file.write(text.encode("utf-8", errors="backslashreplace"))
            file.flush()
        except OSError as error:
            raise RunError(f"cannot write {self.path}: {error.strerror or error}") from error

    def finalize(
        self,
        order: Sequence[str],
        scores: Mapping[str, Mapping[str, float]] | None = None,
        labels: Mapping[str, tuple[int, int]] | None = None,
    ) -> str:
        """Rewrites the file in one stroke: one line per id of `order`, in that order, with its scores.

        Args:
            order: the ids of all questions.
            scores: value by metric and id, as in metrics.Score.per_example; replaces older scores.
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
        write_atomic(self.path, "".join(_text(lines[id], self.path) for id in order))
        return self.sha256()

    def sha256(self) -> str:
        """SHA-256 of the file, in hex."""
        return hashlib.sha256(self.path.read_bytes()).hexdigest()

    def clear(self) -> None:
        """Forgets everything: removes the file."""
        self.close()
        self.path.unlink(missing_ok=True)

    def close(self) -> None:
        """Closes the file; appending opens it again."""
        if self._file is not None:
            self._file.close()
            self._file = None

    def _open(self) -> BinaryIO:
        if self._file is None:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            _, whole = self._read()
            file = open(self.path, "ab")  # noqa: SIM115 -- kept open between batches
            file.truncate(whole)
            if whole and self.path.read_bytes()[-1:] != b"\n":
                file.write(b"\n")
            self._file = file
        return self._file

    def _read(self) -> tuple[dict[str, Line], int]:
        """(lines by id, number of bytes up to the end of the last whole line)."""
        try:
            content = self.path.read_bytes()
        except FileNotFoundError:
            return {}, 0
        except OSError as error:
            raise RunError(f"cannot read {self.path}: {error.strerror or error}") from error
        lines: dict[str, Line] = {}
        rows = [row + b"\n" for row in content.split(b"\n")]
        end = 0
        for number, row in enumerate(rows, 1):
            line = _parsed(row)
            if line is not None:
                lines.setdefault(line["id"], line)
            elif number == len(rows):
                break
            elif row.strip():
                raise RunError(
                    f"{self.path}, line {number}: not a prediction; the file was changed by hand or by a bad "
                    "disk: run again with --fresh"
                )
            end = min(end + len(row), len(content))
        return lines, end


def read_predictions(path: Path) -> dict[str, Line]:
    """The lines of a predictions.jsonl by id, in the order of the file.

    Raises:
        RunError: the file is missing, or a line other than the last is not a prediction.
    """
    if not path.is_file():
        raise RunError(f"{path}: no such file")
    return PredictionLog(path).read()


def _text(line: Mapping[str, Any], path: Path) -> str:
    checked = plain(line, f"{path.name}: prediction {line.get('id')!r}")
    if not isinstance(checked.get("id"), str):
        raise RunError(f"{path.name}: the id of a prediction is text, not {checked.get('id')!r}")
    return compact(checked) + "\n"


def _parsed(row: bytes) -> Line | None:
    try:
        line = parse_json(row)
    except BadJson:
        return None
    return line if isinstance(line, dict) and isinstance(line.get("id"), str) else None
