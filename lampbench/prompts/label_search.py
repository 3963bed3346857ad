r"""The labels of a task in a text: which of them can be the answer that the text gives.

* A label is a word of its own, in whatever case; of two that begin at one place the longer. Blanks and hyphens
  within it are one (`Dark-comedy`), `[1]` may have other brackets or none after a word such as "reference", and
  a rating may be 4.0. Ratings in words are not read: "one" is mostly no rating.
* No answer are a stated scale ("from 1 (bad) to 5 (good)", the 5 of "4/5" and of "4 out of 5"), a value on
  another scale ("8/10"), a list of all labels, and the numbers of a numbered list.
* Of several labels that one can be the answer which is announced: by "answer:", "rating is", "score of" and the
  like, by `<answer>` or `\boxed`, or by standing alone on the first or the last line. Of several that are
  announced, a final or overall one.

Negations ("not a comedy") are not understood.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import NamedTuple

from lampbench.tasks import Task


class _Mention(NamedTuple):
    """A label in a text. `bare`: a number without the label's brackets, so that it may mean anything."""

    start: int
    end: int
    label: str
    bare: bool


def labels_in(task: Task, text: str) -> set[str]:
    """The labels that can be the answer: the one that is, or several where it cannot be told, or none."""
    if not task.labels:
        return set()
    text = re.sub(r"\b_+|_+\b", " ", text)  # emphasis at words; inside of one it joins two
    if task.kind == "rating":
        text = _without_scales(text, task.labels[0], task.labels[-1])
    mentions = list(_mentions(task, text))
    lists = _runs(text, mentions, _LISTED)
    mentions = [m for run in lists if len(_labels(run)) < len(task.labels) for m in run] or mentions
    announced: set[str] = set()
    final: set[str] = set()
    for run in _runs(text, mentions, _JOINED):
        labels = _labels(run)
        how = _ANNOUNCED.search(text[max(0, run[0].start - _REACH) : run[0].start])
        if how or _alone(text, run[0].start, run[-1].end):
            announced |= labels
        if how and (how["final"] or how["mark"]):
            final |= labels
    if len(announced) > 1 and final:
        return final
    return announced or _labels([mention for mention in mentions if not mention.bare])


# Where labels stand

_NUMBERED = re.compile(r"\[(\d+)\]")
_NOUN = r"(?:reference|ref\.|option|paper|article|title|candidate|choice|number|no\.|#)"
_BEFORE = r"(?<![^\W_])(?<![A-Za-z]-)"
_AFTER = r"(?![^\W_])(?!-(?!stars?\b)[^\W\d_])"
_NO_PART = r"(?<!\d[.,:])(?<![$€£#])", r"(?![.,:]\d)(?!\s?%)"  # of a larger number, a price or a share


@lru_cache(maxsize=16)
def _pattern(labels: tuple[str, ...]) -> re.Pattern[str]:
    """Finds the labels; the group that matched is named by the kind of match and the label's position."""
    parts = []
    for place in sorted(range(len(labels)), key=lambda i: -len(labels[i])):
        label = labels[place]
        if match := _NUMBERED.fullmatch(label):
            n = match[1]
            parts.append(rf"(?P<whole{place}>[\[({{<]\s*{n}\s*[\])}}>]|{_BEFORE}{_NOUN}\s*{n}{_AFTER})")
            parts.append(rf"(?P<bare{place}>{_BEFORE}{_NO_PART[0]}{n}{_NO_PART[1]}{_AFTER})")
        elif label.isdecimal():
            parts.append(rf"(?P<whole{place}>{_BEFORE}{_NO_PART[0]}{label}(?:\.0+)?{_NO_PART[1]}{_AFTER})")
        else:
            words = r"[\s_‐-―-]*".join(map(re.escape, re.split(r"[\s-]", label)))
            parts.append(rf"(?P<whole{place}>{_BEFORE}{words}{_AFTER})")
    return re.compile("|".join(parts), re.IGNORECASE)


def _mentions(task: Task, text: str) -> Iterator[_Mention]:
    for match in _pattern(task.labels).finditer(text):
        group = str(match.lastgroup)
        bare = group.startswith("bare")
        label = task.labels[int(group.removeprefix("bare" if bare else "whole"))]
        yield _Mention(match.start(), match.end(), label, bare)


def _labels(mentions: Sequence[_Mention]) -> set[str]:
    return {mention.label for mention in mentions}


_SEPARATOR = r"[ \t,;/|&+\"'“”`*]|\band\b|\bor\b"
_JOINED = re.compile(rf"(?:{_SEPARATOR})*", re.IGNORECASE)  # comedy, action or romance
_LISTED = re.compile(rf"(?:{_SEPARATOR}|[\n\r•·.\-])*", re.IGNORECASE)  # also in lines of their own


