"""Short exercises in copying and comparing words, which the embedded LLM learns before it meets a task.

A transformer of this size that starts with the tasks never discovers that the answer can be taken from its
prompt; a few minutes of copying words, finding the word after a word, filling patterns and choosing between
two short lists teach it the mechanism.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from lampbench.mini import lexicon

INSTRUCTION_WORDS = tuple(
    "repeat the words backwards what comes after before in first last word of fill pattern with blank which list has "
    "and answer one two same as a or unlike".split()
)


@dataclass(frozen=True)
class Example:
    """A prompt, its answer, and the words of the prompt that speak for the right answer or a wrong one."""

    prompt: str
    answer: str
    right: frozenset[str] = frozenset()
    wrong: frozenset[str] = frozenset()


Exercise = Callable[[Sequence[str], random.Random], Example]


def _repeat(words: Sequence[str], rng: random.Random) -> Example:
    chosen = rng.sample(words, rng.randint(2, 8))
    return Example(f"repeat the words: {' '.join(chosen)}", " ".join(chosen))


def _after(words: Sequence[str], rng: random.Random) -> Example:
    chosen = rng.sample(words, rng.randint(4, 14))
    i = rng.randrange(len(chosen) - 1)
    if rng.random() < 0.5:
        return Example(f"what comes after {chosen[i]} in the words: {' '.join(chosen)}", chosen[i + 1])
    return Example(f"what comes before {chosen[i + 1]} in the words: {' '.join(chosen)}", chosen[i])


def _ends(words: Sequence[str], rng: random.Random) -> Example:
    chosen = rng.sample(words, rng.randint(3, 14))
    end = rng.choice(("first", "last"))
    return Example(f"{end} word of: {' '.join(chosen)}", chosen[0 if end == "first" else -1])


def _fill(words: Sequence[str], rng: random.Random) -> Example:
    pattern = rng.sample(words, rng.randint(3, 6))
    fillers = rng.sample(words, 2)
    spots = rng.sample(range(len(pattern)), 2)
    shown, full = list(pattern), list(pattern)
    for spot, filler in zip(sorted(spots), fillers, strict=True):
        shown[spot], full[spot] = "blank", filler
    return Example(f"fill the pattern {' '.join(shown)} with: {' '.join(fillers)}", " ".join(full))


def _same_pattern(words: Sequence[str], rng: random.Random) -> Example:
    """`"a x b" is the answer for "x"`, twice, then a new x: the pattern a … b must be carried over."""
    before, after = rng.sample(words, rng.randint(0, 2)), rng.sample(words, rng.randint(1, 2))
    lines = []
    for _ in range(rng.randint(1, 3)):
        core = rng.sample(words, rng.randint(1, 3))
        lines.append(f'"{" ".join([*before, *core, *after])}" is the answer for "{" ".join(core)}"')
    core = rng.sample(words, rng.randint(1, 3))
    return Example(f"{' , and '.join(lines)} . answer: {' '.join(core)}", " ".join([*before, *core, *after]))


def _shared(words: Sequence[str], rng: random.Random) -> Example:
    """The one word that two lists have in common."""
    first, second = rng.sample(words, rng.randint(3, 6)), rng.sample(words, rng.randint(3, 6))
    common = rng.choice(first)
    second = [word for word in second if word not in first] or [common]
    second[rng.randrange(len(second))] = common
    return Example(f'same word of "{" ".join(first)}" and "{" ".join(second)}"', common)


def _choice(
    question: str, right: Sequence[str], wrong: Sequence[str], telling: Sequence[str], rng: random.Random
) -> Example:
    """A question with two lists to choose from, the right one in a random place; `telling` words decide it."""
    answer = rng.randrange(2)
    lists = [right, wrong] if answer == 0 else [wrong, right]
    options = " ".join(f'[{n}]: "{" ".join(words)}"' for n, words in enumerate(lists, start=1))
    return Example(
        f"{question} {options}", f"[{answer + 1}]", frozenset(telling), frozenset(wrong) - frozenset(telling)
    )


def _has(words: Sequence[str], rng: random.Random) -> Example:
    """Which of two lists has a given word."""
    chosen = rng.sample(words, 8)
    right, wrong = chosen[: rng.randint(1, 4)], chosen[4 : 4 + rng.randint(1, 4)]
    word = rng.choice(right)
    return _choice(f'which list has the word "{word}"', right, wrong, [word], rng)


def _member(words: Sequence[str], rng: random.Random) -> Example:
    """Which of two lists shares a word with the list before them."""
    chosen = rng.sample(words, 15)
    asked, right, wrong = (chosen[i : i + rng.randint(1, 5)] for i in (0, 5, 10))
    word = asked[rng.randrange(len(asked))]
    right[rng.randrange(len(right))] = word
    return _choice(f'which list has a word of "{" ".join(asked)}"', right, wrong, [word], rng)


def _subject(words: Sequence[str], rng: random.Random) -> Example:
    """Which of two lists is about the subject of the list before them: a research field or an aspect of movies."""
    groups = rng.choice((lexicon.FIELDS, lexicon.ASPECTS))
    subject, other = rng.sample(sorted(groups), 2)
    about = rng.sample(groups[subject], 8)
    asked, right = about[: rng.randint(1, 4)], about[4 : 4 + rng.randint(1, 4)]
    elsewhere = [word for word in groups[other] if word not in groups[subject]]
    wrong = rng.sample(elsewhere, rng.randint(1, 4))
    return _choice(f'which list is the same as "{" ".join(asked)}"', right, wrong, right, rng)


COPYING: tuple[Exercise, ...] = (_repeat, _after, _ends, _fill, _same_pattern, _shared)
CHOOSING: tuple[Exercise, ...] = (_has, _member, _subject)
EXERCISES = (*COPYING, *CHOOSING)


def exercise(words: Sequence[str], rng: random.Random) -> Example:
    """A random exercise over `words`, as often of copying as of choosing."""
    return rng.choice(rng.choice((COPYING, CHOOSING)))(words, rng)


def blanks(text: str, rng: random.Random, share: float = 0.3) -> Example:
    """A text with some of its longer words blanked out, and these words."""
    words = text.split()
    long = [i for i, word in enumerate(words) if len(word.strip(".,:?")) > 3] or [0]
    chosen = set(rng.sample(long, max(1, round(share * len(long)))))
    shown = ["blank" if i in chosen else word for i, word in enumerate(words)]
    answer = " ".join(words[i].strip(".,:?") for i in sorted(chosen))
    return Example(f"fill the blank of: {' '.join(shown)}", answer)
