"""Run as a program: runs methods and, while they fit and predict, looks for planted texts in the whole process.

    python wall_probe.py SETTING DATA PRESET RESULTS PLANT_HEAD METHOD[,METHOD…]

It prints a line of JSON per look: who was working, and what was found. The planted texts begin with PLANT_HEAD
doubled, so that the argument itself is none.
"""

from __future__ import annotations

import gc
import json
import re
import sys
from pathlib import Path
from typing import Any

from lampbench.method.bench import Bench
from lampbench.method.registry import find_method, load
from lampbench.runner.run import run

SETTING, DATA, PRESET, RESULTS, HEAD, METHODS = sys.argv[1:]
PLANT = re.compile(f"({HEAD}){{2}}")


def in_memory() -> str | None:
    """Where a planted text is: in any object that the garbage collector knows, or in a frame of the stack."""
    frame: Any = sys._getframe(1)
    while frame is not None:
        for name, value in list(frame.f_locals.items()):
            if isinstance(value, str) and PLANT.search(value):
                return f"variable {name} of {frame.f_code.co_name}"
        frame = frame.f_back
    # At once, which is ten times as fast as object by object.
    inside = gc.get_referents(*gc.get_objects())
    texts = [text for text in inside if type(text) is str and HEAD in text]
    texts += [
        text.decode(errors="replace") for text in inside if type(text) is bytes and HEAD.encode() in text
    ]
    found = [text for text in texts if PLANT.search(text)]
    if not found:
        return None
    holders = [
        thing for thing in gc.get_objects() if any(f is i for f in found for i in gc.get_referents(thing))
    ]
    return f"held by {', '.join(sorted({type(holder).__name__ for holder in holders}))}"


def in_open_files() -> str | None:
    """A file that is open or mapped into memory and holds a planted text."""
    paths = {Path(link).resolve() for link in Path("/proc/self/fd").iterdir() if Path(link).exists()}
    paths |= {
        Path(line.split(maxsplit=5)[5].removesuffix(" (deleted)"))
        for line in Path("/proc/self/maps").read_text().splitlines()
        if line.count("/")
    }
    for path in paths:
        data = path.is_file() and path.suffix in (".arrow", ".json", ".jsonl")
        if data and PLANT.search(path.read_text(errors="replace")):
            return path.name
    return None


def look(at_work: str) -> None:
    if (method, at_work) in looked:
        return
    looked.add((method, at_work))
    print(json.dumps({"at": at_work, "memory": in_memory(), "files": in_open_files()}), flush=True)


def watched(name: str) -> None:
    original = getattr(Bench, name)

    def looking(self: Bench, *args: Any, **options: Any) -> Any:
        look(name)
        return original(self, *args, **options)

    setattr(Bench, name, looking)


method = ""
looked: set[tuple[str, str]] = set()
for step in ("generate", "train", "hold_out"):
    watched(step)
for method in METHODS.split(","):
    print(json.dumps({"method": method}), flush=True)
    options = load(find_method(method)).cls.check_options
    words = {k: ",".join(map(str, v)) if isinstance(v, (list, tuple)) else v for k, v in options.items()}
    run(
        method,
        "LaMP-4",
        setting=SETTING,
        data=DATA,
        preset=PRESET,
        results=RESULTS,
        set=[f"{method}.{name}={value}" for name, value in words.items()],
        progress="none",
    )
