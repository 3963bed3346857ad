"""Progress of long work: a rich bar on a terminal, plain lines elsewhere, nothing when it is not wanted."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, TextIO

from lampbench.terminal import printable

if TYPE_CHECKING:
    from rich.progress import Progress as RichProgress

LINE_EVERY = 15.0  # seconds between plain lines


class Bar:
    """One phase of work. `advance` adds, `update` sets; both are cheap enough to call per question."""

    def __init__(self, description: str, total: int | None) -> None:
        self.description = description
        self.total = total
        self.done = 0

    def advance(self, n: int = 1) -> None:
        """`n` more are done."""
        self.update(self.done + n)

    def update(self, done: int, total: int | None = None, note: str = "") -> None:
        """`done` are done, of `total`; `note` is a few words more, such as the loss."""
        self.done = done
        if total is not None:
            self.total = total
        self._show(note)

    def close(self) -> None:
        """The phase is over."""

    def _show(self, note: str) -> None:
        """Nothing, unless a subclass draws."""


class _RichBar(Bar):
    def __init__(self, rich: RichProgress, description: str, total: int | None) -> None:
        super().__init__(description, total)
        self._rich = rich
        self._task = rich.add_task(description, total=total)

    def _show(self, note: str) -> None:
        text = f"{self.description} {printable(note)}".rstrip()
        self._rich.update(self._task, completed=self.done, total=self.total, description=text)

    def close(self) -> None:
        self._rich.refresh()
        self._rich.remove_task(self._task)


class _PlainBar(Bar):
    """A line at most every `LINE_EVERY` seconds, and none for what is over before that."""

    def __init__(self, stream: TextIO, description: str, total: int | None) -> None:
        super().__init__(description, total)
        self._stream = stream
        self._start = self._last = time.monotonic()
        self._first_done = 0

    def _show(self, note: str) -> None:
        now = time.monotonic()
        if now - self._last < LINE_EVERY:
            return
        self._last = now
        seconds = now - self._start
        rate = self.done / seconds if seconds > 0 else 0.0
        parts = [f"{self.description}: {self.done}"]
        if self.total:
            parts[0] += f"/{self.total}"
        parts.append(f"{rate:.1f}/s")
        if self.total and rate > 0:
            parts.append(f"{clock((self.total - self.done) / rate)} left")
        if note:
            parts.append(printable(note))
        _print_line(", ".join(parts), self._stream)


class Progress:
    """Where progress goes.

    Args:
        style: `auto` (rich on a terminal, else plain lines), `rich`, `plain` or `none`.
        stream: standard error by default, so that standard output stays the result.
    """

    def __init__(self, style: str = "auto", stream: TextIO | None = None) -> None:
        self._stream = stream if stream is not None else sys.stderr
        if style == "auto":
            style = "rich" if _draws(self._stream) else "plain"
        self.style = style
        self._rich: RichProgress | None = None
        self._open = 0

    def say(self, text: str) -> None:
        """One line about what happens now."""
        if self.style == "none":
            return
        text = printable(text)
        if self._rich is not None:
            self._rich.console.print(text, highlight=False, markup=False, emoji=False)
        else:
            _print_line(text, self._stream)

    def warn(self, text: str) -> None:
        """One line that nobody may miss, whoever wants no progress."""
        if self.style == "none":
            _print_line(printable(text), self._stream)
        else:
            self.say(text)

    @contextmanager
    def bar(self, description: str, total: int | None = None) -> Iterator[Bar]:
        """A bar for one phase; bars may nest."""
        bar = self._bar(description, total)
        self._open += 1
        try:
            yield bar
        finally:
            bar.close()
            self._open -= 1
            if self._rich is not None and self._open == 0:
                self._rich.stop()
                self._rich = None

    def _bar(self, description: str, total: int | None) -> Bar:
        description = printable(description)
        if self.style == "none":
            return Bar(description, total)
        if self.style == "plain":
            return _PlainBar(self._stream, description, total)
        if self._rich is None:
            self._rich = _rich_progress(self._stream)
            self._rich.start()
        return _RichBar(self._rich, description, total)


def _draws(stream: TextIO) -> bool:
    """Whether it is a terminal that can move its cursor: on one that cannot, rich shows no bar at all."""
    return stream.isatty() and os.environ.get("TERM", "").lower() not in ("dumb", "unknown")


def _print_line(text: str, stream: TextIO) -> None:
    with suppress(OSError):  # a full disk or a reader that has gone: no reason to end the work
        print(text, file=stream, flush=True)


def _rich_progress(stream: TextIO) -> RichProgress:
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        ProgressColumn,
        Task,
        TextColumn,
        TimeRemainingColumn,
    )
    from rich.text import Text

    class Rate(ProgressColumn):
        def render(self, task: Task) -> Text:
            return Text(f"{task.speed:.1f}/s" if task.speed else "")

    return Progress(
        TextColumn("{task.description}", markup=False),
        BarColumn(bar_width=20),
        MofNCompleteColumn(),
        Rate(),
        TimeRemainingColumn(),
        console=Console(file=stream),
        transient=True,
    )


def clock(seconds: float) -> str:
    """Seconds as `0:07`, `12:30` or `1:02:03`."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"
