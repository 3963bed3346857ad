"""Progress: bars on a terminal, few plain lines elsewhere."""

from __future__ import annotations

import io

import pytest

from lampbench import progress
from lampbench.progress import Progress, clock


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture
def seconds(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """A clock that is set by hand."""
    now = [100.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: now[0])
    return now


def test_plain_lines_tell_rate_and_time_left(seconds: list[float]) -> None:
    stream = io.StringIO()
    with Progress("auto", stream).bar("predicting", 100) as bar:
        bar.advance(5)
        seconds[0] += 20
        bar.advance(15)
        seconds[0] += 1
        bar.advance()  # too soon for another line
        seconds[0] += 19
        bar.update(40, note="loss 1.5")
    assert stream.getvalue().splitlines() == [
        "predicting: 20/100, 1.0/s, 1:20 left",
        "predicting: 40/100, 1.0/s, 1:00 left, loss 1.5",
    ]


def test_work_without_a_known_end_is_counted(seconds: list[float]) -> None:
    stream = io.StringIO()
    with Progress("plain", stream).bar("reading") as bar:
        seconds[0] += 30
        bar.update(60)
        seconds[0] += 30
        bar.update(90, total=120)
    assert stream.getvalue().splitlines() == ["reading: 60, 2.0/s", "reading: 90/120, 1.5/s, 0:20 left"]


def test_what_is_over_soon_says_nothing() -> None:
    stream = io.StringIO()
    with Progress("plain", stream).bar("short", 2) as bar:
        bar.advance()
        bar.advance()
    assert stream.getvalue() == ""


def test_none_is_silent() -> None:
    stream = io.StringIO()
    quiet = Progress("none", stream)
    quiet.say("hello")
    with quiet.bar("anything", 3) as bar:
        bar.advance()
    assert (stream.getvalue(), bar.done) == ("", 1)


def test_a_terminal_gets_bars_that_nest_and_go_away() -> None:
    stream = Terminal()
    shown = Progress("auto", stream)
    assert shown.style == "rich"
    with shown.bar("outer [a]", 2) as outer, shown.bar("inner", 3) as inner:
        shown.say("one line [between]")
        inner.update(2, 3, "loss 1.0")
        outer.advance()
    text = stream.getvalue()
    assert "outer [a]" in text
    assert "loss 1.0" in text
    assert "one line [between]" in text


def test_times_are_short() -> None:
    assert [clock(s) for s in (0, 7.4, 750, 3723)] == ["0:00", "0:07", "12:30", "1:02:03"]