def _runs(text: str, mentions: Sequence[_Mention], between: re.Pattern[str]) -> list[list[_Mention]]:
    """The mentions in order, those together that nothing but `between` parts."""
    runs: list[list[_Mention]] = []
    for mention in mentions:
        if runs and between.fullmatch(text, runs[-1][-1].end, mention.start):
            runs[-1].append(mention)
        else:
            runs.append([mention])
    return runs


# What announces an answer

_REACH = 120  # characters before a label
_LOOSE = r"[\s*_`\"'“”(\[{]"
_ANNOUNCED = re.compile(
    r"(?:(?P<mark><answer>|\\boxed\{(?:\\text\{)?)|"
    r"(?P<final>\b(?:final|overall|total)\s+)?\b(?:answer|rating|score|tag|label|verdict|choice|prediction)\b"
    r"[*_`\"']*(?:\s*\([^()\n]*\)|[^\d.!?;:=\n]{1,60}?)?[*_`\"'\s]*"  # (out of 5), for this movie
    r"(?:\b(?:is|was|of|would be|should be|will be)\b|[:=→–-]+>?))"
    rf"(?:{_LOOSE}|:|\b(?:a|an|the|probably|likely|clearly|definitely|option|reference|paper)\b)*$",
    re.IGNORECASE,
)


def _alone(text: str, start: int, end: int) -> bool:
    """Whether a line holds nothing else, and is the first or the last one that holds anything."""
    line_start, line_end = text.rfind("\n", 0, start) + 1, text.find("\n", end)
    before = text[line_start:start]
    after = text[end:] if line_end < 0 else text[end:line_end]
    if not re.fullmatch(rf"(?:{_LOOSE}|[-•>#])*", before):
        return False
    if not re.fullmatch(r"[\s*_`\"'“”)\]}.!,]*(?:stars?[\s*.!]*)?", after):
        return False
    return not text[:line_start].strip() or line_end < 0 or not text[line_end:].strip()


# Scales

_VALUE = r"(?P<value>(?<![\w.,/])\d+(?:[.,]\d+)?)(?P<loose>[*_`\s]*(?:stars?\s+)?)"
_OUT_OF = r"(?:/|\bout\s+of\b|\bof\b)\s*(?:an?\s+|the\s+)?(?:(?:possible|maximum|total)\s+(?:of\s+)?)?"
_EXTREME = (
    r"(?:\([^()\d\n]{1,40}\)|(?:=|:|is|are|being|means?|meaning)\s*[\"'“]?(?:the\s+|very\s+|most\s+|extremely\s+)*"
    r"(?:low|high|worst|best|bad|good|poor|excellent|terrible|awful|great|perfect|negative|positive)\w*)"
)


def _without_scales(text: str, low: str, high: str) -> str:
    """A text about a rating without the numbers that only tell what a rating can be."""

    def on_scale(match: re.Match[str]) -> str:
        return match["value"] + match["loose"] if match["most"] == high else " "

    text = re.sub(rf"{_VALUE}{_OUT_OF}(?P<most>\d+)(?![\w.,/]\d)", on_scale, text, flags=re.IGNORECASE)
    text = re.sub(
        rf"(?:\bout\s+of|\bscale\s+of|\bmaximum(?:\s+of)?|/)\s*{high}\b", " ", text, flags=re.IGNORECASE
    )
    text = re.sub(rf"\b(?:{low}|{high})(?:\s*stars?)?\s+(?:being|meaning)\b", " ", text, flags=re.IGNORECASE)
    for one, other in ((low, high), (high, low)):
        ends = (
            rf"\b{one}\b(?:\s*stars?)?\s*(?:{_EXTREME}\s*)?(?:-|–|—|~|\.\.+|…|\bto\b|\bthrough\b)\s*{other}\b",
            rf"\bbetween\s+{one}\s+and\s+{other}\b",
            rf"\b{one}\b(?:\s*stars?)?\s*{_EXTREME}[^\d\n]{{0,30}}\b{other}\b(?:\s*stars?)?\s*{_EXTREME}",
        )
        text = re.sub("|".join(ends), " ", text, flags=re.IGNORECASE)
    return _without_numbering(text)


def _without_numbering(text: str) -> str:
    """Without the numbers of a list: of lines that begin with 1., 2. and so on."""
    marks = list(re.finditer(r"^[ \t*]*(\d+)[.)](?=[*\s]*[^\W\d])", text, re.MULTILINE))
    if len(marks) < 2 or [int(mark[1]) for mark in marks] != list(range(1, len(marks) + 1)):
        return text
    return re.sub(r"^([ \t*]*)\d+[.)](?=[*\s]*[^\W\d])", r"\1", text, flags=re.MULTILINE)
