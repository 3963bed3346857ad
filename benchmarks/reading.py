"""How fast questions are read and prepared: python benchmarks/reading.py [MEGABYTES]

The ratios are to Python's own decoder on the same records, one per line, with nothing bounded and nothing
streamed; the three take turns, and the medians are shown. Peak memory is that of reading alone.
"""

from __future__ import annotations

import json
import random
import statistics
import sys
import tempfile
import time
import tracemalloc
from collections.abc import Callable
from pathlib import Path

from lampbench.data.prepare import prepare_task
from lampbench.files.json_stream import JsonStream

ROUNDS = 5
WORDS = "the a of and noise council city year film good bad lamp “quoted” naïve \n".split(" ")


def write_questions(folder: Path, size: int) -> Path:
    """About so many bytes of LaMP-3: 185 items of 120 words per question, as the real files have."""
    rng = random.Random(0)
    path = folder / "user" / "LaMP_3" / "test_questions.json"
    path.parent.mkdir(parents=True)
    questions: list[object] = []
    written = 0
    while written < size:
        number = len(questions)
        profile = [
            {
                "id": f"{number}{i}",
                "text": " ".join(rng.choices(WORDS, k=120)),
                "score": "4",
                "date": "2011-01-01",
            }
            for i in range(185)
        ]
        questions.append({"id": str(number), "input": "review: x", "profile": profile})
        written += len(json.dumps(questions[-1]))
    path.write_text(json.dumps(questions))
    return path


def read(path: Path) -> None:
    """Every record, and none kept."""
    with path.open("rb") as file:
        for _ in JsonStream(file.read).items():
            pass


def main() -> None:
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        path = write_questions(folder, int(float(sys.argv[1]) * 1e6) if len(sys.argv) > 1 else 40_000_000)
        lines = [json.dumps(record) for record in json.loads(path.read_bytes())]
        megabytes = path.stat().st_size / 1e6

        def decode() -> None:
            for line in lines:
                json.loads(line)

        def prepare() -> None:
            with tempfile.TemporaryDirectory() as cache:
                prepare_task(folder, "LaMP-3", cache_dir=cache)

        works: dict[str, Callable[[], None]] = {
            "json.loads": decode,
            "JsonStream": lambda: read(path),
            "prepare": prepare,
        }
        seconds: dict[str, list[float]] = {name: [] for name in works}
        for _ in range(ROUNDS):
            for name, work in works.items():
                start = time.perf_counter()
                work()
                seconds[name].append(time.perf_counter() - start)
        baseline = statistics.median(seconds["json.loads"])
        for name, taken in seconds.items():
            middle = statistics.median(taken)
            print(f"{name:12} {megabytes / middle:6.0f} MB/s {middle / baseline:6.2f}x")
        tracemalloc.start()
        read(path)
        print(f"peak {tracemalloc.get_traced_memory()[1] / 2**20:.1f} MiB for {megabytes:.0f} MB")


if __name__ == "__main__":
    main()
