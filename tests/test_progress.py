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


def test_a_terminal_gets_bars_that_nest_and_go_away(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")
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


@pytest.mark.parametrize(("term", "style"), [("dumb", "plain"), ("unknown", "plain"), ("xterm", "rich")])
def test_a_terminal_that_cannot_move_its_cursor_gets_lines(
    monkeypatch: pytest.MonkeyPatch, term: str, style: str
) -> None:
    monkeypatch.setenv("TERM", term)
    assert Progress("auto", Terminal()).style == style
    assert Progress("auto", io.StringIO()).style == "plain"


@pytest.mark.parametrize("style", ["plain", "rich"])
def test_names_and_notes_neither_act_on_the_terminal_nor_are_markup(
    style: str, seconds: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "120")
    stream = Terminal()
    shown = Progress(style, stream)
    with shown.bar("[bold]a[/bold] \x1b]0;title\x07", 2) as bar:
        seconds[0] += 20
        bar.update(1, note="\x1b[2J:smile:")
        shown.say("[red]left[/red] :smile: \x1b[2J")
    text = stream.getvalue()
    for part in (r"[bold]a[/bold] \x1b]0;title\x07", r"\x1b[2J:smile:", r"[red]left[/red] :smile: \x1b[2J"):
        assert part in text
    assert "\x1b]0;" not in text
    assert "\x1b[2J" not in text


def test_a_stream_that_takes_no_more_does_not_end_the_work(seconds: list[float]) -> None:
    class Full(io.StringIO):
        def write(self, text: str) -> int:
            raise OSError(28, "No space left on device")

    shown = Progress("plain", Full())
    shown.say("hello")
    with shown.bar("predicting", 2) as bar:
        seconds[0] += 20
        bar.advance()
    assert bar.done == 1
