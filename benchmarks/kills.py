"""Runs that are killed at random moments: python benchmarks/kills.py --method adhoc,bm25,prompt-tuning --rounds 5

For each method an undisturbed run is the yardstick. In every round the same command, with a cache of its own and
an earlier run in its place, is killed (SIGKILL) at moments drawn at random, up to MOST_KILLS times, and then left to
end. After each kill a complete run must be there, the earlier one or the new one, with the predictions that were
scored; at the end the predictions must be the yardstick's, byte for byte, and no other file may be left.

Times between kills are drawn from the time that the yardstick took. Every process starts with its imports done, so
that kills hit the work and not the start.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import random
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from lampbench.records.record import RECORD, Record
from lampbench.records.results_folder import load_records

MOST_KILLS = 4  # in one round, unless told otherwise
KEPT = {RECORD, "predictions.jsonl"}
PRELOADED = [
    "lampbench.runner.run",
    "lampbench.models.frozen_llm",
    "lampbench.models.encoder",
    "lampbench.training.loop",
]


@dataclass
class Round:
    """What one round showed.

    Attributes:
        kills: how many hit a run that was not over.
        lost: kills after which no complete run was there.
        same: whether the predictions in the end are the yardstick's.
        left: files that should not be there.
    """

    kills: int = 0
    lost: int = 0
    same: bool = False
    left: list[str] = field(default_factory=list)

    @property
    def is_right(self) -> bool:
        return not self.lost and self.same and not self.left


def rounds(
    options: dict[str, Any], n: int, folder: Path, seed: int = 0, most: int = MOST_KILLS
) -> Iterator[Round]:
    """Play rounds.

    Args:
        options: of `lampbench.run`, for one method, task and seed; without `results` and `fresh`.
        n: how many.
        folder: for results and caches.
        seed: of the moments.
        most: kills in one round.
    """
    draw = random.Random(seed)
    yardstick = folder / "yardstick"
    imports = _forkserver().Process(target=time.sleep, args=(0,))
    imports.start()
    imports.join()  # they are not timed
    start = time.monotonic()
    _process(options, yardstick).join()
    seconds = time.monotonic() - start
    expected = _run_in(yardstick)
    assert expected is not None, "the undisturbed run failed"
    for number in range(n):
        place = folder / f"round{number}"
        shutil.copytree(yardstick / "results", place / "results")
        _mark(_run_in(place))
        yield _round(options, place, expected, seconds, draw, most)
        shutil.rmtree(place)


def _round(
    options: dict[str, Any], place: Path, expected: Record, seconds: float, draw: random.Random, most: int
) -> Round:
    found = Round()
    while True:
        begun = any(place.rglob(f".*.attempt/{RECORD}"))
        is_new = _is_new(place)
        # An attempt that was begun is gone on with; before, the earlier run would do without --fresh.
        process = _process({**options, "fresh": not begun and not is_new}, place)
        if found.kills < most:
            process.join(draw.uniform(0, seconds))
        if not process.is_alive() or found.kills == most:
            process.join()
            break
        process.kill()
        process.join()
        found.kills += 1
        found.lost += _run_in(place) is None
    end = _run_in(place)
    same = end is not None and end.predictions.read_bytes() == expected.predictions.read_bytes()
    found.same = same and _is_new(place) and end is not None and end.metrics == expected.metrics
    results = {path for path in (place / "results").rglob("*") if path.is_file() and path.name not in KEPT}
    found.left = sorted(str(path.relative_to(place)) for path in {*results, *place.rglob("*.tmp")})
    return found


def _process(options: dict[str, Any], place: Path) -> Any:
    """A process that runs the command, started."""
    process = _forkserver().Process(target=_work, args=(options, str(place)))
    process.start()
    return process


def _forkserver() -> Any:
    server = multiprocessing.get_context("forkserver")
    server.set_forkserver_preload(PRELOADED)
    return server


def _work(options: dict[str, Any], place: str) -> None:
    from lampbench.runner.run import run

    os.environ["LAMPBENCH_CACHE"] = f"{place}/cache"
    run(**options, results=f"{place}/results", progress="none")


def _run_in(place: Path) -> Record | None:
    """The one run that is recorded there, if it is complete and its predictions are those that were scored."""
    import hashlib

    (record,) = load_records(place / "results")
    scored = hashlib.sha256(record.predictions.read_bytes()).hexdigest() == record.predictions_sha256
    return record if record.status == "complete" and scored else None


def _mark(record: Record | None) -> None:
    """Make the run an earlier one, to be told from the new one."""
    assert record is not None
    assert record.folder is not None
    path = record.folder / RECORD
    path.write_text(json.dumps(json.loads(path.read_text()) | {"command": "earlier"}))


def _is_new(place: Path) -> bool:
    (record,) = load_records(place / "results")
    return record.command != "earlier"


def main() -> int:
    """Plays the rounds and prints a line per method; 1 if anything was lost, left or otherwise."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--method", default="adhoc,bm25,prompt-tuning", help="methods, with commas")
    parser.add_argument("--task", default="LaMP-3")
    parser.add_argument("--preset", default="mini")
    parser.add_argument("--set", action="append", default=[], help="METHOD.OPTION=VALUE, for that method")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seed", type=int, default=0, help="of the moments")
    asked = parser.parse_args()
    wrong = 0
    print(f"{'method':<16}{'rounds':>8}{'kills':>8}{'lost':>8}{'same':>8}  left")
    for method in asked.method.split(","):
        with tempfile.TemporaryDirectory() as folder:
            own = [words for words in asked.set if words.startswith(f"{method}.")]
            options = {"method": method, "task": asked.task, "preset": asked.preset, "set": own}
            played = list(rounds(options, asked.rounds, Path(folder), asked.seed))
        kills, lost, same = (sum(getattr(one, name) for one in played) for name in ("kills", "lost", "same"))
        left = sorted({name for one in played for name in one.left})
        print(
            f"{method:<16}{len(played):>8}{kills:>8}{lost:>8}{same:>8}  {', '.join(left) or '-'}", flush=True
        )
        wrong += sum(not one.is_right for one in played)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
