"""Two commands at once on one fresh cache: python benchmarks/pairs.py --method bm25,pplug --pairs 20

For each method the command is first run alone: its predictions are the yardstick, and what it makes for the cache
is counted (LaMP-mini tasks, prepared stores, embedding matrices, fits, users' adapters). Then pairs of the same
command, with results of their own, are started on an empty cache, every other pair at once and the others with a
delay drawn at random from the time that the command takes alone. Both must give the predictions of the yardstick,
say nothing of damage, and together make nothing that one alone would not make.
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
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import wraps
from pathlib import Path
from typing import Any

PRELOADED = [
    "lampbench.runner.run",
    "lampbench.models.frozen_llm",
    "lampbench.models.encoder",
    "lampbench.training.loop",
]


@dataclass
class Pair:
    """What one pair showed.

    Attributes:
        delay: seconds between the two starts.
        right: how many of the two ended with the predictions of the yardstick.
        twice: what was made more often than by one command alone, and how much more often.
        said: what was said of damage.
    """

    delay: float
    right: int = 0
    twice: dict[str, int] = field(default_factory=dict)
    said: list[str] = field(default_factory=list)

    @property
    def is_right(self) -> bool:
        return self.right == 2 and not self.twice and not self.said


def pairs(options: dict[str, Any], n: int, folder: Path, seed: int = 0) -> Iterator[Pair]:
    """Start pairs, one after the other.

    Args:
        options: of `lampbench.run`, for one method, task and seed; without `results`.
        n: how many.
        folder: for results and caches.
        seed: of the delays.
    """
    draw = random.Random(seed)
    alone = folder / "alone"
    _started(options, alone, "imports").join()  # they are not timed
    shutil.rmtree(alone, ignore_errors=True)
    start = time.monotonic()
    _started(options, alone, "one").join()
    seconds = time.monotonic() - start
    expected, usual, _ = _left_by(alone, "one")
    assert expected is not None, "the run alone failed"
    for number in range(n):
        place = folder / f"pair{number}"
        pair = Pair(draw.uniform(0, seconds) if number % 2 else 0.0)
        first = _started(options, place, "one")
        time.sleep(pair.delay)
        second = _started(options, place, "two")
        made: Counter[str] = Counter()
        for process, who in ((first, "one"), (second, "two")):
            process.join()
            predictions, its, said = _left_by(place, who)
            pair.right += predictions == expected
            pair.said += said
            made += its
        pair.twice = dict(made - usual)
        yield pair
        shutil.rmtree(place)


def _started(options: dict[str, Any], place: Path, who: str) -> Any:
    server = multiprocessing.get_context("forkserver")
    server.set_forkserver_preload(PRELOADED)
    process = server.Process(target=_work, args=(options, str(place), who))
    process.start()
    return process


def _work(options: dict[str, Any], place: str, who: str) -> None:
    """Run the command, and write down what it made and what it said of damage."""
    from lampbench.caches import embedding_store
    from lampbench.data import prepare
    from lampbench.method import fitting
    from lampbench.mini import generator
    from lampbench.progress import Progress
    from lampbench.runner.run import run
    from lampbench.training import trained_weights

    os.environ["LAMPBENCH_CACHE"] = f"{place}/cache"
    made: Counter[str] = Counter()
    said: list[str] = []

    class Listening(Progress):
        def say(self, text: str) -> None:
            if "damaged" in text or "changed while" in text:
                said.append(text)

    def counting(owner: Any, name: str, what: str) -> None:
        original: Callable[..., Any] = getattr(owner, name)

        @wraps(original)
        def counted(*args: Any, **kwargs: Any) -> Any:
            made[what] += 1
            return original(*args, **kwargs)

        setattr(owner, name, counted)

    counting(generator, "_write_task", "tasks")
    counting(prepare, "_prepare", "stores")
    counting(embedding_store.EmbeddingMatrix, "_create", "matrices")
    counting(fitting, "_fit", "fits")
    counting(trained_weights, "write_weights", "weights")
    try:
        run(**options, results=f"{place}/{who}", progress=Listening("none"))
    finally:
        Path(f"{place}/{who}.json").write_text(json.dumps({"made": made, "said": said}))


def _left_by(place: Path, who: str) -> tuple[bytes | None, Counter[str], list[str]]:
    """The predictions of a command, what it made, and what it said of damage."""
    log = json.loads((place / f"{who}.json").read_text())
    found = list((place / who).rglob("predictions.jsonl"))
    return found[0].read_bytes() if found else None, Counter(log["made"]), log["said"]


def main() -> int:
    """Starts the pairs and prints a line per pair; 1 if any was wrong."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--method", default="bm25,contriever,pplug,lora-user", help="methods, with commas")
    parser.add_argument("--task", default="LaMP-3")
    parser.add_argument("--preset", default="mini")
    parser.add_argument("--limit", type=int, default=8, help="questions of a run")
    parser.add_argument("--set", action="append", default=[], help="options, as of lampbench run")
    parser.add_argument("--pairs", type=int, default=20, help="of all methods together")
    parser.add_argument("--seed", type=int, default=0, help="of the delays")
    asked = parser.parse_args()
    methods = asked.method.split(",")
    wrong = 0
    print(f"{'method':<16}{'pair':>6}{'delay':>8}{'right':>8}  made twice; said of damage")
    for number, method in enumerate(methods):
        n = asked.pairs // len(methods) + (number < asked.pairs % len(methods))
        options = {"method": method, "task": asked.task, "preset": asked.preset, "limit": asked.limit}
        options["set"] = tuple(s for s in asked.set if "." not in s or s.startswith(f"{method}."))
        with tempfile.TemporaryDirectory() as folder:
            for at, pair in enumerate(pairs(options, n, Path(folder), asked.seed)):
                twice = ", ".join(f"{count} {what}" for what, count in pair.twice.items()) or "-"
                print(
                    f"{method:<16}{at:>6}{pair.delay:>7.1f}s{pair.right:>6}/2  {twice}; {len(pair.said)}",
                    flush=True,
                )
                wrong += not pair.is_right
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
